"""FRL307: validation loss goes up and down instead of down."""

from __future__ import annotations

from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, note, passed
from frostline.measure.curves import losses, unsteady

EPOCHS = 4
"""Epoch 0 and three more: fewer cannot go up and down again."""


@check(code="FRL307", name="unsteady-training", severity="note")
def unsteady_training(evidence: Evidence) -> Answer:
    """Did validation loss come down steadily?"""
    run = evidence.chosen_run()
    known = losses(run)
    if len(known) < EPOCHS:
        raise NotApplicable(f"it needs {EPOCHS} epochs, {run.candidate} has {len(known)} with a finite loss")
    seen = unsteady(run)
    if seen is None:
        return passed(f"Validation loss of {run.candidate} did not go up and down by much of its fall.")
    chosen = evidence.chosen()
    rate = "" if chosen.learning_rate is None else f" than {chosen.learning_rate:.1e}"
    return note(
        seen.sentence,
        f"Which epoch of {run.candidate} is the best may be chance: train with a lower --learning-rate{rate} or a "
        "larger --batch-size, and give the stop split more examples if it is small.",
    )
