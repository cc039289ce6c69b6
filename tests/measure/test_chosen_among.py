"""Claims about the interval of a chosen candidate: it holds whoever was chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.core.predictions import Predictions
from frostline.core.records import Task
from frostline.measure.choose import chosen_among
from frostline.measure.intervals import clopper_pearson_lower

TASK = Task(labels=("spam", "ham"), positive="spam")


def answered(right: int, positives: int) -> Predictions:
    """Positives only, of which so many are found."""
    true = np.zeros(positives, dtype=np.int64)
    return Predictions(task=TASK, true_N=true, predicted_N=(np.arange(positives) >= right).astype(np.int64))


def test_the_bound_is_that_of_clopper_and_pearson_at_the_shared_level() -> None:
    """For a recall among 13 candidates: one-sided at 1 - .025 / 13."""
    found = chosen_among(answered(52, 60), 13, metric="recall")

    assert found.low == pytest.approx(clopper_pearson_lower(52, 60, confidence=1 - 0.025 / 13))


@given(right=st.integers(1, 60), few=st.integers(1, 5), more=st.integers(1, 20))
def test_more_candidates_never_make_it_narrower(right: int, few: int, more: int) -> None:
    """What is chosen among more has the wider interval, around the same value."""
    one, other = (chosen_among(answered(right, 60), n, metric="recall") for n in (few, few + more))

    assert one.value == other.value
    assert (other.low or 0) <= (one.low or 0)
    assert (other.high or 1) >= (one.high or 1)


@pytest.mark.parametrize("examples", [60, 200, 1000])
def test_it_covers_the_best_of_thirteen_equals(examples: int) -> None:
    """Thirteen candidates of recall .8, the luckiest taken: the lower bound holds in at least 97 of 100 draws.

    The planted fault is the bound that knows nothing of the choosing: it fails in many more.
    """
    generator = np.random.default_rng(0)
    best = generator.binomial(examples, 0.8, size=(400, 13)).max(axis=1)
    corrected = [chosen_among(answered(int(n), examples), 13, metric="recall").low or 0 for n in best]
    naive = [chosen_among(answered(int(n), examples), 1, metric="recall").low or 0 for n in best]

    assert np.mean([low <= 0.8 for low in corrected]) >= 0.97
    assert np.mean([low <= 0.8 for low in naive]) < 0.94


def test_an_undefined_metric_stays_undefined() -> None:
    """Without predicted positives there is no precision, and no interval is made up."""
    assert chosen_among(answered(0, 20), 5, metric="precision").value is None
