"""Dealing examples out to train, stop, select and test: seeded, stratified, groups kept whole.

Knows class numbers and groups; nothing of files or inputs.
Shape letters: N examples, G groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isclose

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import DataError
from frostline.core.records import SplitName
from frostline.data.whole_clusters import place_clusters

FOLDS = (10, 5, 4, 3, 2)
"""Folds that groups are cut into: the more, the nearer to any share; the fewer, the likelier each holds every class."""

GROUP_SHUFFLES = 5
"""How often groups are dealt anew before fewer folds are tried, and at last it is said that they cannot be dealt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitShares:
    """Which part of the data each split gets when frostline does the splitting.

    >>> SplitShares().test
    0.2
    """

    train: float = 0.5
    stop: float = 0.1
    """For early stopping."""
    select: float = 0.2
    """For choosing plan and threshold."""
    test: float = 0.2
    """Sealed."""

    def __post_init__(self) -> None:
        shares = asdict(self)
        if min(shares.values()) <= 0 or not isclose(sum(shares.values()), 1):
            raise DataError(f"Split shares must be positive and sum to 1, got {shares}.")

    def among(self, splits: Sequence[SplitName]) -> dict[SplitName, float]:
        """The shares of some splits only, scaled to sum to 1.

        >>> SplitShares().among(["stop", "select"])["stop"]
        0.3333333333333333
        """
        shares: dict[SplitName, float] = {split: getattr(self, split) for split in splits}
        return {split: share / sum(shares.values()) for split, share in shares.items()}


def deal(
    labels_N: NDArray[np.int64],
    shares: Mapping[SplitName, float],
    seed: int,
    clusters_N: NDArray[np.int64] | None = None,
) -> dict[SplitName, NDArray[np.int64]]:
    """Shuffle each class and deal it out by shares, at least one example to each split.

    scikit-learn's stratified splitting is as close to the shares, but may leave a split without a
    rare class; here every class with as many examples as there are splits reaches all of them.

    Args:
        labels_N: Class numbers; each class occurs in at least `len(shares)` clusters.
        shares: Summing to 1.
        seed: The same seed deals the same way.
        clusters_N: Examples with the same number stay together; None when each stands alone, and the
            deal is the same when no number occurs twice.

    Returns:
        Sorted positions per split. Each position is in exactly one.

    Raises:
        DataError: Clusters that hold several classes leave too little of one of them for some split.

    >>> dealt = deal(np.array([0] * 8 + [1] * 2), {"train": 0.75, "test": 0.25}, seed=0)
    >>> {split: len(rows) for split, rows in dealt.items()}
    {'train': 7, 'test': 3}
    """
    rng = np.random.default_rng(seed)
    shares_S = np.array(list(shares.values()))
    placed_N = (
        np.full(len(labels_N), -1) if clusters_N is None else place_clusters(labels_N, clusters_N, shares_S, seed)
    )
    hands = [[np.flatnonzero(placed_N == split)] for split in range(len(shares))]
    owed = np.zeros(len(shares))
    for label in np.unique(labels_N):
        members = rng.permutation(np.flatnonzero(labels_N == label))
        held = np.bincount(placed_N[members] + 1, minlength=len(shares) + 1)[1:]
        single = members[placed_N[members] < 0]
        wanted = len(members) * shares_S
        counts = _counts(wanted, owed) if len(single) == len(members) else _rest(wanted, owed, held, len(single))
        # What rounding took from a split in one class it gets back in the next, so that totals fit too.
        owed += wanted - counts - held
        for hand, dealt in zip(hands, np.split(single, np.cumsum(counts)[:-1]), strict=True):
            hand.append(dealt)
    return {split: np.sort(np.concatenate(hand)) for split, hand in zip(shares, hands, strict=True)}


