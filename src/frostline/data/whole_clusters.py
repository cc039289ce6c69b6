"""Where clusters of near-duplicates go when splits are dealt: each of them to one split, whole.

Knows class numbers and clusters. Shape letters: N examples, C classes, S splits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def place_clusters(
    labels_N: NDArray[np.int64], clusters_N: NDArray[np.int64], shares_S: NDArray[np.float64], seed: int
) -> NDArray[np.int64]:
    """Give each cluster of two or more to a split: the largest first, to where its classes are short the most.

    Args:
        labels_N: Class numbers from 0.
        clusters_N: Equal numbers for examples that belong together.
        shares_S: Of each split, summing to 1.
        seed: Decides the order of clusters of equal size.

    Returns:
        The number of its split for each example of such a cluster; -1 for the others.

    >>> place_clusters(np.array([0, 0, 0, 1]), np.array([5, 5, 6, 7]), np.array([0.5, 0.5]), seed=0).tolist()
    [0, 0, -1, -1]
    """
    placed_N = np.full(len(labels_N), -1, dtype=np.int64)
    _, unit_N, sizes = np.unique(clusters_N, return_inverse=True, return_counts=True)
    several = np.random.default_rng(seed).permutation(np.flatnonzero(sizes > 1))
    totals_C = np.bincount(labels_N)
    single_C = np.bincount(labels_N[sizes[unit_N] == 1], minlength=len(totals_C))
    members = {unit: np.flatnonzero(unit_N == unit) for unit in several}
    counts = {unit: np.bincount(labels_N[rows], minlength=len(totals_C)) for unit, rows in members.items()}
    # Units of each class that are still to come, single examples included.
    coming_C = single_C + sum((count > 0 for count in counts.values()), start=np.zeros(len(totals_C), dtype=np.int64))
    short_CS = totals_C[:, None] * shares_S
    empty_CS = np.ones(short_CS.shape, dtype=bool)
    for unit in sorted(several, key=lambda unit: -sizes[unit]):
        of_unit_C = counts[unit]
        held_C = of_unit_C > 0
        # A class with no more units left than splits without it must not spend one on a split that has it.
        urgent_C = held_C & (coming_C <= empty_CS.sum(axis=1))
        gain_S = (of_unit_C[held_C] / totals_C[held_C]) @ (short_CS[held_C] / totals_C[held_C, None])
        split = int(np.lexsort((np.arange(len(shares_S)), -gain_S, -empty_CS[urgent_C].sum(axis=0)))[0])
        placed_N[members[unit]] = split
        short_CS[:, split] -= of_unit_C
        empty_CS[held_C, split] = False
        coming_C -= held_C
    return placed_N
