"""The one demand that is an upper limit: what the accuracy on the old task may lose by fine-tuning."""

from __future__ import annotations

from frostline.core.records import Floor, FloorResult, Forgetting, Met
from frostline.judge.evidence import Evidence
from frostline.judge.wording import points
from frostline.measure.forgetting import drop_bounds, examples_to_show
from frostline.measure.intervals import smallest_level

NAME = "The drop of the accuracy on the old task"


def p_of_ceiling(floor: Floor, evidence: Evidence) -> float:
    """One-sided p-value of "the old task lost more than that"; 1 where it was not measured."""
    found = forgotten_by_chosen(evidence)
    if found is None:
        return 1.0
    upper = drop_bounds(found).upper
    return smallest_level(lambda confidence: -upper(confidence), -floor.floor)


def held_below(floor: Floor, level: float, evidence: Evidence) -> FloorResult:
    """Whether the drop is at most what was allowed, read at its one-sided upper bound.

    Args:
        floor: What is allowed.
        level: The floor is tested at.
        evidence: A study.
    """
    found = forgotten_by_chosen(evidence)
    if found is None:
        return FloorResult(
            metric=floor.metric,
            floor=floor.floor,
            value=None,
            bound=None,
            met="cannot tell",
            sentence=f"{NAME} cannot be told: the old task was not measured. Give --old-data.",
        )
    low, high = (side(1 - level) for side in (drop_bounds(found).lower, drop_bounds(found).upper))
    met: Met = "yes" if high <= floor.floor else "no" if low > floor.floor else "cannot tell"
    more = _more_needed(found, floor.floor, level) if met == "cannot tell" else ""
    return FloorResult(
        metric=floor.metric,
        floor=floor.floor,
        value=found.drop.value,
        bound=high,
        met=met,
        sentence=_sentence(found, floor.floor, met, (low, high), more),
        more_needed=more,
    )


def forgotten_by_chosen(evidence: Evidence) -> Forgetting | None:
    """What the chosen candidate has forgotten; None where it was not measured."""
    return None if evidence.study is None else evidence.study.forgetting.get(evidence.chosen().id)


def _sentence(found: Forgetting, most: float, met: Met, limits: tuple[float, float], more: str) -> str:
    low, high = limits
    lost = (found.lost - found.gained) / found.examples
    value = f"{NAME} is {'' if lost >= 0 else '-'}{points(lost)} on {found.examples:,} examples"
    if met == "yes":
        return f"{value}, and at most {_signed(high)} with confidence: no more than the {points(most)} allowed."
    if met == "no":
        return f"{value}, and at least {_signed(low)} with confidence: more than the {points(most)} allowed."
    claim = f"{value}, but with confidence only at most {_signed(high)}: it cannot claim the {points(most)} allowed."
    if not more:
        return f"{claim} The observed drop is not below that, so more examples alone would not show it."
    return f"{claim} If it goes on like this, {more} would show it."


def _signed(difference: float) -> str:
    return f"{'-' if difference < 0 else ''}{points(difference)}"


def _more_needed(found: Forgetting, most: float, level: float) -> str:
    needed = examples_to_show(found, most, confidence=1 - level)
    if needed is None:
        return ""
    in_all = max(found.examples + 1, needed)
    return f"{in_all - found.examples:,} more examples of the old task ({in_all:,} in all)"
