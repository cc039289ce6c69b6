"""FRL301: the trained part learned its examples by heart."""

from __future__ import annotations

from frostline.judge.advice import unfreeze
from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import estimate_text, percent
from frostline.measure.curves import far_above, rising_while_training_falls


@check(code="FRL301", name="overfit", severity="issue")
def overfit(evidence: Evidence) -> Answer:
    """Does the model do much better on what it was trained on?"""
    run, accuracy = evidence.chosen_run(), evidence.chosen_on_select("accuracy")
    if run.train_fit is None or accuracy.value is None or accuracy.high is None:
        raise NotApplicable("the fit on the train split was not measured")
    trained = run.train_fit.accuracy
    seen = f"train accuracy {percent(trained)}, select {estimate_text('accuracy', accuracy)}"
    if far_above(trained, accuracy.value) and trained > accuracy.high:
        return issue(f"Over-fitted: {seen}.", _regularise(evidence))
    rising = rising_while_training_falls(run)
    if rising is not None:
        return note(
            f"{rising.sentence.removesuffix('.')} ({seen}).",
            "Nothing is lost: the weights of the best epoch were restored. Fewer epochs suffice.",
        )
    return passed(f"Not over-fitted: {seen}.")


def _regularise(evidence: Evidence) -> str:
    chosen = evidence.chosen()
    advice = "Add examples to the train split, train for fewer epochs"
    trainable = [block.name for block in evidence.needs_study().blocks if block.name not in chosen.frozen]
    if len(trainable) > 1:
        return f"{advice}, or freeze {trainable[0]!r} as well."
    return f"{advice}. Only {trainable[0]!r} trains: {unfreeze(evidence)}"
