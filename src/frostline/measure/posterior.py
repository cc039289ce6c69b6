"""Intervals for metrics that are no ratio of counts: draws of the cell probabilities given the counts.

Shape letters: D draws, K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from frostline.measure.metrics import Floats, Margins, metric_values

DRAWS = 4_000
_CELLS_AT_ONCE = 4_000_000  # 32 MB: with many classes all draws at once would not fit a laptop


def posterior_draws(metric: str, counts: ArrayLike, positive: int | None) -> Floats:
    """Plausible values of a metric, sorted: its posterior under a Dirichlet prior on the cells.

    The prior puts 2 / K^2 on each cell: Jeffreys' 1/2 with two classes, and no more weight in total
    with many. The seed is fixed, so the same counts always give the same interval.

    Args:
        metric: One of `METRICS`.
        counts: Rows = true, shape (K, K).
        positive: Class number whose recall, precision and F1 are meant; None for the mean over classes.

    Returns:
        `DRAWS` values in rising order, shape (D,).

    Source: Goutte & Gaussier (2005), A probabilistic interpretation of precision, recall and F-score;
        Caelen (2017), A Bayesian interpretation of the confusion matrix.

    >>> low, high = np.quantile(posterior_draws("mcc", [[12, 88], [12, 4888]], 0), [0.025, 0.975])
    >>> bool(low < 0.238 < high)
    True
    """
    cells_KK = np.asarray(counts, dtype=np.float64)
    classes = len(cells_KK)
    shape = cells_KK.ravel() + 2 / classes**2
    random = np.random.default_rng(0)
    parts: list[Floats] = []
    step = max(1, _CELLS_AT_ONCE // len(shape))
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        # Gamma variates are a Dirichlet draw before its division by the total, which every metric cancels.
        drawn = random.standard_gamma(shape, size=(size, len(shape))).reshape(size, classes, classes)
        parts.append(metric_values(metric, Margins.of(drawn), positive))
    return np.sort(np.concatenate(parts))
