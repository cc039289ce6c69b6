"""The old task: what was forgotten, what lies between the pretrained and the fine-tuned weights, other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

from frostline.core.records import Confirmation, DialPoint, Estimate, StudyRecord
from frostline.report import words
from frostline.report.parts import Figure, Json, Row, Table


def forgetting_sentence(study: StudyRecord) -> str:
    """What the chosen candidate forgot of the old task, or that nobody asked."""
    found = study.forgetting.get(study.choice.candidate)
    if found is None:
        why = "the chosen network is not the one that did it" if study.dial or study.forgetting else "no data of it"
        return f"What was forgotten of the old task was not measured: {why}."
    return (
        f"Of the old task ({words.count(found.examples)} examples, with the original head) the chosen network gets "
        f"{words.percent(found.after.value)} right where the pretrained one gets {words.percent(found.before.value)}: "
        f"a drop of {words.difference_text('accuracy', found.drop)} points."
    )


def forgetting_table(study: StudyRecord) -> Table | None:
    """Every finalist on the old task, before and after; None when it was not measured."""
    if not study.forgetting:
        return None
    rows = [
        Row(
            (
                id,
                words.estimate_text("accuracy", found.before),
                words.estimate_text("accuracy", found.after),
                words.difference_text("accuracy", found.drop),
                words.p_value(found.drop.p),
            ),
            "chosen" if id == study.choice.candidate else "",
        )
        for id, found in study.forgetting.items()
    ]
    return Table(
        caption="The old task, with the original head",
        columns=("Candidate", "Accuracy before", "Accuracy after", "Drop, in points", "p"),
        align="lrrrr",
        rows=tuple(rows),
        note="The same examples before and after. A drop whose interval holds 0 may be noise.",
    )


def dial_figure(study: StudyRecord) -> Figure | None:
    """Both tasks between the pretrained and the fine-tuned weights; None when that was not asked."""
    if not study.dial:
        return None
    metric, chosen = study.choice.metric, study.choice.candidate
    points: list[Json] = [
        {
            "task": task,
            "share": point.share,
            "chosen": point.candidate == chosen,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
        }
        for point in study.dial
        for task, estimate in zip(("new", "old"), _both(point, metric), strict=True)
    ]
    return Figure(
        id="dial",
        title="Between the pretrained and the fine-tuned weights",
        alt=_dial_words(study),
        data={"metric": words.heading(metric), "points": points},
        table=_dial_table(study),
    )


def _both(point: DialPoint, metric: str) -> tuple[Estimate, Estimate]:
    """The new task, on the select split, and the old one."""
    return point.select.metrics[metric], point.forgetting.after


def _dial_words(study: StudyRecord) -> str:
    metric = study.choice.metric
    (first_new, first_old), (last_new, last_old) = (
        [words.estimate_value(*pair) for pair in zip((metric, "accuracy"), _both(study.dial[end], metric), strict=True)]
        for end in (0, -1)
    )
    said = (
        f"At the pretrained end {words.metric_name(metric)} on the select split is {first_new} and accuracy on the "
        f"old task {first_old}; at the fine-tuned end they are {last_new} and {last_old}."
    )
    for point in study.dial:
        if point.candidate == study.choice.candidate:
            new, old = _both(point, metric)
            said += (
                f" Chosen: {words.percent(point.share, 0)} of the way, with {words.metric_name(metric)} "
                f"{words.estimate_text(metric, new)} and accuracy on the old task "
                f"{words.estimate_text('accuracy', old)}."
            )
    return said


def _dial_table(study: StudyRecord) -> Table:
    metric = study.choice.metric
    rows = [
        Row(
            (
                words.percent(point.share, 0),
                *map(words.estimate_text, (metric, "accuracy"), _both(point, metric)),
                words.difference_text("accuracy", point.forgetting.drop),
            ),
            "chosen" if point.candidate == study.choice.candidate else "",
        )
        for point in study.dial
    ]
    return Table(
        caption="Between the pretrained and the fine-tuned weights (WiSE-FT)",
        columns=("Fine-tuned", f"{words.heading(metric)} on select", "Accuracy on the old task", "Drop, in points"),
        align="rrrr",
        rows=tuple(rows),
        note="Nothing is trained for this. A setting is taken instead of the fine-tuned end when the new task is done "
        "as well as can be told and more of the old one is kept, beyond the noise.",
    )


def seeds_table(study: StudyRecord) -> Table | None:
    """The chosen and the runner-up, trained again; None when one seed was asked for."""
    if not study.confirmations:
        return None
    metric = study.choice.metric
    rows = []
    for candidate in dict.fromkeys(c.candidate for c in study.confirmations):
        mine = [c for c in study.confirmations if c.candidate == candidate]
        rows += [Row((candidate, str(c.seed), *_cells(metric, c))) for c in mine]
        rows.append(Row((candidate, "all", _spread(metric, mine), ""), "good"))
    return Table(
        caption="The chosen and the runner-up with other seeds",
        columns=("Candidate", "Seed", f"{words.heading(metric)} on select", "Loss"),
        align="lrrr",
        rows=tuple(rows),
        note="Trained whole, from the same start, in another order of the batches; mean and standard deviation over "
        "them. This is not part of the search's cost.",
    )


def _cells(metric: str, confirmation: Confirmation) -> tuple[str, str]:
    select = confirmation.select
    return words.estimate_text(metric, select.metrics.get(metric)), words.number(select.loss)


def _spread(metric: str, confirmations: Sequence[Confirmation]) -> str:
    values = [v for c in confirmations if (v := c.select.metrics[metric].value) is not None]
    if len(values) < 2:
        return words.UNDEFINED
    return f"{words.metric_value(metric, mean(values))} ± {words.metric_value(metric, stdev(values))}"
