"""What a candidate has to beat: always the majority class, and a simple model without a network.

Shape letters: N examples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

from frostline.data.images import decode
from frostline.data.sources import Dataset
from frostline.train.inputs import Rows
from frostline.train.probes import fit_logistic

MAJORITY = "majority"
EDGE = 16
"""Edge to which images are averaged for the simple baseline."""

Probabilities = Callable[[Rows], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted baseline, by position in the data set."""

    name: str
    sentence: str
    probabilities: Probabilities


def fit_baselines(data: Dataset) -> tuple[Baseline, ...]:
    """Majority class, and logistic regression on TF-IDF (texts), coarse pixels (images) or columns (tables)."""
    return _majority(data), {"text": _tfidf, "image": _pixels, "table": _columns}[data.kind](data)


def _majority(data: Dataset) -> Baseline:
    counts_C = np.bincount(data.labels[data.rows["train"]], minlength=len(data.task.labels))
    label = data.task.labels[int(counts_C.argmax())]
    row_C = counts_C / counts_C.sum()
    return Baseline(MAJORITY, f"always answers {label!r}", lambda rows: np.tile(row_C, (len(rows), 1)))


def _tfidf(data: Dataset) -> Baseline:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    fitted = _fit(data, vectorizer, lambda rows: [data.texts[row] for row in rows])
    return Baseline("tfidf-logistic", "logistic regression on TF-IDF of words and word pairs", fitted)


def _pixels(data: Dataset) -> Baseline:
    fitted = _fit(data, StandardScaler(), lambda rows: np.stack([_coarse(decode(data.images[row])) for row in rows]))
    return Baseline("pixels-logistic", f"logistic regression on images averaged to {EDGE} x {EDGE} pixels", fitted)


def _columns(data: Dataset) -> Baseline:
    fitted = _fit(data, StandardScaler(), lambda rows: data.features[rows].astype(np.float64))
    return Baseline("columns-logistic", "logistic regression on standardised columns", fitted)


def _fit(data: Dataset, preparation: BaseEstimator, read: Callable[[Rows], Any]) -> Probabilities:
    train, stop = data.rows["train"], data.rows["stop"]
    fitted = fit_logistic(preparation, read(train), data.labels[train], read(stop), data.labels[stop])
    return lambda rows: fitted.probabilities(read(rows))


def _coarse(image_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colours averaged over a grid of EDGE x EDGE cells, whatever the size of the image."""
    sums = image_HW3.astype(np.float32)
    for axis in (0, 1):
        edges = np.linspace(0, image_HW3.shape[axis], EDGE, endpoint=False).astype(int)
        widths = np.diff(np.append(edges, image_HW3.shape[axis])).clip(min=1)
        sums = np.add.reduceat(sums, edges, axis=axis)
        sums /= widths.reshape([-1 if a == axis else 1 for a in range(3)])
    coarse: NDArray[np.float32] = (sums.reshape(-1) / 255).astype(np.float32)
    return coarse
