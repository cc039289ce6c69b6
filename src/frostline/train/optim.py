"""The optimizer, its parameter groups, and the learning rate as a pure function of the step."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi

import torch
from torch import Tensor, nn

from frostline.core.records import Block
from frostline.plan.groups import grouped, param_groups
from frostline.train.recipe import Recipe, Schedule


def make_optimizer(
    module: nn.Module, head: nn.Module | None, recipe: Recipe, learning_rate: float, blocks: Sequence[Block] = ()
) -> torch.optim.AdamW:
    """AdamW over the trainable parameters alone; no decay for biases and norms, a faster head.

    A frozen parameter is in no group, so it holds no optimizer state and no decay reaches it.

    Args:
        head: Has the recipe's head rate, whatever its block would have.
        learning_rate: Of the last block, and of all of the backbone without layer decay.
        blocks: Of the module, in execution order; asked for by a layer decay.

    Raises:
        PlanError: Layers are to decay and the blocks are missing or another model's.
    """
    in_head = set(map(id, head.parameters())) if head is not None else set()
    layers = _layers(module, recipe, learning_rate, blocks) if recipe.layer_decay != 1 else {}

    def place(parameter: nn.Parameter) -> tuple[str, float]:
        if id(parameter) in in_head:
            return "head", recipe.head_learning_rate
        return layers.get(id(parameter), ("backbone", learning_rate))

    groups = grouped(module, place, recipe.weight_decay)
    listed = [{**group, "peak": group["lr"]} for group in groups if group["params"]]
    device = next(module.parameters()).device.type
    return torch.optim.AdamW(listed, fused=device in ("cpu", "cuda"))


def _layers(
    module: nn.Module, recipe: Recipe, learning_rate: float, blocks: Sequence[Block]
) -> dict[int, tuple[str, float]]:
    """Parameter id -> name and learning rate of its block."""
    named = dict(module.named_parameters())
    groups = param_groups(module, lr=learning_rate, layer_decay=recipe.layer_decay, blocks=blocks or None)
    return {
        id(named[name]): (group["name"].rpartition("/")[0], group["lr"])
        for group in groups
        for name in group["members"]
    }


def set_rate(
    optimizer: torch.optim.Optimizer, step: int, steps: int, warmup_share: float, *, schedule: Schedule = "linear"
) -> None:
    """Set every group's learning rate for one step, see `rate_factor`."""
    factor = rate_factor(step, steps, warmup_share, schedule)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def rate_factor(step: int, steps: int, warmup_share: float, schedule: Schedule = "linear") -> float:
    """Linear warm-up from near zero to 1, then down to zero after the last step.

    Args:
        step: Counted from 0, from where the leg began.
        steps: Of the leg: the whole run, or as far as a race lets it go before it is compared.
        schedule: Shape of the way down: a straight line or half a cosine wave.

    Source of the cosine and of several such legs in a run: Loshchilov & Hutter (2017), SGDR: stochastic gradient
        descent with warm restarts, ICLR.

    >>> [round(rate_factor(step, 10, 0.2), 2) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.12]
    """
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return min(1.0, (step + 1) / warmup)
    down = max(1, steps - warmup)
    if schedule == "cosine":
        return (1 + cos(pi * (step - warmup) / down)) / 2
    return (steps - step) / down


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: dict[int, str]) -> dict[str, Tensor]:
    """The optimizer's state as named tensors: `parameter name|state name`."""
    return {
        f"{names[id(parameter)]}|{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], names: dict[int, str]) -> None:
    """Put back what `optimizer_tensors` gave, by parameter name."""
    parameters = {names[id(p)]: p for group in optimizer.param_groups for p in group["params"]}
    for name, tensor in tensors.items():
        parameter_name, _, key = name.partition("|")
        parameter = parameters[parameter_name]
        # The step count stays on the CPU, unless the optimizer is fused.
        moves = key != "step" or optimizer.defaults["fused"]
        optimizer.state[parameter][key] = tensor.to(parameter.device) if moves else tensor
