"""Dealing: every example once, classes in proportion, groups whole, the seed decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from frostline.core.errors import DataError
from frostline.core.records import SplitName
from frostline.data.splits import SplitShares, _counts, deal, deal_groups

SHARES: dict[SplitName, float] = {"train": 0.5, "stop": 0.1, "select": 0.2, "test": 0.2}


@st.composite
def class_labels(draw: st.DrawFn) -> np.ndarray:
    sizes = draw(st.lists(st.integers(4, 60), min_size=2, max_size=5))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(labels)


@given(labels=class_labels(), seed=st.integers(0, 1000))
def test_each_example_is_dealt_once_and_each_class_everywhere(labels: np.ndarray, seed: int) -> None:
    """The splits partition the data, no class misses a split, and no class is off its share by a whole example
    beyond what "at least one" forces."""
    dealt = deal(labels, SHARES, seed)

    assert np.array_equal(np.sort(np.concatenate(list(dealt.values()))), np.arange(len(labels)))
    for split, rows in dealt.items():
        assert np.array_equal(rows, np.sort(rows))
        counts, totals = np.bincount(labels[rows], minlength=labels.max() + 1), np.bincount(labels)
        assert counts.min() >= 1
        assert (np.abs(counts - totals * SHARES[split]) < 3).all()
        large = totals >= 20
        assert (np.abs(counts - totals * SHARES[split])[large] < 1).all()


@given(labels=class_labels(), seed=st.integers(0, 1000))
def test_the_same_seed_deals_the_same(labels: np.ndarray, seed: int) -> None:
    """Nothing but labels, shares and seed decides."""
    first, second = deal(labels, SHARES, seed), deal(labels, SHARES, seed)

    assert all(np.array_equal(first[split], second[split]) for split in SHARES)


def test_another_seed_deals_otherwise() -> None:
    """The seed is used."""
    labels = np.repeat([0, 1], 50)

    assert not np.array_equal(deal(labels, SHARES, 0)["test"], deal(labels, SHARES, 1)["test"])


@given(labels=class_labels(), seed=st.integers(0, 1000))
def test_counts_agree_with_scikit_learn(labels: np.ndarray, seed: int) -> None:
    """Where scikit-learn's stratified split works, its class counts are ours, but for one rounded example."""
    labels = np.concatenate([labels] * 5)
    ours = deal(labels, {"train": 0.8, "test": 0.2}, seed)["test"]
    theirs = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=seed)[1]

    assert (np.abs(np.bincount(labels[ours]) - np.bincount(labels[theirs])) <= 1).all()


@settings(max_examples=25, deadline=None)
@given(
    groups=st.lists(st.integers(0, 40), min_size=160, max_size=300),
    seed=st.integers(0, 1000),
)
def test_no_group_straddles(groups: list[int], seed: int) -> None:
    """Whole groups are dealt, every example once, every class everywhere."""
    groups_N = np.array([*groups, *range(41)])
    labels = np.arange(len(groups_N)) % 3

    dealt = deal_groups(labels, groups_N, SHARES, seed)

    assert np.array_equal(np.sort(np.concatenate(list(dealt.values()))), np.arange(len(labels)))
    owners = [set(groups_N[rows]) for rows in dealt.values()]
    assert sum(map(len, owners)) == len(set.union(*owners))
    assert all(set(labels[rows]) == {0, 1, 2} for rows in dealt.values())
    again = deal_groups(labels, groups_N, SHARES, seed)
    assert all(np.array_equal(dealt[split], again[split]) for split in SHARES)


