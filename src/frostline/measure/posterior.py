"""Intervals for metrics that are no ratio of counts: draws of the cell probabilities given the counts.

Shape letters: D draws, K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from frostline.measure.metrics import Floats, Margins, metric_values

DRAWS = 4_000
_CELLS_AT_ONCE = 4_000_000  # 32 MB: with many classes all draws at once would not fit a laptop


LOWER_PRIOR, UPPER_PRIOR = 2.0, 0.5
"""Examples' worth of prior, spread over all cells. Few mistakes were seen when a classifier is good, and a prior that
puts more of them into empty cells pulls the whole posterior down: a lower limit may be pulled, an upper one may not."""


def posterior_draws(metric: str, counts: ArrayLike, positive: int | None, *, prior: float = LOWER_PRIOR) -> Floats:
    """Plausible values of a metric, sorted: its posterior under a Dirichlet prior on the cells.

    The prior puts `prior` / K^2 on each cell, with 2 in all Jeffreys' 1/2 of two classes, and no more weight in
    total with many. The seed is fixed, so the same counts always give the same interval.

    Args:
        metric: One of `METRICS`.
        counts: Rows = true, shape (K, K).
        positive: Class number whose recall, precision and F1 are meant; None for the mean over classes.
        prior: See `LOWER_PRIOR`.

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
    shape = cells_KK.ravel() + prior / classes**2
    random = np.random.default_rng(0)
    parts: list[Floats] = []
    step = max(1, _CELLS_AT_ONCE // len(shape))
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        # Gamma variates are a Dirichlet draw before its division by the total, which every metric cancels.
        drawn = random.standard_gamma(shape, size=(size, len(shape))).reshape(size, classes, classes)
        parts.append(metric_values(metric, Margins.of(drawn), positive))
    return np.sort(np.concatenate(parts))
