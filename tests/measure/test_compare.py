"""Two models on the same examples: against a bootstrap of rows, by symmetry, and with planted differences."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from builders import BINARY, TOPICS, make_predictions, spam_counts, topic_counts
from frostline.core.predictions import Predictions
from frostline.measure.compare import compare, metric_standard_error
from frostline.measure.metrics import METRICS

GOOD = make_predictions(BINARY, spam_counts(90, 10, 8, 192), seed=1)
WORSE = make_predictions(BINARY, spam_counts(70, 30, 8, 192), seed=2)


def test_table_bootstrap_is_a_row_bootstrap() -> None:
    """Drawing the counts of the joint table gives the standard error that drawing rows gives."""
    random = np.random.default_rng(3)
    differences = []
    for _ in range(600):
        rows = random.integers(0, len(GOOD), len(GOOD))
        true = GOOD.true_N[rows]
        differences.append(f1_score(true, GOOD.predicted_N[rows]) - f1_score(true, WORSE.predicted_N[rows]))

    assert metric_standard_error(GOOD, WORSE, "f1") == pytest.approx(np.std(differences), rel=0.12)


def test_planted_loss_of_recall_is_found() -> None:
    """Twenty more misses of a hundred are more than noise; the false alarms are the same and are not."""
    differences = compare(GOOD, WORSE, names=("good", "worse"), split="test").differences

    assert list(differences) == list(METRICS)
    assert differences["recall"].value == pytest.approx(0.2)
    assert differences["recall"].p is not None and differences["recall"].p < 0.001
    assert differences["precision"].p is not None and differences["precision"].p > 0.05
    for difference in differences.values():
        assert difference.low is not None and difference.value is not None and difference.high is not None
        assert difference.low <= difference.value <= difference.high


def test_model_does_not_differ_from_itself() -> None:
    """The same answers: every difference is 0 with a p-value of 1."""
    for difference in compare(GOOD, GOOD, names=("a", "b"), split="test").differences.values():
        assert difference.value == 0
        assert difference.p == 1


@pytest.mark.parametrize("metric", METRICS)
def test_swapping_the_models_swaps_the_sign(metric: str) -> None:
    """The difference changes its sign and keeps its p-value."""
    one = compare(GOOD, WORSE, names=("a", "b"), split="test").differences[metric]
    other = compare(WORSE, GOOD, names=("b", "a"), split="test").differences[metric]

    assert one.value == pytest.approx(-(other.value or 0))
    assert one.p == pytest.approx(other.p, abs=0.05)


def test_undefined_metric_has_no_difference() -> None:
    """A model that answers one class only has no precision, so there is nothing to subtract."""
    majority = make_predictions(BINARY, spam_counts(0, 100, 0, 200))
    difference = compare(GOOD, majority, names=("a", "majority"), split="test").differences["precision"]

    assert difference.value is None and difference.p is None


def test_several_classes_are_compared_by_their_mean() -> None:
    """With four classes recall is the mean over classes and is resampled."""
    first = make_predictions(TOPICS, topic_counts(140), seed=1)
    second = make_predictions(TOPICS, topic_counts(110), seed=2)
    recall = compare(first, second, names=("a", "b"), split="test").differences["recall"]

    assert recall.value == pytest.approx(0.2)
    assert "bootstrap" in recall.method


def test_other_examples_are_refused() -> None:
    """Two models measured on different examples cannot be paired."""
    with pytest.raises(ValueError, match="same examples"):
        compare(GOOD, make_predictions(BINARY, spam_counts(50, 60, 0, 190)), names=("a", "b"), split="test")


def test_equally_good_models_are_rarely_told_apart() -> None:
    """Of 200 pairs of equally good models at most about one in twenty is called different."""
    random = np.random.default_rng(5)
    true = np.repeat([0, 1], [140, 60])
    p_values = []
    for _ in range(200):
        first, second = (np.where(random.random(200) < 0.15, 1 - true, true) for _ in range(2))
        pair = [Predictions(task=BINARY, true_N=true, predicted_N=answers) for answers in (first, second)]
        p_values.append(compare(*pair, names=("a", "b"), split="test", resamples=400).differences["f1"].p)

    assert np.mean([p is not None and p < 0.05 for p in p_values]) <= 0.10
