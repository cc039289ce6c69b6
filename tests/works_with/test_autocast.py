"""Claims about mixed precision on the CPU: frozen stays frozen under autocast, and what trains can stay in float32."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from frostline.models.tensors import tensors_in
from frostline.plan.apply import freeze, is_inert
from frostline.plan.blocks import Example, call
from frostline.plan.precision import keep_trainable_float32
from frostline.plan.proof import Seal
from networks import NETWORKS, NormedCnn

# Leading parts: on the CPU a norm in half precision does not take what a float32 part before it gives.
FROZEN = {
    "cnn": ("first",),
    "bert classifier": ("embeddings",),
    "vit": ("embeddings", "layers[:1]"),
    "root token": ("token", "patches", "layers[:2]"),
}
HALF = [torch.bfloat16, torch.float16]


def train(
    net: nn.Module, example: Example, dtype: torch.dtype, steps: int = 3, rate: float = 1e-3
) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=rate, weight_decay=0.1)
    for _ in range(3):
        net.train()
        with torch.autocast("cpu", dtype=dtype):
            output = call(net, example)
        next(tensors_in(output)).float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("name", FROZEN)
def test_frozen_stays_frozen_under_autocast(name: str, dtype: torch.dtype) -> None:
    """Weights and statistics bit-identical, the rest trains, in float32."""
    make, example = NETWORKS[name]
    net = freeze(make(), *FROZEN[name])
    seal = Seal.of(net)
    before = {n: p.detach().clone() for n, p in net.named_parameters() if p.requires_grad}
    optimizer = train(net, example(), dtype)

    assert seal.compare(net, optimizer).holds
    assert any(not torch.equal(net.get_parameter(n), tensor) for n, tensor in before.items())
    assert all(p.dtype == torch.float32 for p in net.parameters())


def test_a_frozen_block_answers_alike_in_any_batch_under_autocast() -> None:
    """Held norms and silenced dropout do not depend on the precision."""
    net = freeze(NormedCnn(), "first").train()
    images = torch.randn(4, 3, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert torch.equal(net.first(images)[:2], net.first(images[:2]))


def halved(name: str, keep: Callable[[nn.Module], nn.Module] = lambda net: net) -> tuple[nn.Module, Example]:
    make, example = NETWORKS[name]
    return keep(freeze(make().bfloat16(), *FROZEN[name])), example()


@pytest.mark.parametrize("name", FROZEN)
def test_what_trains_is_float32_over_a_frozen_part_in_bfloat16(name: str) -> None:
    """On request: only parameters that train and the statistics beside them are cast; frozen ones are not."""
    net, example = halved(name, keep_trainable_float32)
    seal = Seal.of(net)
    optimizer = train(net, example, torch.bfloat16)

    assert {p.dtype for p in net.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in net.parameters() if not p.requires_grad} == {torch.bfloat16}
    floating = [b for m in net.modules() if is_inert(m) for b in m.buffers() if b.is_floating_point()]
    assert all(buffer.dtype == torch.bfloat16 for buffer in floating)
    assert seal.compare(net, optimizer).holds


def moved_weights(net: nn.Module, example: Example) -> float:
    """Share of the trained weights of a usual size that three small steps moved."""
    weights = {n: p for n, p in net.named_parameters() if p.requires_grad and p.dim() == 1 and n.endswith("weight")}
    with torch.no_grad():
        for parameter in weights.values():
            parameter.fill_(1.0)
    train(net, example, torch.bfloat16, rate=1e-4)
    moved: list[Tensor] = [(parameter != 1.0).float() for parameter in weights.values()]
    return float(torch.cat(moved).mean())


def test_small_updates_are_lost_in_bfloat16_and_kept_in_float32() -> None:
    """Why the request exists: at a rate of 1e-4 a weight of 1 in bfloat16 never moves, in float32 it does."""
    torch.manual_seed(0)
    assert moved_weights(*halved("bert classifier")) == 0
    assert moved_weights(*halved("bert classifier", keep_trainable_float32)) > 0.5


def test_the_optimizer_keeps_its_parameters() -> None:
    """Casting changes the data, not the parameter: an optimizer made before trains what it held."""
    net = freeze(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).bfloat16(), "0")
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    keep_trainable_float32(net)
    before = net.get_parameter("1.weight").detach().clone()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        functional.mse_loss(net(torch.ones(3, 2)).float(), torch.ones(3, 1)).backward()
    optimizer.step()

    assert not torch.equal(net.get_parameter("1.weight"), before)
