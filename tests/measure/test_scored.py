"""Metrics of scores against scikit-learn, their undefined cases, and how often their intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from frostline.core.predictions import Predictions
from frostline.core.records import Task
from frostline.measure import scored
from frostline.measure.measures import measure
from frostline.measure.scored import SCORED, scored_metrics

SPAM = Task(labels=("ham", "spam"), positive="spam")
CASES = 700


def two_classes(true_N: np.ndarray, scores_N: np.ndarray) -> Predictions:
    return Predictions.from_probabilities(SPAM, true_N.astype(np.int64), np.stack([1 - scores_N, scores_N], axis=1))


def several(random: np.random.Generator, examples: int, classes: int, decimals: int = 9) -> Predictions:
    """Scores that follow the truth a little, rounded so that some are equal."""
    true_N = random.integers(0, classes, examples)
    raw_NC = random.random((examples, classes)) + np.eye(classes)[true_N] * random.random()
    probabilities_NC = np.round(raw_NC / raw_NC.sum(axis=1, keepdims=True), decimals)
    probabilities_NC /= probabilities_NC.sum(axis=1, keepdims=True)
    return Predictions.from_probabilities(Task(labels=tuple("abcde"[:classes])), true_N, probabilities_NC)


def from_oracle(predictions: Predictions) -> dict[str, float]:
    """What scikit-learn says of two classes or of several."""
    true_N, probabilities_NC = predictions.true_N, predictions.probabilities_NC
    assert probabilities_NC is not None
    classes = range(probabilities_NC.shape[1])
    ranked = [(true_N == c, probabilities_NC[:, c]) for c in ([1] if len(classes) == 2 else classes)]
    return {
        "roc_auc": float(np.mean([oracle.roc_auc_score(*pair) for pair in ranked])),
        "pr_auc": float(np.mean([oracle.average_precision_score(*pair) for pair in ranked])),
        "brier": oracle.brier_score_loss(true_N, probabilities_NC, labels=list(classes)),
        "log_loss": oracle.log_loss(true_N, probabilities_NC, labels=list(classes)),
    }


def assert_same(predictions: Predictions) -> None:
    ours = scored_metrics(predictions, resamples=2)
    for metric, theirs in from_oracle(predictions).items():
        assert ours[metric].value == pytest.approx(theirs, abs=1e-9), metric


def test_values_of_two_classes_are_those_of_scikit_learn() -> None:
    """Four metrics of 700 random sets, small and large, scores of many digits or of one, so that many are equal."""
    random = np.random.default_rng(0)
    for _ in range(CASES):
        examples = int(random.integers(4, 60))
        true_N = np.append([0, 0, 1, 1], random.integers(0, 2, examples))
        scores_N = np.round(random.random(len(true_N)), int(random.choice([1, 2, 9])))
        assert_same(two_classes(true_N, scores_N))


def test_values_of_several_classes_are_those_of_scikit_learn() -> None:
    """Means over the classes, each against the rest; the squared distance is summed over the classes."""
    random = np.random.default_rng(1)
    for _ in range(CASES // 7):
        predictions = several(random, int(random.integers(30, 80)), int(random.integers(3, 6)), decimals=2)
        if np.bincount(predictions.true_N, minlength=len(predictions.task.labels)).min() >= 2:
            assert_same(predictions)


@pytest.mark.parametrize(
    ("true", "reason"),
    [([1, 1, 1], "no example is 'ham'"), ([0, 0, 1, 0], "only one example is 'spam', too few to resample")],
)
def test_areas_without_both_classes_are_undefined(true: list[int], reason: str) -> None:
    """An area needs both classes, twice each; the losses need none of that."""
    found = scored_metrics(two_classes(np.array(true), np.linspace(0.2, 0.8, len(true))))

    assert (found["roc_auc"].value, found["roc_auc"].undefined) == (None, reason)
    assert (found["pr_auc"].value, found["pr_auc"].undefined) == (None, reason)
    assert found["brier"].value is not None and found["log_loss"].value is not None


@pytest.mark.parametrize(("scores", "reason"), [([0.5], "fewer than two"), ([0.5, np.nan], "not finite")])
def test_scores_that_cannot_be_read_leave_all_undefined(scores: list[float], reason: str) -> None:
    """One example, or a score that is no number: every metric says why it does not exist."""
    found = scored_metrics(two_classes(np.arange(len(scores)), np.array(scores)))

    assert set(found) == set(SCORED)
    assert all(estimate.value is None and reason in estimate.undefined for estimate in found.values())


def test_derivatives_are_those_of_small_changes() -> None:
    """What the acceleration rests on: the derivative of each area by a weight, against a difference quotient."""
    random = np.random.default_rng(3)
    true_N, scores_N = random.integers(0, 2, 40), np.round(random.random(40), 1)
    ranked = scored.Ranked.of(true_N == 1, scores_N)
    step = 1e-6
    moved = np.array(ranked.areas(np.ones((40, 40)) + step * np.eye(40)))
    quotient = (moved - np.array(ranked.areas(np.ones((1, 40))))) / step

    for given, measured in zip(ranked.gradients(), quotient, strict=True):
        assert scored.centred(given, true_N) == pytest.approx(scored.centred(measured, true_N), abs=1e-5)


def drawn(random: np.random.Generator, examples: int, positives: int) -> Predictions:
    """Normal scores one standard deviation apart: the area under the ROC curve is Phi(1 / sqrt 2)."""
    true_N = np.repeat([0, 1], [examples - positives, positives])
    return two_classes(true_N, 1 / (1 + np.exp(-random.normal(size=examples) - true_N)))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """300 samples of 150 with 40 positives: the interval holds the true area in about 95 % of them."""
    random = np.random.default_rng(4)
    true_area, true_precision = (float(e.value or 0) for e in _large(random))
    held = {"roc_auc": 0, "pr_auc": 0}
    for _ in range(300):
        found = scored_metrics(drawn(random, 150, 40), resamples=600)
        for metric, truth in (("roc_auc", true_area), ("pr_auc", true_precision)):
            low, high = found[metric].low, found[metric].high
            assert low is not None and high is not None
            held[metric] += low <= truth <= high

    assert true_area == pytest.approx(0.7602, abs=0.003)
    assert all(0.91 <= count / 300 <= 0.98 for count in held.values()), held


def _large(random: np.random.Generator) -> list[scored.Estimate]:
    found = scored_metrics(drawn(random, 600_000, 160_000))
    return [found["roc_auc"], found["pr_auc"]]


def test_both_ways_to_an_interval_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where resampling gives way to derivatives the limits hardly move."""
    predictions = drawn(np.random.default_rng(5), 4_000, 800)
    resampled = scored_metrics(predictions)
    monkeypatch.setattr(scored, "MOST_RESAMPLED", 10)
    derived = scored_metrics(predictions)

    assert "BCa" in resampled["pr_auc"].method and "delta" in derived["pr_auc"].method
    for metric in ("roc_auc", "pr_auc", "brier", "log_loss"):
        for side in ("low", "high"):
            width = resampled[metric].high - resampled[metric].low  # type: ignore[operator]
            assert getattr(derived[metric], side) == pytest.approx(getattr(resampled[metric], side), abs=width / 8)


