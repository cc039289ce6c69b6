"""FRL305: training ended while it still paid."""

from __future__ import annotations

from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, note, passed
from frostline.measure.curves import losses
from frostline.measure.curves import stopped_too_early as ends_too_soon


@check(code="FRL305", name="stopped-too-early", severity="note")
def stopped_too_early(evidence: Evidence) -> Answer:
    """Had validation loss stopped falling when training ended?"""
    run = evidence.chosen_run()
    known = losses(run)
    if len(known) < 2:
        raise NotApplicable("fewer than two epochs have a finite validation loss")
    seen = ends_too_soon(run)
    if seen is not None:
        return note(seen.sentence, _longer(evidence, seen.last_epoch))
    return passed(
        f"The last epoch no longer paid: validation loss went from {known[-2][1]:.3f} to {known[-1][1]:.3f} in it; "
        f"epoch {run.best_epoch} is the best."
    )


def _longer(evidence: Evidence, last: int) -> str:
    """Whichever of the two limits ended it: the budget of the search, or the epochs."""
    study = evidence.needs_study()
    allowed = study.settings.get("epochs")
    if study.cost.budget_flops is not None and isinstance(allowed, int) and last < allowed:
        return f"Search again with a larger --budget: it was spent after {last} of {allowed} epochs."
    return f"Search again with --epochs {2 * last}; training ends by itself when nothing is gained."