def deal_groups(
    labels_N: NDArray[np.int64], groups_N: NDArray[np.int64], shares: Mapping[SplitName, float], seed: int
) -> dict[SplitName, NDArray[np.int64]]:
    """The same for data in which some examples belong together: a group never straddles.

    The shares are met as nearly as whole groups allow.

    Args:
        labels_N: Class numbers; each class occurs in at least `len(shares)` groups.
        groups_N: Group numbers.
        shares: Summing to 1.
        seed: The same seed deals the same way.

    Returns:
        Sorted positions per split. Each position is in exactly one.

    Raises:
        DataError: The groups cannot be dealt so that each split has each class.

    Source: scikit-learn, StratifiedGroupKFold, one split carved after the other.
    """
    rest = np.arange(len(labels_N))
    dealt: dict[SplitName, NDArray[np.int64]] = {}
    left = dict(shares)
    for split in sorted(shares, key=lambda split: shares[split])[:-1]:
        part = _carve(labels_N[rest], groups_N[rest], left[split] / sum(left.values()), len(left) - 1, seed)
        if part is None:
            raise DataError(
                f"The groups cannot be dealt so that each of {', '.join(shares)} has every class: too few groups, or "
                "too unequal ones, hold the rare class. Add groups, or give the splits as files."
            )
        del left[split]
        dealt[split] = rest[part]
        rest = np.delete(rest, part)
    return {split: dealt.get(split, rest) for split in shares}


def _counts(wanted: NDArray[np.float64], owed: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers near `wanted` with the same sum, one at least; where either neighbour would do, `owed` decides."""
    counts = np.maximum(1, np.floor(wanted)).astype(np.int64)
    total = round(wanted.sum())
    while counts.sum() < total:
        counts[np.argmax(np.where(counts < wanted, wanted + owed - counts, -np.inf))] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > 1, counts - wanted, -np.inf))] -= 1
    return counts


def _rest(
    wanted: NDArray[np.float64], owed: NDArray[np.float64], held: NDArray[np.int64], single: int
) -> NDArray[np.int64]:
    """How many single examples of a class each split gets beside those in clusters: one at least where it has none.

    Raises:
        DataError: There are fewer than splits without any.
    """
    counts: NDArray[np.int64] = (held == 0).astype(np.int64)
    if single < counts.sum():
        raise DataError(
            "Near-duplicate texts cannot be kept together so that each split has every class: too few texts of a class "
            "differ from each other. Add different examples of it, or give the splits as files."
        )
    while counts.sum() < single:
        counts[np.argmax(wanted + owed - held - counts)] += 1
    return counts


def _carve(
    labels_N: NDArray[np.int64], groups_N: NDArray[np.int64], share: float, others: int, seed: int
) -> NDArray[np.int64] | None:
    """Positions of whole groups, about `share` of all, that hold every class and leave enough for `others`.

    The share is at most one half: the smallest split is carved first, the largest is what remains.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    rarest = int(np.unique(labels_N, return_counts=True)[1].min())
    most = min(rarest, len(np.unique(groups_N)))
    for folds in (folds for folds in FOLDS if folds <= most):
        taken = max(1, round(share * folds))
        for shuffle in range(GROUP_SHUFFLES):
            dealer = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed + shuffle)
            pieces = [piece for _, piece in dealer.split(labels_N, labels_N, groups_N)]
            parts = [np.concatenate(pieces[first : first + taken]) for first in range(folds - taken + 1)]
            fit = [np.sort(part) for part in parts if _serves(labels_N, groups_N, part, others)]
            if fit:
                return min(fit, key=lambda part: abs(len(part) - share * len(labels_N)))
    return None


def _serves(labels_N: NDArray[np.int64], groups_N: NDArray[np.int64], part: NDArray[np.int64], others: int) -> bool:
    inside = np.zeros(len(labels_N), dtype=bool)
    inside[part] = True
    return all(
        np.any(inside[of_class]) and len(np.unique(groups_N[of_class & ~inside])) >= others
        for of_class in (labels_N == label for label in np.unique(labels_N))
    )
