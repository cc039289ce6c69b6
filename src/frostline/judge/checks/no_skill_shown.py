"""FRL402: not shown to be better than answering the same class always."""

from __future__ import annotations

from frostline.judge.advice import adapt
from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import estimate_text, percent


@check(code="FRL402", name="no-skill-shown", severity="note")
def no_skill_shown(evidence: Evidence) -> Answer:
    """Is the model shown to be better than a constant answer?"""
    estimate = evidence.metric("balanced_accuracy")
    constant = 1 / len(evidence.task.labels)
    said = f"{estimate_text('balanced_accuracy', estimate)}, and a constant answer has {percent(constant)}"
    if estimate.low is not None and estimate.low > constant:
        return passed(f"The model has {said}.")
    return note(f"Skill is not shown: {said}.", adapt(evidence), withholds_ready=True)
