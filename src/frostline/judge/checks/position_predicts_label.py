"""FRL508: where an example stands tells its label."""

from __future__ import annotations

from frostline.judge.checks.label_giveaway import looked_for
from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, note, passed

KINDS = ("file name", "row order")


@check(code="FRL508", name="position-predicts-label", severity="note")
def position_predicts_label(evidence: Evidence) -> Answer:
    """Does the place of an example, its row or the number of its file, say nothing of its label?"""
    found = [giveaway for giveaway in looked_for(evidence) if giveaway.kind in KINDS]
    if not found:
        return passed("Neither the row nor the number of a file tells the label of training examples.")
    return note(
        " ".join(giveaway.sentence for giveaway in found),
        "Make sure that the classes were collected side by side: if each came from a place or a time of its own, the "
        "model may learn that place instead. When the file was merely sorted by label, nothing needs to change.",
    )
