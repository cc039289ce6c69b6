"""All floors together: met, ruled out, or not to be told yet.

A floor is met when the one-sided lower bound of its metric reaches it; what the old task may lose, when the upper bound
of the drop does not pass it. With several floors the levels follow Holm (1979), so that the chance of one wrongly met
floor stays at 5 % in all.
"""

from __future__ import annotations

from collections.abc import Sequence

from frostline.core.errors import FloorError
from frostline.core.records import Confusion, Floor, FloorResult, Met
from frostline.judge.advice import floor_text
from frostline.judge.ceiling import held_below, p_of_ceiling
from frostline.judge.evidence import Evidence
from frostline.judge.wording import counted, opened, percent, value_text
from frostline.measure.bounds import Bounds, bounds, examples_needed
from frostline.measure.intervals import smallest_level

LEVEL = 0.05


def hold_against(floors: Sequence[Floor], evidence: Evidence, level: float = LEVEL) -> tuple[FloorResult, ...]:
    """Answer every floor, in the order given.

    Args:
        floors: The demands.
        evidence: The measures they are about.
        level: Of all floors together. `LEVEL` divided by how often the test labels were read keeps the chance of a
            wrongly met floor over all readings (Bonferroni).

    Returns:
        Value, bound at the level the floor was tested at, answer and sentence of each.

    Raises:
        FloorError: A floor is about the old task, and there is no study that could have measured it.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6, 65-70.
    """
    for floor in floors:
        if floor.at_most and evidence.study is None:
            raise FloorError(
                f"The floor {floor.metric}<={floor.floor:g} is about an old task, and predictions alone say nothing of "
                "one. Leave it out here; `frostline search --old-data` measures it."
            )
    levels = holm_levels([_p_value(floor, evidence) for floor in floors], level)
    answers = (_answer(floor, each, evidence) for floor, each in zip(floors, levels, strict=True))
    return tuple(_with_level(answer, level) for answer in answers)


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


def _p_value(floor: Floor, evidence: Evidence) -> float:
    """Of "the floor is not reached"; 1 where nothing was measured."""
    if floor.at_most:
        return p_of_ceiling(floor, evidence)
    found = _bounds(floor.metric, evidence)
    return 1.0 if found is None else smallest_level(found.lower, floor.floor)


def _bounds(metric: str, evidence: Evidence) -> Bounds | None:
    if evidence.assigned is not None:
        return evidence.assigned.bounds(metric)
    confusion = evidence.measures.confusion
    return bounds(metric, confusion.counts, _positive(confusion))


def _positive(confusion: Confusion) -> int | None:
    return None if confusion.positive is None else confusion.labels.index(confusion.positive)


def _answer(floor: Floor, level: float, evidence: Evidence) -> FloorResult:
    if floor.at_most:
        return held_below(floor, level, evidence)
    found = _bounds(floor.metric, evidence)
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


def _with_level(answer: FloorResult, level: float) -> FloorResult:
    """The same, saying so when the level is not the usual one."""
    readings = round(LEVEL / level)
    if readings <= 1 or answer.bound is None:
        return answer
    why = f"because the test labels were read {counted(readings, 'time')}"
    said = f"{answer.sentence} This is at the tightened level of {percent(level)}, {why}."
    return answer.model_copy(update={"sentence": said})


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
    if evidence.assigned is not None:
        needed = evidence.assigned.examples_needed(floor.metric, floor.floor, confidence=1 - level)
        have, unit = evidence.measures.examples, "examples"
    else:
        positive = _positive(confusion)
        needed = examples_needed(floor.metric, confusion.counts, positive, floor.floor, confidence=1 - level)
        have, unit = _cases(floor.metric, confusion)
    if needed is None:
        return ""
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
