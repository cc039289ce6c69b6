"""Two models on the same examples: whose metric is higher, by how much, and is it more than noise.

Whether two separate intervals overlap settles nothing; only the examples on which the models differ do.

Shape letters: N examples, R resamples, J cells of the joint table, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frostline.core.predictions import Predictions
from frostline.core.records import Comparison, Difference
from frostline.measure.intervals import bonett_price, mcnemar_midp
from frostline.measure.measures import confusion_of
from frostline.measure.metrics import METRICS, Floats, Margins, metric_values

RESAMPLES = 2_000


def compare(
    first: Predictions,
    second: Predictions,
    *,
    names: tuple[str, str],
    split: str,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two models example by example.

    Accuracy, and the recall of a positive class, count the examples that only one of the two got
    right (mid-p McNemar); the other metrics are resampled with their examples kept in pairs.

    Args:
        first: Answers of the one model.
        second: Answers of the other, on the same examples in the same order.
        names: What the two are called.
        split: Which split the examples are of.
        seed: Of the resampling.
        resamples: How many.

    Returns:
        For every metric `first - second` with a 95 % interval and a two-sided p-value.

    Raises:
        ValueError: The two are not about the same examples.

    Source: Fagerland et al. (2013) for the mid-p test, Bonett & Price (2012) for its interval,
        Efron & Tibshirani (1993), chapter 13, for the percentile interval.
    """
    differences = _tested_by_counting(first, second)
    resampled = [metric for metric in METRICS if metric not in differences]
    drawn = resampled_differences(first, second, resampled, seed=seed, resamples=resamples)
    for metric in resampled:
        differences[metric] = _from_resamples(_difference(first, second, metric), drawn[metric])
    return Comparison(
        first=names[0],
        second=names[1],
        split=split,
        examples=len(first),
        differences={metric: differences[metric] for metric in METRICS},
    )


def metric_standard_error(
    first: Predictions, second: Predictions, metric: str, *, seed: int = 0, resamples: int = RESAMPLES
) -> float | None:
    """Paired bootstrap standard error of `first - second`; None when a resample almost never defines it.

    Args:
        first: Answers of the one model.
        second: Answers of the other, on the same examples in the same order.
        metric: One of `metrics.METRICS`.
        seed: Of the resampling.
        resamples: How many.
    """
    drawn = resampled_differences(first, second, [metric], seed=seed, resamples=resamples)[metric]
    return float(drawn.std(ddof=1)) if len(drawn) > 1 else None


def resampled_differences(
    first: Predictions, second: Predictions, metrics: Sequence[str], *, seed: int, resamples: int
) -> dict[str, Floats]:
    """`first - second` of each metric on resampled examples, those resamples left out that leave it undefined.

    Examples with the same truth and the same two answers are exchangeable, so the counts of the
    joint table are drawn instead of the examples: the same distribution, without touching N rows.

    Raises:
        ValueError: The two are not about the same examples.
    """
    _require_same_examples(first, second)
    classes, positive = len(first.task.labels), first.task.positive_index
    triples, counts_J = np.unique(
        np.stack([first.true_N, first.predicted_N, second.predicted_N]), axis=1, return_counts=True
    )
    true_J, first_J, second_J = triples
    drawn_RJ = np.random.default_rng(seed).multinomial(len(first), counts_J / len(first), size=resamples)
    of_first = _margins(drawn_RJ, true_J, first_J, classes)
    of_second = _margins(drawn_RJ, true_J, second_J, classes)
    differences = {
        metric: metric_values(metric, of_first, positive) - metric_values(metric, of_second, positive)
        for metric in metrics
    }
    return {metric: values_R[np.isfinite(values_R)] for metric, values_R in differences.items()}


def _margins(
    drawn_RJ: NDArray[np.int64], true_J: NDArray[np.int64], predicted_J: NDArray[np.int64], classes: int
) -> Margins:
    drawn = drawn_RJ.astype(np.float64)
    true_JK, predicted_JK = np.eye(classes)[true_J], np.eye(classes)[predicted_J]
    return Margins(hits=drawn @ (true_JK * predicted_JK), true=drawn @ true_JK, predicted=drawn @ predicted_JK)


def _require_same_examples(first: Predictions, second: Predictions) -> None:
    if len(first) == 0 or first.task != second.task or not np.array_equal(first.true_N, second.true_N):
        raise ValueError("two models are compared on the same examples, of which there must be one at least")


def _tested_by_counting(first: Predictions, second: Predictions) -> dict[str, Difference]:
    _require_same_examples(first, second)
    right_first, right_second = first.predicted_N == first.true_N, second.predicted_N == second.true_N
    differences = {"accuracy": _mcnemar(right_first, right_second, "all examples")}
    positive = first.task.positive_index
    if positive is not None:
        found = first.true_N == positive
        differences["recall"] = _mcnemar(right_first[found], right_second[found], "the positive examples")
    return differences


def _mcnemar(right_first: NDArray[np.bool_], right_second: NDArray[np.bool_], among: str) -> Difference:
    total = len(right_first)
    if total == 0:
        return Difference(value=None)
    first_only, second_only = int((right_first & ~right_second).sum()), int((right_second & ~right_first).sum())
    low, high = bonett_price(first_only, second_only, total)
    return Difference(
        value=(first_only - second_only) / total,
        low=low,
        high=high,
        p=mcnemar_midp(first_only, second_only),
        method=f"mid-p McNemar on {among}, interval after Bonett and Price",
    )


def _difference(first: Predictions, second: Predictions, metric: str) -> float | None:
    of_first, of_second = metric_of(first, metric), metric_of(second, metric)
    return None if of_first is None or of_second is None else of_first - of_second


def metric_of(predictions: Predictions, metric: str) -> float | None:
    """One metric of one model, without its interval; None where undefined."""
    margins = Margins.of(confusion_of(predictions).counts)
    value = float(metric_values(metric, margins, predictions.task.positive_index))
    return value if np.isfinite(value) else None


def _from_resamples(value: float | None, drawn: Floats) -> Difference:
    if value is None or len(drawn) == 0:
        return Difference(value=value)
    low, high = np.quantile(drawn, [0.025, 0.975])
    # One is added to both counts: with R resamples no p-value below 1 / R is known.
    at_most, at_least = (1 + (drawn <= 0).sum()) / (1 + len(drawn)), (1 + (drawn >= 0).sum()) / (1 + len(drawn))
    return Difference(
        value=value,
        low=float(low),
        high=float(high),
        p=min(1.0, 2 * float(min(at_most, at_least))),
        method=f"paired bootstrap, {len(drawn)} resamples",
    )
