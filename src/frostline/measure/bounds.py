"""One-sided bounds of every metric: what a floor is tested against.

The displayed intervals of `measures` are two-sided and short; these are exact where the metric is a
rate (Clopper-Pearson), so that a floor said to be met is missed in at most one case of twenty. A mean
of rates is bounded from the exact limits of each. For the Matthews correlation and the macro F1 they
are approximate, and near 1 the upper ones hold less often than they say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from frostline.measure.intervals import (
    cases_needed,
    clopper_pearson_lower,
    clopper_pearson_upper,
    f1_from_overlap,
    mover_mean,
)
from frostline.measure.measures import rates
from frostline.measure.metrics import Floats, Margins, metric_values
from frostline.measure.posterior import LOWER_PRIOR, UPPER_PRIOR, posterior_draws


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lower and upper bound of one metric, each a function of its one-sided confidence."""

    lower: Callable[[float], float]
    upper: Callable[[float], float]


def bounds(metric: str, counts: ArrayLike, positive: int | None) -> Bounds | None:
    """Bounds of a metric given its counts.

    Args:
        metric: One of `metrics.METRICS`.
        counts: Rows = true, shape (K, K).
        positive: Class number whose recall, precision and F1 are meant; None for the mean over classes.

    Returns:
        The bounds, or None where the metric is undefined.

    >>> recall = bounds("recall", [[85, 15], [10, 90]], 0)
    >>> f"{recall.lower(0.95):.3f}"
    '0.778'
    """
    margins = Margins.of(counts)
    if math.isnan(float(metric_values(metric, margins, positive))):
        return None
    parts = rates(metric, margins, positive)
    if not parts:
        priors = (LOWER_PRIOR, UPPER_PRIOR)
        return _of_posterior(*(posterior_draws(metric, counts, positive, prior=prior) for prior in priors))
    if len(parts) > 1:
        return _of_mean(parts)
    exact = _of_rate(*parts[0])
    return _mapped(exact, f1_from_overlap) if metric == "f1" else exact


def examples_needed(
    metric: str, counts: ArrayLike, positive: int | None, floor: float, *, confidence: float
) -> int | None:
    """How many cases would show the metric to be at least `floor`, if it goes on as observed.

    Args:
        metric: One of `metrics.METRICS`.
        counts: Rows = true, shape (K, K).
        positive: As in `bounds`.
        floor: What is to be shown.
        confidence: One-sided.

    Returns:
        True positives in all for a recall of the positive class, answers "positive" for its
        precision, otherwise examples. None when the metric is undefined or not above the floor.

    >>> examples_needed("recall", [[85, 15], [10, 90]], 0, 0.8, confidence=0.95)
    215
    """
    margins = Margins.of(counts)
    value, now = float(metric_values(metric, margins, positive)), bounds(metric, counts, positive)
    if now is None or value <= floor:
        return None
    parts = rates(metric, margins, positive)
    if len(parts) != 1:
        return _by_width(value, floor, now.lower(confidence), float(margins.total))
    hits, total = parts[0]
    if metric != "f1":
        return cases_needed(hits / total, floor, confidence=confidence)
    cases = cases_needed(hits / total, floor / (2 - floor), confidence=confidence)
    return None if cases is None else round(cases / total * float(margins.total))


def _by_width(value: float, floor: float, lower: float, total: float) -> int:
    """The distance from value to bound shrinks with the root of the examples: an approximation."""
    return math.ceil(total * ((value - lower) / (value - floor)) ** 2)


def _of_rate(hits: float, total: float) -> Bounds:
    return Bounds(
        lower=lambda confidence: clopper_pearson_lower(hits, total, confidence=confidence),
        upper=lambda confidence: clopper_pearson_upper(hits, total, confidence=confidence),
    )


def _of_mean(parts: list[tuple[float, float]]) -> Bounds:
    values = [hits / total for hits, total in parts]

    def limits(confidence: float) -> tuple[float, float]:
        # Below one half a lower bound would pass its estimate, and squares would bring it back.
        level = max(0.5, confidence)
        # Exact limits of each: with Wilson's, upper bounds of 95 % held in 88 to 93 % of the cases, rates being .9 or
        # more and classes of at most 100 examples (benchmarks/notes/2026-11-25-statistics.md).
        each = [_of_rate(hits, total) for hits, total in parts]
        return mover_mean(values, [(exact.lower(level), exact.upper(level)) for exact in each])

    return Bounds(lower=lambda confidence: limits(confidence)[0], upper=lambda confidence: limits(confidence)[1])


def _of_posterior(below: Floats, above: Floats) -> Bounds:
    return Bounds(
        lower=lambda confidence: float(np.quantile(below, 1 - confidence)),
        upper=lambda confidence: float(np.quantile(above, confidence)),
    )


def _mapped(bounds: Bounds, rising: Callable[[float], float]) -> Bounds:
    return Bounds(
        lower=lambda confidence: rising(bounds.lower(confidence)),
        upper=lambda confidence: rising(bounds.upper(confidence)),
    )
