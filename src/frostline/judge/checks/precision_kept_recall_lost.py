"""FRL203: the typical mark of a freeze that keeps the old and misses the new."""

from __future__ import annotations

from frostline.core.records import Comparison
from frostline.judge.advice import adapt
from frostline.judge.evidence import NOISE_P, Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, passed
from frostline.judge.wording import points
from frostline.measure.compare import p_words
from frostline.measure.corrections import holm

KEPT = 0.03
"""Precision this close to the reference counts as kept."""
LOST = 0.05
"""Smallest drop of recall that counts."""


@check(code="FRL203", name="precision-kept-recall-lost", severity="issue")
def precision_kept_recall_lost(evidence: Evidence) -> Answer:
    """Was precision kept while recall was lost?"""
    reference = evidence.against_reference()
    precision, recall = reference.differences["precision"], reference.differences["recall"]
    if precision.value is None or recall.value is None or recall.p is None:
        raise NotApplicable("precision or recall is undefined for one of the two")
    if _is_lost(reference, recall.p):
        return issue(
            f"What {reference.first} finds is as right as with {reference.second} (precision {points(precision.value)} "
            f"apart), but it finds less: recall of {evidence.asked_class} is {points(recall.value)} lower "
            f"({p_words(recall.p)}). The frozen blocks know the old patterns and miss the new.",
            adapt(evidence),
        )
    in_part = _lost_in_a_part(evidence)
    if in_part is not None:
        return in_part
    return passed(
        f"Against {reference.second}: precision {_signed(precision.value)}, recall {_signed(recall.value)} points."
    )


def _is_lost(comparison: Comparison, p: float | None) -> bool:
    precision, recall = (comparison.differences[metric].value for metric in ("precision", "recall"))
    if precision is None or recall is None or p is None:
        return False
    return abs(precision) <= KEPT and -recall >= LOST and p < NOISE_P


def _lost_in_a_part(evidence: Evidence) -> Answer | None:
    """The same in one slice, corrected for the number of slices; None where no slice shows it."""
    parts = [(part, part.against_reference) for part in evidence.needs_study().slices]
    known = [(part, comparison) for part, comparison in parts if comparison is not None]
    corrected = holm([comparison.differences["recall"].p for _, comparison in known])
    for (part, comparison), p in zip(known, corrected, strict=True):
        if _is_lost(comparison, p):
            recall, precision = (comparison.differences[metric].value or 0.0 for metric in ("recall", "precision"))
            return issue(
                f"On the whole {comparison.first} keeps up with {comparison.second}, but in {part.name!r} "
                f"({part.examples:,} examples, {part.in_training or 'none'} in training) it finds less: recall of "
                f"{evidence.asked_class} is {points(recall)} lower ({p_words(p)}, corrected for {len(known)} parts), "
                f"with precision {points(precision)} apart. The frozen blocks know the old patterns and miss the new.",
                adapt(evidence),
            )
    return None


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}"
