"""What was replayed instead of computed, for which plans, and why for others not."""

from __future__ import annotations

from frostline.core.records import ReplayedRun, ReplaySummary, StudyRecord
from frostline.core.sizes import size_text
from frostline.report import words
from frostline.report.parts import Row, Table


def replay_table(study: StudyRecord) -> Table | None:
    """One row for each candidate that freezes something; None when replay was switched off."""
    if study.replay is None:
        return None
    return Table(
        caption="Frozen computation that was replayed, by candidate",
        columns=("Candidate", "Examples replayed", "Work spared", "Computing it", "Reading it", "Measured"),
        align="lrrrrr",
        rows=tuple(_row(study, run) for run in study.replay.runs),
        note=" ".join((_WHAT, *_reasons(study.replay))),
    )


_WHAT = (
    "What frozen blocks compute for an example is computed once, then replayed bit for bit as in ordinary training. "
    "Computing and reading: seconds for all examples once, predicted; measured: what reading took."
)


def store_table(study: StudyRecord) -> Table | None:
    """The activation store: predicted and measured; None when replay was switched off."""
    replay = study.replay
    if replay is None:
        return None
    rows = [
        Row(("Kept", "in memory" if replay.place == "memory" else "on disk, in the study's folder activations")),
        Row(("Size predicted", size_text(replay.predicted_bytes))),
        Row(("Size measured", size_text(replay.kept_bytes))),
        Row(("Rows not kept, for the budget", words.count(replay.refused_rows))),
        Row(("Precision", _precision(replay))),
        *(Row(("Note", note), "unsure") for note in replay.notes),
    ]
    return Table(caption="The activation store", columns=("", ""), align="ll", rows=tuple(rows))


def replay_sentence(study: StudyRecord) -> str:
    """For a terminal: how much was spared, or why nothing was."""
    if study.replay is None:
        return "Replay of frozen computation was switched off."
    on = [run for run in study.replay.runs if not run.off_because]
    spared = sum(run.spared_train_flops + run.spared_evaluate_flops for run in study.runs)
    if not on:
        reasons = {run.off_because for run in study.replay.runs}
        if not reasons:
            return "Nothing was replayed: no freeze plan was trained."
        return f"Replay is off because {'; '.join(sorted(reasons))}."
    return (
        f"Frozen computation was replayed for {len(on)} of {len(study.replay.runs)} freeze plans: "
        f"{words.share(spared, study.cost.sweep_flops)} of the ordinary sweep's work was spared."
    )


def _row(study: StudyRecord, replayed: ReplayedRun) -> Row:
    if replayed.off_because:
        return Row((replayed.candidate, "off", "", *_seconds(replayed)))
    run = study.run_of(replayed.candidate)
    spared = run.spared_train_flops + run.spared_evaluate_flops
    share = words.UNDEFINED if replayed.replayed_share is None else words.percent(replayed.replayed_share)
    return Row((replayed.candidate, share, words.share(spared, run.ordinary_flops), *_seconds(replayed)), "good")


def _seconds(run: ReplayedRun) -> tuple[str, str, str]:
    given = (run.predicted_compute_s, run.predicted_read_s, run.measured_read_s)
    compute, read, measured = ("" if seconds is None else f"{seconds:.2f} s" for seconds in given)
    return compute, read, measured


def _reasons(replay: ReplaySummary) -> list[str]:
    """One sentence for each plan that is not replayed, or not wholly."""
    off = [f"{run.candidate}: replay is off because {run.off_because}." for run in replay.runs if run.off_because]
    again = dict.fromkeys(reason for run in replay.runs if not run.off_because for reason in run.computed_again)
    return off + ([f"Computed each time: {'; '.join(again)}."] if again else [])


def _precision(replay: ReplaySummary) -> str:
    if replay.half_error is None:
        return "exact"
    return f"float16, by choice: off by at most {replay.half_error:.2g} of a row's largest value"
