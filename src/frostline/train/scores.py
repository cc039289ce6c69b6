"""Which blocks want training: cheap evidence for priors, never a verdict.

One forward and one backward pass over a few training examples, at the pretrained weights with the fitted head,
gives the first gradients of every freeze plan at once. Where fully tuned weights exist, each block is put back
to its pretrained tensors instead (layer rewind).

The head is never scored: it starts fitted, and trains in every plan that counts.

Shape letters: B examples in a batch, C classes, N examples of the data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.records import Block
from frostline.core.records.base import Record
from frostline.core.seeding import derive
from frostline.models.task_model import Batch, TaskModel
from frostline.plan.apply import evaluating
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.probe import called_on_copies, undisturbed
from frostline.train.checkpoint import load_trained
from frostline.train.evaluate import on_device, shape_of
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Inputs, Rows, plain_batches

ScoreName = Literal["relative gradient norm", "gradient signal to noise", "Fisher information"]

VARIANCE_FLOOR = 1e-6
"""Least variance to divide by, as a share of the block's mean: one constant gradient must not be the whole score."""


class BlockScores(Record):
    """How much each block wants training, by each score."""

    scores: dict[ScoreName, dict[str, float]]
    """Score -> block -> value. A block lacks a value that is not finite, such as relative to weights of 0."""
    examples: int
    parts: int
    """Micro-batches that the gradients come from."""
    step_over_forward: float | None
    """Measured FLOPs of forward and backward, in forward passes, with all that requires gradients; None without any."""


