"""FRL107: the scores part the classes better than the answers do."""

from __future__ import annotations

from frostline.judge.advice import better_threshold, move_threshold
from frostline.judge.evidence import FEW, Evidence, NotApplicable
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import estimate_text, opened, percent


@check(code="FRL107", name="wrong-threshold", severity="note")
def wrong_threshold(evidence: Evidence) -> Answer:
    """Does the decision threshold stand where the scores part the classes best?"""
    if evidence.asked_label is None:
        raise NotApplicable("with several classes the most probable one is answered, and no threshold can be moved")
    aimed = evidence.aimed_threshold
    if aimed is not None:
        return passed(f"The threshold stands at {aimed.at:.3g}, where it was put on the select split for: {aimed.aim}.")
    tuned, where = evidence.tuned_on, evidence.tuned_where
    if not tuned.curve:
        raise NotApplicable("it reads scores, and only labels are known")
    positives = tuned.curve[-1].tp
    if positives < FEW:
        raise NotApplicable(f"too few examples are {evidence.asked_class} to place a threshold on: {positives} {where}")
    area, recall = estimate_text("pr_auc", tuned.scored["pr_auc"]), estimate_text("recall", tuned.metrics["recall"])
    said = f"{area} and {recall} {where}"
    best = better_threshold(evidence)
    if best is None:
        return passed(f"{opened(said)}: no other threshold would gain much F1 there.")
    return note(
        f"The scores are better than the answers: {said}, and another threshold would raise F1 there from "
        f"{percent(tuned.metrics['f1'].value or 0.0)} to {percent(best.f1)}.",
        move_threshold(evidence),
    )
