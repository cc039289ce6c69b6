"""FRL301: the trained part learned its examples by heart."""

from __future__ import annotations

from frostline.core.records import Run
from frostline.judge.advice import unfreeze
from frostline.judge.evidence import Evidence, NotApplicable, losses
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import estimate_text, percent

GAP = (0.03, 0.10)
"""Train minus select accuracy that counts: points, or a part of the train accuracy, the larger of the two."""
RISE = 1.05
"""Validation loss over its best, while the train loss still falls."""


@check(code="FRL301", name="overfit", severity="issue")
def overfit(evidence: Evidence) -> Answer:
    """Does the model do much better on what it was trained on?"""
    run, accuracy = evidence.chosen_run(), evidence.chosen_on_select("accuracy")
    if run.train_fit is None or accuracy.value is None or accuracy.high is None:
        raise NotApplicable("the fit on the train split was not measured")
    trained = run.train_fit.accuracy
    seen = f"train accuracy {percent(trained)}, select {estimate_text('accuracy', accuracy)}"
    if trained - accuracy.value >= max(GAP[0], GAP[1] * trained) and trained > accuracy.high:
        return issue(f"Over-fitted: {seen}.", _regularise(evidence))
    rising = _rising(run)
    if rising:
        return note(
            f"{rising} ({seen}).", "Nothing is lost: the weights of the best epoch were restored. Fewer epochs suffice."
        )
    return passed(f"Not over-fitted: {seen}.")


def _rising(run: Run) -> str:
    known = losses(run)
    if not known:
        return ""
    (best, lowest), (last, highest) = min(known, key=lambda pair: pair[1]), known[-1]
    if best.train_loss is None or last.train_loss is None:
        return ""
    if highest < RISE * lowest or last.train_loss >= best.train_loss:
        return ""
    return (
        f"After epoch {best.epoch} validation loss rose from {lowest:.3f} to {highest:.3f} while training loss went on "
        f"falling ({best.train_loss:.3f} to {last.train_loss:.3f})"
    )


def _regularise(evidence: Evidence) -> str:
    chosen = evidence.chosen()
    advice = "Add examples to the train split, train for fewer epochs or with more weight decay"
    trainable = [block.name for block in evidence.needs_study().blocks if block.name not in chosen.frozen]
    if len(trainable) > 1:
        return f"{advice}, or freeze {trainable[0]!r} as well."
    return f"{advice}. Only {trainable[0]!r} trains: {unfreeze(evidence)}"
