"""FRL102: so few examples of a class that its recall cannot be judged."""

from __future__ import annotations

from frostline.judge.evidence import FEW, Evidence
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import counted, listed


@check(code="FRL102", name="too-few-positives", severity="note")
def too_few_positives(evidence: Evidence) -> Answer:
    """Are there enough examples of the class whose recall is judged?"""
    positive = evidence.asked_label
    asked = evidence.supports if positive is None else {positive: evidence.supports[positive]}
    few = {label: count for label, count in asked.items() if count < FEW}
    if not few:
        return passed(f"Every judged class has at least {min(asked.values()):,} examples; {FEW} are needed.")
    found = listed(f"{counted(count, 'example')} of {label!r}" for label, count in few.items())
    missing = listed(f"{FEW - count} more of {label!r}" for label, count in few.items())
    # The mean over several classes reads all examples, and its bound knows how few some classes have.
    return note(
        f"Only {found}: with fewer than {FEW} a recall cannot be judged.",
        f"Label at least {missing} in the split that judges.",
        withholds_ready=positive is not None,
    )
