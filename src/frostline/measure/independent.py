"""Two rates that were observed on different examples: their difference, its interval, and whether it is noise.

Rates of two models on the same examples are paired and belong to `compare`.
"""

from __future__ import annotations

from math import sqrt

from frostline.measure.intervals import Interval, wilson

_TIE = 1 + 1e-7
"""Tables whose probabilities are this close are equally probable: what parts them is rounding."""


def newcombe(first: tuple[int, int], second: tuple[int, int], *, confidence: float = 0.95) -> Interval:
    """Interval for the difference of two independent rates, from the Wilson limits of each.

    Args:
        first: Successes and total, the total at least 1.
        second: The same of the other rate.
        confidence: Two-sided coverage asked for.

    Returns:
        Limits of `first - second`, within [-1, 1].

    Source: Newcombe (1998), Interval estimation for the difference between independent proportions: comparison of
        eleven methods, Statistics in Medicine 17, 873-890, method 10.

    >>> low, high = newcombe((56, 70), (48, 80))
    >>> f"{low:.4f} {high:.4f}"
    '0.0524 0.3339'
    """
    rate_first, rate_second = first[0] / first[1], second[0] / second[1]
    low_first, high_first = wilson(*first, confidence=confidence)
    low_second, high_second = wilson(*second, confidence=confidence)
    difference = rate_first - rate_second
    below = sqrt((rate_first - low_first) ** 2 + (high_second - rate_second) ** 2)
    above = sqrt((high_first - rate_first) ** 2 + (rate_second - low_second) ** 2)
    return max(-1.0, difference - below), min(1.0, difference + above)


def fisher_midp(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Two-sided mid-p value of "both rates are the same", by Fisher's exact test.

    The exact test less half the probability of the table observed. Few cases of a slice make the exact test itself
    reject far less often than its level says. It is 1 where the margins leave one table only.

    Args:
        first: Successes and total.
        second: The same of the other rate.

    Source: Lydersen, Fagerland & Laake (2009), Recommended tests for association in 2 x 2 tables,
        Statistics in Medicine 28, 1159-1175.

    >>> f"{fisher_midp((7, 12), (1, 7)):.4f}"
    '0.1106'
    """
    from scipy.stats import hypergeom  # here: half a second that judging again need not pay

    (hits, size), (others, rest) = first, second
    successes = hits + others
    possible = range(max(0, successes - rest), min(size, successes) + 1)
    if len(possible) == 1:
        return 1.0  # all succeeded, or all failed: no table could speak against it
    probabilities = hypergeom(size + rest, successes, size).pmf(possible)
    observed = probabilities[hits - possible.start]
    as_rare = probabilities[probabilities <= observed * _TIE].sum()
    return min(1.0, float(as_rare - observed / 2))
