"""FRL207: part of what is judged is new to the model, and there it finds less."""

from __future__ import annotations

from collections.abc import Sequence

from frostline.core.records import Difference, Slice
from frostline.judge.advice import unfreeze
from frostline.judge.checks.precision_kept_recall_lost import KEPT, LOST
from frostline.judge.evidence import FEW, NOISE_P, Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import NAMES, counted, estimate_text, listed, opened, points
from frostline.measure.compare import p_words
from frostline.measure.corrections import holm

SLICE_P = 0.1
"""Of a slice against the rest, after Benjamini and Hochberg: one in ten of the slices named may be there by chance."""
NAMED = 3
"""Slices that a sentence names."""


@check(code="FRL207", name="new-patterns-missed", severity="issue")
def new_patterns_missed(evidence: Evidence) -> Answer:
    """Does the model find as much in every part of the test split, the new parts above all?"""
    slices = evidence.needs_study().slices
    if not slices:
        raise NotApplicable("the test split was not parted; --slice-column names a column that tells its parts apart")
    behind = sorted(
        (part for part in slices if _value(part) <= -LOST), key=lambda part: (part.in_training > 0, _value(part))
    )
    told = _told_from_chance(slices)
    shown = [part for part in behind if part.name in told and _is_asked(part, evidence)]
    if shown:
        sentence = f"{_said(shown, evidence)}{_beside_full(shown[0], evidence)}"
        if _precision_is_lost(evidence):
            also = "Precision is lost as well, so more is amiss than that the new is missed."
            return note(f"{sentence} {also}", _next(shown[0], evidence))
        return issue(sentence, _next(shown[0], evidence))
    unclear = [part for part in behind if part.in_training == 0]
    if unclear:
        return note(
            f"{_said(unclear, evidence)} So few examples do not tell that from chance.",
            f"Label more examples like those of {unclear[0].name!r} in the split that judges.",
        )
    new = sum(part.in_training == 0 for part in slices)
    return passed(
        f"In none of {counted(len(slices), 'part')}, of which {new or 'none'} new to the model, is the "
        f"{NAMES[_metric(evidence)]} shown to be lower than elsewhere by {points(LOST)} or more."
    )


def _is_asked(part: Slice, evidence: Evidence) -> bool:
    """New parts are, and those of a column that the user named, with enough examples to judge.

    A cluster of the features is no pattern that somebody named: clusters follow the classes, so the few positives in a
    cluster of negatives are found less often by construction.
    """
    if part.in_training == 0:
        return True
    positive = evidence.task.positive
    confusion = part.measures.confusion
    asked = part.examples if positive is None else sum(confusion.counts[confusion.labels.index(positive)])
    return asked >= FEW and evidence.needs_study().settings.get("slice_column") is not None


def _value(part: Slice) -> float:
    return 0.0 if part.against_rest.value is None else part.against_rest.value


def _told_from_chance(slices: Sequence[Slice]) -> set[str]:
    """Names of the parts that differ from the rest by more than noise, asked among all parts and among the new ones.

    Training explains beforehand why a new part may be worse, so it need not compete with the parts that it has met.
    """
    among_all = {part.name: part.against_rest.adjusted_p for part in slices}
    new = [part for part in slices if part.in_training == 0]
    among_new = zip(new, holm([part.against_rest.p for part in new]), strict=True)
    return {name for name, p in among_all.items() if p is not None and p < SLICE_P} | {
        part.name for part, p in among_new if p is not None and p < NOISE_P
    }


def _metric(evidence: Evidence) -> str:
    """What `Slice.against_rest` compares."""
    return "accuracy" if evidence.task.positive is None else "recall"


def _said(parts: Sequence[Slice], evidence: Evidence) -> str:
    worst, metric = parts[0], _metric(evidence)
    seen = f"{worst.in_training:,} in training" if worst.in_training else "none of them met in training"
    of = "" if evidence.task.positive is None else f" for {evidence.asked_class}"
    others = [repr(part.name) for part in parts[1:NAMED]]
    more = f" It is lower in {listed(others)}, too." if others else ""
    return (
        f"In {worst.name!r} ({counted(worst.examples, 'example')}, {seen}) the model has "
        f"{estimate_text(metric, worst.measures.metrics[metric])}{of}, {points(_value(worst))} less than elsewhere"
        f"{_limits(worst.against_rest)}, with {estimate_text('precision', evidence.metric('precision'))} on the "
        f"whole.{more}"
    )


def _limits(rest: Difference) -> str:
    """How much less, from the least to the most, and the corrected p-value."""
    if rest.low is None or rest.high is None:
        return ""
    p = "" if rest.adjusted_p is None else f"; {p_words(rest.adjusted_p)}, corrected for the number of parts"
    return f" ({-100 * rest.high:.1f} to {-100 * rest.low:.1f}{p})"


def _beside_full(part: Slice, evidence: Evidence) -> str:
    """What full fine-tuning does there."""
    against = part.against_reference
    if against is None:
        return ""
    difference = against.differences[_metric(evidence)]
    if difference.value is None or difference.p is None:
        return ""
    by = f"{NAMES[_metric(evidence)]} {-100 * difference.value:+.1f} points, {p_words(difference.p)}"
    better = difference.value < 0 and difference.p < NOISE_P
    return f" There {against.second} does {'better' if better else 'no better, beyond noise'} ({by})."


def _next(part: Slice, evidence: Evidence) -> str:
    """Label when full fine-tuning, too, misses them; unfreeze when it does not; both when that is not known."""
    label, freed = f"label examples like those of {part.name!r} for training", unfreeze(evidence)
    against = part.against_reference
    difference = None if against is None else against.differences[_metric(evidence)]
    if not evidence.chosen().frozen:
        return f"{opened(label)}."
    if difference is None or difference.value is None or difference.p is None:
        return f"{opened(label)}. If that is not enough, {freed[0].lower()}{freed[1:]}"
    if difference.value < 0 and difference.p < NOISE_P:
        return f"{freed} If that is not enough, {label}."
    return f"{opened(label)}: full fine-tuning misses as many of them, so freezing is not what stands in the way."


def _precision_is_lost(evidence: Evidence) -> bool:
    """Against full fine-tuning; without one nothing speaks against it."""
    try:
        difference = evidence.against_reference().differences["precision"].value
    except NotApplicable:
        return False
    return difference is not None and difference < -KEPT
