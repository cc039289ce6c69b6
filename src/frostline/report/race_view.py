"""The race: who was trained how far, who was given up when, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import isfinite

from frostline.core.records import REWOUND, Standing, StudyRecord
from frostline.report import words
from frostline.report.parts import Figure, Json, Mark, Row, Table

_MARKS: dict[str, Mark] = {"finished": "chosen", "kept": "good", "failed": "bad"}
_ELSEWHERE = {"finished": "end", "failed": "on the way", "skipped": "not begun"}
"""Where it was decided, when not at a rung."""

LABELS = 12
"""Names that the picture writes beside its lines: with more they hide what they name, and the tip and the table have
all."""

LOGARITHMIC_FROM = 12.0
"""Largest over smallest loss from which on equal steps of the axis are equal factors: below it the low losses, between
which the race decides, still stand apart."""


def race_figure(study: StudyRecord) -> Figure | None:
    """Loss on the select split against updates of the optimizer, with what was decided at every rung.

    Returns:
        The picture, its table the one of `race_table`; None when nobody was trained in a race.
    """
    table, trained = race_table(study), [s for s in study.race if s.decision != "skipped" and not s.is_rewound]
    if table is None or not trained:
        return None
    chosen = _chosen_racer(study)
    losses = [loss for standing in trained if (loss := _finite(standing.loss)) is not None]
    return Figure(
        id="race",
        title="Who was kept and who was given up",
        alt=_race_words(study, chosen),
        data={
            "updates": max(1, *(standing.updates for standing in trained)),
            "logarithmic": bool(losses) and min(losses) > 0 and max(losses) > LOGARITHMIC_FROM * min(losses),
            "rungs": _rungs(trained),
            "points": [_point(standing, chosen) for standing in trained],
            "labels": _labels(trained, chosen),
        },
        table=table,
    )


def race_table(study: StudyRecord) -> Table | None:
    """One row for each decision, in order; None when every candidate was trained to its end."""
    if not study.race:
        return None
    return Table(
        caption="The race, decision by decision",
        columns=("Rung", "Candidate", "Updates", "Loss on select", "Decision", "Why"),
        align="llrrll",
        rows=tuple(_row(standing) for standing in study.race),
        note="Candidates are trained equally far and compared on the same examples; the half with the higher loss is "
        "given up. Rung 0 looks for the learning rate. Losses before the last rung are those of unfinished runs. A "
        "network whose first blocks were put back to their pretrained weights was not trained again.",
    )


def race_sentence(study: StudyRecord) -> str:
    """What the race cost; empty when there was none."""
    cost = study.cost
    if not study.race or cost.budget_flops is None:
        return ""
    full = words.share(cost.search_flops, cost.full_finetune_flops)
    # Both are rounded to whole operations: what was allowed is as round as it was asked for.
    allowed = words.share(round(cost.budget_flops / (cost.full_finetune_flops or 1), 4), 1)
    last = _last_standings(study.race)
    begun = sum(standing.decision != "skipped" for standing in last.values())
    finished = sum(standing.decision == "finished" for standing in last.values())
    return (
        f"The search and the winner's training took {full} of one ordinary full fine-tune; {allowed} were allowed. "
        f"Candidates begun: {begun}; finished: {finished}."
    )


def evidence_table(study: StudyRecord) -> Table | None:
    """How well each nearly free score ranked the candidates; None when there was none."""
    if not study.evidence:
        return None
    rows = [
        Row(
            (
                score.name,
                "undefined" if score.rank_correlation is None else f"{score.rank_correlation:+.2f}",
                str(score.candidates),
                max(score.predicted, key=lambda id: (score.predicted[id], id), default=""),
            )
        )
        for score in study.evidence
    ]
    return Table(
        caption="What was known before training, and how well it ranked the candidates",
        columns=("Score", "Rank correlation", "Candidates", "It would have chosen"),
        align="lrrl",
        rows=tuple(rows),
        note="Spearman's rank correlation with the loss on the select split of candidates trained equally far: 1 is "
        "the same order, 0 none. Of so few candidates a high value can be chance. None of these scores chooses.",
    )


def _row(standing: Standing) -> Row:
    elsewhere = "put back" if standing.is_rewound else _ELSEWHERE.get(standing.decision, "between rungs")
    rung = {None: elsewhere, 0: "learning rate"}.get(standing.rung, f"{standing.rung}")
    loss = "" if standing.loss is None else f"{standing.loss:.4f}"
    cells = (rung, standing.candidate, f"{standing.updates:,}", loss, standing.decision, standing.reason)
    return Row(cells, _MARKS.get(standing.decision, ""))


# ------------------------------------------------------------ the picture


def _point(standing: Standing, chosen: str) -> Json:
    plan, _, rate = standing.candidate.rpartition("@")
    place = {None: "", 0: "learning-rate trial, "}.get(standing.rung, f"rung {standing.rung}, ")
    loss = _finite(standing.loss)
    return {
        "candidate": standing.candidate,
        "updates": standing.updates,
        "loss": loss,
        "decision": standing.decision,
        "chosen": standing.candidate == chosen,
        # Trials of one plan are drawn side by side: the plan names the group, the rate each member.
        "trial": (plan or rate) if standing.rung == 0 else "",
        "tip": [
            f"{standing.decision}: {place}after {_updates(standing.updates)}",
            "no finite loss" if loss is None else f"loss {loss:.4f} on the select split",
            standing.reason,
        ],
    }


def _rungs(trained: Sequence[Standing]) -> list[Json]:
    """Where candidates were compared. The trial of learning rates may end where the first rung does."""
    at: dict[int, list[Json]] = {}
    for rung in sorted({s.rung for s in trained if s.rung is not None}):
        updates = max(s.updates for s in trained if s.rung == rung)
        at.setdefault(updates, []).append(rung)
    return [{"updates": updates, "rungs": rungs} for updates, rungs in sorted(at.items())]


def _labels(trained: Sequence[Standing], chosen: str) -> list[Json]:
    """The points that carry a name, the ones to be named first standing first."""
    last = {standing.candidate: number for number, standing in enumerate(trained)}
    trials = [n for n, s in enumerate(trained) if s.rung == 0 and "@" in s.candidate]

    def importance(number: int) -> tuple[bool, bool, int, float]:
        standing, loss = trained[number], _finite(trained[number].loss)
        return (
            standing.candidate != chosen,
            standing.decision not in ("finished", "failed"),
            -standing.updates,
            float("inf") if loss is None else loss,
        )

    ends = sorted((n for n in last.values() if n not in trials), key=importance)
    entries: list[Json] = [{"point": n, "text": trained[n].candidate} for n in ends]
    entries += [{"point": n, "text": f"@{trained[n].candidate.rpartition('@')[2]}"} for n in trials]
    return entries[:LABELS]


def _chosen_racer(study: StudyRecord) -> str:
    """The raced candidate whose weights were taken; empty when the chosen one took no part."""
    raced, chosen = {standing.candidate for standing in study.race}, study.choice.candidate
    if REWOUND in chosen:
        return next((standing.candidate for standing in study.race if standing.decision == "finished"), "")
    # Weights between the pretrained and the fine-tuned ones carry the name of the run they come from.
    return next((name for name in (chosen, chosen.rpartition("@wise-")[0]) if name in raced), "")


# ------------------------------------------------------------ its words


def _race_words(study: StudyRecord, chosen: str) -> str:
    last = _last_standings(study.race)
    total = len(last)
    counts = [
        _pruned_words([s for s in last.values() if s.decision == "pruned"]),
        _count_words("failed", last.values()),
        _count_words("skipped", last.values()),
        _count_words("kept", last.values(), "but not trained further"),
    ]
    told = words.listed(tuple(filter(None, counts)))
    beginning = f"{total} candidates raced" if told == "none" else f"Of {total} candidates, {told}"
    begun = "One candidate raced" if total == 1 and told == "none" else beginning
    finished = [s for s in last.values() if s.decision == "finished"]
    ends = "; ".join(_finished_words(standing) for standing in finished) or "none was finished"
    taken = f"{chosen} was chosen." if len(finished) > 1 and chosen == study.choice.candidate else ""
    more = (_rewound_words(study.race), _chosen_words(study, chosen), _skipped_words(last.values()))
    return " ".join(filter(None, (f"{begun}; {ends}.", taken, *more)))


def _rewound_words(race: Iterable[Standing]) -> str:
    """Which blocks can be put back unnoticed; empty when that was not asked."""
    asked = {standing.candidate: standing.decision == "kept" for standing in race if standing.is_rewound}
    told = (f"{id} is {'as good' if good else 'worse'}" for id, good in asked.items())
    return f"With blocks put back to their pretrained weights: {', '.join(told)}." if asked else ""


def _pruned_words(pruned: Sequence[Standing]) -> str:
    if not pruned:
        return ""
    places = Counter(standing.rung for standing in pruned)
    names = {None: "outside a rung", 0: "in the learning-rate trial"}
    at = [
        f"{places[rung]} {names.get(rung, f'at rung {rung}')}"
        for rung in sorted(places, key=lambda rung: -1 if rung is None else rung)
    ]
    if len(places) == 1:
        return f"{_were(len(pruned))} pruned {at[0].partition(' ')[2]}"
    return f"{_were(len(pruned))} pruned ({', '.join(at)})"


def _count_words(decision: str, standings: Iterable[Standing], more: str = "") -> str:
    count = sum(standing.decision == decision for standing in standings)
    if not count:
        return ""
    verb = f"{count} failed" if decision == "failed" else f"{_were(count)} {decision}"
    return f"{verb} {more}".rstrip()


def _finished_words(standing: Standing) -> str:
    loss = _finite(standing.loss)
    reached = "without a finite loss" if loss is None else f"with a loss of {loss:.4f} on the select split"
    return f"{standing.candidate} was finished after {_updates(standing.updates)} {reached}"


def _chosen_words(study: StudyRecord, chosen: str) -> str:
    name = study.choice.candidate
    if not chosen:
        return f"The chosen {name} took no part in it."
    return "" if name == chosen else f"The chosen {name} comes from the weights of {chosen}."


def _skipped_words(standings: Iterable[Standing]) -> str:
    """Who was never begun, and why, in one sentence; empty when everybody was."""
    reasons: dict[str, list[str]] = {}
    for standing in standings:
        if standing.decision == "skipped":
            reasons.setdefault(standing.reason, []).append(standing.candidate)
    if not reasons:
        return ""
    told = (f"{_some(names)}, {'each ' * (len(names) > 1)}because {reason}" for reason, names in reasons.items())
    return f"Skipped: {'; '.join(told)}."


def _some(names: Sequence[str]) -> str:
    if len(names) <= LABELS:
        return words.listed(tuple(names))
    return words.listed((*names[: LABELS - 1], f"{len(names) - LABELS + 1} more"))


def _last_standings(race: Iterable[Standing]) -> dict[str, Standing]:
    """What became of each candidate that could train; one that was trained after all was not skipped."""
    last: dict[str, Standing] = {}
    for standing in race:
        if standing.is_rewound:
            continue
        if standing.decision != "skipped" or standing.candidate not in last:
            last[standing.candidate] = standing
    return last


def _were(count: int) -> str:
    return "1 was" if count == 1 else f"{count} were"


def _updates(count: int) -> str:
    return "1 update" if count == 1 else f"{count:,} updates"


def _finite(loss: float | None) -> float | None:
    return loss if loss is not None and isfinite(loss) else None
