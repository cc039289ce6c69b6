"""The six metrics, each one formula over confusion counts.

Knows counts only; intervals are in `intervals`, their choice per metric in `measures` and `bounds`.
A metric is NaN where it is undefined: a recall without examples, a precision without predictions.

Shape letters: K classes; ... any leading axes, such as resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frostline.core.records import Confusion

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Margins:
    """All that the six metrics need of a confusion matrix: its diagonal and its two margins."""

    hits: Floats
    """Right answers per class, shape (..., K)."""
    true: Floats
    """Examples per class, shape (..., K)."""
    predicted: Floats
    """Answers per class, shape (..., K)."""

    @classmethod
    def of(cls, counts: ArrayLike) -> Margins:
        """From counts or shares, shape (..., K, K), rows = true."""
        cells = np.asarray(counts, dtype=np.float64)
        return cls(np.diagonal(cells, axis1=-2, axis2=-1), cells.sum(axis=-1), cells.sum(axis=-2))

    @property
    def total(self) -> Floats:
        total: Floats = self.true.sum(axis=-1)
        return total


def class_recalls(margins: Margins) -> Floats:
    """Share of each class that was found, shape (..., K)."""
    return _ratio(margins.hits, margins.true)


def class_precisions(margins: Margins) -> Floats:
    """Share of the answers for each class that was right, shape (..., K)."""
    return _ratio(margins.hits, margins.predicted)


def class_f1s(margins: Margins) -> Floats:
    """Harmonic mean of precision and recall per class, as 2 TP / (2 TP + FP + FN), shape (..., K)."""
    return _ratio(2 * margins.hits, margins.true + margins.predicted)


def _accuracy(margins: Margins, positive: int | None) -> Floats:
    return _ratio(margins.hits.sum(axis=-1), margins.total)


def _averaged(per_class: Callable[[Margins], Floats]) -> Callable[[Margins, int | None], Floats]:
    """Of the positive class, or the mean over classes: undefined as soon as one class is."""

    def averaged(margins: Margins, positive: int | None) -> Floats:
        classes = per_class(margins)
        value: Floats = classes.mean(axis=-1) if positive is None else classes[..., positive]
        return value

    return averaged


def _balanced_accuracy(margins: Margins, positive: int | None) -> Floats:
    mean: Floats = class_recalls(margins).mean(axis=-1)
    return mean


def _mcc(margins: Margins, positive: int | None) -> Floats:
    squared = margins.total**2
    covariance = margins.total * margins.hits.sum(axis=-1) - (margins.true * margins.predicted).sum(axis=-1)
    spread_true = squared - (margins.true**2).sum(axis=-1)
    spread_predicted = squared - (margins.predicted**2).sum(axis=-1)
    # Rounding can carry a perfect correlation one step past its end.
    return np.clip(_ratio(covariance, np.sqrt(spread_true) * np.sqrt(spread_predicted)), -1.0, 1.0)


_FORMULAS: dict[str, Callable[[Margins, int | None], Floats]] = {
    "accuracy": _accuracy,
    "recall": _averaged(class_recalls),
    "precision": _averaged(class_precisions),
    "f1": _averaged(class_f1s),
    "balanced_accuracy": _balanced_accuracy,
    "mcc": _mcc,
}
METRICS: tuple[str, ...] = tuple(_FORMULAS)


def metric_values(metric: str, margins: Margins, positive: int | None) -> Floats:
    """One metric of one confusion matrix or of a whole stack of them.

    Args:
        metric: One of `METRICS`.
        margins: Of the matrices, leading axes kept.
        positive: Class number whose recall, precision and F1 are meant; None for the mean over classes.

    Returns:
        Fractions (the Matthews correlation: from -1 to 1), NaN where undefined.

    Source: Gorodkin (2004) for the correlation of several classes; the rest are ratios of counts.

    >>> margins = Margins.of([[90, 10], [15, 85]])
    >>> {name: round(float(metric_values(name, margins, 1)), 4) for name in ("precision", "recall", "f1")}
    {'precision': 0.8947, 'recall': 0.85, 'f1': 0.8718}
    """
    return _FORMULAS[metric](margins, positive)


def why_undefined(metric: str, confusion: Confusion) -> str:
    """The reason why a metric of these counts does not exist, as a clause; empty when it does."""
    rows = [sum(row) for row in confusion.counts]
    columns = [sum(column) for column in zip(*confusion.counts, strict=True)]
    if sum(rows) == 0:
        return "there are no examples"
    asked = confusion.labels if confusion.positive is None else (confusion.positive,)
    if metric == "recall" or metric == "balanced_accuracy":
        return _empty(rows, confusion, asked if metric == "recall" else confusion.labels, "no example is {}")
    if metric == "precision":
        return _empty(columns, confusion, asked, "nothing was predicted as {}")
    if metric == "f1":
        both = [row + column for row, column in zip(rows, columns, strict=True)]
        return _empty(both, confusion, asked, "no example is {} and nothing was predicted as it")
    if metric == "mcc" and max(rows) == sum(rows):
        return "all examples are of one class"
    if metric == "mcc" and max(columns) == sum(columns):
        return "only one class was predicted"
    return ""


def _empty(sizes: Sequence[int], confusion: Confusion, asked: Sequence[str], clause: str) -> str:
    missing = [name for name, size in zip(confusion.labels, sizes, strict=True) if size == 0 and name in asked]
    return clause.format(" or ".join(map(repr, missing))) if missing else ""


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(denominator > 0, numerator / denominator, np.nan), dtype=np.float64)
