"""The optimizer, its parameter groups, and the learning rate as a pure function of the step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frostline.plan.groups import grouped
from frostline.train.recipe import Recipe


def make_optimizer(
    module: nn.Module, head: nn.Module | None, recipe: Recipe, learning_rate: float
) -> torch.optim.AdamW:
    """AdamW over the trainable parameters alone; no decay for biases and norms, a faster head.

    A frozen parameter is in no group, so it holds no optimizer state and no decay reaches it.
    """
    in_head = set(map(id, head.parameters())) if head is not None else set()
    rates = {"backbone": learning_rate, "head": recipe.head_learning_rate}

    def place(parameter: nn.Parameter) -> tuple[str, float]:
        part = "head" if id(parameter) in in_head else "backbone"
        return part, rates[part]

    groups = grouped(module, place, recipe.weight_decay)
    listed = [{**group, "peak": group["lr"]} for group in groups if group["params"]]
    device = next(module.parameters()).device.type
    return torch.optim.AdamW(listed, fused=device in ("cpu", "cuda"))


def set_rate(optimizer: torch.optim.Optimizer, step: int, steps: int, warmup_share: float) -> None:
    """Set every group's learning rate for one step."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * rate_factor(step, steps, warmup_share)


def rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """Linear warm-up from near zero to 1, then linear down to zero after the last step.

    >>> [round(rate_factor(step, 10, 0.2), 2) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.12]
    """
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return (steps - step) / max(1, steps - warmup)


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
