"""FRL203: the typical mark of a freeze that keeps the old and misses the new."""

from __future__ import annotations

from frostline.judge.advice import adapt
from frostline.judge.evidence import NOISE_P, Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, passed
from frostline.judge.wording import points

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
    if abs(precision.value) <= KEPT and -recall.value >= LOST and recall.p < NOISE_P:
        return issue(
            f"What {reference.first} finds is as right as with {reference.second} (precision {points(precision.value)} "
            f"apart), but it finds less: recall of {evidence.asked_class} is {points(recall.value)} lower "
            f"(p = {recall.p:.3f}). The frozen blocks know the old patterns and miss the new.",
            adapt(evidence),
        )
    return passed(
        f"Against {reference.second}: precision {_signed(precision.value)}, recall {_signed(recall.value)} points."
    )


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}"
