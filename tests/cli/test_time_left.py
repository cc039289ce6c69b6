"""How long a race still takes: a sentence that comes late enough, counts down, and is not fooled by a resumed study."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.cli.time_left import TELLING, TimeLeft, duration_left


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def worked(left: TimeLeft, clock: Clock, seconds: float, share: float) -> None:
    left.works()
    clock.now_s += seconds
    left.spent(share)


@given(
    first=st.floats(0, 0.3),
    shares=st.lists(st.floats(0.001, 0.2), min_size=1, max_size=3),
    a_whole_s=st.floats(1, 1e6),
)
def test_a_steady_pace_is_told_exactly(first: float, shares: list[float], a_whole_s: float) -> None:
    """Law: at a constant pace the estimate is what is left times the pace, from 5 % on; before it, nothing."""
    clock = Clock()
    left = TimeLeft(clock)
    left.spent(first)
    spent = first
    for share in shares:
        spent += share
        worked(left, clock, share * a_whole_s, spent)

    if spent - first > TELLING + 1e-9:
        assert left.seconds() == pytest.approx((1 - spent) * a_whole_s)
    elif spent - first < TELLING - 1e-9:
        assert left.seconds() is None and left.in_words() is None


def test_it_counts_down_between_decisions_and_then_keeps_quiet() -> None:
    """What takes longer than was expected is not "a few seconds" away for ever."""
    clock = Clock()
    left = TimeLeft(clock)
    left.spent(0.0)
    worked(left, clock, 60, 0.25)
    told = []
    for passed in (0, 60, 112, 75):
        clock.now_s += passed
        told.append(left.in_words())

    assert told == ["about 3 min left", "about 2 min left", "a few seconds left", None]


def test_what_an_earlier_process_spent_is_not_this_ones_pace() -> None:
    """Planted: half the budget is told within a millisecond, without work. Taken as pace it would leave no time."""
    clock = Clock()
    left = TimeLeft(clock)
    left.spent(0.1)
    for share in (0.3, 0.6):
        clock.now_s += 0.0005
        left.spent(share)
    assert left.seconds() is None
    worked(left, clock, 100, 0.8)

    assert left.seconds() == pytest.approx(100)


@given(st.floats(0, 1e6))
def test_no_estimate_is_far_from_what_it_says(seconds: float) -> None:
    """Law: read back, the words are within half of what they round to."""
    words = duration_left(seconds)
    read = sum(float(n) * {"s": 1, "min": 60, "h": 3600}[unit] for n, unit in re.findall(r"(\d+) (s|min|h)\b", words))
    if words == "a few seconds left":
        assert seconds < 10
    else:
        assert abs(read - seconds) <= (5 if seconds < 55 else 30 if seconds < 5400 else 300) + 1e-6
