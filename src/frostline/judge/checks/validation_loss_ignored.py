"""FRL303: accuracy looks fine while validation loss has long been rising."""

from __future__ import annotations

from frostline.core.records import Run
from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.measure.curves import RISES, losses, rising_under_steady_accuracy


@check(code="FRL303", name="validation-loss-ignored", severity="issue")
def validation_loss_ignored(evidence: Evidence) -> Answer:
    """Was accuracy watched while validation loss rose?"""
    run = evidence.chosen_run()
    known = losses(run)
    if len(known) <= RISES:
        raise NotApplicable(f"it needs more than {RISES} epochs, {run.candidate} has {len(known)} with a finite loss")
    rise = rising_under_steady_accuracy(run)
    if rise is None:
        return passed(f"Validation loss never rose over {RISES} epochs while accuracy held.")
    if run.best_epoch > rise.first_epoch and _kept_above(run, rise.first_epoch):
        advice = f"Restore epoch {rise.first_epoch}, where validation loss was lowest, and stop on loss."
        return issue(rise.sentence, advice)
    return note(
        rise.sentence,
        f"Nothing is lost: epoch {run.best_epoch} was restored. Do not pick an epoch by accuracy alone.",
    )


def _kept_above(run: Run, epoch: int) -> bool:
    """Whether the weights that were kept have a higher validation loss than those of an epoch.

    They may come from after a rise and be better than before it: then the loss was not ignored.
    """
    kept, before = run.epochs[run.best_epoch].stop_loss, run.epochs[epoch].stop_loss
    return kept is None or before is None or kept > before
