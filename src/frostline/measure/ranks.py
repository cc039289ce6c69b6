"""How well one ranking predicts another, and two rankings that any prediction must beat.

A ranking is a number for each name, and higher is better. Knows nothing of models or plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.stats import spearmanr

from frostline.core.records import CheapScore
from frostline.core.seeding import derive

FEWEST = 3
"""Fewest names to correlate: of two, any order agrees or disagrees fully."""


def rank_correlation(predicted: Mapping[str, float], measured: Mapping[str, float]) -> float | None:
    """Spearman's correlation over the names that both rank, from -1 (reversed) to 1 (the same order).

    None when it says nothing: fewer than three names in common, or all of one side equal. Of a handful of names,
    high values come about by chance: compare with `at_random` over many seeds.

    >>> rank_correlation({"a": 1, "b": 2, "c": 3, "only here": 9}, {"a": 10, "b": 20, "c": 15})
    0.5
    """
    common = sorted(predicted.keys() & measured.keys())
    first, second = [predicted[name] for name in common], [measured[name] for name in common]
    if len(common) < FEWEST or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(spearmanr(first, second).statistic)


def compared(predicted: Mapping[str, Mapping[str, float]], losses: Mapping[str, float]) -> tuple[CheapScore, ...]:
    """Each score with its rank correlation with the measured losses, lower being better.

    >>> (score,) = compared({"probe": {"full": 0.1, "depth-1": 0.2, "depth-2": 0.3}},
    ...                     {"full": 0.9, "depth-1": 0.8, "depth-2": 0.7})
    >>> score.rank_correlation
    1.0
    """
    measured = {name: -loss for name, loss in losses.items()}
    return tuple(
        CheapScore(
            name=name,
            predicted=dict(scores),
            rank_correlation=rank_correlation(scores, measured),
            candidates=len(scores.keys() & measured.keys()),
        )
        for name, scores in predicted.items()
    )


def last_blocks_first(depths: Mapping[str, int]) -> dict[str, float]:
    """The habit of training the last blocks only: the deeper the freeze, the better.

    Args:
        depths: Freeze depth of each candidate; full fine-tuning has 0.

    >>> last_blocks_first({"full": 0, "depth-4": 4})
    {'full': 0.0, 'depth-4': 4.0}
    """
    return {name: float(depth) for name, depth in depths.items()}


def at_random(names: Iterable[str], seed: int) -> dict[str, float]:
    """A random order without ties, the same for the same names and seed.

    >>> sorted(at_random(["full", "depth-4", "depth-6"], seed=0).values())
    [0.0, 1.0, 2.0]
    """
    in_order = sorted(set(names))
    places = np.random.default_rng(derive(seed, "random ranking")).permutation(len(in_order))
    return {name: float(place) for name, place in zip(in_order, places, strict=True)}
