"""Claims about the optimizer: only what trains is in it, the rate is a function of the step, its state comes back."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from frostline.core.errors import PlanError
from frostline.core.records import Block
from frostline.plan.apply import freeze
from frostline.train.optim import make_optimizer, optimizer_tensors, rate_factor, restore_optimizer, set_rate
from frostline.train.recipe import Recipe, Schedule
from networks import BagOfTokens, bag_model

SCHEDULES = st.sampled_from(["linear", "cosine"])
BLOCKS = [Block(name=name, path=name, parameters=0) for name in ("embedding", "first", "second", "head")]


@given(steps=st.integers(1, 300), share=st.floats(0, 0.99), schedule=SCHEDULES)
def test_the_rate_rises_to_one_and_falls_towards_zero(steps: int, share: float, schedule: Schedule) -> None:
    """One peak, no step without movement, nothing above the peak."""
    rates = [rate_factor(step, steps, share, schedule) for step in range(steps)]
    top = rates.index(max(rates))

    assert max(rates) == 1
    assert min(rates) > 0
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@given(steps=st.integers(1, 300), share=st.floats(0, 0.99))
def test_the_rate_is_two_straight_lines(steps: int, share: float) -> None:
    """Within the warm-up and behind it every step changes the rate by the same amount."""
    warmup = max(1, round(steps * share))
    rates = [rate_factor(step, steps, share) for step in range(steps)]
    for line in (rates[:warmup], rates[warmup:]):
        rises = [second - first for first, second in pairwise(line)]
        assert rises == pytest.approx([rises[0]] * len(rises) if rises else [])


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_the_cosine_is_that_of_torch(steps: int) -> None:
    """Behind the warm-up it is CosineAnnealingLR over the steps that are left."""
    warmup = max(1, round(steps * 0.3))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps - warmup))
    for step in range(warmup, steps):
        assert rate_factor(step, steps, 0.3, "cosine") == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_setting_the_rate_takes_the_schedule() -> None:
    """Every group is at its peak times the factor, whatever it was set to before."""
    model = bag_model()
    optimizer = make_optimizer(model.module, model.head, Recipe(head_learning_rate=0.1), 0.01)
    set_rate(optimizer, 3, 10, 0.1)
    set_rate(optimizer, 7, 10, 0.1, schedule="cosine")
    factor = rate_factor(7, 10, 0.1, "cosine")

    assert factor != rate_factor(7, 10, 0.1)
    assert {group["lr"] for group in optimizer.param_groups} == {0.01 * factor, 0.1 * factor}


def test_setting_the_rate_keeps_the_proportions() -> None:
    """Head and backbone rise and fall together."""
    model = bag_model()
    optimizer = make_optimizer(model.module, model.head, Recipe(head_learning_rate=0.1), 0.01)
    set_rate(optimizer, 0, 10, 0.5)

    assert {round(group["lr"], 6) for group in optimizer.param_groups} == {0.002, 0.02}


def test_groups_tell_head_from_backbone_and_weights_from_the_rest() -> None:
    """Matrices decay, biases and norms do not; the head has its own rate; what is frozen is in no group."""
    module = freeze(BagOfTokens(), "first")
    assert isinstance(module, BagOfTokens)
    optimizer = make_optimizer(module, module.head, Recipe(weight_decay=0.1, head_learning_rate=0.5), 0.01)
    found = {
        name: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for held in group["params"]
        for name, parameter in module.named_parameters()
        if parameter is held
    }

    assert found == {
        "embedding.weight": (0.01, 0.1),
        "second.0.weight": (0.01, 0.1),
        "second.0.bias": (0.01, 0.0),
        "second.1.weight": (0.01, 0.0),
        "second.1.bias": (0.01, 0.0),
        "head.weight": (0.5, 0.1),
        "head.bias": (0.5, 0.0),
    }


def rates_of(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Parameter name -> peak rate."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return {names[id(held)]: group["peak"] for group in optimizer.param_groups for held in group["params"]}


def test_the_rate_decays_from_each_block_to_the_one_before() -> None:
    """Counted from the last block; the head keeps its own rate, and matrices still decay where biases do not."""
    module = BagOfTokens()
    recipe = Recipe(layer_decay=0.5, head_learning_rate=0.3)
    optimizer = make_optimizer(module, module.head, recipe, 0.08, BLOCKS)
    by_block = {name.split(".")[0]: rate for name, rate in rates_of(module, optimizer).items()}
    decays = {p.dim() > 1 for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}

    assert by_block == {"embedding": 0.01, "first": 0.02, "second": 0.04, "head": 0.3}
    assert len(rates_of(module, optimizer)) == len(list(module.parameters()))
    assert decays == {True}


def test_a_trained_head_has_the_rate_of_the_last_block() -> None:
    """Without a head of its own the last block is the one from which the rate decays."""
    module = freeze(BagOfTokens(), "embedding")
    optimizer = make_optimizer(module, None, Recipe(layer_decay=0.5), 0.08, BLOCKS)
    rates = rates_of(module, optimizer)

    assert (rates["head.weight"], rates["first.0.bias"]) == (0.08, 0.02)
    assert "embedding.weight" not in rates


def test_without_layer_decay_blocks_change_nothing() -> None:
    """A factor of 1 gives the groups there were before blocks were known."""
    module = BagOfTokens()
    plain, told = (make_optimizer(module, module.head, Recipe(), 0.01, blocks).param_groups for blocks in ((), BLOCKS))
    fields = ("name", "lr", "peak", "weight_decay", "members")

    assert [[g[f] for f in fields] for g in told] == [[g[f] for f in fields] for g in plain]
    assert [list(map(id, g["params"])) for g in told] == [list(map(id, g["params"])) for g in plain]
    assert {group["name"].split("/")[0] for group in plain} == {"backbone", "head"}


def test_layers_decay_only_with_blocks() -> None:
    """Which block comes before which is not guessed."""
    module = BagOfTokens()
    with pytest.raises(PlanError, match="without the model's blocks"):
        make_optimizer(module, module.head, Recipe(layer_decay=0.5), 0.01)


def test_state_round_trip_continues_bit_for_bit() -> None:
    """An optimizer restored from named tensors goes on exactly where the other one was."""

    def begun() -> tuple[BagOfTokens, torch.optim.AdamW, dict[int, str]]:
        module = bag_model().module
        assert isinstance(module, BagOfTokens)
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        return module, make_optimizer(module, module.head, Recipe(), 0.1), names

    def step(module: BagOfTokens, optimizer: torch.optim.Optimizer) -> None:
        ids_BT = torch.arange(24).reshape(3, 8)
        module.eval()(ids_BT, torch.ones_like(ids_BT)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    first, optimizer, names = begun()
    for _ in range(3):
        step(first, optimizer)
    second, other, other_names = begun()
    second.load_state_dict(first.state_dict())
    kept: dict[str, Tensor] = {name: t.clone() for name, t in optimizer_tensors(optimizer, names).items()}
    restore_optimizer(other, kept, other_names)
    for module, each in ((first, optimizer), (second, other)):
        for _ in range(2):
            step(module, each)

    assert all(map(torch.equal, first.parameters(), second.parameters()))
    assert set(kept) == set(optimizer_tensors(other, other_names))
    assert "head.weight|exp_avg" in kept
