"""FRL103: the model misses most of what it should find, or far more than the full fine-tuning misses."""

from __future__ import annotations

from frostline.core.records import Difference
from frostline.judge.advice import adapt
from frostline.judge.evidence import NOISE_P, Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, passed
from frostline.judge.wording import estimate_text, percent, points
from frostline.measure.compare import p_words

COLLAPSED = 0.20
"""A recall whose whole interval lies below this has collapsed, whatever it is compared with."""
DROP = 0.05
"""Smallest drop against the reference that counts."""
HALVED = 0.5
"""A recall below this part of the reference has collapsed even where the drop is small."""


@check(code="FRL103", name="recall-collapse", severity="issue")
def recall_collapse(evidence: Evidence) -> Answer:
    """Has recall fallen sharply?"""
    evidence.defined("recall")
    recall = evidence.metric("recall")
    said = f"{estimate_text('recall', recall)} for {evidence.asked_class}"
    if recall.high is not None and recall.high < COLLAPSED:
        return issue(f"Most are missed: {said}, below {percent(COLLAPSED)} with confidence.", adapt(evidence))
    try:
        reference = evidence.against_reference()
    except NotApplicable as reason:
        return passed(f"The model has {said}; {reason}.")
    difference = reference.differences["recall"]
    if _fell(difference, evidence.defined("recall")):
        assert_value = difference.value or 0.0
        return issue(
            f"Recall fell sharply: {said}, {points(assert_value)} below {reference.second} on the same examples "
            f"({p_words(difference.p)}).",
            adapt(evidence),
        )
    return passed(f"The model has {said}, no sharp fall against {reference.second}.")


def _fell(difference: Difference, recall: float) -> bool:
    if difference.value is None or difference.p is None or difference.p >= NOISE_P or difference.value >= 0:
        return False
    return -difference.value >= DROP or recall < HALVED * (recall - difference.value)
