"""What the frozen pretrained features give for free: clusters as slices, and neighbours across splits.

A neighbour is a suspect, no more: what means the same to the pretrained model need not be the same.

Shape letters: N training examples, M examples of another split, Q examples whose neighbours are looked up, F features,
K clusters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.core.progress import Progress
from frostline.core.records import Block
from frostline.models.task_model import TaskModel
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Inputs, Rows
from frostline.train.probes import Features, FlooredScaler, features_by_depth

CLUSTERS = 8
"""At most: so few that each can be looked at, and that a correction for their number leaves something to find."""
LEAST_IN_CLUSTER = 25
"""Training examples per cluster on average, below which there are fewer clusters."""
FITTED = 10_000
"""Training examples that the centres are fitted on at most."""
FAR_PERCENTILE = 99.0
"""Of the training examples' own distances to their centres: what is further away is like none of them."""
FAR = "far from all training examples"

NEAR_SHARE = 0.13
NEAR_PERCENTILE = 1.0
"""A neighbour is a suspect below this share of the median distance of training examples to their nearest, and below
this percentile of these distances (facts after cleanlab's near-duplicate issues); never below a fixed cosine."""
ROUNDING = 1e-4
"""Distances below this share of the median are 0: the same input in another batch comes out so far away."""
ASKED = 4_000
"""Training examples whose nearest neighbour is looked up at most, to learn what is usual."""

_QUERY_ROWS, _TRAIN_ROWS = 1_024, 8_192
"""Distances held at once: 32 MB."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A later example and the training example nearest to it."""

    later: int
    """Row of its split."""
    train: int
    """Row of the train split."""
    ratio: float
    """Distance over the median distance from a training example to its nearest other one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Where the examples of every split lie."""

    names: Mapping[str, tuple[str, ...]]
    """By split: one name an example."""
    in_training: Mapping[str, int]
    """Training examples by name. 0 for what is far from all of them."""
    from_words: str
    """What the slices are, in words, for the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """The train split's features at one depth, and what is near in them."""

    scaler: FlooredScaler
    train_NF: Features
    """Standardised."""
    median: float
    """Of the distances from a training example to its nearest other one."""
    near: float
    """Distance up to which a neighbour is a suspect."""
    unusable: str = ""
    """Why nothing can be told by distances, in a sentence; empty when it can."""

    @classmethod
    def of(cls, train_NF: Features) -> Embedding:
        """Standardise and learn what distances are usual.

        Args:
            train_NF: Features of the pretrained model, of the train split.
        """
        scaler = FlooredScaler().fit(train_NF)
        scaled_NF = scaler.transform(train_NF).astype(np.float32)
        if len(train_NF) < 3 or not np.isfinite(scaled_NF).all():
            why = "Of fewer than three training examples, or of features that are not finite, none is near or far."
            return cls(scaler=scaler, train_NF=scaled_NF, median=0.0, near=0.0, unusable=why)
        asked = np.linspace(0, len(train_NF) - 1, min(ASKED, len(train_NF))).astype(np.int64)
        distances_Q, _ = _nearest(scaled_NF[asked], scaled_NF, own=asked)
        median = float(np.median(distances_Q))
        if median <= ROUNDING:
            why = (
                "Half of the training examples have the features of another one, so none of them is nearer than usual."
            )
            return cls(scaler=scaler, train_NF=scaled_NF, median=0.0, near=0.0, unusable=why)
        near = min(NEAR_SHARE * median, float(np.percentile(distances_Q, NEAR_PERCENTILE)))
        return cls(scaler=scaler, train_NF=scaled_NF, median=median, near=max(near, ROUNDING * median))

    def scaled(self, features_MF: Features) -> Features:
        """Features of another split on the scale of the train split."""
        scaled_MF: Features = self.scaler.transform(features_MF).astype(np.float32)
        return scaled_MF


def features_at(
    model: TaskModel,
    blocks: Sequence[Block],
    inputs: Inputs,
    rows: Rows,
    meter: FlopsMeter,
    progress: Progress,
    depth: int,
) -> Features:
    """Pooled output (M, F) of the network as it is now after so many blocks, in the order of `rows`.

    Needs inputs only, no label. The network must be as pretrained: load what every run begins from first.
    """
    return features_by_depth(model, blocks, inputs, rows, meter, progress)[depth]


def embedding_neighbours(embedding: Embedding, later: Mapping[str, Features]) -> dict[str, tuple[Neighbour, ...]]:
    """Examples of later splits that are hardly told from a training example.

    Args:
        embedding: Of the train split. One that is unusable finds nothing; say why.
        later: Features at the same depth, by split.

    Returns:
        By split, in the order of its rows: each suspect with the nearest training example.

    >>> train_NF = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    >>> later_MF = np.stack([train_NF[7], 5 + train_NF[8]])
    >>> embedding_neighbours(Embedding.of(train_NF), {"test": later_MF})
    {'test': (Neighbour(later=0, train=7, ratio=0.0),)}
    """
    if embedding.unusable:
        return dict.fromkeys(later, ())
    found = {}
    for split, features_MF in later.items():
        distances_M, nearest_M = _nearest(embedding.scaled(features_MF), embedding.train_NF)
        found[split] = tuple(
            Neighbour(int(row), int(nearest_M[row]), float(distances_M[row] / embedding.median))
            for row in np.flatnonzero(distances_M <= embedding.near)
        )
    return found


