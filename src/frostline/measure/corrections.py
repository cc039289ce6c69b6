"""p-values corrected for how many questions were asked of the same examples.

Knows p-values only. A question that could not be asked (None) stays None and does not count.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Corrected so that the chance of one wrong "they differ" among all stays below the level.

    Args:
        p_values: Of all questions asked, in any order.

    Returns:
        One for each, in the same order, never below the value given and never above 1.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6, 65-70.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    order = _rising(p_values)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[place] = highest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Corrected so that of those below the level, at most that share is there by chance, on average.

    Args:
        p_values: Of all questions asked, in any order.

    Returns:
        One for each, in the same order, never below the value given and never above 1.

    Source: Benjamini & Hochberg (1995), Controlling the false discovery rate, J. R. Stat. Soc. B 57, 289-300.

    >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
    [0.03, None, 0.04, 0.04]
    """
    order = _rising(p_values)
    adjusted: list[float | None] = [None] * len(p_values)
    lowest = 1.0
    for rank in range(len(order), 0, -1):
        p, place = order[rank - 1]
        lowest = min(lowest, p * len(order) / rank)
        adjusted[place] = lowest
    return adjusted


def _rising(p_values: Sequence[float | None]) -> list[tuple[float, int]]:
    return sorted((p, place) for place, p in enumerate(p_values) if p is not None)
