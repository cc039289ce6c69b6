"""What follows from near-duplicate texts: they are kept together, or leave the earlier of two splits.

Knows clusters and parts; `frostline.data.near_text` says which texts are nearly the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from frostline.core.records import Overlap
from frostline.data.examples import Examples, Part
from frostline.data.near_images import alike
from frostline.data.near_text import near_texts

SAMPLE = 5
"""How many places an overlap names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Straddling:
    """Near-duplicates on both sides of a split. Arrays have one entry per example."""

    leaving: NDArray[np.bool_]
    """A near-duplicate stands in a later split, so this one must go."""
    overlapping: NDArray[np.bool_]
    """A near-duplicate stood in an earlier split."""
    overlaps: tuple[Overlap, ...]


def clusters_of(examples: Examples) -> NDArray[np.int64]:
    """Per example the position of the first one that it is nearly the same as; its own where there is none."""
    if examples.kind != "text":
        return np.arange(len(examples))
    return near_texts([str(text) for text in examples.inputs])


def kept_together(examples: Examples, texts_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clusters that are dealt out whole: near-duplicate texts, and images that may be one picture."""
    return texts_N if examples.hashes is None else alike(examples.hashes)


def straddling(
    clusters_N: NDArray[np.int64], sides: Sequence[str], where: Sequence[str], order: Sequence[str]
) -> Straddling:
    """Find clusters that stand on both sides of a split.

    Args:
        clusters_N: Cluster of each example.
        sides: Its split or given part.
        where: Its place, for messages.
        order: All sides, from what trains to what judges.

    >>> found = straddling(np.array([0, 1, 0]), ["train", "train", "test"], ["a", "b", "c"], ["train", "test"])
    >>> found.leaving.tolist(), found.overlapping.tolist(), found.overlaps[0].sample
    ([True, False, False], [False, False, True], ('c ~ a',))
    """
    rank_N = np.array([order.index(side) for side in sides], dtype=np.int64)
    size = int(clusters_N.max(initial=0)) + 1
    first, last = np.full(size, len(order)), np.full(size, -1)
    np.minimum.at(first, clusters_N, rank_N)
    np.maximum.at(last, clusters_N, rank_N)
    found = [_overlap(clusters_N, rank_N, where, order, pair) for pair in combinations(range(len(order)), 2)]
    return Straddling(
        leaving=last[clusters_N] > rank_N,
        overlapping=first[clusters_N] < rank_N,
        overlaps=tuple(overlap for overlap in found if overlap is not None),
    )


def together(clusters_N: NDArray[np.int64], sides: Sequence[Part], dealt: Mapping[Part, bool]) -> int:
    """How many clusters of two or more stand in parts that are dealt out to several splits."""
    inside = np.array([dealt[side] for side in sides], dtype=bool)
    return int((np.bincount(clusters_N[inside], minlength=1) > 1).sum())


def _overlap(
    clusters_N: NDArray[np.int64],
    rank_N: NDArray[np.int64],
    where: Sequence[str],
    order: Sequence[str],
    pair: tuple[int, int],
) -> Overlap | None:
    earlier, later = pair
    here = {int(clusters_N[row]): int(row) for row in np.flatnonzero(rank_N == earlier)[::-1]}
    there = np.flatnonzero(rank_N == later)
    shared = [int(row) for row in there if int(clusters_N[row]) in here]
    if not shared:
        return None
    return Overlap(
        kind="near text",
        earlier=order[earlier],
        later=order[later],
        examples=len(shared),
        share=len(shared) / len(there),
        sample=tuple(f"{where[row]} ~ {where[here[int(clusters_N[row])]]}" for row in shared[:SAMPLE]),
    )