def test_perfect_order_is_not_certain() -> None:
    """With ten of each class ranked without a mistake the area may still be .69: 1 - .025^(1/10)."""
    found = scored_metrics(two_classes(np.repeat([0, 1], 10), np.linspace(0.05, 0.95, 20)))

    assert found["roc_auc"].value == found["roc_auc"].high == 1
    assert found["roc_auc"].low == pytest.approx(0.025**0.1)
    assert (found["pr_auc"].value, found["pr_auc"].low) == (1, None)
    assert "every resample" in found["pr_auc"].method


def test_calibration_error_interval_holds_the_truth() -> None:
    """Ten levels of scores that are all .1 too high: the interval holds .1 in at least 95 % of 200 samples."""
    random, held = np.random.default_rng(6), 0
    for _ in range(200):
        scores_N = random.integers(2, 10, 400) / 10
        found = scored_metrics(two_classes((random.random(400) < scores_N - 0.1).astype(int), scores_N), resamples=200)
        held += found["calibration_error"].low <= 0.1 <= found["calibration_error"].high  # type: ignore[operator]

    assert held >= 190


def test_measuring_scores_is_asked_for() -> None:
    """Contenders are measured without it, so that a search does not pay for what only the result needs."""
    predictions = drawn(np.random.default_rng(7), 200, 50)
    plain, full = measure(predictions, "test"), measure(predictions, "test", scored=True)

    assert (plain.scored, plain.calibration, plain.curve) == ({}, None, ())
    assert set(full.scored) == set(SCORED) and full.calibration is not None and full.curve
    assert full.scored["log_loss"].value == pytest.approx(full.loss)
