"""Intervals by law, and by counting how often they hold the truth.

Against statsmodels and scipy they stand in `test_differential`, worked out by hand in `test_goldens`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from frostline.core.records import Confusion
from frostline.measure.bounds import bounds, examples_needed
from frostline.measure.intervals import (
    bonett_price,
    cases_needed,
    clopper_pearson_lower,
    f1_from_overlap,
    mcnemar_midp,
    mover_mean,
    wilson,
)
from frostline.measure.measures import estimate
from frostline.measure.metrics import METRICS, Margins, metric_values

totals = st.integers(1, 3_000)
shares = st.floats(0, 1)


@given(total=totals, share=shares)
def test_counting_failures_mirrors_wilson(total: int, share: float) -> None:
    """The interval of the failures is that of the successes seen in a mirror."""
    successes = round(share * total)
    low, high = wilson(successes, total)

    assert wilson(total - successes, total) == pytest.approx((1 - high, 1 - low))


@given(first=st.integers(0, 60), second=st.integers(0, 60))
def test_midp_is_the_exact_p_less_half_of_what_was_seen(first: int, second: int) -> None:
    """Mid-p equals the exact McNemar p-value less the probability of the observed split."""
    assume(first != second)
    exact = mcnemar([[0, first], [second, 0]], exact=True).pvalue
    seen = stats.binom.pmf(min(first, second), first + second, 0.5)

    assert mcnemar_midp(first, second) == pytest.approx(exact - seen)


@pytest.mark.parametrize("both", [0, 1, 7])
def test_midp_of_an_even_split_is_one(both: int) -> None:
    """As many on either side: nothing speaks for a difference."""
    assert mcnemar_midp(both, both) == pytest.approx(1)


@given(first=st.integers(0, 60), second=st.integers(0, 60), rest=st.integers(1, 200))
def test_paired_interval_changes_sign_with_the_order(first: int, second: int, rest: int) -> None:
    """Swapping the two models mirrors the interval, which holds the difference."""
    total = first + second + rest
    low, high = bonett_price(first, second, total)

    assert bonett_price(second, first, total) == pytest.approx((-high, -low))
    assert low <= (first - second) / total <= high


@given(rates=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=5))
def test_mover_holds_the_mean(rates: list[tuple[int, int]]) -> None:
    """The mean lies within its limits, and one rate alone keeps its own interval."""
    parts = [(min(hits, total), total) for hits, total in rates]
    values = [hits / total for hits, total in parts]
    low, high = mover_mean(values, [wilson(*part) for part in parts])

    assert low - 1e-12 <= sum(values) / len(values) <= high + 1e-12
    if len(parts) == 1:
        assert (low, high) == pytest.approx(wilson(*parts[0]))


@given(hits=st.integers(50, 99), margin=st.floats(0.03, 0.3))
def test_cases_needed_is_the_last_failure_plus_one(hits: int, margin: float) -> None:
    """From the answer on the floor is always shown; one case earlier it is not."""
    rate = hits / 100
    floor = rate - margin
    needed = cases_needed(rate, floor)
    assert needed is not None

    def shown(cases: int) -> bool:
        return clopper_pearson_lower(int(rate * cases + 1e-9), cases) >= floor

    assert all(shown(cases) for cases in range(needed, needed + 60))
    assert needed == 1 or not shown(needed - 1)


def test_rate_at_its_floor_can_never_be_shown() -> None:
    """What is not above the floor needs more than any number of cases."""
    assert cases_needed(0.8, 0.8) is None
    assert examples_needed("recall", [[80, 20], [10, 90]], 0, 0.8, confidence=0.95) is None


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("positive", [0, None])
def test_bounds_close_in_on_the_value(metric: str, positive: int | None) -> None:
    """A lower bound falls and an upper bound rises with the confidence, on either side of the value."""
    counts = [[85, 15], [10, 90]]
    value = float(metric_values(metric, Margins.of(counts), positive))
    found = bounds(metric, counts, positive)
    assert found is not None

    lows = [found.lower(confidence) for confidence in (0.99, 0.95, 0.8, 0.5)]
    highs = [found.upper(confidence) for confidence in (0.99, 0.95, 0.8, 0.5)]
    assert lows == sorted(lows) and highs == sorted(highs, reverse=True)
    assert lows[1] < value < highs[1]


@pytest.mark.parametrize("metric", METRICS)
def test_needed_examples_show_the_floor(metric: str) -> None:
    """A table enlarged to what is said to be needed has its bound at the floor, to two points in a hundred."""
    counts = np.array([[85, 15], [10, 90]])
    floor = float(metric_values(metric, Margins.of(counts), 0)) - 0.03
    needed = examples_needed(metric, counts, 0, floor, confidence=0.95)
    assert needed is not None
    of_now = {"recall": 100, "precision": 95}.get(metric, 200)
    enlarged = bounds(metric, counts * needed / of_now, 0)

    assert enlarged is not None and enlarged.lower(0.95) == pytest.approx(floor, abs=0.01)


@pytest.mark.parametrize("metric", METRICS)
def test_undefined_metric_has_no_bounds(metric: str) -> None:
    """No examples, no bounds."""
    assert bounds(metric, [[0, 0], [0, 0]], 1) is None


def test_f1_is_a_rising_function_of_the_overlap() -> None:
    """The map from overlap to F1 gives the F1 of the counts."""
    assert f1_from_overlap(85 / 110) == pytest.approx(2 * 85 / (2 * 85 + 10 + 15))


def held_from_above(upper: Callable[[int, int], float], sizes: tuple[int, int], rate: float) -> float:
    """How often an upper bound of the mean of two recalls holds, both recalls being `rate`: an exact sum."""
    chances = [stats.binom.pmf(np.arange(size + 1), size, rate) for size in sizes]
    holds = [[upper(a, b) >= rate - 1e-12 for b in range(sizes[1] + 1)] for a in range(sizes[0] + 1)]
    return float(chances[0] @ np.array(holds) @ chances[1])


@pytest.mark.parametrize("sizes", [(30, 30), (6, 54)])
@pytest.mark.parametrize("rate", [0.8, 0.95])
def test_upper_bound_of_balanced_accuracy_holds(sizes: tuple[int, int], rate: float) -> None:
    """In at least 95 % of the cases. The planted fault, Wilson limits of each recall, falls short."""

    def ours(a: int, b: int) -> float:
        found = bounds("balanced_accuracy", [[a, sizes[0] - a], [sizes[1] - b, b]], 0)
        return 0.0 if found is None else found.upper(0.95)

    def planted(a: int, b: int) -> float:
        limits = [wilson(hits, size, confidence=0.9) for hits, size in zip((a, b), sizes, strict=True)]
        return mover_mean([a / sizes[0], b / sizes[1]], limits)[1]

    assert held_from_above(ours, sizes, rate) >= 0.95
    assert held_from_above(planted, sizes, rate) < 0.94


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("classes", [2, 3])
def test_interval_holds_the_truth_about_as_often_as_it_says(metric: str, classes: int) -> None:
    """Of 400 simulated test splits, 92 % or more have an interval that holds the true value."""
    truth = np.full((classes, classes), 0.12 / classes / (classes - 1))
    np.fill_diagonal(truth, 0.88 / classes)
    truth[0] *= 0.5
    truth /= truth.sum()
    positive = 0 if classes == 2 else None
    value = float(metric_values(metric, Margins.of(truth), positive))
    drawn = np.random.default_rng(7).multinomial(300, truth.ravel(), size=400).reshape(-1, classes, classes)
    labels = tuple("abc"[:classes])
    found = [
        estimate(
            metric,
            Confusion(labels=labels, counts=tuple(map(tuple, counts.tolist())), positive="a" if classes == 2 else None),
        )
        for counts in drawn
    ]

    held = sum(e.low is not None and e.high is not None and e.low <= value <= e.high for e in found)
    assert held / len(found) >= 0.92


@pytest.mark.parametrize("metric", METRICS)
def test_floor_at_the_truth_is_rarely_passed(metric: str) -> None:
    """A model exactly at the floor passes it in about one test split of twenty, not more."""
    truth = np.array([[0.17, 0.03], [0.04, 0.76]])
    value = float(metric_values(metric, Margins.of(truth), 0))
    drawn = np.random.default_rng(11).multinomial(400, truth.ravel(), size=400).reshape(-1, 2, 2)
    lows = [found.lower(0.95) for counts in drawn if (found := bounds(metric, counts, 0)) is not None]

    assert np.mean(np.array(lows) > value) <= 0.08