def test_many_small_groups_come_close_to_the_shares() -> None:
    """With groups of two the sizes are those asked for, within a few examples."""
    labels = np.random.default_rng(0).integers(0, 2, size=400)

    dealt = deal_groups(labels, np.arange(400) // 2, SHARES, seed=0)

    assert {split: pytest.approx(400 * share, abs=12) for split, share in SHARES.items()} == {
        split: len(rows) for split, rows in dealt.items()
    }


def test_groups_that_cannot_be_dealt_are_refused() -> None:
    """Four groups hold the rare class, but one pair of classes never comes apart: the rare class is in one big group
    for every split but never with the other class."""
    labels = np.array([0] * 4 + [1] * 4)
    groups = np.array([0, 0, 0, 0, 0, 0, 0, 1])

    with pytest.raises(DataError, match="groups cannot be dealt"):
        deal_groups(labels, groups, {"train": 0.5, "test": 0.5}, seed=0)


def test_shares_that_do_not_sum_to_one_are_refused() -> None:
    """Shares are fractions of a whole."""
    with pytest.raises(DataError, match="sum to 1"):
        SplitShares(train=0.9)
    with pytest.raises(DataError, match="positive"):
        SplitShares(train=0.6, stop=0.0)
    assert sum(SplitShares().among(["train", "stop", "select"]).values()) == pytest.approx(1)


def test_rounding_does_not_add_up_over_classes() -> None:
    """Twenty classes that all round the same way still give splits of the sizes asked for."""
    dealt = deal(np.repeat(np.arange(20), 25), SHARES, seed=0)

    assert {split: len(rows) for split, rows in dealt.items()} == {"train": 250, "stop": 50, "select": 100, "test": 100}


# ---------------------------------------------------------------- near-duplicates


def dealt_one_by_one(labels: np.ndarray, seed: int) -> dict[SplitName, np.ndarray]:
    """The deal as it was before clusters were known: each class shuffled and cut."""
    rng = np.random.default_rng(seed)
    hands: dict[SplitName, list[np.ndarray]] = {split: [] for split in SHARES}
    owed = np.zeros(len(SHARES))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        wanted = len(members) * np.array(list(SHARES.values()))
        counts = _counts(wanted, owed)
        owed += wanted - counts
        for split, hand in zip(SHARES, np.split(members, np.cumsum(counts)[:-1]), strict=True):
            hands[split].append(hand)
    return {split: np.sort(np.concatenate(hand)) for split, hand in hands.items()}


@given(labels=class_labels(), seed=st.integers(0, 1000))
def test_clusters_of_one_change_nothing(labels: np.ndarray, seed: int) -> None:
    """Where no example is like another, every split holds exactly what it held before clusters were known."""
    before = dealt_one_by_one(labels, seed)

    for clusters in (None, np.arange(len(labels)), np.arange(len(labels)) * 7 + 3):
        dealt = deal(labels, SHARES, seed, clusters)
        assert all(np.array_equal(dealt[split], before[split]) for split in SHARES)


@settings(deadline=None)
@given(labels=class_labels(), seed=st.integers(0, 1000), data=st.data())
def test_clusters_are_dealt_whole(labels: np.ndarray, seed: int, data: st.DataObject) -> None:
    """Clusters of any size and mixture go to one split each, every example once, every class everywhere, and the same
    seed deals the same; or, with too little left of a class, it is said."""
    size = data.draw(st.integers(0, len(labels)))
    joined = np.random.default_rng(seed).permutation(len(labels))[:size]
    clusters = np.arange(len(labels)) + 100
    clusters[joined] = data.draw(st.lists(st.integers(0, 12), min_size=size, max_size=size))

    try:
        dealt = deal(labels, SHARES, seed, clusters)
    except DataError:
        singles = np.bincount(labels[np.bincount(clusters)[clusters] == 1], minlength=labels.max() + 1)
        assert singles.min() < len(SHARES)
        return

    assert np.array_equal(np.sort(np.concatenate(list(dealt.values()))), np.arange(len(labels)))
    owners = [set(clusters[rows].tolist()) for rows in dealt.values()]
    assert sum(map(len, owners)) == len(set.union(*owners))
    assert all(set(labels[rows].tolist()) == set(labels.tolist()) for rows in dealt.values())
    again = deal(labels, SHARES, seed, clusters)
    assert all(np.array_equal(dealt[split], again[split]) for split in SHARES)


def test_small_clusters_leave_the_shares_as_they_are() -> None:
    """With pairs and triples among 400 examples of two classes, class counts are off by less than two examples."""
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.25).astype(np.int64)
    clusters = np.arange(400)
    for first in range(0, 120, 3):
        clusters[first : first + 3] = first

    dealt = deal(labels, SHARES, 0, clusters)

    for split, rows in dealt.items():
        assert (np.abs(np.bincount(labels[rows]) - np.bincount(labels) * SHARES[split]) < 2).all()


def test_a_rare_class_in_few_clusters_reaches_every_split() -> None:
    """Eight examples in four pairs: each split gets one pair, though train should have four examples."""
    labels = np.array([0] * 100 + [1] * 8)
    clusters = np.r_[np.arange(100), 200 + np.arange(8) // 2]

    dealt = deal(labels, SHARES, 3, clusters)

    assert {split: int((labels[rows] == 1).sum()) for split, rows in dealt.items()} == dict.fromkeys(SHARES, 2)


def test_too_few_different_examples_are_refused() -> None:
    """Three clusters of a class cannot reach four splits."""
    labels = np.array([0] * 20 + [1] * 6)
    clusters = np.r_[np.arange(20), 100 + np.arange(6) // 2]

    with pytest.raises(DataError, match="too few texts of a class differ"):
        deal(labels, SHARES, 0, clusters)
