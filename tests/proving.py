"""Training under the proof, for tests: a plain freeze that leaks, a quiet one that does not, and what was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from frostline.plan.prove import FreezeProof, prove_frozen
from networks import NormedCnn


def images(seed: int = 0) -> Tensor:
    return torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) + 1


def trainable(net: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in net.parameters() if parameter.requires_grad]


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 2, *, set_to_none: bool = True) -> None:
    net.train()
    for step in range(steps):
        optimizer.zero_grad(set_to_none=set_to_none)
        net(images(step)).square().sum().backward()
        optimizer.step()


def plainly_frozen() -> NormedCnn:
    """`requires_grad = False` on the first part, whose norm and dropout stay in training mode."""
    net = NormedCnn()
    net.first.requires_grad_(False)
    return net


def quietly_frozen() -> NormedCnn:
    """Nothing leaks from this one unless something is planted: no norm and no dropout in what is frozen."""
    net = NormedCnn()
    net.first[0].requires_grad_(False)
    return net


def audited(net: nn.Module, code: Callable[[], Any], **options: Any) -> FreezeProof:
    with prove_frozen(net, report=True, **options) as proof:
        code()
    return proof


def found(proof: FreezeProof, kind: str) -> dict[str, str]:
    """Causes of one kind of leak by name."""
    return {leak.name: leak.cause for leak in proof.leaks if leak.kind == kind}