def confirmed(
    embedding: Embedding, pairs: Iterable[tuple[int, int]], first_MF: Features, second_MF: Features
) -> tuple[tuple[int, int], ...]:
    """The suspected pairs that are also nearer to each other than training examples usually are.

    Args:
        embedding: Of the train split. One that is unusable confirms nothing.
        pairs: A row of the one split and a row of the other, such as images with nearly the same perceptual hash.
        first_MF: Features of the one split.
        second_MF: Features of the other.
    """
    wanted = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    if embedding.unusable or not len(wanted):
        return ()
    one_QF, other_QF = embedding.scaled(first_MF[wanted[:, 0]]), embedding.scaled(second_MF[wanted[:, 1]])
    distances_Q = np.linalg.norm(one_QF - other_QF, axis=1)
    return tuple((int(a), int(b)) for a, b in wanted[distances_Q < embedding.median])


def cluster_names(
    embedding: Embedding,
    train_labels_N: NDArray[np.int64],
    labels: Sequence[str],
    others: Mapping[str, Features],
    seed: int,
) -> Clusters | None:
    """Name where each example lies: in a cluster of the training examples, or far from all of them.

    There are at most `CLUSTERS` clusters by k-means, fewer when there would be fewer than `LEAST_IN_CLUSTER` training
    examples to each. An example is far when its distance to the nearest centre exceeds the 99th percentile of the
    training examples' own: one to three in a hundred are, even when nothing is new.

    Args:
        embedding: Of the train split.
        train_labels_N: Class numbers of the train split, for the names.
        labels: What the classes are called.
        others: Features at the same depth, by split.
        seed: Of the k-means.

    Returns:
        Names by split, clusters numbered from the largest on; None when the embedding is unusable.

    Source: Arthur & Vassilvitskii (2007), k-means++: the advantages of careful seeding, SODA, 1027-1035.
    """
    if embedding.unusable:
        return None
    centres_KF = _centres(embedding.train_NF, seed)
    distances_N, cluster_N = _nearest(embedding.train_NF, centres_KF)
    sizes_K = np.bincount(cluster_N, minlength=len(centres_KF))
    order = np.argsort(-sizes_K, kind="stable")
    of_cluster = {}
    for number, cluster in enumerate(order, start=1):
        mostly = _mostly(train_labels_N[cluster_N == cluster], labels)
        of_cluster[int(cluster)] = f"cluster {number}, {mostly}"
    limit = float(np.percentile(distances_N, FAR_PERCENTILE))
    names = {}
    for split, features_MF in others.items():
        distances_M, cluster_M = _nearest(embedding.scaled(features_MF), centres_KF)
        far_M = distances_M > limit * (1 + ROUNDING)
        names[split] = tuple(FAR if far else of_cluster[int(c)] for far, c in zip(far_M, cluster_M, strict=True))
    return Clusters(
        names=names,
        in_training={name: int(sizes_K[cluster]) for cluster, name in of_cluster.items()} | {FAR: 0},
        from_words=f"{len(centres_KF)} clusters of the pretrained features, and what is far from all of them",
    )


def _mostly(labels_N: NDArray[np.int64], labels: Sequence[str]) -> str:
    [(label, count)] = Counter(labels_N.tolist()).most_common(1)
    return f"mostly {labels[label]!r}" if 2 * count > len(labels_N) else "of several classes"


def _centres(train_NF: Features, seed: int) -> Features:
    from sklearn.cluster import KMeans

    generator = np.random.default_rng(seed)
    sample_NF = train_NF[np.sort(generator.permutation(len(train_NF))[:FITTED])]
    distinct = len(np.unique(sample_NF, axis=0))
    clusters = max(1, min(CLUSTERS, len(sample_NF) // LEAST_IN_CLUSTER, distinct))
    fitted = KMeans(clusters, n_init=4, random_state=seed).fit(sample_NF)
    centres_KF: Features = fitted.cluster_centers_.astype(np.float32)
    # A centre that nobody in the whole train split is nearest to would be a cluster without a name.
    _, cluster_N = _nearest(train_NF, centres_KF)
    return centres_KF[np.unique(cluster_N)]


def _nearest(
    query_QF: Features, train_NF: Features, own: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance (Q,) to the nearest row of the other matrix, and which it is (Q,), by brute force in blocks.

    Args:
        own: Row of the other matrix that each query is itself, which does not count.
    """
    squares_N = np.einsum("nf,nf->n", train_NF, train_NF)
    nearest_Q = np.zeros(len(query_QF), dtype=np.int64)
    for start in range(0, len(query_QF), _QUERY_ROWS):
        block_QF = query_QF[start : start + _QUERY_ROWS]
        best_Q = np.full(len(block_QF), np.inf, dtype=np.float32)
        for first in range(0, len(train_NF), _TRAIN_ROWS):
            part = slice(first, first + _TRAIN_ROWS)
            # The query's own square is left out: it shifts a whole row and changes no order.
            shifted_QN = squares_N[part] - 2 * (block_QF @ train_NF[part].T)
            if own is not None:
                inside = own[start : start + _QUERY_ROWS] - first
                here = np.flatnonzero((inside >= 0) & (inside < shifted_QN.shape[1]))
                shifted_QN[here, inside[here]] = np.inf
            at_Q = shifted_QN.argmin(axis=1)
            found_Q = shifted_QN[np.arange(len(at_Q)), at_Q]
            nearer_Q = found_Q < best_Q
            best_Q[nearer_Q] = found_Q[nearer_Q]
            nearest_Q[start : start + _QUERY_ROWS][nearer_Q] = at_Q[nearer_Q] + first
    # From the difference itself: in the products above a distance of next to nothing drowns in rounding.
    distances_Q = np.concatenate(
        [
            np.linalg.norm((query_QF[s : s + _QUERY_ROWS] - train_NF[nearest_Q[s : s + _QUERY_ROWS]]), axis=1)
            for s in range(0, len(query_QF), _QUERY_ROWS)
        ]
        or [np.zeros(0)]
    )
    return distances_Q.astype(np.float64), nearest_Q
