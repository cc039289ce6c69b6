"""Which things belong together, when only pairs of them are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Clusters:
    """Sets that grow together pair by pair: whoever is joined to a member is in.

    Source: Tarjan (1975), Efficiency of a good but not linear set union algorithm, JACM 22 (2), 215-225.

    >>> clusters = Clusters(4)
    >>> clusters.join(3, 1)
    >>> clusters.numbers().tolist()
    [0, 1, 2, 1]
    """

    __slots__ = ("_parent",)

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def first_of(self, member: int) -> int:
        """The smallest member of its cluster."""
        parent = self._parent
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def join(self, one: int, other: int) -> None:
        """Put both, and all that is with them, into one cluster."""
        first, second = sorted((self.first_of(one), self.first_of(other)))
        self._parent[second] = first

    def numbers(self) -> NDArray[np.int64]:
        """For each member the smallest member of its cluster."""
        return np.array([self.first_of(member) for member in range(len(self._parent))], dtype=np.int64)


def joined(*numberings: NDArray[np.int64]) -> NDArray[np.int64]:
    """The finest numbering that keeps together whatever one of the given ones keeps together.

    Args:
        numberings: One number per thing each; equal numbers belong together.

    Returns:
        For each thing the position of the first that belongs with it.

    >>> joined(np.array([7, 7, 8, 9]), np.array([1, 2, 2, 3])).tolist()
    [0, 0, 0, 3]
    """
    clusters = Clusters(len(numberings[0]))
    for numbering in numberings:
        _, first, number = np.unique(numbering, return_index=True, return_inverse=True)
        for member, other in enumerate(first[number].tolist()):
            if other != member:
                clusters.join(other, member)
    return clusters.numbers()
