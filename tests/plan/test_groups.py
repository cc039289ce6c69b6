"""Claims about parameter groups: each trainable parameter once, and an optimizer that follows the freeze."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Adafactor, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from frostline.core.errors import PlanError
from frostline.core.records import Block
from frostline.plan.apply import freeze, unfreeze
from frostline.plan.blocks import blocks
from frostline.plan.groups import OptimizerChange, param_groups, sync_optimizer
from networks import NETWORKS, NormedCnn, RootToken


def tokens() -> Tensor:
    return torch.linspace(-1, 1, 2 * 3 * 4).reshape(2, 3, 4)


def root_blocks() -> tuple[Block, ...]:
    return blocks(RootToken(), tokens())


def step(net: nn.Module, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    net(tokens()).square().sum().backward()
    optimizer.step()


def held(optimizer: Optimizer) -> list[int]:
    return [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]


def trainable(net: nn.Module) -> set[int]:
    return {id(parameter) for parameter in net.parameters() if parameter.requires_grad}


def by_name(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {group["name"]: group for group in groups}


# ---------------------------------------------------------------- param_groups


@pytest.mark.parametrize("name", NETWORKS)
def test_every_trainable_parameter_is_in_one_group(name: str) -> None:
    """Over any network, tied weights included: what trains is in the groups once, what is frozen is not."""
    make, example = NETWORKS[name]
    net = make()
    found = blocks(net, example())
    freeze(net, found[0].path)
    for groups in (param_groups(net, lr=0.1), param_groups(net, lr=0.1, layer_decay=0.5, blocks=found)):
        listed = [id(parameter) for group in groups for parameter in group["params"]]
        assert len(listed) == len(set(listed))
        assert set(listed) == trainable(net)
        assert len(by_name(groups)) == len(groups)
        AdamW(groups)


def test_biases_and_norms_do_not_decay() -> None:
    """Parameters of one dimension and all of a norm layer's are in a group without decay, others are not."""
    net = nn.ModuleDict({"linear": nn.Linear(4, 4), "norm": nn.LayerNorm([2, 4]), "batch": nn.BatchNorm2d(3)})
    groups = by_name(param_groups(net, lr=0.1, weight_decay=0.2))

    assert groups["all/decay"]["members"] == ("linear.weight",)
    assert groups["all/decay"]["weight_decay"] == 0.2
    assert groups["all/no-decay"]["weight_decay"] == 0.0
    assert set(groups["all/no-decay"]["members"]) == {
        *("linear.bias", "norm.weight", "norm.bias", "batch.weight", "batch.bias")
    }


def test_rate_decays_from_the_last_block_down() -> None:
    """The last block has the rate asked for, each one before it the factor less."""
    net, found = RootToken(), root_blocks()
    rates = {name: group["lr"] for name, group in by_name(_decayed(net, found)).items()}

    for distance, block in enumerate(reversed(found)):
        of_block = [rate for name, rate in rates.items() if name.split("/")[0] == block.name]
        assert of_block
        assert of_block == pytest.approx([0.8 * 0.5**distance] * len(of_block))


def _decayed(net: nn.Module, found: tuple[Block, ...], **options: Any) -> list[dict[str, Any]]:
    return param_groups(net, lr=0.8, layer_decay=0.5, blocks=found, **options)


def test_the_head_may_have_a_rate_of_its_own() -> None:
    """With and without layer decay the head's rate is the one asked for, and no other changes."""
    net, found = RootToken(), root_blocks()
    plain = by_name(param_groups(net, lr=0.8, head_lr=7.0, blocks=found))
    decayed, before = by_name(_decayed(net, found, head_lr=7.0)), by_name(_decayed(net, found))

    assert {name: group["lr"] for name, group in plain.items()} == {
        "backbone/decay": 0.8,
        "backbone/no-decay": 0.8,
        "head/decay": 7.0,
        "head/no-decay": 7.0,
    }
    assert {n: g["lr"] for n, g in decayed.items() if not n.startswith("head/")} == {
        n: g["lr"] for n, g in before.items() if not n.startswith("head/")
    }
    assert decayed["head/decay"]["lr"] == 7.0


