"""The verdict as a reader sees it: banner, floors, metrics, confusion, findings.

Knows the verdict alone, so that `check` and `judge` show it the way a study does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from frostline.core.records import ClassMeasures, Finding, FloorResult, Met, Outcome, Verdict, VerdictName
from frostline.report import words
from frostline.report.parts import Mark, Row, Table

_TONES: dict[VerdictName, Mark] = {"READY": "good", "NOT READY": "bad", "INCONCLUSIVE": "unsure", "INVALID": "bad"}
_MET: dict[Met, tuple[str, Mark]] = {
    "yes": ("met", "good"),
    "no": ("not met", "bad"),
    "cannot tell": ("cannot tell", "unsure"),
}
_OUTCOMES: dict[Outcome, Mark] = {
    "issue": "bad",
    "note": "unsure",
    "passed": "good",
    "not applicable": "",
    "ignored": "unsure",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One count of a confusion matrix."""

    count: str
    rate: str
    """Share of the row: of all examples that truly are of this class."""
    shade: float
    """The same share as a fraction, for the depth of the colour."""
    right: bool
    meaning: str = ""
    """With two classes: what this count is called."""


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    """Everything that truly is of one class."""

    label: str
    total: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionView:
    """Counts with their orientation said aloud."""

    orientation: str
    labels: tuple[str, ...]
    rows: tuple[ConfusionRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictView:
    """All that a verdict says."""

    name: VerdictName
    tone: Mark
    sentence: str
    reasons: tuple[str, ...]
    next: str
    would_change: tuple[str, ...]
    command: str
    floors: Table
    metrics: Table
    scored: Table | None
    confusion: ConfusionView
    per_class: Table | None
    findings: tuple[Finding, ...]
    checks: Table


def build_verdict_view(verdict: Verdict, other: str | None = None) -> VerdictView:
    """Put a verdict into words and tables.

    Args:
        verdict: The answer.
        other: Name of the class that is not the positive one, where it is known.

    Returns:
        Everything both renderings show of it.
    """
    return VerdictView(
        name=verdict.verdict,
        tone=_TONES[verdict.verdict],
        sentence=verdict.sentence,
        reasons=verdict.reasons,
        next=verdict.next,
        would_change=verdict.would_change,
        command=verdict.command,
        floors=_floors(verdict.floors),
        metrics=_metrics(verdict),
        scored=_scored(verdict),
        confusion=_confusion(verdict, other),
        per_class=_per_class(verdict.per_class),
        findings=verdict.findings,
        checks=_checks(verdict.checks),
    )


def _floors(floors: Sequence[FloorResult]) -> Table:
    rows = []
    for floor in floors:
        met, mark = _MET[floor.met]
        bound = words.bound_beside(floor.metric, floor.bound, floor.floor)
        demand = words.demand(floor.metric, floor.floor)
        measured = words.metric_value(floor.metric, floor.value)
        rows.append(Row((words.heading(floor.metric), met, demand, bound, measured, floor.sentence), mark))
    defaults = "No floor was given, so these are the default ones. " if any(floor.default for floor in floors) else ""
    return Table(
        caption="Floors: what was demanded",
        columns=("Metric", "Answer", "Demanded", "Bound", "Measured", "In words"),
        align="llrrrl",
        rows=tuple(rows),
        note=f"{defaults}A floor is met when the one-sided 95 % bound reaches it, corrected for the number of "
        "floors; the measured value alone could be luck.",
    )


def _metrics(verdict: Verdict) -> Table:
    meanings = _meanings(verdict.positive)
    rows = tuple(
        Row(
            (
                words.heading(metric),
                words.estimate_value(metric, estimate),
                words.estimate_interval(metric, estimate),
                meanings.get(metric, ""),
            )
        )
        for metric, estimate in verdict.metrics.items()
    )
    return Table(
        caption="Metrics",
        columns=("Metric", "Value", "95 % interval", "What it says"),
        align="lrrl",
        rows=rows,
        note=words.methods(e.method for e in verdict.metrics.values()),
    )


_SCORE_MEANINGS = {
    "roc_auc": "chance that a positive example scores above a negative one; .5 says nothing",
    "pr_auc": "mean precision over all thresholds; knowing nothing gives the share of positives",
    "brier": "mean squared distance of the score from the truth; lower is better",
    "calibration_error": "mean distance of scores from the shares that came true; lower is better",
    "log_loss": "mean cross-entropy, in nats; lower is better",
}


def _scored(verdict: Verdict) -> Table | None:
    if not verdict.scored:
        return None
    rows = tuple(
        Row((words.heading(name), *words.score_texts(estimate), _SCORE_MEANINGS.get(name, "")))
        for name, estimate in verdict.scored.items()
    )
    return Table(
        caption="What the scores are worth, whatever the threshold",
        columns=("Metric", "Value", "95 % interval", "What it says"),
        align="lrrl",
        rows=rows,
        note=words.methods(e.method for e in verdict.scored.values()),
    )


def _meanings(positive: str | None) -> dict[str, str]:
    common = {
        "accuracy": "of all examples, the share answered right",
        "balanced_accuracy": "mean recall over the classes: a rare class counts as much as a common one",
        "mcc": "agreement beyond chance, from -1 over 0 (none) to 1 (perfect)",
    }
    if positive is None:
        return common | {
            "recall": "share of a class that was found, mean over the classes",
            "precision": "share of the answers for a class that are right, mean over the classes",
            "f1": "recall and precision in one number, mean over the classes",
        }
    return common | {
        "recall": f"of all that truly are {positive}, the share found",
        "precision": f"of all answered {positive}, the share that truly is",
        "f1": "recall and precision in one number (harmonic mean)",
    }


def _confusion(verdict: Verdict, other: str | None) -> ConfusionView:
    if verdict.positive is None:
        labels = cast(tuple[str, ...], verdict.confusion["labels"])
        counts = cast(tuple[tuple[int, ...], ...], verdict.confusion["counts"])
        return _matrix(labels, counts, ((),) * len(labels), "")
    cells = cast(dict[str, int], verdict.confusion)
    labels = (verdict.positive, other or f"not {verdict.positive}")
    counts = ((cells["tp"], cells["fn"]), (cells["fp"], cells["tn"]))
    meanings = (("found", "missed"), ("false alarms", "rightly left alone"))
    return _matrix(labels, counts, meanings, f" The positive class is {verdict.positive}.")


def _matrix(
    labels: tuple[str, ...], counts: Sequence[Sequence[int]], meanings: Sequence[Sequence[str]], positive: str
) -> ConfusionView:
    rows = []
    for index, (label, row) in enumerate(zip(labels, counts, strict=True)):
        total = sum(row)
        cells = tuple(
            Cell(
                count=words.count(count),
                rate=words.share(count, total),
                shade=count / total if total else 0.0,
                right=column == index,
                meaning=meanings[index][column] if meanings[index] else "",
            )
            for column, count in enumerate(row)
        )
        rows.append(ConfusionRow(label, words.count(total), cells))
    orientation = f"Rows are the true class, columns the answered class; percentages are of the row.{positive}"
    return ConfusionView(orientation=orientation, labels=labels, rows=tuple(rows))


def _per_class(classes: Sequence[ClassMeasures]) -> Table | None:
    if not classes:
        return None
    estimates = [e for measures in classes for e in (measures.recall, measures.precision, measures.f1)]
    rows = tuple(
        Row(
            (
                measures.label,
                words.count(measures.support),
                words.estimate_text("recall", measures.recall),
                words.estimate_text("precision", measures.precision),
                words.estimate_text("f1", measures.f1),
            )
        )
        for measures in classes
    )
    return Table(
        caption="Class by class, each against the rest",
        columns=("Class", "Examples", "Recall", "Precision", "F1"),
        align="lrrrr",
        rows=rows,
        note=words.methods(e.method for e in estimates),
    )


def _checks(checks: Sequence[Finding]) -> Table:
    return Table(
        caption="Every check that was asked",
        columns=("Check", "Code", "Outcome", "What it found"),
        align="llll",
        rows=tuple(Row((c.name, c.code, c.outcome, c.sentence), _OUTCOMES[c.outcome]) for c in checks),
    )
