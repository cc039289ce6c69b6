"""Calibration: bins, error, and the error that perfect scores would show."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.core.predictions import Predictions
from frostline.core.records import Task
from frostline.measure.calibration import binned, calibration, null_error

SPAM = Task(labels=("ham", "spam"), positive="spam")


def answers(true_N: np.ndarray, scores_N: np.ndarray) -> Predictions:
    return Predictions.from_probabilities(SPAM, true_N.astype(np.int64), np.stack([1 - scores_N, scores_N], axis=1))


def honest(examples: int, seed: int) -> Predictions:
    """Outcomes drawn with the probability that the scores claim."""
    random = np.random.default_rng(seed)
    scores_N = random.random(examples)
    return answers(random.random(examples) < scores_N, scores_N)


def test_error_is_that_of_its_definition() -> None:
    """Against a loop over fifteen bins of a hundred examples each."""
    predictions = honest(1_500, seed=0)
    scores_N = predictions.probabilities_NC[:, 1]  # type: ignore[index]
    by_score = np.argsort(scores_N).reshape(15, 100)
    spelled_out = np.mean([abs(scores_N[rows].mean() - predictions.true_N[rows].mean()) for rows in by_score])
    found = calibration(predictions)

    assert found is not None and found.error == pytest.approx(float(spelled_out))
    assert [b.examples for b in found.bins] == [100] * 15
    assert [b.score for b in found.bins] == sorted(b.score for b in found.bins)


def test_honest_scores_pass_their_null_and_stretched_ones_do_not() -> None:
    """Of 100 honest samples about five are above the 95th percentile; scores pushed to the ends nearly always are."""
    above, stretched = 0, 0
    for seed in range(100):
        predictions = honest(600, seed)
        found = calibration(predictions, seed=seed)
        scores_N = predictions.probabilities_NC[:, 1]  # type: ignore[index]
        pushed = calibration(answers(predictions.true_N, scores_N**3 / (scores_N**3 + (1 - scores_N) ** 3)))
        assert found is not None and pushed is not None
        above += found.error > found.null_error
        stretched += pushed.error > pushed.null_error

    assert 1 <= above <= 11
    assert stretched >= 99


def test_null_shrinks_with_the_root_of_the_examples() -> None:
    """Sixteen times the examples: a quarter of the error that chance alone gives."""
    few, many = calibration(honest(500, 1)), calibration(honest(8_000, 1))

    assert few is not None and many is not None
    assert few.null_error / many.null_error == pytest.approx(4, rel=0.15)


def test_cells_of_neighbours_change_the_null_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes drawn for neighbours together give the percentile of outcomes drawn one by one."""
    found = binned(honest(4_000, 2))
    assert found is not None
    one_by_one = null_error(found)
    monkeypatch.setattr("frostline.measure.calibration._CELLS", 100)

    assert null_error(found) == pytest.approx(one_by_one, rel=0.05)


def test_equal_scores_share_a_bin() -> None:
    """Two distinct scores make two bins, and no order of the examples changes the error."""
    true_N = np.repeat([0, 1, 0, 1], [80, 20, 20, 80])
    scores_N = np.repeat([0.2, 0.8], 100)
    shuffled = np.random.default_rng(3).permutation(200)
    found, other = calibration(answers(true_N, scores_N)), calibration(answers(true_N[shuffled], scores_N[shuffled]))

    assert found is not None and [b.examples for b in found.bins] == [100, 100]
    assert found.error == pytest.approx(0) and other is not None and other.error == pytest.approx(0)


def test_of_several_classes_the_answer_given_is_read() -> None:
    """Answers scored .6 that are right in 60 of 100 cases are calibrated, whatever the other classes got."""
    true_N = np.repeat([0, 1, 2], [60, 30, 10])
    probabilities_NC = np.tile([0.6, 0.2, 0.2], (100, 1))
    found = calibration(Predictions.from_probabilities(Task(labels=("a", "b", "c")), true_N, probabilities_NC))

    assert found is not None and found.error == pytest.approx(0)
    assert (found.bins[0].score, found.bins[0].observed) == pytest.approx((0.6, 0.6))


def test_without_usable_scores_there_is_no_calibration() -> None:
    """Labels alone, no examples, or a score that is no number."""
    labels = Predictions(task=SPAM, true_N=np.array([0, 1]), predicted_N=np.array([0, 1]))

    assert calibration(labels) is None
    assert calibration(answers(np.array([]), np.array([]))) is None
    assert calibration(answers(np.array([0, 1]), np.array([0.1, np.nan]))) is None
