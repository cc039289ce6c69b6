"""Claims about rankings: how far one predicts another, and what it is compared with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from frostline.measure.ranks import at_random, last_blocks_first, rank_correlation

NAMES = [f"depth-{depth}" for depth in range(8)]


def ranking(values: list[int]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(NAMES, values, strict=False)}


values = st.lists(st.integers(0, 5), min_size=3, max_size=8).filter(lambda v: len(set(v)) > 1)


@given(first=values, second=values)
def test_it_is_pearson_of_the_ranks_of_common_names(first: list[int], second: list[int]) -> None:
    """Ties share their mean rank; names that one side lacks do not count."""
    common = min(len(first), len(second))
    ranks = [rankdata(side[:common]) for side in (first, second)]
    if any(len(set(side)) < 2 for side in ranks):
        assert rank_correlation(ranking(first), ranking(second)) is None
    else:
        expected = np.corrcoef(*ranks)[0, 1]
        assert rank_correlation(ranking(first), ranking(second)) == pytest.approx(expected)


@given(first=values)
def test_only_the_order_counts(first: list[int]) -> None:
    """Any rising change of the numbers gives 1, turning them round gives -1."""
    measured = ranking(first)

    assert rank_correlation({n: v**3 + 7 for n, v in measured.items()}, measured) == pytest.approx(1)
    assert rank_correlation({n: -v for n, v in measured.items()}, measured) == pytest.approx(-1)


@pytest.mark.parametrize("predicted", [{}, {"a": 1, "b": 2, "x": 3}, {"a": 1, "b": 1, "c": 1}])
def test_too_few_names_or_no_order_say_nothing(predicted: dict[str, float]) -> None:
    """Two common names or a constant side are no evidence, from either side."""
    measured = {"a": 0.7, "b": 0.8, "c": 0.9}

    assert rank_correlation(predicted, measured) is None
    assert rank_correlation(measured, predicted) is None


def test_deeper_freezes_are_expected_to_be_better() -> None:
    """The habit: the last blocks only."""
    habit = last_blocks_first({"full": 0, "depth-2": 2, "depth-5": 5})

    assert max(habit, key=habit.__getitem__) == "depth-5"
    assert min(habit, key=habit.__getitem__) == "full"


def test_chance_is_repeatable_and_right_on_average_about_nothing() -> None:
    """The same seed gives the same order, however the names come; over seeds the correlation is about 0."""
    assert at_random(NAMES, 3) == at_random(reversed(NAMES), 3) != at_random(NAMES, 4)
    measured = {name: float(place) for place, name in enumerate(NAMES)}
    drawn = [rank_correlation(at_random(NAMES, seed), measured) for seed in range(400)]
    # One draw over 8 names has a spread of 1 / sqrt(7); the mean of 400 one of 0.019.
    assert abs(np.mean([value for value in drawn if value is not None])) < 0.08
