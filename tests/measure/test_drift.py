"""Claims about drift: what scipy computes, 0 when nothing moved, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import rel_entr
from statsmodels.stats.proportion import proportion_confint

from frostline.core.records import Drift
from frostline.measure.drift import drift


def answers(seed: int, examples: int = 80, classes: int = 4) -> NDArray[np.float64]:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), size=examples)


@given(one=st.integers(0, 99), other=st.integers(0, 99), examples=st.integers(1, 60))
def test_divergence_is_that_of_scipy(one: int, other: int, examples: int) -> None:
    """The mean over examples of the sum of `rel_entr` of before and after, and never below 0."""
    before, after = answers(one, examples), answers(other, examples)

    assert drift(before, after).divergence == pytest.approx(rel_entr(before, after).sum(axis=1).mean(), abs=1e-9)
    assert drift(before, after).divergence >= 0


def test_same_answers_are_counted_with_a_wilson_interval() -> None:
    """Of 80 answers 60 stay the most probable: .75 with the interval of statsmodels."""
    before = np.tile([0.7, 0.2, 0.1], (80, 1))
    after = before.copy()
    after[:20] = [0.2, 0.7, 0.1]
    same = drift(before, after).same_answer

    assert same.value == 0.75
    assert (same.low, same.high) == pytest.approx(proportion_confint(60, 80, method="wilson"))


def test_nothing_moved_is_no_drift() -> None:
    """Law: the same probabilities twice."""
    found = drift(answers(1), answers(1))

    assert (found.same_answer.value, found.divergence, found.examples) == (1.0, 0.0, 80)


def test_planted_drift_is_found_and_grows() -> None:
    """The further answers are mixed with others, the larger the divergence and the fewer stay."""
    before, other = answers(1, 400), answers(2, 400)
    found = [drift(before, (1 - share) * before + share * other) for share in (0.1, 0.5, 0.9)]

    assert sorted(found, key=lambda one: one.divergence) == found
    assert [one.same_answer.value for one in found] == sorted((one.same_answer.value for one in found), reverse=True)


def test_an_answer_ruled_out_costs_much_but_not_everything() -> None:
    """A probability of 0 after does not make the divergence infinite, and one of 0 before costs nothing."""
    sure = np.array([[1.0, 0.0]])

    assert 20 < drift(np.array([[0.1, 0.9]]), sure).divergence < 30
    assert drift(sure, np.array([[0.5, 0.5]])).divergence == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (answers(0, 3), answers(0, 4), "same examples"),
        (answers(0, 3, 2), answers(0, 3, 4), "same examples"),
        (answers(0, 0), answers(0, 0), "same examples"),
        (answers(0, 3), np.full((3, 4), np.nan), "not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(before: NDArray[np.float64], after: NDArray[np.float64], said: str) -> None:
    """Other examples, other classes, none at all, or no numbers."""
    with pytest.raises(ValueError, match=said):
        drift(before, after)


def test_it_survives_being_written() -> None:
    """What is read from JSON is what was written."""
    found = drift(answers(1), answers(2))

    assert Drift.model_validate_json(found.model_dump_json()) == found
