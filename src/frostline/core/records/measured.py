"""What was measured: estimates, measures of one set of predictions, comparisons of two."""

from __future__ import annotations

from typing import Literal

from frostline.core.records.base import Record


class Estimate(Record):
    """A metric with its interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    """How the interval was computed, in words."""
    undefined: str = ""
    """Why the value is undefined; empty when it is not."""


class Confusion(Record):
    """Counts by true label (rows) and predicted label (columns)."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    positive: str | None = None

    @property
    def total(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def binary(self) -> dict[str, int] | None:
        """`tp`, `fn`, `fp`, `tn` of the positive class; None with three classes or more."""
        if self.positive is None:
            return None
        p = self.labels.index(self.positive)
        n = 1 - p
        return {"tp": self.counts[p][p], "fn": self.counts[p][n], "fp": self.counts[n][p], "tn": self.counts[n][n]}


class ClassMeasures(Record):
    """One class against the rest."""

    label: str
    support: int
    """Examples whose true label it is."""
    recall: Estimate
    precision: Estimate
    f1: Estimate


class Measures(Record):
    """Everything measured of one set of predictions on one split."""

    split: str
    examples: int
    average: Literal["binary", "macro"]
    confusion: Confusion
    metrics: dict[str, Estimate]
    """Keys: accuracy, recall, precision, f1, balanced_accuracy, mcc."""
    per_class: tuple[ClassMeasures, ...] = ()
    loss: float | None = None
    """Mean cross-entropy; None when only labels were given or it was not finite."""


class Difference(Record):
    """Metric of one minus metric of the other on the same examples, with its interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    """Two-sided p-value of "no difference"."""
    method: str = ""


class Comparison(Record):
    """Two models on the same examples."""

    first: str
    second: str
    split: str
    examples: int
    differences: dict[str, Difference]
    """Keys as in `Measures.metrics`; each is `first - second`."""
