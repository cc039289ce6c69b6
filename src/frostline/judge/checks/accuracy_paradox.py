"""FRL101: a high accuracy that a constant answer would reach too."""

from __future__ import annotations

from frostline.judge.advice import adapt
from frostline.judge.evidence import FEW, Evidence
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import estimate_text, percent

LOPSIDED = 0.80
"""Share of the majority class above which accuracy starts to mislead."""


@check(code="FRL101", name="accuracy-paradox", severity="issue")
def accuracy_paradox(evidence: Evidence) -> Answer:
    """Does the accuracy say more than always answering the majority class would?"""
    (majority, share), accuracy = evidence.majority, evidence.metric("accuracy")
    said = estimate_text("accuracy", accuracy)
    constant = f"always answering the majority class {majority!r} would also score {percent(share)}"
    if share <= LOPSIDED:
        return passed(f"The largest class, {majority!r}, is {percent(share)} of the examples; the model has {said}.")
    if accuracy.low is not None and accuracy.low > share:
        return passed(f"The model has {said}, above the {percent(share)} of always answering {majority!r}.")
    sentence = f"Accuracy misleads here: the model has {said}, and {constant}.{_missed(evidence)}"
    advice = f"Look at recall and precision instead of accuracy. {adapt(evidence)}"
    rare = evidence.measures.examples - evidence.supports[majority]
    return note(sentence, advice) if rare < FEW else issue(sentence, advice)


def _missed(evidence: Evidence) -> str:
    cells = evidence.measures.confusion.binary
    if cells is None:
        return ""
    positives = cells["tp"] + cells["fn"]
    return f" Of {positives:,} examples of {evidence.asked_class}, {cells['fn']:,} were missed."
