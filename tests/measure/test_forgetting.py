"""Claims about forgetting: counted by hand, tested as statsmodels does, and refused on other examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from builders import BINARY, TOPICS
from frostline.core.predictions import Predictions
from frostline.core.records import Task
from frostline.core.records.forgotten import Forgetting
from frostline.measure.forgetting import forgetting

TRUE = np.arange(400) % 4

answered = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=60).map(
    lambda rows: np.array(rows, dtype=np.int64).T
)


def answers(predicted_N: NDArray[np.int64], true_N: NDArray[np.int64] = TRUE, task: Task = TOPICS) -> Predictions:
    return Predictions(task=task, true_N=true_N, predicted_N=predicted_N)


def wrong_at(*rows: range) -> Predictions:
    """Right everywhere else."""
    predicted_N = TRUE.copy()
    for some in rows:
        predicted_N[some] = (TRUE[some] + 1) % 4
    return answers(predicted_N)


def test_both_accuracies_are_counted_with_wilson_intervals() -> None:
    """The share of right answers with the interval of statsmodels, before and after."""
    found = forgetting(wrong_at(range(40)), wrong_at(range(20, 120)), seed=0)

    assert found.examples == 400
    for estimate, correct in ((found.before, 360), (found.after, 300)):
        assert estimate.value == correct / 400
        assert (estimate.low, estimate.high) == pytest.approx(proportion_confint(correct, 400, method="wilson"))


def test_drop_is_the_paired_difference() -> None:
    """Of 80 examples forgotten and 20 learned anew the drop is .15, with the interval written out from its paper."""
    found = forgetting(wrong_at(range(40)), wrong_at(range(20, 120)), seed=0)
    forgotten, learned = 81 / 402, 21 / 402
    half = 1.959964 * np.sqrt((forgotten + learned - (forgotten - learned) ** 2) / 402)

    assert found.drop.value == pytest.approx(0.15)
    assert found.drop.low == pytest.approx(forgotten - learned - half)
    assert found.drop.high == pytest.approx(forgotten - learned + half)


@given(answered)
def test_what_was_lost_and_gained_adds_up_to_the_drop(rows: NDArray[np.int64]) -> None:
    """The examples on which the two differ, counted either way, give the drop and nothing else does."""
    found = forgetting(answers(rows[1], rows[0]), answers(rows[2], rows[0]), seed=0)

    assert found.drop.value == pytest.approx((found.lost - found.gained) / found.examples)
    assert found.lost == sum(rows[1] == rows[0]) - sum((rows[1] == rows[0]) & (rows[2] == rows[0]))


def test_p_value_lies_just_below_the_exact_test() -> None:
    """The mid-p value is the exact McNemar p-value of statsmodels less the probability of what was observed."""
    found = forgetting(wrong_at(range(12)), wrong_at(range(8, 28)), seed=0)
    exact = mcnemar([[372, 16], [8, 4]], exact=True).pvalue
    observed = 735_471 / 2**24  # 24 choose 8

    assert found.drop.p == pytest.approx(exact - observed)


@given(answered, st.integers(0, 9))
def test_who_answers_alike_forgot_nothing(rows: NDArray[np.int64], seed: int) -> None:
    """The same answers twice: a drop of 0 with a p-value of 1, inside its interval."""
    same = answers(rows[1], rows[0])
    found = forgetting(same, same, seed=seed)

    assert found.before == found.after
    assert (found.drop.value, found.drop.p) == (0, 1)
    assert found.drop.low is not None and found.drop.high is not None
    assert found.drop.low < 0 < found.drop.high


@given(answered, st.integers(0, 9), st.integers(0, 9))
def test_swapping_before_and_after_flips_the_sign(rows: NDArray[np.int64], seed: int, other: int) -> None:
    """What one order calls forgotten the other calls gained, with mirrored limits, whatever the seed."""
    before, after = answers(rows[1], rows[0]), answers(rows[2], rows[0])
    one, back = forgetting(before, after, seed=seed), forgetting(after, before, seed=other)

    assert (one.before, one.after) == (back.after, back.before)
    assert one.drop.value == -(back.drop.value or 0)
    assert one.drop.low == pytest.approx(-(back.drop.high or 0), abs=1e-12)
    assert one.drop.high == pytest.approx(-(back.drop.low or 0), abs=1e-12)
    assert one.drop.p == pytest.approx(back.drop.p)


def test_planted_forgetting_is_found() -> None:
    """A tenth of the old task lost is more than noise; two examples either way are not."""
    lost = forgetting(wrong_at(range(20)), wrong_at(range(60)), seed=0).drop
    noise = forgetting(wrong_at(range(20)), wrong_at(range(2, 22)), seed=0).drop

    assert lost.low is not None and lost.low > 0
    assert lost.p is not None and lost.p < 0.001
    assert noise.low is not None and noise.high is not None and noise.low < 0 < noise.high


def test_other_examples_are_refused() -> None:
    """Answers to examples with other labels, of another task, or to none cannot be paired."""
    shifted = answers(TRUE, np.roll(TRUE, 1))
    fewer = wrong_at(range(3)).take(np.arange(399))
    binary = answers(TRUE % 2, TRUE % 2, BINARY)
    none = wrong_at().take(np.arange(0))

    for other in (shifted, fewer, binary):
        with pytest.raises(ValueError, match="compared on the same examples"):
            forgetting(wrong_at(), other, seed=0)
    with pytest.raises(ValueError, match="one at least"):
        forgetting(none, none, seed=0)


def test_a_task_of_two_classes_needs_no_rare_one() -> None:
    """Which of two classes is the positive one changes nothing: accuracy counts both."""
    true_N = np.arange(100) % 2
    found = [
        forgetting(answers(true_N, true_N, task), answers(0 * true_N, true_N, task), seed=0)
        for task in (BINARY, Task(labels=BINARY.labels, positive="ham"))
    ]

    assert found[0] == found[1]
    assert found[0].drop.value == 0.5


def test_it_survives_being_written() -> None:
    """What is read from JSON is what was written."""
    found = forgetting(wrong_at(range(5)), wrong_at(range(9)), seed=0)

    assert Forgetting.model_validate_json(found.model_dump_json()) == found
