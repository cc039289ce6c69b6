"""Many linear heads on the same fixed features, trained as one: every step is one product for all of them.

Knows nothing of models or inputs: features and labels in, weights out. Gradients are written by hand, and nothing
here adds over heads: that a head diverges is seen in its own rows alone.

Shape letters: N examples, B examples in a batch, H heads, C classes, F features, G features and a column of ones
that carries the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite, nan, sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.errors import BadInputError, DataError
from frostline.core.seeding import derive
from frostline.train.inputs import Rows
from frostline.train.optim import rate_factor

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""The defaults of torch.optim.AdamW."""

ROWS_AT_ONCE = 1024
"""Stop examples evaluated in one product."""


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """One head with the weights of its best epoch."""

    learning_rate: float
    seed: int
    weight_CF: Tensor
    """Of the epoch with the lowest stop loss."""
    bias_C: Tensor
    best_epoch: int
    """0 is the head before training."""
    stop_losses: tuple[float | None, ...]
    """By epoch, epoch 0 first. None from the epoch on in which a training or stop loss was not finite."""
    stop_accuracies: tuple[float, ...]
    """By epoch; nan where the loss is None."""


@torch.no_grad()
def train_heads(
    train_NF: Tensor,
    labels_N: Tensor,
    stop_NF: Tensor,
    stop_labels_N: Tensor,
    *,
    classes: int,
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    epochs: int,
    batch_size: int = 32,
    weight_decay: float = 0.01,
    clip_norm: float | None = 1.0,
    warmup_share: float = 0.1,
    order_seed: int = 0,
    start: tuple[Tensor, Tensor] | None = None,
) -> tuple[TrainedHead, ...]:
    """Train one head for every learning rate and seed, all on the same batches.

    Each gets what AdamW, clipping by its own norm and `rate_factor` would give it alone, but for rounding: not bit by
    bit. In float32 losses agree to about 1e-6, and to 1e-4 where the rate is so high that training magnifies rounding;
    a single weight can be further off where its gradient is rounding noise, which Adam divides by its own size.

    A head whose loss stops being finite has failed and keeps the weights of its best epoch before. The others do not
    notice.

    Args:
        train_NF: Features, float32 or float64; copied once, with a column of ones.
        labels_N: Class numbers from 0.
        stop_NF: Features of the stop split, which chooses every head's best epoch.
        learning_rates: Peak rates.
        seeds: Of the initial weights, drawn as `nn.Linear` draws them.
        weight_decay: Reaches the weights, never the bias.
        clip_norm: Largest norm of one head's gradient. None: no clipping.
        order_seed: Of the batches, see `batch_order`.
        start: Weight (C, F) and bias (C,) that every head starts from; seeds then make no difference but rounding.

    Returns:
        The heads, seeds within learning rates.

    Raises:
        DataError: Features or labels cannot be used.
        BadInputError: A setting cannot be used.

    Source: Loshchilov & Hutter (2019), Decoupled weight decay regularization, ICLR.

    >>> features_NF = torch.tensor([[-1.0], [1.0]]).repeat(40, 1)
    >>> labels_N = torch.tensor([0, 1]).repeat(40)
    >>> rates = {"learning_rates": [0.001, 0.1], "seeds": [5]}
    >>> heads = train_heads(features_NF, labels_N, features_NF, labels_N, classes=2, epochs=4, **rates)
    >>> [(head.learning_rate, head.best_epoch, head.stop_accuracies[-1]) for head in heads]
    [(0.001, 4, 0.5), (0.1, 4, 1.0)]
    """
    names = list(product(learning_rates, seeds))
    _check_settings(names, epochs, batch_size, weight_decay, clip_norm, warmup_share)
    _check_split("train", train_NF, labels_N, classes, train_NF)
    _check_split("stop", stop_NF, stop_labels_N, classes, train_NF)
    train_NG, stop_NG = _with_ones(train_NF), _with_ones(stop_NF)
    labels_N, stop_labels_N = labels_N.to(train_NF.device).long(), stop_labels_N.to(train_NF.device).long()
    first = {seed: _initial(seed, train_NF, classes, start) for seed in seeds}
    stack = _Stack(
        torch.stack([first[seed] for _, seed in names]), [rate for rate, _ in names], weight_decay, clip_norm
    )
    best = _Best(stack.weight_HCG)
    best.note(*_evaluate(stack.weight_HCG, stop_NG, stop_labels_N))
    for epoch in range(1, epochs + 1):
        batches = batch_order(len(train_NF), batch_size, order_seed, epoch)
        for position, rows in enumerate(batches):
            step = (epoch - 1) * len(batches) + position
            factor = rate_factor(step, epochs * len(batches), warmup_share)
            rows_B = torch.from_numpy(rows).to(train_NG.device)
            best.alive_H &= stack.step(train_NG[rows_B], labels_N[rows_B], factor).isfinite()
        best.note(*_evaluate(stack.weight_HCG, stop_NG, stop_labels_N))
    return tuple(best.head(place, *name) for place, name in enumerate(names))