def test_without_decay_between_layers_blocks_change_nothing() -> None:
    """Blocks alone are no option: the groups are those without blocks."""
    net = RootToken()
    shown = [
        [(group["name"], group["lr"], group["members"]) for group in groups]
        for groups in (param_groups(net, lr=0.1), param_groups(net, lr=0.1, blocks=root_blocks()))
    ]

    assert shown[0] == shown[1]


def test_tied_weight_has_the_rate_of_the_block_that_runs_first() -> None:
    """A head tied to the embedding trains at the embedding's rate, once."""
    net = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 3), nn.Linear(3, 5, bias=False))
    net[2].weight = net[0].weight
    found = blocks(net, torch.zeros(1, 2, dtype=torch.long))
    groups = by_name(param_groups(net, lr=1.0, layer_decay=0.5, blocks=found))

    assert groups["0/decay"]["lr"] == 0.5
    assert groups["0/decay"]["members"] == ("0.weight",)


def test_a_compiled_model_has_the_names_of_the_model_inside() -> None:
    """A wrapper changes neither groups nor names, so the optimizer may be synchronised through either."""
    net = RootToken()
    optimizer = AdamW(param_groups(torch.compile(net, backend="eager"), lr=0.1))
    freeze(net, "patches")

    assert sync_optimizer(optimizer, net).dropped == ("patches.weight", "patches.bias")
    assert set(held(optimizer)) == trainable(net)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr": -0.1}, "lr is -0.1; it must be"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": 0.1, "weight_decay": float("inf")}, "weight_decay is inf"),
        ({"lr": 0.1, "head_lr": -1.0}, "head_lr is -1.0"),
        ({"lr": 0.1, "layer_decay": 0.0}, "layer_decay is 0.0"),
        ({"lr": 0.1, "layer_decay": 1.1}, "layer_decay is 1.1"),
        ({"lr": 0.1, "layer_decay": 0.9}, r"layer_decay was given without the model's blocks.*Add blocks="),
        ({"lr": 0.1, "head_lr": 0.9}, r"head_lr was given without the model's blocks.*Add blocks="),
        ({"lr": 0.1, "layer_decay": 0.9, "blocks": root_blocks()[1:]}, "is in none of the 5 blocks given"),
        ({"lr": 0.1, "head_lr": 0.9, "blocks": root_blocks()[:-1]}, "none of the blocks is a head"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], sentence: str) -> None:
    """One sentence says which option, what it is and what to do."""
    with pytest.raises(PlanError, match=sentence):
        param_groups(RootToken(), **options)


def test_nothing_to_train_is_refused() -> None:
    """A wholly frozen model is said to be one, instead of making an optimizer without parameters."""
    with pytest.raises(PlanError, match="Every parameter of RootToken is frozen"):
        param_groups(freeze(RootToken(), "*"), lr=0.1)


# ---------------------------------------------------------------- sync_optimizer

MAKERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda groups: SGD(groups, lr=0.01, momentum=0.9),
    "sgd foreach": lambda groups: SGD(groups, lr=0.01, momentum=0.9, foreach=True),
    "adamw": lambda groups: AdamW(groups, lr=0.01),
    "adamw fused": lambda groups: AdamW(groups, lr=0.01, fused=True),
    "adamw foreach": lambda groups: AdamW(groups, lr=0.01, foreach=True),
    "adam": lambda groups: Adam(groups, lr=0.01, amsgrad=True),
    "adamax": lambda groups: Adamax(groups, lr=0.01),
    "adadelta": lambda groups: Adadelta(groups, lr=0.01),
    "adafactor": lambda groups: Adafactor(groups, lr=0.01),
    "nadam": lambda groups: NAdam(groups, lr=0.01),
    "radam": lambda groups: RAdam(groups, lr=0.01),
    "rmsprop": lambda groups: RMSprop(groups, lr=0.01),
}
SOURCES: dict[str, Callable[[nn.Module], Any]] = {
    "param_groups": lambda net: param_groups(net, lr=0.01),
    "layer decay": lambda net: param_groups(net, lr=0.01, layer_decay=0.9, blocks=root_blocks()),
    "trainable only": lambda net: [p for p in net.parameters() if p.requires_grad],
    "everything": lambda net: list(net.parameters()),
    "named": lambda net: [(name, p) for name, p in net.named_parameters() if p.requires_grad],
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_frozen_leave_unfrozen_enter_the_rest_keep_their_state(make: Callable[[Any], Optimizer]) -> None:
    """After a change of freeze the optimizer holds exactly what trains, and what stayed has its very state."""
    net = freeze(RootToken(), "layers[0]")
    optimizer = make(param_groups(net, lr=0.01, weight_decay=0.1))
    step(net, optimizer)
    kept = {id(p): dict(state) for p, state in optimizer.state.items()}
    freeze(unfreeze(net, "layers[0]"), "patches", "layers.1.norm1")
    change = sync_optimizer(optimizer, net)

    assert change.dropped == tuple(
        name for name, _ in net.named_parameters() if name.startswith(("patches", "layers.1.norm1"))
    )
    assert change.added == tuple(name for name, _ in net.named_parameters() if name.startswith("layers.0"))
    assert set(held(optimizer)) == trainable(net)
    assert all(p.requires_grad for p in optimizer.state)
    for parameter, state in optimizer.state.items():
        assert all(state[key] is value for key, value in kept[id(parameter)].items())
    before = copy.deepcopy(net.state_dict())
    step(net, optimizer)
    moved = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not moved & set(change.dropped)
    assert set(change.added) - {"layers.0.self_attn.in_proj_bias"} <= moved


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@settings(max_examples=30)
@given(changes=st.lists(st.tuples(st.booleans(), st.sampled_from(["token", "layers", "layers[1]", "*.bias", "head"]))))
def test_any_sequence_of_freezes_leaves_the_optimizer_in_step(
    source: Callable[[nn.Module], Any], changes: list[tuple[bool, str]]
) -> None:
    """Whatever was frozen and unfrozen in whatever order: what trains is held once, and nothing else is."""
    net = freeze(RootToken(), "patches")
    optimizer = AdamW(source(net))
    for freezing, pattern in changes:
        (freeze if freezing else unfreeze)(net, pattern)
        sync_optimizer(optimizer, net)

        assert set(held(optimizer)) == trainable(net)
        assert len(held(optimizer)) == len(trainable(net))
        for group in optimizer.param_groups:
            assert len(group.get("param_names", group["params"])) == len(group["params"])
    if changes:
        assert sync_optimizer(optimizer, net) == OptimizerChange()


def added_by_value(optimizer: Optimizer, net: nn.Module) -> list[str]:
    """The planted fault: asks by value whether a parameter is in the optimizer already."""
    there = [p for group in optimizer.param_groups for p in group["params"]]
    return [
        name
        for name, p in net.named_parameters()
        if p.requires_grad and not any(p.shape == other.shape and torch.equal(p, other) for other in there)
    ]


def test_equal_values_are_not_one_parameter() -> None:
    """An unfrozen layer norm enters although another one with the same numbers is held; by value it is lost."""
    net = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 3), nn.LayerNorm(3))
    optimizer = SGD(param_groups(freeze(net, "0"), lr=0.1))
    unfreeze(net, "0")

    assert added_by_value(optimizer, net) == []
    assert sync_optimizer(optimizer, net).added == ("0.weight", "0.bias")
    assert set(held(optimizer)) == trainable(net)


def test_no_momentum_or_decay_moves_what_was_frozen_late() -> None:
    """Frozen between backward and step, with gradients that are zeroed rather than dropped: not a bit moves."""
    net = RootToken()
    optimizer = AdamW(param_groups(net, lr=0.1, weight_decay=0.5))
    step(net, optimizer)
    net(tokens()).square().sum().backward()
    net.patches.requires_grad_(False)
    sync_optimizer(optimizer, net)
    before = net.patches.weight.clone()
    for _ in range(3):
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    assert torch.equal(net.patches.weight, before)


def test_late_freeze_leaks_without_sync() -> None:
    """The planted fault is seen: the same without `sync_optimizer` moves what was frozen."""
    net = RootToken()
    optimizer = AdamW(param_groups(net, lr=0.1, weight_decay=0.5))
    step(net, optimizer)
    net.patches.requires_grad_(False)
    before = net.patches.weight.clone()
    optimizer.step()

    assert not torch.equal(net.patches.weight, before)


