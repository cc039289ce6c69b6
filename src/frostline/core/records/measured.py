"""What was measured: estimates, measures of one set of predictions, comparisons of two."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from frostline.core.records.base import Met, Record


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


class CalibrationBin(Record):
    """Examples with much the same score."""

    examples: int
    score: float
    """Mean score."""
    observed: float
    """Share of them for which it was right."""


class Calibration(Record):
    """Whether scores can be read as probabilities: of the positive class, or of the answer given among several."""

    error: float
    """Mean distance between score and observed share, over bins of equal size, weighted by examples."""
    null_error: float
    """95th percentile of that error if the scores were perfectly calibrated: few examples alone give an error."""
    bins: tuple[CalibrationBin, ...]
    """From the lowest scores to the highest."""


class CurvePoint(Record):
    """What one threshold on the score of the positive class would give."""

    threshold: float
    """Answer "positive" from this score on."""
    tp: int
    fp: int


class Measures(Record):
    """Everything measured of one set of predictions on one split."""

    split: str
    examples: int
    average: Literal["binary", "macro", "multilabel"]
    """Of the positive class, the mean over classes, or the mean over labels of which an example carries any number."""
    confusion: Confusion
    metrics: dict[str, Estimate]
    """Keys: accuracy, recall, precision, f1, balanced_accuracy, mcc."""
    per_class: tuple[ClassMeasures, ...] = ()
    loss: float | None = None
    """Mean cross-entropy; None when only labels were given or it was not finite."""
    scored: dict[str, Estimate] = Field(default_factory=dict)
    """Of the scores. Keys: roc_auc, pr_auc, brier, calibration_error, log_loss; empty when only labels were given."""
    calibration: Calibration | None = None
    """None when only labels were given."""
    curve: tuple[CurvePoint, ...] = ()
    """Of two classes with scores: thresholds from the highest to the lowest, at most a few hundred."""


class Difference(Record):
    """Metric of one minus metric of the other on the same examples, with its interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    """Two-sided p-value of "no difference"."""
    adjusted_p: float | None = None
    """The same after Holm's correction for all that was compared on the split; None when it stands alone."""
    needed: int | None = None
    """Examples that would tell the two apart, should they go on to differ as they do; None when they are told apart."""
    method: str = ""


class NonInferiority(Record):
    """Whether the first is worse than the second by no more than a margin that was stated beforehand."""

    metric: str
    margin: float
    low: float | None
    """One-sided 95 % lower bound of `first - second`."""
    met: Met
    sentence: str
    needed: int | None = None
    """Examples that would show it, when it cannot be told."""


class Comparison(Record):
    """Two models on the same examples."""

    first: str
    second: str
    split: str
    examples: int
    differences: dict[str, Difference]
    """Keys as in `Measures.metrics`; each is `first - second`."""
    non_inferiority: NonInferiority | None = None
    """On the metric that the choice was made by; None when no margin was at stake."""


class ThresholdChoice(Record):
    """From which score on the positive class is answered, fixed on the select split before the test is opened."""

    at: float
    aim: str
    """What it was chosen for, in words: "highest F1", "recall at a precision of at least 90.0 %"."""
    select: dict[str, Estimate]
    """recall, precision and f1 on the select split with it."""
    default: dict[str, Estimate]
    """The same with the usual threshold of .5."""
    cost_per_1000: float | None = None
    """Of a thousand examples like those of the select split, when the aim is a cost; in its units."""


class Slice(Record):
    """Part of the split that judges: one value of a slice column, or one cluster of the frozen embedding."""

    name: str
    examples: int
    in_training: int
    """Examples of it in the train split. 0: a new pattern."""
    measures: Measures
    """Of the chosen candidate."""
    against_rest: Difference
    """Recall of the positive class (accuracy with several classes) here minus that of all other examples.
    `adjusted_p` after Benjamini and Hochberg."""
    against_reference: Comparison | None = None
    """The chosen candidate against full fine-tuning here; None when that was not trained to its end."""


class SelectSlice(Record):
    """Part of the select split, and what every candidate that answered it does there. Nothing is judged by it."""

    name: str
    examples: int
    in_training: int
    """Examples of it in the train split. 0: a new pattern."""
    metrics: dict[str, dict[str, Estimate]]
    """By candidate: recall and precision of the positive class; accuracy with several classes."""
