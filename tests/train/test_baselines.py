"""Claims about baselines: plain scikit-learn, fitted on train and stop, whatever the rows asked."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from factories import write_images, write_messages
from frostline.data.images import decode
from frostline.data.sources import Dataset, load_data
from frostline.train.baselines import EDGE, _coarse, fit_baselines
from frostline.train.probes import STRENGTHS


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_data(write_messages(tmp_path_factory.mktemp("messages") / "messages.csv", rows=160))


def best_on_stop(fits: list[Pipeline], train: tuple[object, object], stop: tuple[object, object]) -> Pipeline:
    """Fit all, keep the one with the lowest loss on the stop split."""
    for pipeline in fits:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            pipeline.fit(*train)
    return min(fits, key=lambda pipeline: log_loss(stop[1], pipeline.predict_proba(stop[0])))


def test_majority_answers_the_shares_of_the_train_split(messages: Dataset) -> None:
    """The same probabilities for everybody: those of the labels in training."""
    majority = fit_baselines(messages)[0]
    shares = np.bincount(messages.labels[messages.rows["train"]]) / len(messages.rows["train"])
    answer_NC = majority.probabilities(messages.rows["select"])

    assert majority.name == "majority"
    assert majority.sentence == "always answers 'ham'"
    np.testing.assert_allclose(answer_NC, np.tile(shares, (len(messages.rows["select"]), 1)))


def test_tfidf_is_an_ordinary_scikit_learn_pipeline(messages: Dataset) -> None:
    """Built by hand from the same parts, it gives the same probabilities on the test split."""
    texts = {split: [messages.texts[row] for row in rows] for split, rows in messages.rows.items()}
    labels = {split: messages.labels[rows] for split, rows in messages.rows.items()}
    fits = [
        make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
            LogisticRegression(C=strength, max_iter=300),
        )
        for strength in STRENGTHS
    ]
    best = best_on_stop(fits, (texts["train"], labels["train"]), (texts["stop"], labels["stop"]))
    baseline = fit_baselines(messages)[1]

    assert baseline.name == "tfidf-logistic"
    np.testing.assert_allclose(baseline.probabilities(messages.rows["test"]), best.predict_proba(texts["test"]))


def test_pixels_are_an_ordinary_scikit_learn_pipeline(tmp_path: Path) -> None:
    """Images of 32 pixels averaged by hand over cells of 2 x 2, scaled, and a logistic regression."""
    data = load_data(write_images(tmp_path / "images", each=12, size=2 * EDGE))
    inputs, labels = {}, {}
    for split, rows in data.rows.items():
        images = np.stack([decode(data.images[row]).astype(np.float64) for row in rows])
        cells = images.reshape(len(rows), EDGE, 2, EDGE, 2, 3).mean(axis=(2, 4)) / 255
        inputs[split], labels[split] = cells.reshape(len(rows), -1), data.labels[rows]
    fits = [make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300)) for strength in STRENGTHS]
    best = best_on_stop(fits, (inputs["train"], labels["train"]), (inputs["stop"], labels["stop"]))
    baseline = fit_baselines(data)[1]

    assert baseline.name == "pixels-logistic"
    np.testing.assert_allclose(baseline.probabilities(data.rows["test"]), best.predict_proba(inputs["test"]), atol=1e-3)


def test_columns_are_an_ordinary_scikit_learn_pipeline(tmp_path: Path) -> None:
    """Columns of very different spread, one of them constant: scaled, and a logistic regression."""
    draw = np.random.default_rng(0)
    lines = ["label,a,b,c"]
    for number in range(160):
        bad = number % 4 == 0
        lines.append(f"{'bad' if bad else 'good'},{1e6 * draw.normal() + 5e6},{draw.normal(bad)},3")
    (tmp_path / "n.csv").write_text("\n".join(lines))
    data = load_data(tmp_path / "n.csv")
    inputs = {split: data.features[rows].astype(np.float64) for split, rows in data.rows.items()}
    labels = {split: data.labels[rows] for split, rows in data.rows.items()}
    fits = [make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300)) for strength in STRENGTHS]
    best = best_on_stop(fits, (inputs["train"], labels["train"]), (inputs["stop"], labels["stop"]))
    baseline = fit_baselines(data)[1]

    assert baseline.name == "columns-logistic"
    np.testing.assert_allclose(baseline.probabilities(data.rows["test"]), best.predict_proba(inputs["test"]), rtol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (16, 16), (17, 33), (100, 7)])
def test_coarse_pixels_have_one_length_for_every_size(size: tuple[int, int]) -> None:
    """Smaller, larger and oblong images become the same number of features; a flat one stays flat."""
    flat = _coarse(np.full((*size, 3), 51, dtype=np.uint8))

    assert flat.shape == (EDGE * EDGE * 3,)
    np.testing.assert_allclose(flat, 0.2, rtol=1e-6)


def test_coarse_pixels_are_means_of_cells() -> None:
    """Cells of 3 x 2 pixels: every feature is the mean of its six."""
    image_HW3 = np.random.default_rng(0).integers(0, 256, (3 * EDGE, 2 * EDGE, 3), dtype=np.uint8)
    cells = image_HW3.reshape(EDGE, 3, EDGE, 2, 3).astype(np.float64).mean(axis=(1, 3)) / 255

    np.testing.assert_allclose(_coarse(image_HW3), cells.reshape(-1), rtol=1e-5)


@pytest.mark.parametrize("missing", ["test"])
def test_sealed_labels_are_not_needed(messages: Dataset, missing: str) -> None:
    """The labels of the test split stand as -1 in what the baselines see."""
    assert set(messages.labels[messages.rows[missing]]) == {-1}
    assert len(fit_baselines(messages)[1].probabilities(messages.rows[missing])) == len(messages.rows[missing])
