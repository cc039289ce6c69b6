"""Resampling with class sizes kept, and the interval that corrects for what resampling does to a metric.

Knows weights and numbers only: a resample is how often each example was drawn.

Shape letters: N examples, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from frostline.measure.intervals import Interval
from frostline.measure.metrics import Floats

RESAMPLES = 2_000
_CELLS_AT_ONCE = 4_000_000  # 32 MB: all resamples of a large split at once would not fit a laptop


def resampled_weights(strata_N: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Floats]:
    """How often each example is drawn, some resamples at a time.

    Each stratum is resampled by itself, so its size never changes: no resample lacks a class.

    Args:
        strata_N: Stratum of each example, such as its true class; all zero for plain resampling.
        resamples: How many in all.
        seed: The same seed gives the same weights.

    Yields:
        Whole numbers as floats, shape (up to R, N); rows sum to N.

    Source: Davison & Hinkley (1997), Bootstrap Methods and their Application, section 3.2.

    >>> (weights,) = resampled_weights(np.array([0, 0, 0, 1, 1]), resamples=4)
    >>> weights.shape, weights[:, :3].sum(axis=1).tolist()
    ((4, 5), [3.0, 3.0, 3.0, 3.0])
    """
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(strata_N == stratum) for stratum in np.unique(strata_N)]
    step = max(1, _CELLS_AT_ONCE // max(1, len(strata_N)))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        weights_RN = np.empty((rows, len(strata_N)))
        for rows_of in members:
            weights_RN[:, rows_of] = _times_drawn(random, rows, len(rows_of))
        yield weights_RN


def _times_drawn(random: np.random.Generator, rows: int, size: int) -> NDArray[np.int64]:
    # Counting drawn numbers is five times as fast as drawing multinomial counts of single examples.
    drawn = random.integers(0, size, size=(rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)


def bca(value: float, resampled_R: Floats, influence_N: Floats, *, confidence: float = 0.95) -> Interval | None:
    """Bias-corrected and accelerated interval of a metric.

    Args:
        value: Of the metric on the examples themselves.
        resampled_R: Of the metric on the resamples, shape (R,).
        influence_N: Derivative of the metric by the weight of each example, with zero mean in each stratum.
        confidence: Two-sided.

    Returns:
        Limits; None where every resample gives the same value, because then resampling says nothing.

    Source: Efron (1987), Better bootstrap confidence intervals, JASA 82, 171-185; the acceleration of several
        samples as in Davison & Hinkley (1997), section 5.3.2.

    >>> values = np.random.default_rng(0).exponential(size=200)
    >>> drawn = np.concatenate([w @ values / 200 for w in resampled_weights(np.zeros(200, int))])
    >>> low, high = bca(values.mean(), drawn, (values - values.mean()) / 200)
    >>> bool(high - values.mean() > values.mean() - low)
    True
    """
    if float(np.ptp(resampled_R)) <= 1e-12 * max(1.0, abs(value)):
        return None
    normal, count = NormalDist(), len(resampled_R)
    below = float((resampled_R < value).sum() + (resampled_R == value).sum() / 2)
    bias = normal.inv_cdf(min(max(below, 0.5), count - 0.5) / count)
    spread = float((influence_N**2).sum())
    acceleration = float((influence_N**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    low, high = (
        float(np.quantile(resampled_R, normal.cdf(_shifted(bias, acceleration, normal.inv_cdf(level)))))
        for level in ((1 - confidence) / 2, (1 + confidence) / 2)
    )
    # A metric that resampling only worsens may lie outside its own limits.
    return min(low, value), max(high, value)


def _shifted(bias: float, acceleration: float, z: float) -> float:
    return bias + (bias + z) / (1 - acceleration * (bias + z))


def centred(gradient_N: Floats, strata_N: NDArray[np.int64]) -> Floats:
    """A gradient by weights less its mean in each stratum, as the sizes of the strata are kept.

    >>> centred(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1])).tolist()
    [-1.0, 1.0, 0.0]
    """
    sizes = np.bincount(strata_N)
    means = np.bincount(strata_N, weights=gradient_N) / np.maximum(sizes, 1)
    result: Floats = gradient_N - means[strata_N]
    return result
