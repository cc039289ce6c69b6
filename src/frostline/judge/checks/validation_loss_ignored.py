"""FRL303: accuracy looks fine while validation loss has long been rising."""

from __future__ import annotations

from collections.abc import Sequence

from frostline.core.records import Epoch
from frostline.judge.evidence import Evidence, NotApplicable, losses
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import percent

EPOCHS = 3
"""So many rises in a row are no accident."""


@check(code="FRL303", name="validation-loss-ignored", severity="issue")
def validation_loss_ignored(evidence: Evidence) -> Answer:
    """Was accuracy watched while validation loss rose?"""
    run = evidence.chosen_run()
    known = losses(run)
    if len(known) <= EPOCHS:
        raise NotApplicable(f"it needs more than {EPOCHS} epochs, {run.candidate} has {len(known)} with a finite loss")
    rise = longest_rise(known)
    (first, low), (last, high) = rise[0], rise[-1]
    if len(rise) <= EPOCHS or last.stop_accuracy < first.stop_accuracy:
        return passed(f"Validation loss never rose over {EPOCHS} epochs while accuracy held.")
    sentence = (
        f"From epoch {first.epoch} to {last.epoch} validation loss rose from {low:.3f} to {high:.3f} while accuracy "
        f"went from {percent(first.stop_accuracy)} to {percent(last.stop_accuracy)}: right as often, but ever more "
        "sure of what is wrong."
    )
    if run.best_epoch > first.epoch:
        return issue(sentence, f"Restore epoch {first.epoch}, where validation loss was lowest, and stop on loss.")
    return note(
        sentence, f"Nothing is lost: epoch {run.best_epoch} was restored. Do not pick an epoch by accuracy alone."
    )


def longest_rise(known: Sequence[tuple[Epoch, float]]) -> list[tuple[Epoch, float]]:
    """The longest stretch of epochs in which each loss is higher than the one before."""
    longest: list[tuple[Epoch, float]] = []
    current: list[tuple[Epoch, float]] = []
    for epoch, loss in known:
        current = [*current, (epoch, loss)] if current and loss > current[-1][1] else [(epoch, loss)]
        longest = max(longest, current, key=len)
    return longest
