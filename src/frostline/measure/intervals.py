"""Intervals for rates that were already counted.

Knows nothing of models, labels or files: plain numbers in, plain numbers out. Rates are fractions.
An interval is displayed; a bound is what a floor is tested against, and is one-sided.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import sqrt
from statistics import NormalDist

Interval = tuple[float, float]


def wilson(successes: float, total: float, *, confidence: float = 0.95) -> Interval:
    """Interval for one rate observed once: an accuracy, a recall, a precision.

    Args:
        successes: From 0 to `total`.
        total: At least 1: the caller says why a rate without cases is undefined.
        confidence: Two-sided coverage asked for, strictly between 0 and 1.

    Returns:
        Lower and upper limit, as fractions.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference,
        JASA 22 (158), 209-212.

    >>> low, high = wilson(12, 100)
    >>> f"{low:.3f} {high:.3f}"
    '0.070 0.198'
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / total
    shrink = 1 + z * z / total
    centre = (rate + z * z / (2 * total)) / shrink
    half_width = z / shrink * sqrt(rate * (1 - rate) / total + (z / (2 * total)) ** 2)
    # At the ends the formula is exact in theory and off by one rounding in practice.
    low = 0.0 if successes == 0 else max(0.0, centre - half_width)
    high = 1.0 if successes == total else min(1.0, centre + half_width)
    return low, high


def clopper_pearson_lower(successes: float, total: float, *, confidence: float = 0.95) -> float:
    """Lower bound of a rate that is too high with probability at most `1 - confidence`.

    Args:
        successes: From 0 to `total`.
        total: At least 1.
        confidence: One-sided, strictly between 0 and 1.

    Source: Clopper & Pearson (1934), The use of confidence or fiducial limits, Biometrika 26, 404-413.

    >>> f"{clopper_pearson_lower(85, 100):.3f}"
    '0.778'
    """
    from scipy.special import betaincinv  # here: a quarter of a second that --help need not pay

    return 0.0 if successes == 0 else float(betaincinv(successes, total - successes + 1, 1 - confidence))


def clopper_pearson_upper(successes: float, total: float, *, confidence: float = 0.95) -> float:
    """Upper bound of a rate: the lower one of the failures, seen in a mirror.

    >>> f"{clopper_pearson_upper(0, 59):.3f}"
    '0.050'
    """
    return 1 - clopper_pearson_lower(total - successes, total, confidence=confidence)


def mover_mean(rates: Sequence[float], limits: Sequence[Interval]) -> Interval:
    """Interval for the mean of independent rates, from the interval of each.

    Balanced accuracy and macro recall average over true classes, macro precision over predicted
    ones: given the sizes of these groups their rates are independent.

    Args:
        rates: One per group.
        limits: Lower and upper limit of each, all at the level wanted for the mean.

    Returns:
        Lower and upper limit of the mean.

    Source: method of variance estimates recovery: Newcombe (1998), Statistics in Medicine 17, 873-890;
        Zou & Donner (2008), Statistics in Medicine 27, 1693-1702.

    >>> low, high = mover_mean([0.9, 0.85], [wilson(90, 100), wilson(85, 100)])
    >>> f"{low:.3f} {high:.3f}"
    '0.819 0.911'
    """
    mean = sum(rates) / len(rates)
    below = sqrt(sum((rate - low) ** 2 for rate, (low, _) in zip(rates, limits, strict=True)))
    above = sqrt(sum((high - rate) ** 2 for rate, (_, high) in zip(rates, limits, strict=True)))
    return max(0.0, mean - below / len(rates)), min(1.0, mean + above / len(rates))


def f1_from_overlap(overlap: float) -> float:
    """F1 from the Jaccard overlap TP / (TP + FP + FN), of which it is a rising function.

    Given TP + FP + FN the TP are binomial, so limits of the overlap become limits of F1.

    >>> f"{f1_from_overlap(85 / 110):.4f}"
    '0.8718'
    """
    return 2 * overlap / (1 + overlap)


