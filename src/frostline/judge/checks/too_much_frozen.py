"""FRL204: so much is frozen that the model cannot even fit what it is shown."""

from __future__ import annotations

from frostline.judge.advice import unfreeze
from frostline.judge.evidence import NOISE_P, Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, passed
from frostline.judge.wording import NAMES, percent, points

SMALL_GAP = 0.03
"""Train minus select accuracy below which the model does not over-fit: it lacks room, not examples."""
LITTLE_TRAINABLE = 0.50
"""Share of trainable parameters below which freezing can be the reason."""
GAIN = (0.01, 0.03)
"""Gain over the majority class that counts: points, or a part of the majority's accuracy."""
OF_THE_REST = 0.5
"""Part of what is left to gain that counts too: above a majority of 98 % not even a perfect model gains 3 %."""
WELL_BELOW = 0.03
"""Gap to a shallower plan that counts, when it is more than noise."""


@check(code="FRL204", name="too-much-frozen", severity="issue")
def too_much_frozen(evidence: Evidence) -> Answer:
    """Is so much frozen that the model cannot learn the task?"""
    chosen, fit = evidence.chosen_frozen(), evidence.chosen_run().train_fit
    selected = evidence.chosen_on_select("accuracy").value
    if fit is None or selected is None:
        raise NotApplicable("the fit on the train split was not measured")
    gap, share = fit.accuracy - selected, chosen.trainable_share
    seen = (
        f"{chosen.id} trains {percent(share)} of the parameters and has accuracy {percent(fit.accuracy)} on train, "
        f"{percent(selected)} on select"
    )
    has_room = gap >= SMALL_GAP and not _fits_less_than_others_generalise(evidence, fit.accuracy)
    if has_room or share >= LITTLE_TRAINABLE:
        return passed(f"Freezing is not what limits it: {seen}.")
    reasons = [reason for reason in (_no_gain(evidence, selected), _below_shallower(evidence)) if reason]
    if reasons:
        return issue(f"Too much may be frozen: {seen}; {' and '.join(reasons)}.", unfreeze(evidence))
    return passed(f"Enough is trainable: {seen}.")


def _fits_less_than_others_generalise(evidence: Evidence, trained: float) -> bool:
    """Whether a plan that freezes less is right more often on unseen examples than the chosen on those it was shown.

    Then the gap between train and select does not acquit the freeze: over-fitted or not, it lacks room.
    """
    study, chosen = evidence.needs_study(), evidence.chosen()
    shallower = (c.id for c in study.candidates if set(c.frozen) < set(chosen.frozen))
    found = (result.measures.metrics["accuracy"].value for id in shallower if (result := study.result(id, "select")))
    return any(value is not None and value > trained for value in found)


def _no_gain(evidence: Evidence, selected: float) -> str:
    counts = evidence.needs_study().data.split("select").per_class.values()
    prior = max(counts) / sum(counts)
    if selected - prior >= min(max(GAIN[0], GAIN[1] * prior), OF_THE_REST * (1 - prior)):
        return ""
    return f"always answering the majority class has {percent(prior)}"


def _below_shallower(evidence: Evidence) -> str:
    study, chosen = evidence.needs_study(), evidence.chosen()
    best = study.candidate(study.choice.best)
    comparison = study.comparison(chosen.id, best.id, "select")
    if comparison is None or not set(best.frozen) < set(chosen.frozen):
        return ""
    difference = comparison.differences[study.choice.metric]
    if difference.value is None or difference.p is None or difference.p >= NOISE_P or -difference.value < WELL_BELOW:
        return ""
    return f"{best.id} has a {NAMES[study.choice.metric]} {points(difference.value)} higher on the select split"
