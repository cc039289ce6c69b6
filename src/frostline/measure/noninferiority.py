"""Whether one model is worse than another by no more than a margin that was stated beforehand.

"They cannot be told apart" is no proof of that: with few examples nothing can be told apart. Here the burden is turned
round: the data must show that the loss is within the margin.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from frostline.core.predictions import Predictions
from frostline.core.records import Met, NonInferiority
from frostline.measure.compare import RESAMPLES, metric_of, resampled_differences, spelled
from frostline.measure.intervals import Interval, bonett_price

CONFIDENCE = 0.95
"""One-sided."""
MARGIN = 0.02
"""The default, where nobody states another."""


def non_inferiority(
    first: Predictions,
    second: Predictions,
    *,
    names: tuple[str, str],
    metric: str,
    margin: float = MARGIN,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> NonInferiority:
    """Is the first worse than the second by no more than the margin?

    Args:
        first: Answers of the model that is cheaper, smaller or frozen.
        second: Answers of the one that it may not fall behind, on the same examples in the same order.
        names: What the two are called.
        metric: One of `metrics.METRICS`.
        margin: The loss that would not matter, as a fraction above 0.
        seed: Of the resampling, for metrics that are no count of right answers.
        resamples: How many.

    Returns:
        The one-sided 95 % lower bound of `first - second`, and whether it lies above `-margin` (yes), the upper one
        below it (no), or neither.

    Raises:
        ValueError: The two are not about the same examples.

    Source: Bonett & Price (2012) for accuracy and the recall of a positive class, the percentile bootstrap with pairs
        kept for other metrics (Efron & Tibshirani 1993, chapter 13); the question is that of Blackwelder (1982),
        "Proving the null hypothesis" in clinical trials, Controlled Clinical Trials 3, 345-353.

    >>> from frostline.core.records import Task
    >>> task, true = Task(labels=("a", "b"), positive="b"), np.tile([0, 1], 500)
    >>> one = Predictions(task=task, true_N=true, predicted_N=np.where(np.arange(1000) < 100, 0, true))
    >>> non_inferiority(one, one, names=("depth-4", "full"), metric="accuracy", margin=0.02).met
    'yes'
    """
    value, (low, high) = metric_difference(first, second, metric, seed=seed, resamples=resamples)
    if value is None or low is None or high is None:
        asked = f"Whether {names[0]} is worse than {names[1]} cannot be told"
        sentence = f"{asked}: {spelled(metric)} is undefined for one of the two."
        return NonInferiority(metric=metric, margin=margin, low=None, met="cannot tell", sentence=sentence)
    met: Met = "yes" if low >= -margin else "no" if high < -margin else "cannot tell"
    # The bound comes nearer to the value with the root of the examples: an approximation.
    reach = value + margin
    needed = ceil(len(first) * ((value - low) / reach) ** 2) if met == "cannot tell" and reach > 0 else None
    return NonInferiority(
        metric=metric,
        margin=margin,
        low=low,
        met=met,
        sentence=_sentence(names, metric, margin, low, high, met, needed),
        needed=needed,
    )


def metric_difference(
    first: Predictions, second: Predictions, metric: str, *, seed: int, resamples: int
) -> tuple[float | None, tuple[float | None, float | None]]:
    """`first - second` of a metric, with its one-sided 95 % lower and upper bound; None where undefined."""
    of_first, of_second = metric_of(first, metric), metric_of(second, metric)
    if of_first is None or of_second is None:
        return None, (None, None)
    value = of_first - of_second
    counted = _counted(first, second, metric)
    if counted is not None:
        return value, counted
    drawn = resampled_differences(first, second, [metric], seed=seed, resamples=resamples)[metric]
    if len(drawn) == 0:
        return value, (None, None)
    low, high = (float(limit) for limit in np.quantile(drawn, [1 - CONFIDENCE, CONFIDENCE]))
    return value, (min(low, value), max(high, value))


def _counted(first: Predictions, second: Predictions, metric: str) -> Interval | None:
    """Where the metric is a share of examples that both were asked."""
    positive = first.task.positive_index
    if metric == "accuracy":
        asked_N = np.ones(len(first), dtype=bool)
    elif metric == "recall" and positive is not None:
        asked_N = first.true_N == positive
    else:
        return None
    right_first = (first.predicted_N == first.true_N)[asked_N]
    right_second = (second.predicted_N == second.true_N)[asked_N]
    first_only, second_only = int((right_first & ~right_second).sum()), int((right_second & ~right_first).sum())
    return bonett_price(first_only, second_only, len(right_first), confidence=2 * CONFIDENCE - 1)


def _sentence(
    names: tuple[str, str], metric: str, margin: float, low: float, high: float, met: Met, needed: int | None
) -> str:
    name = spelled(metric)[0].upper() + spelled(metric)[1:]
    allowed, worst, least = (f"{100 * abs(share):.1f} points" for share in (margin, low, high))
    if met == "yes":
        loss = "is not below" if low >= 0 else f"is at most {worst} below"
        return f"{name} of {names[0]} {loss} {names[1]} with confidence: no worse, by the margin of {allowed}."
    if met == "no":
        lost = f"{name} of {names[0]} is at least {least} below {names[1]} with confidence"
        return f"{lost}: worse by more than {allowed}."
    more = "" if needed is None else f" If they go on to differ as they do, about {needed:,} examples would show it."
    return (
        f"{name} of {names[0]} may be up to {worst} below {names[1]}: that it is worse by no more than {allowed} is "
        f"neither shown nor ruled out.{more}"
    )
