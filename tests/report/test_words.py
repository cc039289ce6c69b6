"""Numbers in words: rounding must never turn one statement into another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.core.records import Difference, Estimate
from frostline.report import words


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_only_the_ends_of_the_scale_are_shown_as_the_ends(rate: float) -> None:
    """A share that is not quite all is never shown as 100.0 %, nor one above none as 0.0 %."""
    assert words.percent(rate) not in {"100.0 %", "0.0 %"}


@given(bound=st.integers(0, 10**6), floor=st.integers(1, 10**6))
def test_a_bound_never_looks_like_the_floor_it_misses(bound: int, floor: int) -> None:
    """A bound of .79996 beside a floor of .8 is shown with the digits that tell them apart."""
    shown = words.bound_beside("recall", bound / 10**6, floor / 10**6)

    assert (shown == words.percent(floor / 10**6)) == (bound == floor)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_undefined_is_never_a_number(value: float | None) -> None:
    """Undefined and non-finite values are words, never 0."""
    assert words.percent(value) == words.number(value) == "undefined"


def test_an_undefined_estimate_says_why() -> None:
    """A precision without predicted positives gives its reason instead of a value."""
    estimate = Estimate(value=None, undefined="nothing was predicted spam")

    assert words.estimate_text("precision", estimate) == "undefined (nothing was predicted spam)"


def test_a_value_without_an_interval_admits_it() -> None:
    """A value never stands alone: a missing interval is named as missing."""
    assert words.estimate_text("recall", Estimate(value=0.5)) == "50.0 % (interval undefined)"
    assert words.difference_text("recall", Difference(value=0.5)) == "+50.0 (interval undefined)"


@given(st.text())
def test_no_label_steers_the_terminal(text: str) -> None:
    """Whatever a label holds, what is printed is printable."""
    assert words.plain(text).isprintable()


@given(st.integers(0, 10**20))
def test_work_keeps_at_most_three_digits_and_its_size(flops: int) -> None:
    """The short form is within one percent of what was measured."""
    value, unit = words.flops(flops).split()
    size = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}[unit.removesuffix("FLOP")]

    assert float(value) * size == pytest.approx(flops, rel=0.01)