def scored_examples(train: int) -> int:
    """Examples of which the gradients are worth their price, of so many that are trained on.

    >>> [scored_examples(train) for train in (8, 300, 3000)]
    [8, 18, 128]
    """
    return min(train, max(16, min(128, train // 16)))


def score_blocks(
    model: TaskModel,
    blocks: Sequence[Block],
    inputs: Inputs,
    labels_N: NDArray[np.int64],
    rows: Rows,
    meter: FlopsMeter,
    *,
    most: int = 128,
    parts: int = 8,
) -> BlockScores:
    """Scores of all blocks from one pass over a few training examples, in evaluation mode.

    Relative gradient norm: norm of the mean gradient over the norm of the weights. Signal to noise: squared mean
    over variance of one example's gradient, averaged over the block's parameters; pure noise gives about
    1 / examples. Fisher information: mean squared gradient of the micro-batches, summed over the parameters.
    Micro-batches count by their examples. Weights, gradients, buffers, modes and random states are left as they were.

    Args:
        blocks: In execution order; what is tied belongs to the first. Without any parameter that requires
            gradients, a block gets no scores.
        labels_N: Class numbers of the whole data set.
        rows: The train split; a fixed sample of it is used.
        meter: Counts what the scores cost.
        most: Examples used, at most.
        parts: Micro-batches, at least, where there are so many examples; each holds one padded length.
    """
    gradients = _gradients_by_block(model.module, blocks)
    running = {id(gradient.parameter): gradient for own in gradients.values() for gradient in own}
    sample = np.random.default_rng(derive(0, "block scores")).permutation(rows)[:most]
    batches = plain_batches(inputs, sample, max(1, len(sample) // parts))
    trained = [parameter for parameter in model.module.parameters() if parameter.requires_grad]
    begun, forward_flops = meter.total, 0
    with undisturbed(model.module), evaluating(model.module), torch.enable_grad():
        for batch_rows in batches:
            batch = on_device(model, inputs.batch(batch_rows))
            key, before = shape_of(batch), meter.total
            loss = meter.count(("scores", "forward", key), partial(_loss, model, batch, labels_N[batch_rows]))
            forward_flops += meter.total - before
            # Not `backward()`: nobody's gradients are touched, no hook of an optimizer fires.
            ask = partial(torch.autograd.grad, loss, trained, allow_unused=True)
            for parameter, found in zip(trained, meter.count(("scores", "backward", key), ask), strict=True):
                if id(parameter) in running:
                    running[id(parameter)].add(found, len(batch_rows))
    return BlockScores(
        scores={
            "relative gradient norm": _finite(_relative_norm, gradients),
            "gradient signal to noise": _finite(_signal_to_noise, gradients),
            "Fisher information": _finite(_fisher, gradients),
        },
        examples=len(sample),
        parts=len(batches),
        step_over_forward=(meter.total - begun) / forward_flops if forward_flops else None,
    )


def rewind_losses(
    model: TaskModel,
    blocks: Sequence[Block],
    pretrained: Mapping[str, Tensor],
    tuned: Mapping[str, Tensor],
    loss: Callable[[], float],
) -> dict[str, float]:
    """Loss with one block put back to its pretrained tensors and all others tuned, by block.

    The higher above the tuned loss, the more the block's training mattered. The model is left tuned, exactly.

    Args:
        blocks: Those of which no tensor is both in `pretrained` and in `tuned` are left out, and so is the head.
        pretrained: Tensors by their name in the model's state, running statistics included.
        tuned: The same after training.
        loss: Asks the model as it then is, in evaluation mode; must not train it.

    Source: Zhang, Bengio, Singer (2019), Are all layers created equal?, arXiv 1902.01996.
    """
    load_trained(model.module, dict(tuned))
    losses = {}
    for block, names in _by_block(model.module.state_dict(keep_vars=True).items(), blocks).items():
        # Clones: `tuned` may be the model's own state.
        own = {name: tuned[name].detach().clone() for name in names if name in pretrained and name in tuned}
        if own:
            try:
                load_trained(model.module, {name: pretrained[name] for name in own})
                losses[block] = loss()
            finally:
                load_trained(model.module, own)
    return losses


def plan_score(plan: FreezePlan, block_scores: Mapping[str, float]) -> float:
    """How much better a plan trains what wants training than chance would: between -1 and 1.

    The share of the score that lies in the trainable blocks, less the share of the blocks that are trainable.
    The first share alone would rank the depths alike by every score: the shallowest freeze first. Training
    everything or nothing but the head is 0; the highest is training just the blocks above the average.

    Args:
        block_scores: Score of each block outside the head; blocks without one are left out of both shares.
            An amount: what is below 0 counts as 0. Of rewind losses, take the rise over the tuned loss.

    >>> scores = {"stem": 0.0, "middle": 3.0, "last": 1.0}
    >>> plans = [FreezePlan(blocks=(*scores, "head"), frozen=frozenset(f)) for f in ((), ("stem",), ("stem", "last"))]
    >>> [round(plan_score(plan, scores), 2) for plan in plans]
    [0.0, 0.33, 0.42]
    """
    amounts = {name: max(0.0, block_scores[name]) for name in plan.blocks if name in block_scores}
    whole = sum(amounts.values())
    if not whole:
        return 0.0
    trained = [amount for name, amount in amounts.items() if name not in plan.frozen]
    return sum(trained) / whole - len(trained) / len(amounts)


@dataclass(slots=True)
class _Gradient:
    """Running mean and squared deviations of one parameter's gradient; each batch weighs as many as its examples.

    By West's recurrence: the difference of two sums would drown the variance in rounding.
    """

    parameter: nn.Parameter
    mean: Tensor
    deviation: Tensor
    examples: int = 0
    batches: int = 0

    def add(self, gradient: Tensor | None, examples: int) -> None:
        self.examples += examples
        self.batches += 1
        share = examples / self.examples
        # None: the parameter took no part in this batch.
        away = -self.mean if gradient is None else gradient.float() - self.mean
        self.mean.add_(away, alpha=share)
        self.deviation.add_(away.square_(), alpha=examples * (1 - share))

    @property
    def variance(self) -> Tensor:
        """Of one example's gradient, unbiased for independent examples; not a number after one batch."""
        return self.deviation / (self.batches - 1)


_Gradients = Sequence[_Gradient]


def _finite(score: Callable[[_Gradients], float], gradients: Mapping[str, _Gradients]) -> dict[str, float]:
    return {block: value for block, own in gradients.items() if isfinite(value := score(own))}


def _relative_norm(own: _Gradients) -> float:
    weights = sum(float(g.parameter.detach().float().square().sum()) for g in own)
    squared = sum(float(g.mean.square().sum()) for g in own)
    return (squared / weights) ** 0.5 if weights else inf


def _signal_to_noise(own: _Gradients) -> float:
    elements = sum(g.mean.numel() for g in own)
    floor = VARIANCE_FLOOR * sum(float(g.variance.sum()) for g in own) / elements + torch.finfo(torch.float32).tiny
    return sum(float((g.mean.square() / (g.variance + floor)).sum()) for g in own) / elements


def _fisher(own: _Gradients) -> float:
    return sum(float(g.mean.square().sum() + g.deviation.sum() / g.examples) for g in own)


def _loss(model: TaskModel, batch: Batch, labels_B: NDArray[np.int64]) -> Tensor:
    args, kwargs = ((), batch) if model.by_keyword else (tuple(batch.values()), {})
    logits_BC = model.logits_in(called_on_copies(model.module, args, kwargs))
    return functional.cross_entropy(logits_BC, torch.from_numpy(labels_B).to(logits_BC.device))


def _gradients_by_block(module: nn.Module, blocks: Sequence[Block]) -> dict[str, list[_Gradient]]:
    named = dict(module.named_parameters(remove_duplicate=False))
    found = {}
    for block, names in _by_block(named.items(), blocks).items():
        if own := {id(named[name]): named[name] for name in names if named[name].requires_grad}:
            zeros = [torch.zeros_like(p, dtype=torch.float32, requires_grad=False) for p in own.values()]
            found[block] = [_Gradient(p, zero, zero.clone()) for p, zero in zip(own.values(), zeros, strict=True)]
    return found


def _by_block(named: Iterable[tuple[str, Tensor]], blocks: Sequence[Block]) -> dict[str, list[str]]:
    """Names of the tensors of each block but the head; one that is tied stands in the first block that holds it."""
    named, seen = list(named), set[int]()
    found: dict[str, list[str]] = {}
    for block in blocks:
        inside = {n: id(t) for n, t in named if n == block.path or n.startswith(f"{block.path}.")}
        new = [name for name, key in inside.items() if key not in seen]
        seen.update(inside.values())
        if new and not block.head:
            found[block.name] = new
    return found
