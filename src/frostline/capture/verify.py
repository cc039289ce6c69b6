"""Comparing a replayed pass with the ordinary one: results and gradients, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from frostline.capture.guard import undisturbed
from frostline.capture.outputs import same_bits, same_values, tensors_of
from frostline.plan.chance import seed_everything

HALF_TOLERANCE = 0.1
"""For rows that are kept as float16, by choice: far above their rounding, far below a wrong row."""

VERIFIED_EXAMPLES = 4
"""Examples of a batch that are compared: enough to show a fault, and cheap."""


def difference(
    model: nn.Module,
    ordinary: Callable[[], Any],
    replayed: Callable[[], Any],
    tolerance: float = 0.0,
    *,
    gradients: bool = True,
) -> str:
    """What differs between two passes made from the same random state; empty when nothing does.

    Gradients are of the results, each weighted by fixed random numbers, so that no two errors cancel.

    Args:
        tolerance: As a share of the largest number; 0 asks for equality to the last bit.
        gradients: Whether they are compared, too.
    """
    first, first_gradients = _measured(model, ordinary, gradients)
    second, second_gradients = _measured(model, replayed, gradients)
    if not (_all_close(first, second, tolerance) if tolerance else same_values(first, second)):
        return "its result is not that of the ordinary model"
    for name, gradient in first_gradients.items():
        other = second_gradients.get(name)
        same = _all_close(gradient, other, tolerance) if tolerance else same_bits(gradient, other)
        if not same:
            return f"the gradient of {name!r} is not that of the ordinary model"
    return ""


def _all_close(one: Any, other: Any, tolerance: float) -> bool:
    ones, others = tensors_of(one), tensors_of(other)
    return len(ones) == len(others) and all(
        a.shape == b.shape
        and float((a - b).detach().abs().max()) <= tolerance * max(float(a.detach().abs().max()), 1e-6)
        for a, b in zip(ones, others, strict=True)
        if a.is_floating_point() and a.numel()
    )


def _measured(model: nn.Module, run: Callable[[], Any], gradients: bool) -> tuple[Any, dict[str, Tensor | None]]:
    with undisturbed(model):
        seed_everything(1)
        result = run()
        return result, gradients_of(model, result) if gradients else {}


def gradients_of(model: nn.Module, result: Any) -> dict[str, Tensor | None]:
    """Gradients of what trains, by name. Not by `backward()`: nobody's are touched, no hook of an optimizer fires."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    parts = [tensor for tensor in tensors_of(result) if tensor.requires_grad]
    if not parts or not trained:
        return {}
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(part.shape, generator=generator).to(part) for part in parts]
    gradients = torch.autograd.grad(parts, list(trained.values()), weights, allow_unused=True)
    return dict(zip(trained, gradients, strict=True))
