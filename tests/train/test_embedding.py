"""Claims about the embedding: brute force finds the nearest, copies are suspects, what is new is far."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from frostline.core.progress import Silent
from frostline.plan.blocks import blocks
from frostline.train import embedding as room
from frostline.train.embedding import (
    FAR,
    Embedding,
    cluster_names,
    confirmed,
    embedding_neighbours,
    features_at,
)
from frostline.train.flops import FlopsMeter
from frostline.train.probes import Features, features_by_depth
from networks import bag_material, bag_model

LABELS = ("ham", "spam")


def cloud(seed: int, rows: int = 400, features: int = 8, at: float = 0.0) -> Features:
    return (at + np.random.default_rng(seed).normal(size=(rows, features))).astype(np.float32)


def islands(seed: int, *, each: int = 60, centres: int = 4) -> tuple[Features, np.ndarray]:
    """Groups far apart, with the group of each example."""
    groups = np.repeat(np.arange(centres), each)
    where = 40 * np.eye(centres, 6, dtype=np.float32)[groups]
    return where + cloud(seed, len(groups), 6), groups


# ---------------------------------------------------------------- neighbours


@given(seed=st.integers(0, 99), train=st.integers(3, 40), later=st.integers(1, 30))
def test_nearest_is_that_of_scipy(seed: int, train: int, later: int) -> None:
    """In whatever blocks distances are computed, each row's nearest and its distance are those of all pairs."""
    train_NF, later_MF = cloud(seed, train, 5), cloud(seed + 100, later, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_QUERY_ROWS", 7)
        patch.setattr(room, "_TRAIN_ROWS", 11)
        distances, nearest = room._nearest(later_MF, train_NF)
        own_distances, own_nearest = room._nearest(train_NF, train_NF, own=np.arange(train))
    all_pairs, inside = cdist(later_MF, train_NF), cdist(train_NF, train_NF)
    np.fill_diagonal(inside, np.inf)

    np.testing.assert_allclose(distances, all_pairs.min(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(nearest, all_pairs.argmin(axis=1))
    np.testing.assert_allclose(own_distances, inside.min(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(own_nearest, inside.argmin(axis=1))


def test_planted_copies_are_found_and_nothing_else() -> None:
    """Two training examples, a hair moved, stand in the test split; the rest of it is drawn like them."""
    train_NF, test_MF = cloud(0), cloud(1, 100)
    test_MF[[13, 40]] = train_NF[[7, 200]] + 1e-3
    embedding = Embedding.of(train_NF)
    found = embedding_neighbours(embedding, {"test": test_MF, "stop": cloud(2, 50)})

    assert [(pair.later, pair.train) for pair in found["test"]] == [(13, 7), (40, 200)]
    assert all(pair.ratio < 0.01 for pair in found["test"])
    assert found["stop"] == ()


def test_the_smaller_of_the_two_limits_counts() -> None:
    """The limit is .13 of the median where training examples are alike, the first percentile where some are close."""
    even = Embedding.of(cloud(0))
    close_NF = cloud(0)
    close_NF[:20] = close_NF[200:220] + 0.001
    close = Embedding.of(close_NF)
    scaled = close.train_NF.astype(np.float64)
    inside = cdist(scaled, scaled)
    np.fill_diagonal(inside, np.inf)

    assert even.near == pytest.approx(0.13 * even.median)
    assert close.near == pytest.approx(np.percentile(inside.min(axis=1), 1), rel=1e-3)
    assert close.near < 0.13 * close.median


@given(scale=st.floats(0.01, 1000), shift=st.floats(-50, 50))
def test_scale_and_place_of_the_features_change_nothing(scale: float, shift: float) -> None:
    """Law: no fixed distance or angle decides, so features in other units give the same suspects."""
    train_NF, test_MF = cloud(0, 120), cloud(1, 30)
    test_MF[4] = train_NF[9]
    moved = [(shift + scale * part).astype(np.float32) for part in (train_NF, test_MF)]
    found = embedding_neighbours(Embedding.of(moved[0]), {"test": moved[1]})["test"]

    assert [(pair.later, pair.train) for pair in found] == [(4, 9)]


@pytest.mark.parametrize(
    ("train_NF", "said"),
    [
        (np.ones((50, 4), dtype=np.float32), "have the features of another"),
        (np.repeat(cloud(0, 30), 2, axis=0), "have the features of another"),
        (np.full((50, 4), np.nan, dtype=np.float32), "not finite"),
        (cloud(0, 2), "fewer than three"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_an_embedding_without_distances_says_so(train_NF: Features, said: str) -> None:
    """Constant, doubled, broken or next to no features: a reason, and nothing is suspected or confirmed."""
    embedding = Embedding.of(train_NF)

    assert said in embedding.unusable
    assert embedding_neighbours(embedding, {"test": train_NF}) == {"test": ()}
    assert confirmed(embedding, [(0, 0)], train_NF, train_NF) == ()
    assert cluster_names(embedding, np.zeros(len(train_NF), dtype=np.int64), LABELS, {}, 0) is None


def test_suspects_are_confirmed_when_nearer_than_usual() -> None:
    """Of three suspected pairs the one that lies apart in the embedding is let go."""
    train_NF = cloud(0)
    later_MF = train_NF[:3].copy()
    later_MF[1] += 0.01
    later_MF[2] += 5
    embedding = Embedding.of(train_NF)

    assert confirmed(embedding, [(0, 0), (1, 1), (2, 2)], later_MF, train_NF) == ((0, 0), (1, 1))
    assert confirmed(embedding, [], later_MF, train_NF) == ()


# ---------------------------------------------------------------- clusters


def test_islands_are_clusters_with_their_numbers_and_labels() -> None:
    """Every example of one island gets one name, which says how many training examples lie there and of what class."""
    train_NF, groups = islands(0)
    test_MF, test_groups = islands(1, each=20)
    found = cluster_names(Embedding.of(train_NF), (groups == 2).astype(np.int64), LABELS, {"test": test_MF}, 0)
    assert found is not None
    of_group = {group: {found.names["test"][i] for i in np.flatnonzero(test_groups == group)} for group in range(4)}

    assert all("mostly 'ham'" in name for group in (0, 1, 3) for name in of_group[group] - {FAR})
    assert all("mostly 'spam'" in name for name in of_group[2] - {FAR})
    assert not any((of_group[a] & of_group[b]) - {FAR} for a in range(4) for b in range(a))
    assert sum(found.in_training.values()) == len(train_NF) and found.in_training[FAR] == 0


def test_a_new_island_is_far_from_all_training_examples() -> None:
    """The unseen pattern is found; of its clean twin, drawn like the training examples, hardly one in thirty is far."""
    train_NF, groups = islands(0, each=100)
    new_MF = cloud(3, 30, 6, at=-60)
    like_MF, _ = islands(4, each=100)
    found = cluster_names(Embedding.of(train_NF), groups % 2, LABELS, {"new": new_MF, "like": like_MF}, 0)
    assert found is not None

    assert set(found.names["new"]) == {FAR}
    assert found.names["like"].count(FAR) <= len(like_MF) / 30


def test_clusters_are_those_of_sklearn() -> None:
    """The partition of the training examples is k-means' own, with the number that their count allows."""
    train_NF, groups = islands(0, each=50)
    embedding = Embedding.of(train_NF)
    found = cluster_names(embedding, groups % 2, LABELS, {"train": train_NF}, 3)
    assert found is not None
    theirs = KMeans(8, n_init=4, random_state=3).fit_predict(embedding.train_NF)
    pairs = {(name, label) for name, label in zip(found.names["train"], theirs, strict=True) if name != FAR}

    assert len(pairs) == 8 == len({name for name, _ in pairs}) == len({label for _, label in pairs})
    assert found.names["train"].count(FAR) == pytest.approx(0.01 * len(train_NF), abs=1)


def test_few_examples_make_few_clusters() -> None:
    """Thirty examples are one cluster; the same seed gives the same names."""
    embedding = Embedding.of(cloud(0, 30))
    labels = np.arange(30) % 2
    one, again = (cluster_names(embedding, labels, LABELS, {"test": cloud(1, 9)}, 0) for _ in range(2))

    assert one == again
    assert one is not None and list(one.in_training) == ["cluster 1, of several classes", FAR]


# ---------------------------------------------------------------- asking


def test_features_at_a_depth_are_those_of_the_probes() -> None:
    """In the order of the rows that were asked, whatever their lengths."""
    model, material = bag_model(), bag_material(60)
    example = material.inputs.batch(np.arange(2))
    found = blocks(model.module, example if model.by_keyword else tuple(example.values()))
    rows = np.random.default_rng(0).permutation(60)[:25]
    everywhere = features_by_depth(model, found, material.inputs, rows, FlopsMeter(), Silent())
    meter = FlopsMeter()
    depth = max(everywhere)
    at_depth = features_at(model, found, material.inputs, rows, meter, Silent(), depth)

    np.testing.assert_array_equal(at_depth, everywhere[depth])
    assert meter.total > 0
