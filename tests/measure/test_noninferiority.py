"""Claims about non-inferiority: claimed at the margin in one case of twenty at most, within it when data suffice."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from frostline.core.predictions import Predictions
from frostline.core.records import Task
from frostline.measure.noninferiority import non_inferiority

TASK = Task(labels=("ham", "spam"), positive="spam")
NAMES = ("depth-4", "full")


def two_models(n: int, first: float, second: float, seed: int, shared: float = 0.5) -> tuple[Predictions, Predictions]:
    """Two models with these accuracies, whose mistakes fall on the same examples as far as `shared` says."""
    random = np.random.default_rng(seed)
    true_N = np.tile([0, 1], n // 2)
    common_N, own_2N = random.random(n), random.random((2, n))
    answers = []
    for accuracy, own_N in zip((first, second), own_2N, strict=True):
        luck_N = np.where(random.random(n) < shared, common_N, own_N)
        answers.append(
            Predictions(task=TASK, true_N=true_N, predicted_N=np.where(luck_N < accuracy, true_N, 1 - true_N))
        )
    return answers[0], answers[1]


@pytest.mark.parametrize("metric", ["accuracy", "recall", "f1"])
def test_at_the_margin_it_is_claimed_in_one_case_of_twenty(metric: str) -> None:
    """A model that is worse by exactly the margin passes in at most 5 % of the cases, within the noise of 300."""
    margin, repetitions = 0.05, 300
    # With as many positives as negatives, both equally often right, accuracy, recall and F1 fall alike.
    claims = sum(
        non_inferiority(
            *two_models(400, 0.85, 0.90, seed), names=NAMES, metric=metric, margin=margin, seed=seed, resamples=400
        ).met
        == "yes"
        for seed in range(repetitions)
    )

    assert claims <= binom.ppf(0.999, repetitions, 0.05)


def test_equal_models_are_shown_to_be_no_worse_when_examples_suffice() -> None:
    """The check can be passed: with 20,000 examples two equal models are within two points of each other."""
    found = non_inferiority(*two_models(20_000, 0.9, 0.9, 0), names=NAMES, metric="f1", margin=0.02)

    assert found.met == "yes" and found.needed is None
    assert "no worse" in found.sentence


def test_clear_loss_is_ruled_out() -> None:
    """Ten points lost are more than two, and that is said."""
    found = non_inferiority(*two_models(4_000, 0.8, 0.9, 0), names=NAMES, metric="accuracy", margin=0.02)

    assert found.met == "no"
    assert "worse by more than 2.0 points" in found.sentence


def test_few_examples_show_neither_and_say_how_many_would() -> None:
    """Between the two the answer is that it cannot be told, with the number of examples that would tell."""
    pair = two_models(200, 0.9, 0.9, 1)
    found = non_inferiority(*pair, names=NAMES, metric="accuracy", margin=0.02)

    assert found.met == "cannot tell"
    assert found.needed is not None and found.needed > 200
    assert f"about {found.needed:,} examples" in found.sentence


def test_undefined_metric_cannot_be_told() -> None:
    """A model that never answers positive has no precision, and nothing is claimed of it."""
    one, other = two_models(100, 0.9, 0.9, 0)
    never = Predictions(task=TASK, true_N=one.true_N, predicted_N=np.zeros(100, dtype=np.int64))
    found = non_inferiority(never, other, names=NAMES, metric="precision", margin=0.02)

    assert (found.met, found.low) == ("cannot tell", None)
    assert "undefined" in found.sentence
