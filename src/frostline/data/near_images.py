"""Images whose coarse pattern is nearly the same: suspected of being one picture saved twice.

Knows pixels and hashes; nothing of files, classes or models. A suspicion is confirmed elsewhere, by embeddings.
Shape letters: H rows of pixels, W columns, N and M images, P pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from frostline.core.records import SplitName, Suspect

NEAR = 4
"""Bits of 64 by which the hashes of two near-duplicates differ at most."""

SAMPLE = 5
"""How many places a suspicion names."""

LONGEST = 20
"""Images that are kept together at most."""

EDGE = 32
"""Edge in pixels of the grey picture that is transformed."""

KEPT = 8
"""Rows and columns of the transform that the hash keeps: the coarse pattern."""

PLAIN = 1.0
"""Median size of the waves, in grey levels, below which an image is too plain: most of its bits would be chance, or
those of every other plain image. Rounding to 256 levels alone makes waves of up to .3."""

CHUNK = 512
"""Images compared with all others at once, to bound the memory."""


def pattern_hash(pixels_HW3: NDArray[np.uint8]) -> int | None:
    """64 bits that describe the coarse pattern of an image; None for an image that is flat or too plain to have one.

    Grey, 32 x 32 pixels by averaging, discrete cosine transform; of its 8 x 8 slowest waves whether each
    is above their median. Brightness, contrast, size and compression hardly matter.

    Source: "pHash" in Zauner (2010), Implementation and benchmarking of perceptual image hash functions.

    >>> picture = np.random.default_rng(0).integers(0, 200, (16, 16, 3), dtype=np.uint8)
    >>> darker, larger = pattern_hash(picture // 2 + 20), pattern_hash(picture.repeat(3, axis=0).repeat(3, axis=1))
    >>> [(pattern_hash(picture) ^ other).bit_count() <= NEAR for other in (darker, larger)]
    [True, True]
    >>> pattern_hash(np.full((9, 9, 3), 7, np.uint8)) is None
    True
    """
    from scipy.fft import dctn

    grey_HW = pixels_HW3 @ np.array([0.299, 0.587, 0.114])
    small_EE = _averaged(_averaged(grey_HW).T).T
    waves_KK = dctn(small_EE, norm="ortho")[:KEPT, :KEPT]
    waves_KK[0, 0] = 0.0  # the mean brightness is no pattern
    if np.median(np.abs(waves_KK)) < PLAIN:
        return None
    bits = (waves_KK > np.median(waves_KK)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def nearest_before(
    hashes: Sequence[int | None], earlier: NDArray[np.int64], later: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each image of a later split the most alike one of an earlier split, where one is near.

    Returns:
        Positions of the earlier and the later image, shape (P, 2).

    >>> nearest_before([0b0111, 0, None], np.array([0, 2]), np.array([1, 2])).tolist()
    [[0, 1]]
    """
    seen = np.array([row for row in earlier if hashes[row] is not None], dtype=np.int64)
    asked = np.array([row for row in later if hashes[row] is not None], dtype=np.int64)
    if not len(seen):
        return np.empty((0, 2), dtype=np.int64)
    seen_N = np.array([hashes[row] for row in seen], dtype=np.uint64)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(asked), CHUNK):
        chunk_M = asked[start : start + CHUNK]
        bits_MN = np.bitwise_count(np.array([hashes[row] for row in chunk_M], dtype=np.uint64)[:, None] ^ seen_N)
        nearest_M = bits_MN.argmin(axis=1)
        near_M = bits_MN[np.arange(len(chunk_M)), nearest_M] <= NEAR
        pairs.append(np.stack([seen[nearest_M[near_M]], chunk_M[near_M]], axis=1))
    return np.concatenate(pairs)


def alike(hashes: Sequence[int | None]) -> NDArray[np.int64]:
    """Per image the position of the first one that it is linked to by near hashes; its own where there is none.

    For dealing only: to keep images in one split that may be one picture costs nothing when they are not. Chains of
    more than `LONGEST` say that the whole set looks alike, and are cut into their images.

    >>> alike([0b0111, 0, None, 2**40 - 1]).tolist()
    [0, 0, 2, 3]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    known = np.array([row for row, found in enumerate(hashes) if found is not None], dtype=np.int64)
    hashes_N = np.array([hashes[row] for row in known], dtype=np.uint64)
    links = [np.empty((2, 0), dtype=np.int64)]
    for start in range(0, len(known), CHUNK):
        near_MN = np.bitwise_count(hashes_N[start : start + CHUNK, None] ^ hashes_N) <= NEAR
        here, there = np.nonzero(near_MN)
        links.append(np.stack([here + start, there]).astype(np.int64))
    pairs = known[np.concatenate(links, axis=1)] if len(known) else np.empty((2, 0), dtype=np.int64)
    graph = coo_array((np.ones(pairs.shape[1], dtype=bool), tuple(pairs)), shape=(len(hashes), len(hashes)))
    component_N = connected_components(graph, directed=False)[1]
    _, first, sizes = np.unique(component_N, return_index=True, return_counts=True)
    own = np.arange(len(hashes))
    return np.where(sizes[component_N] <= LONGEST, first[component_N], own).astype(np.int64)


def suspects(
    hashes: Sequence[int | None], rows: Mapping[SplitName, NDArray[np.int64]], where: Sequence[str]
) -> tuple[tuple[Suspect, ...], NDArray[np.int64]]:
    """Suspected near-duplicates between any two splits.

    Args:
        hashes: Of all images; None where there is no pattern.
        rows: Positions of each split, from what trains to what judges.
        where: Place of each image, for messages.

    Returns:
        What to record; and all pairs, the earlier image first, shape (P, 2).
    """
    found = []
    all_pairs = [np.empty((0, 2), dtype=np.int64)]
    for earlier, later in combinations(rows, 2):
        pairs = nearest_before(hashes, rows[earlier], rows[later])
        if len(pairs):
            sample = tuple(f"{where[there]} ~ {where[here]}" for here, there in pairs[:SAMPLE])
            found.append(Suspect(earlier=earlier, later=later, examples=len(pairs), sample=sample))
            all_pairs.append(pairs)
    return tuple(found), np.concatenate(all_pairs)


def _averaged(values_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows brought to 32 by averaging what falls into each, or by repeating where there are fewer."""
    edges = np.arange(EDGE + 1) * len(values_HW) / EDGE
    sums_HW = np.vstack([np.zeros_like(values_HW[:1]), np.cumsum(values_HW, axis=0)])
    whole = np.minimum(np.floor(edges).astype(int), len(values_HW) - 1)
    at_edges = sums_HW[whole] + (edges - whole)[:, None] * values_HW[whole]
    averages_HW: NDArray[np.float64] = np.diff(at_edges, axis=0) * EDGE / len(values_HW)
    return averages_HW
