"""FRL202: the frozen model is right less often than the full fine-tuning."""

from __future__ import annotations

from frostline.judge.advice import unfreeze
from frostline.judge.evidence import NOISE_P, Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import opened
from frostline.measure.compare import difference_clause

LITTLE = 0.01
"""A drop below this is worth a word, not a verdict: with many examples the smallest difference is more than noise."""


@check(code="FRL202", name="accuracy-drops", severity="issue")
def accuracy_drops(evidence: Evidence) -> Answer:
    """Is accuracy lower than that of full fine-tuning, by more than noise?"""
    reference = evidence.against_reference()
    difference = reference.differences["accuracy"]
    if difference.value is None or difference.p is None:
        raise NotApplicable("the difference in accuracy is undefined")
    seen = opened(difference_clause(reference, "accuracy"))
    if difference.value < 0 and difference.p < NOISE_P:
        return (issue if -difference.value >= LITTLE else note)(f"{seen}.", unfreeze(evidence))
    return passed(f"{seen}.")
