"""FRL302: validation loss never came down."""

from __future__ import annotations

from math import log

from frostline.core.records import SplitSummary
from frostline.judge.advice import unfreeze
from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.measure.curves import losses

OF_ENTROPY = 0.95
"""A best loss above this part of the entropy of the class shares says hardly more than the shares do."""


@check(code="FRL302", name="loss-stays-high", severity="issue")
def loss_stays_high(evidence: Evidence) -> Answer:
    """Did validation loss come down, below what the class shares alone give and below where it started?"""
    run = evidence.chosen_run()
    known = losses(run)
    if len(known) < 2:
        raise NotApplicable("fewer than two epochs have a finite validation loss")
    best, lowest = min(known, key=lambda pair: pair[1])
    entropy = class_entropy(evidence.needs_study().data.split("stop"))
    prior = f"knowing only the class shares gives {entropy:.3f}"
    if lowest >= OF_ENTROPY * entropy:
        return issue(f"Validation loss stays high: {lowest:.3f} at best, and {prior}.", _retrain(evidence))
    if best.epoch == 0:
        # Only a note: the start is a model that already knows the task, and it is what was kept and measured.
        sentence = (
            f"Validation loss never fell below its start: {lowest:.3f} before training, {known[-1][1]:.3f} at the end. "
            "The weights kept are those from before training."
        )
        return note(sentence, _retrain(evidence))
    return passed(f"Validation loss came down to {lowest:.3f} at epoch {best.epoch}; {prior}.")


def class_entropy(split: SplitSummary) -> float:
    """Cross-entropy of always answering with the class shares, in nats.

    >>> split = SplitSummary(name="stop", examples=4, per_class={"a": 2, "b": 2}, origin="")
    >>> f"{class_entropy(split):.3f}"
    '0.693'
    """
    shares = [count / split.examples for count in split.per_class.values() if count]
    return -sum(share * log(share) for share in shares)


def _retrain(evidence: Evidence) -> str:
    return f"{unfreeze(evidence)} If loss still stays high, try another learning rate."