def batch_order(examples: int, batch_size: int, order_seed: int, epoch: int) -> list[Rows]:
    """Rows of every batch of one epoch: those that training takes with inputs of one length, in even parts.

    >>> [len(rows) for rows in batch_order(50, 16, order_seed=0, epoch=1)]
    [12, 12, 13, 13]
    """
    generator = np.random.default_rng(derive(derive(order_seed, "order", epoch), "batches"))
    parts = np.array_split(generator.permutation(examples), -(-examples // batch_size))
    return [parts[place] for place in generator.permutation(len(parts))]


class _Stack:
    """The weights of all heads and the state of AdamW."""

    def __init__(
        self, weight_HCG: Tensor, rates: Sequence[float], weight_decay: float, clip_norm: float | None
    ) -> None:
        self.weight_HCG = weight_HCG
        self._rate_H11 = torch.tensor(rates, dtype=torch.float64).to(weight_HCG).view(-1, 1, 1)
        self._weight_decay, self._clip_norm, self._steps = weight_decay, clip_norm, 0
        self._mean_HCG, self._square_HCG = torch.zeros_like(weight_HCG), torch.zeros_like(weight_HCG)
        self._gradient_HCG, self._size_HCG = torch.empty_like(weight_HCG), torch.empty_like(weight_HCG)

    def step(self, features_BG: Tensor, labels_B: Tensor, factor: float) -> Tensor:
        """One step of every head with its rate times the factor. Returns the loss of each before it."""
        loss_H = self._differentiate(features_BG, labels_B)
        if self._clip_norm is not None:
            norm_H11 = torch.linalg.vector_norm(self._gradient_HCG, dim=(1, 2), keepdim=True)
            self._gradient_HCG.mul_((self._clip_norm / (norm_H11 + 1e-6)).clamp_(max=1))
        self._update(factor)
        return loss_H

    def _differentiate(self, features_BG: Tensor, labels_B: Tensor) -> Tensor:
        logs_BHC = functional.log_softmax(_logits(self.weight_HCG, features_BG), dim=2)
        place_BH1 = labels_B.view(-1, 1, 1).expand(-1, logs_BHC.shape[1], 1)
        loss_H = -logs_BHC.gather(2, place_BH1).mean(dim=(0, 2))
        # The gradient of cross-entropy: probabilities minus truth.
        error_BHC = logs_BHC.exp_()
        error_BHC.scatter_add_(2, place_BH1, error_BHC.new_full((), -1).expand(place_BH1.shape)).div_(len(labels_B))
        torch.mm(error_BHC.flatten(1).T, features_BG, out=self._gradient_HCG.view(-1, features_BG.shape[1]))
        return loss_H

    def _update(self, factor: float) -> None:
        self._steps += 1
        gradient_HCG, size_HCG = self._gradient_HCG, self._size_HCG
        # Bias corrections are taken to the scalars: fewer passes over the weights than the formula as printed.
        first, second = (1 - beta**self._steps for beta in BETAS)
        self.weight_HCG[..., :-1].mul_(1 - self._rate_H11 * (factor * self._weight_decay))
        self._mean_HCG.lerp_(gradient_HCG, 1 - BETAS[0])
        self._square_HCG.mul_(BETAS[1]).addcmul_(gradient_HCG, gradient_HCG, value=1 - BETAS[1])
        torch.sqrt(self._square_HCG, out=size_HCG).add_(EPSILON * sqrt(second))
        torch.div(self._mean_HCG, size_HCG, out=size_HCG)
        self.weight_HCG.addcmul_(size_HCG, self._rate_H11 * (-factor * sqrt(second) / first))


class _Best:
    """What is kept of every head: its stop losses, and the weights that had the lowest."""

    def __init__(self, weight_HCG: Tensor) -> None:
        self.alive_H = torch.ones(len(weight_HCG), dtype=torch.bool, device=weight_HCG.device)
        self._now_HCG, self._best_HCG = weight_HCG, weight_HCG.clone()
        self._lowest_H = torch.full_like(weight_HCG[:, 0, 0], float("inf"))
        self._epoch_H = torch.zeros_like(self.alive_H, dtype=torch.long)
        self._losses: list[list[float]] = []
        self._accuracies: list[list[float]] = []

    def note(self, loss_H: Tensor, accuracy_H: Tensor) -> None:
        """Take down one epoch."""
        self.alive_H &= loss_H.isfinite()
        better_H = self.alive_H & (loss_H < self._lowest_H)
        self._lowest_H[better_H], self._epoch_H[better_H] = loss_H[better_H], len(self._losses)
        self._best_HCG[better_H] = self._now_HCG[better_H]
        self._losses.append(loss_H.masked_fill(~self.alive_H, nan).tolist())
        self._accuracies.append(accuracy_H.masked_fill(~self.alive_H, nan).tolist())

    def head(self, place: int, learning_rate: float, seed: int) -> TrainedHead:
        weight_CG, losses = self._best_HCG[place], [losses[place] for losses in self._losses]
        return TrainedHead(
            learning_rate=learning_rate,
            seed=seed,
            # Copies: a view would keep the weights of all heads in memory.
            weight_CF=weight_CG[:, :-1].clone(memory_format=torch.contiguous_format),
            bias_C=weight_CG[:, -1].clone(memory_format=torch.contiguous_format),
            best_epoch=int(self._epoch_H[place]),
            stop_losses=tuple(loss if isfinite(loss) else None for loss in losses),
            stop_accuracies=tuple(accuracies[place] for accuracies in self._accuracies),
        )


def _logits(weight_HCG: Tensor, features_BG: Tensor) -> Tensor:
    heads, classes, _ = weight_HCG.shape
    return (features_BG @ weight_HCG.flatten(0, 1).T).view(-1, heads, classes)


def _evaluate(weight_HCG: Tensor, stop_NG: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and accuracy of every head."""
    loss_H, right_H = (torch.zeros_like(weight_HCG[:, 0, 0]) for _ in range(2))
    parts = (torch.split(tensor, ROWS_AT_ONCE) for tensor in (stop_NG, labels_N))
    for features_BG, labels_B in zip(*parts, strict=True):
        logs_BHC = functional.log_softmax(_logits(weight_HCG, features_BG), dim=2)
        loss_H -= logs_BHC.gather(2, labels_B.view(-1, 1, 1).expand(-1, len(weight_HCG), 1)).sum(dim=(0, 2))
        right_H += (logs_BHC.argmax(dim=2) == labels_B[:, None]).sum(dim=0)
    return loss_H / len(labels_N), right_H / len(labels_N)


def _with_ones(features_NF: Tensor) -> Tensor:
    return torch.cat([features_NF, features_NF.new_ones(len(features_NF), 1)], dim=1)


def _initial(seed: int, like_NF: Tensor, classes: int, start: tuple[Tensor, Tensor] | None) -> Tensor:
    """Weight and bias (C, G) before training."""
    features = like_NF.shape[1]
    if start is None:
        # Drawn on the CPU, so that a seed means the same head on every device.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "head"))
            drawn = nn.Linear(features, classes, dtype=like_NF.dtype)
        start = drawn.weight, drawn.bias
    shapes = tuple(tuple(part.shape) for part in start)
    if shapes != ((classes, features), (classes,)) or not all(part.isfinite().all() for part in start):
        raise BadInputError(
            f"Heads were to start from a weight and a bias of shapes {shapes}. "
            f"Give finite ones of shapes {((classes, features), (classes,))}."
        )
    return torch.cat([start[0], start[1][:, None]], dim=1).to(like_NF)


def _check_settings(
    names: Sequence[tuple[float, int]],
    epochs: int,
    batch_size: int,
    weight_decay: float,
    clip_norm: float | None,
    warmup_share: float,
) -> None:
    rates = sorted({rate for rate, _ in names})
    rules = (
        (bool(names), "without a learning rate or without a seed. Give one or more of each."),
        (all(isfinite(rate) and rate > 0 for rate in rates), f"with learning rates of {rates}. Give positive numbers."),
        (epochs >= 1, f"for {epochs} epochs. Give 1 or more."),
        (batch_size >= 1, f"on batches of {batch_size}. Give 1 or more."),
        (isfinite(weight_decay) and weight_decay >= 0, f"with a weight decay of {weight_decay}. Give 0 or more."),
        (clip_norm is None or clip_norm > 0, f"with a clip norm of {clip_norm}. Give a positive number, or None."),
        (0 <= warmup_share < 1, f"with a warm-up share of {warmup_share}. Give a fraction from 0 to below 1."),
    )
    for holds, sentence in rules:
        if not holds:
            raise BadInputError(f"Heads were to be trained {sentence}")


def _check_split(split: str, features_NF: Tensor, labels_N: Tensor, classes: int, like_NF: Tensor) -> None:
    kind, shape = features_NF.dtype, tuple(features_NF.shape)
    if len(shape) != 2 or 0 in shape or kind not in (torch.float32, torch.float64):
        raise DataError(f"The {split} features are {kind} of shape {shape}. Give rows of float32 or float64.")
    if (shape[1], kind, features_NF.device) != (like_NF.shape[1], like_NF.dtype, like_NF.device):
        raise DataError(
            f"The {split} split has {shape[1]} features of {kind} on {features_NF.device}, the train split "
            f"{like_NF.shape[1]} of {like_NF.dtype} on {like_NF.device}. Give both alike."
        )
    if labels_N.shape != shape[:1] or labels_N.is_floating_point():
        raise DataError(
            f"The {split} labels are {labels_N.dtype} of shape {tuple(labels_N.shape)}, the features have {shape[0]} "
            "rows. Give one class number for each row."
        )
    low, high = int(labels_N.min()), int(labels_N.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"The {split} labels go from {low} to {high}. Give numbers below the {classes} classes, from 0."
        )
    broken = (~features_NF.isfinite()).any(dim=1).nonzero().flatten().tolist()
    if broken:
        raise DataError(
            f"{len(broken)} of {shape[0]} rows of the {split} features are not finite, row {broken[0]} first. "
            "Look for an overflow in the backbone, or leave these rows out."
        )
