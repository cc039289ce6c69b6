"""What one set of predictions is worth on one split: counts, metrics, intervals, loss, and what its scores say.

Intervals here are two-sided and displayed. Floors are read against `bounds`.
"""

from __future__ import annotations

from math import isfinite, isnan

import numpy as np

from frostline.core.predictions import Predictions
from frostline.core.records import ClassMeasures, Confusion, Estimate, Measures
from frostline.measure.calibration import calibration
from frostline.measure.curve import curve
from frostline.measure.intervals import (
    Interval,
    clopper_pearson_lower,
    clopper_pearson_upper,
    f1_from_overlap,
    mover_mean,
    wilson,
)
from frostline.measure.metrics import METRICS, Margins, metric_values, why_undefined
from frostline.measure.posterior import LOWER_PRIOR, UPPER_PRIOR, posterior_draws
from frostline.measure.scored import losses, scored_metrics


def measure(predictions: Predictions, split: str, *, scored: bool = False) -> Measures:
    """Measure what a model answered.

    Args:
        predictions: The answers beside the truth.
        split: Which split they are of, in words.
        scored: Also measure what the scores say, which takes resampling: a second for some thousand examples. For
            what is judged and shown, not for every contender.

    Returns:
        Counts, metrics with 95 % intervals, and the mean cross-entropy when probabilities are known. When asked for
        and probabilities are known: metrics of the scores, calibration, and with two classes the curve.

    >>> from frostline.core.records import Task
    >>> task = Task(labels=("ham", "spam"), positive="spam")
    >>> answers = Predictions(task=task, true_N=np.array([0, 0, 1, 1]), predicted_N=np.array([0, 1, 1, 1]))
    >>> measure(answers, "test").metrics["recall"].value
    1.0
    """
    measured = measure_confusion(confusion_of(predictions), split)
    from_scores = _from_scores(predictions) if scored else {}
    return measured.model_copy(update={"loss": log_loss(predictions), **from_scores})


def _from_scores(predictions: Predictions) -> dict[str, object]:
    return {
        "scored": scored_metrics(predictions),
        "calibration": calibration(predictions),
        "curve": curve(predictions),
    }


def measure_confusion(confusion: Confusion, split: str) -> Measures:
    """Measure counts alone: all metrics but the loss.

    Args:
        confusion: Counts, rows = true.
        split: Which split they are of, in words.

    Returns:
        All six metrics, and recall, precision and F1 of every class, with 95 % intervals.

    >>> counts = Confusion(labels=("bad", "good"), counts=((85, 15), (10, 90)), positive="bad")
    >>> f"{measure_confusion(counts, 'test').metrics['f1'].value:.4f}"
    '0.8718'
    """
    return Measures(
        split=split,
        examples=confusion.total,
        average="macro" if confusion.positive is None else "binary",
        confusion=confusion,
        metrics={metric: estimate(metric, confusion) for metric in METRICS},
        per_class=tuple(_of_class(confusion, number) for number in range(len(confusion.labels))),
    )


def confusion_of(predictions: Predictions) -> Confusion:
    """Count answers by true label (rows) and predicted label (columns)."""
    classes = len(predictions.task.labels)
    cells = np.bincount(predictions.true_N * classes + predictions.predicted_N, minlength=classes**2)
    counts = tuple(tuple(row) for row in cells.reshape(classes, classes).tolist())
    return Confusion(labels=predictions.task.labels, counts=counts, positive=predictions.task.positive)


def log_loss(predictions: Predictions) -> float | None:
    """Mean cross-entropy; None without probabilities or when one of them is not finite.

    Probabilities are clipped at the smallest step of a float, so that one certain mistake
    costs much but not everything.
    """
    if predictions.probabilities_NC is None or len(predictions) == 0:
        return None
    loss = float(losses(predictions)["log_loss"].mean())
    return loss if isfinite(loss) else None


def estimate(metric: str, confusion: Confusion) -> Estimate:
    """One metric of counts with its displayed 95 % interval.

    Args:
        metric: One of `METRICS`.
        confusion: The counts.

    Returns:
        The value with limits and their method, or the reason why it is undefined.
    """
    positive = None if confusion.positive is None else confusion.labels.index(confusion.positive)
    value = float(metric_values(metric, Margins.of(confusion.counts), positive))
    if isnan(value):
        return Estimate(value=None, undefined=why_undefined(metric, confusion))
    (low, high), method = _interval(metric, confusion, positive)
    # A posterior never reaches the edge that a perfect result sits on.
    return Estimate(value=value, low=min(low, value), high=max(high, value), method=method)


def rates(metric: str, margins: Margins, positive: int | None) -> list[tuple[float, float]]:
    """Successes and totals of the rates that a metric averages: one, or one per class.

    Empty for what is no mean of rates: the Matthews correlation and the macro F1.
    The binary F1 is a rising function of one rate, TP of TP + FP + FN, which stands for it.

    >>> rates("f1", Margins.of([[90, 10], [15, 85]]), 1)
    [(85.0, 110.0)]
    """
    hits, true, predicted = margins.hits.tolist(), margins.true.tolist(), margins.predicted.tolist()
    classes = range(len(hits)) if positive is None or metric == "balanced_accuracy" else [positive]
    if metric == "accuracy":
        return [(sum(hits), sum(true))]
    if metric in ("recall", "balanced_accuracy"):
        return [(hits[k], true[k]) for k in classes]
    if metric == "precision":
        return [(hits[k], predicted[k]) for k in classes]
    if metric == "f1" and positive is not None:
        return [(hits[positive], true[positive] + predicted[positive] - hits[positive])]
    return []


def _interval(metric: str, confusion: Confusion, positive: int | None) -> tuple[Interval, str]:
    margins = Margins.of(confusion.counts)
    parts = rates(metric, margins, positive)
    if not parts:
        ends = ((LOWER_PRIOR, 0.025), (UPPER_PRIOR, 0.975))
        low, high = (
            float(np.quantile(posterior_draws(metric, confusion.counts, positive, prior=prior), end))
            for prior, end in ends
        )
        return (low, high), "Dirichlet posterior of the counts"
    if len(parts) > 1:
        # With Wilson's limits of each class the mean of three was held in 92 % of the cases (60 examples).
        exact = [
            (clopper_pearson_lower(*p, confidence=0.975), clopper_pearson_upper(*p, confidence=0.975)) for p in parts
        ]
        return mover_mean([hits / total for hits, total in parts], exact), "MOVER of Clopper-Pearson limits per class"
    low, high = wilson(*parts[0])
    if metric == "f1":
        return (f1_from_overlap(low), f1_from_overlap(high)), "Wilson, through the Jaccard overlap"
    return (low, high), "Wilson"


def _of_class(confusion: Confusion, number: int) -> ClassMeasures:
    against_rest = one_against_rest(confusion, number)
    return ClassMeasures(
        label=confusion.labels[number],
        support=sum(confusion.counts[number]),
        recall=estimate("recall", against_rest),
        precision=estimate("precision", against_rest),
        f1=estimate("f1", against_rest),
    )


def one_against_rest(confusion: Confusion, number: int) -> Confusion:
    """The same counts with one class as the positive and all others taken together."""
    label, counts = confusion.labels[number], confusion.counts
    hits, true = counts[number][number], sum(counts[number])
    predicted = sum(row[number] for row in counts)
    rest = confusion.total - true - predicted + hits
    return Confusion(
        labels=(label, f"not {label}"), counts=((hits, true - hits), (predicted - hits, rest)), positive=label
    )