def test_unfrozen_parameters_go_back_to_their_group() -> None:
    """A block that was frozen from the start and one that was frozen later come back to their own rates."""
    found = root_blocks()
    net = freeze(RootToken(), "patches")
    optimizer = AdamW(_decayed(net, found))
    wanted = {group["name"]: group["lr"] for group in optimizer.param_groups}
    sync_optimizer(optimizer, freeze(net, "layers[0]"))
    sync_optimizer(optimizer, unfreeze(net))
    named = {id(p): name for name, p in net.named_parameters()}

    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == wanted
    for group in optimizer.param_groups:
        assert group["params"]
        assert all(named[id(p)].startswith(group["name"].split("/")[0]) for p in group["params"])


@pytest.mark.parametrize(
    "make",
    [lambda o: LambdaLR(o, lambda n: 0.5**n), lambda o: CosineAnnealingLR(o, 10)],
    ids=["lambda", "cosine"],
)
def test_schedulers_go_on(make: Callable[[Optimizer], Any]) -> None:
    """Rates follow the scheduler as if nothing had been frozen, those of late comers too."""
    rates = []
    for freezing in (False, True):
        net = RootToken()
        optimizer = SGD(param_groups(freeze(net, "layers") if freezing else net, lr=0.1))
        scheduler = make(optimizer)
        for number in range(6):
            if freezing and number == 3:
                sync_optimizer(optimizer, freeze(unfreeze(net), "patches"))
            step(net, optimizer)
            scheduler.step()
        rates.append({group["name"]: group["lr"] for group in optimizer.param_groups})

    assert rates[0] == rates[1]


def test_a_scheduler_refuses_groups_it_does_not_know() -> None:
    """The documented limit: where new groups had to be opened, the old scheduler fails at once, not silently."""
    net = freeze(RootToken(), "patches")
    optimizer = SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    scheduler = LambdaLR(optimizer, lambda n: 0.5**n)
    optimizer.step()
    sync_optimizer(optimizer, unfreeze(net))

    with pytest.raises(ValueError, match="zip"):
        scheduler.step()


def test_new_groups_take_the_optimizers_defaults_or_what_is_asked() -> None:
    """Rate and decay of parameters that no group was made for."""
    for options, rate, decay in (({}, 0.1, 0.3), ({"lr": 0.7, "weight_decay": 0.2}, 0.7, 0.2)):
        net = freeze(NormedCnn(), "first")
        optimizer = SGD([p for p in net.parameters() if p.requires_grad], lr=0.1, weight_decay=0.3)
        sync_optimizer(optimizer, unfreeze(net), **options)
        _, *new = optimizer.param_groups

        assert {group["name"]: (group["lr"], group["weight_decay"]) for group in new} == {
            "all/decay": (rate, decay),
            "all/no-decay": (rate, 0.0),
        }


def test_parameters_of_others_are_left_alone() -> None:
    """A loss with parameters of its own in the same optimizer keeps them."""
    net, temperature = RootToken(), nn.Parameter(torch.ones(()))
    optimizer = SGD([{"params": [*net.parameters(), temperature]}], lr=0.1)
    sync_optimizer(optimizer, freeze(net, "layers"))

    assert id(temperature) in held(optimizer)
    assert set(held(optimizer)) == {*trainable(net), id(temperature)}


def test_state_loads_into_an_optimizer_with_another_history() -> None:
    """Frozen and unfrozen in another order, a second optimizer loads the first one's state by place."""
    first, second = RootToken(), RootToken()
    optimizers = [AdamW(param_groups(net, lr=0.1)) for net in (first, second)]
    for pattern in ("layers", "patches", "token"):
        sync_optimizer(optimizers[0], freeze(first, pattern))
    sync_optimizer(optimizers[0], unfreeze(first, "patches"))
    step(first, optimizers[0])
    sync_optimizer(optimizers[0], unfreeze(first, "token"))
    step(first, optimizers[0])
    sync_optimizer(optimizers[1], freeze(second, "layers"))
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    names = {id(p): name for net in (first, second) for name, p in net.named_parameters()}
    states = [{names[id(p)]: s["exp_avg"] for p, s in optimizer.state.items()} for optimizer in optimizers]

    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
