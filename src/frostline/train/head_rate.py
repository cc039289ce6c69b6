"""The head's learning rate, found where it is cheapest: on features that are computed once, all rates at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frostline.core.records import HeadRate
from frostline.core.seeding import derive
from frostline.train.heads import TrainedHead, train_heads
from frostline.train.probes import Features
from frostline.train.recipe import Recipe

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
_SEEDS = 3


def try_head_rates(
    features: Mapping[str, Features],
    labels: Mapping[str, NDArray[np.int64]],
    fitted: tuple[Tensor, Tensor],
    recipe: Recipe,
    seed: int,
) -> tuple[HeadRate, ...]:
    """Train the head alone at every rate: from where all candidates start, and from three random beginnings.

    Args:
        features: The head's inputs (N, F) of the train and stop splits.
        labels: Class numbers of both.
        fitted: Weight (C, F) and bias (C,) from which all candidates start.
        seed: Of the study.
    """

    def trained(seeds: Sequence[int], start: tuple[Tensor, Tensor] | None) -> tuple[TrainedHead, ...]:
        return train_heads(
            torch.from_numpy(features["train"]),
            torch.from_numpy(labels["train"]),
            torch.from_numpy(features["stop"]),
            torch.from_numpy(labels["stop"]),
            classes=len(fitted[1]),
            learning_rates=RATES,
            seeds=seeds,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            weight_decay=recipe.weight_decay,
            clip_norm=recipe.clip_norm,
            warmup_share=recipe.warmup_share,
            order_seed=derive(seed, "heads"),
            start=start,
        )

    seeds = [derive(seed, "fresh head", n) for n in range(_SEEDS)]
    fresh = trained(seeds, None)
    return tuple(
        HeadRate(
            learning_rate=head.learning_rate,
            best_epoch=head.best_epoch,
            loss=head.stop_losses[head.best_epoch],
            fresh_losses=tuple(h.stop_losses[h.best_epoch] for h in fresh if h.learning_rate == head.learning_rate),
        )
        for head in trained(seeds[:1], fitted)
    )


def best_rate(tried: Sequence[HeadRate]) -> float | None:
    """The rate that gets the fitted head furthest; None when none gets it anywhere.

    >>> best_rate([HeadRate(learning_rate=r, best_epoch=e, loss=l) for r, e, l in ((1e-3, 2, 0.1), (1e-2, 0, 0.2))])
    0.001
    """
    better = [rate for rate in tried if rate.best_epoch > 0 and rate.loss is not None]
    return min(better, key=lambda rate: rate.loss or 0.0).learning_rate if better else None