def bonett_price(first_only: int, second_only: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Interval for the difference of two rates observed on the same cases.

    Args:
        first_only: Cases that only the first got right.
        second_only: Cases that only the second got right.
        total: All cases, at least 1.
        confidence: Two-sided coverage asked for.

    Returns:
        Limits of `first - second`, within [-1, 1].

    Source: Bonett & Price (2012), Adjusted Wald confidence interval for a difference of binomial
        proportions based on paired data, J. Educ. Behav. Stat. 37, 479-488.

    >>> low, high = bonett_price(20, 8, 100)
    >>> f"{low:.3f} {high:.3f}"
    '0.015 0.220'
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share_first, share_second = (first_only + 1) / (total + 2), (second_only + 1) / (total + 2)
    centre = share_first - share_second
    half_width = z * sqrt((share_first + share_second - centre**2) / (total + 2))
    return max(-1.0, centre - half_width), min(1.0, centre + half_width)


def mcnemar_midp(first_only: int, second_only: int) -> float:
    """Two-sided mid-p value of "both are right equally often", from the cases on which they differ.

    Args:
        first_only: Cases that only the first got right.
        second_only: Cases that only the second got right.

    Source: Fagerland, Lydersen & Laake (2013), The McNemar test for binary matched-pairs data,
        BMC Medical Research Methodology 13:91.

    >>> f"{mcnemar_midp(1, 7):.4f}"
    '0.0391'
    """
    from scipy.special import bdtr

    fewer, differing = min(first_only, second_only), first_only + second_only
    if differing == 0:
        return 1.0
    at_most = float(bdtr(fewer, differing, 0.5))
    below = float(bdtr(fewer - 1, differing, 0.5)) if fewer else 0.0
    return min(1.0, at_most + below)


def cases_needed(rate: float, floor: float, *, confidence: float = 0.95) -> int | None:
    """How many cases show a rate to be at least `floor`, if it goes on as observed.

    Hits are whole, so the bound rises with the cases in steps down and up. The answer is the number
    from which on it never falls below the floor again.

    Args:
        rate: Observed so far.
        floor: What is to be shown.
        confidence: One-sided, of the Clopper-Pearson bound.

    Returns:
        Cases in total, or None when no number up to ten million would do.

    >>> cases_needed(0.85, 0.80)
    215
    """
    enough = _first(lambda cases: _shown(max(0.0, rate * cases - 1), cases, floor, confidence))
    if enough is None:
        return None
    for cases in range(enough - 1, 0, -1):
        # A product such as 0.85 * 200 may lie one rounding under the whole number it stands for.
        if not _shown(math.floor(rate * cases + 1e-9), cases, floor, confidence):
            return cases + 1
    return 1


def _shown(successes: float, cases: int, floor: float, confidence: float) -> bool:
    return clopper_pearson_lower(successes, cases, confidence=confidence) >= floor


def _first(holds: Callable[[int], bool], limit: int = 10_000_000) -> int | None:
    """Smallest number for which a condition holds that never fails again once it held."""
    if not holds(limit):
        return None
    return bisect_left(range(limit), True, lo=1, key=holds)


def smallest_level(lower: Callable[[float], float], floor: float) -> float:
    """One-sided p-value against "at most `floor`": the level at which the lower bound reaches the floor.

    Args:
        lower: Lower bound as a falling function of the confidence.
        floor: The value to be exceeded.

    Returns:
        A probability, exact to about 1e-12. For a Clopper-Pearson bound it is the exact binomial tail.

    >>> f"{smallest_level(lambda confidence: clopper_pearson_lower(85, 100, confidence=confidence), 0.8):.4f}"
    '0.1285'
    """
    met, unmet = 1.0, 0.0  # levels at which the bound lies above the floor, and below it
    for _ in range(40):
        level = (met + unmet) / 2
        if lower(1 - level) >= floor:
            met = level
        else:
            unmet = level
    return met
