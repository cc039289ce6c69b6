"""All floors together: met, ruled out, or not to be told yet.

A floor is met when the one-sided lower bound of its metric reaches it. With several floors the
levels follow Holm (1979), so that the chance of one wrongly met floor stays at 5 % in all.
"""

from __future__ import annotations

from collections.abc import Sequence

from frostline.core.records import Confusion, Floor, FloorResult, Met
from frostline.judge.advice import floor_text
from frostline.judge.evidence import Evidence
from frostline.judge.wording import opened, value_text
from frostline.measure.bounds import Bounds, bounds, examples_needed
from frostline.measure.intervals import smallest_level

LEVEL = 0.05


def hold_against(floors: Sequence[Floor], evidence: Evidence) -> tuple[FloorResult, ...]:
    """Answer every floor, in the order given.

    Args:
        floors: The demands.
        evidence: The measures they are about.

    Returns:
        Value, bound at the level the floor was tested at, answer and sentence of each.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6, 65-70.
    """
    confusion = evidence.measures.confusion
    known = [_bounds(floor.metric, confusion) for floor in floors]
    p_values = [
        1.0 if found is None else smallest_level(found.lower, floor.floor)
        for floor, found in zip(floors, known, strict=True)
    ]
    levels = holm_levels(p_values)
    return tuple(_answer(*each, evidence) for each in zip(floors, known, levels, strict=True))


def holm_levels(p_values: Sequence[float], level: float = LEVEL) -> list[float]:
    """The level each hypothesis is tested at, those behind the first failure at the failure's level.

    >>> holm_levels([0.001, 0.9, 0.02])
    [0.016666666666666666, 0.05, 0.025]
    >>> holm_levels([0.001, 0.9, 0.03])
    [0.016666666666666666, 0.025, 0.025]
    """
    levels = [level] * len(p_values)
    left, failed = len(p_values), False
    for number in sorted(range(len(p_values)), key=lambda number: p_values[number]):
        levels[number] = level / left
        failed = failed or p_values[number] > levels[number]
        left -= not failed
    return levels


def _bounds(metric: str, confusion: Confusion) -> Bounds | None:
    return bounds(metric, confusion.counts, _positive(confusion))


def _positive(confusion: Confusion) -> int | None:
    return None if confusion.positive is None else confusion.labels.index(confusion.positive)


def _answer(floor: Floor, found: Bounds | None, level: float, evidence: Evidence) -> FloorResult:
    bound = None if found is None else found.lower(1 - level)
    met: Met = "cannot tell"
    if found is not None and bound is not None:
        met = "yes" if bound >= floor.floor else "no" if found.upper(1 - level) < floor.floor else "cannot tell"
    return FloorResult(
        metric=floor.metric,
        floor=floor.floor,
        value=evidence.metric(floor.metric).value,
        bound=bound,
        met=met,
        default=floor.default,
        sentence=_sentence(floor, found, met, level, evidence),
        more_needed=_more_needed(floor, level, evidence) if met == "cannot tell" else "",
    )


def _sentence(floor: Floor, found: Bounds | None, met: Met, level: float, evidence: Evidence) -> str:
    name, demand = opened(floor_text(floor.metric, evidence)), value_text(floor.metric, floor.floor)
    estimate = evidence.metric(floor.metric)
    if found is None or estimate.value is None:
        return f"{name} is undefined, because {estimate.undefined}: whether it is at least {demand} cannot be told."
    value = f"{name} is {value_text(floor.metric, estimate.value)}"
    low, high = (value_text(floor.metric, side(1 - level)) for side in (found.lower, found.upper))
    if met == "yes":
        return f"{value}, and at least {low} with confidence: the floor of {demand} is met."
    if met == "no":
        return f"{value}, and at most {high} with confidence: the floor of {demand} is ruled out."
    claim = f"{value}, but with confidence only at least {low}: it cannot claim the floor of {demand}."
    more = _more_needed(floor, level, evidence)
    if not more:
        return f"{claim} The observed value is not above the floor, so more examples alone would not show it."
    return f"{claim} If it goes on like this, {more} would show it."


def _more_needed(floor: Floor, level: float, evidence: Evidence) -> str:
    confusion = evidence.measures.confusion
    needed = examples_needed(floor.metric, confusion.counts, _positive(confusion), floor.floor, confidence=1 - level)
    if needed is None:
        return ""
    have, unit = _cases(floor.metric, confusion)
    # A lucky count can pass the floor with fewer than it takes to stay above: one more is always asked for.
    return f"{max(1, needed - have):,} more {unit} ({max(have + 1, needed):,} in all)"


def _cases(metric: str, confusion: Confusion) -> tuple[int, str]:
    """How many cases the metric rests on, and what they are."""
    cells = confusion.binary
    if cells is not None and metric == "recall":
        return cells["tp"] + cells["fn"], f"examples of {confusion.positive!r}"
    if cells is not None and metric == "precision":
        return cells["tp"] + cells["fp"], f"examples predicted as {confusion.positive!r}"
    return confusion.total, "examples"
