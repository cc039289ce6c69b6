"""Claims about freezing: frozen means frozen, until it is unfrozen."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from io import BytesIO

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.errors import PlanError
from frostline.plan.apply import freeze, frozen_tensors, is_inert, unfreeze
from frostline.plan.blocks import Example, blocks, call
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.proof import Seal
from frostline.train.optim import make_optimizer
from frostline.train.recipe import Recipe
from networks import NETWORKS, NormedCnn, RootToken

# Shape letters: B examples, H rows, W columns.


def images(examples: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(examples, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


def tensors(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def moved(net: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """Names of tensors that are not what they were."""
    return {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}


def train(net: nn.Module, steps: int = 5) -> None:
    """An ordinary loop with AdamW and weight decay over what trains."""
    optimizer = torch.optim.AdamW((p for p in net.parameters() if p.requires_grad), lr=0.1, weight_decay=0.1)
    for step in range(steps):
        net.train()
        functional.cross_entropy(net(images(seed=step)), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
        optimizer.zero_grad()


def frozen_by_hand(net: nn.Module) -> nn.Module:
    """The planted fault: what people do who only set `requires_grad`."""
    net.first.requires_grad_(False)
    return net


def round_trip(net: nn.Module) -> nn.Module:
    file = BytesIO()
    torch.save(net, file)
    file.seek(0)
    loaded: nn.Module = torch.load(file, weights_only=False)
    return loaded


def reloaded(net: nn.Module) -> nn.Module:
    net.load_state_dict(tensors(NormedCnn()))
    return net


def test_frozen_statistics_do_not_move() -> None:
    """Through five training steps nothing of a frozen block changes, batch norm's statistics included."""
    net = freeze(NormedCnn(), "first")
    before = tensors(net)
    train(net)

    assert {name.split(".")[0] for name in moved(net, before)} == {"second", "fc"}


def test_requires_grad_alone_leaks() -> None:
    """The planted fault is seen: without frostline the statistics of a frozen block drift."""
    net = frozen_by_hand(NormedCnn())
    before = tensors(net)
    train(net)

    assert {"first.1.running_mean", "first.1.running_var"} <= moved(net, before)


def test_frozen_output_depends_neither_on_batch_mates_nor_on_chance() -> None:
    """In training mode a frozen block answers an example alone, in company and again with the same numbers."""
    net = freeze(NormedCnn(), "first").train()
    batch = images()
    together = net.first(batch)

    assert torch.equal(net.first(batch), together)
    torch.testing.assert_close(net.first(batch[:1]), together[:1], rtol=0, atol=1e-6)
    strangers = torch.cat([batch[:1], 100 * images(3, seed=9)])
    torch.testing.assert_close(net.first(strangers)[:1], together[:1], rtol=0, atol=1e-6)


def test_batch_mates_and_chance_show_through_requires_grad() -> None:
    """The planted fault is seen: frozen by hand, the same block answers differently each time."""
    net = frozen_by_hand(NormedCnn()).train()

    assert not torch.equal(net.first(images()), net.first(images()))


def test_training_mode_does_not_wake_a_frozen_block() -> None:
    """`model.train()` before every step is what every loop does: the freeze holds through the call."""
    net = freeze(NormedCnn(), "first").train()
    net(images())

    assert not any(part.training for part in net.first.modules())
    assert all(part.training for part in net.second.modules())


@pytest.mark.parametrize(
    "carried",
    [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), round_trip, reloaded],
    ids=["deepcopy", "pickle", "torch.save", "load_state_dict"],
)
def test_freeze_survives(carried: Callable[[nn.Module], nn.Module]) -> None:
    """A frozen network that was copied, stored or given other weights trains without moving what is frozen."""
    net = carried(freeze(NormedCnn(), "first"))
    before = tensors(net)
    train(net)

    assert {name.split(".")[0] for name in moved(net, before)} == {"second", "fc"}


def test_freeze_survives_another_type() -> None:
    """In float64 the same blocks are frozen and inert."""
    net = freeze(NormedCnn(), "first").to(torch.float64).train()
    before = tensors(net)
    net(images().double()).sum().backward()

    assert not moved(net, before).intersection(f"first.{name}" for name in net.first.state_dict())
    assert all(is_inert(part) for part in net.first.modules())


def test_unfreezing_restores_training() -> None:
    """Frozen and unfrozen again, a network trains exactly like one that never was frozen."""
    torch.manual_seed(0)
    never, again = (net := NormedCnn()), copy.deepcopy(net)
    unfreeze(freeze(again, "first", "fc.bias"), "first", "fc.bias")
    for each in (never, again):
        torch.manual_seed(1)
        train(each)

    assert moved(again, tensors(never)) == set()
    assert not any(map(is_inert, again.modules()))


def test_unfreezing_one_layer_of_a_frozen_stack() -> None:
    """That layer trains and drops out; its neighbours stay fixed and answer without chance."""
    net = unfreeze(freeze(RootToken(), "layers"), "layers[1]").train()
    hidden = torch.ones(2, 3, 8)

    assert [any(p.requires_grad for p in layer.parameters()) for layer in net.layers] == [False, True, False]
    assert [torch.equal(layer(hidden), layer(hidden)) for layer in net.layers] == [True, False, True]


def test_unfreezing_without_names_unfreezes_all() -> None:
    """The whole model trains again, whatever was frozen how."""
    net = unfreeze(freeze(RootToken(), "token", "layers[:2]", "*.bias"))

    assert all(parameter.requires_grad for parameter in net.parameters())
    assert not frozen_tensors(net)


def test_a_wholly_frozen_model_wakes_in_the_part_that_is_unfrozen() -> None:
    """Freeze all, unfreeze the head, train: only the head moves, in training mode."""
    net = unfreeze(freeze(NormedCnn(), "*"), "fc").train()
    before = tensors(net)
    train(net)

    assert moved(net, before) == {"fc.weight", "fc.bias"}
    assert net.training
    assert net.fc.training


def test_freezing_twice_is_freezing_once() -> None:
    """No second hook is added, and one unfreezing undoes it."""
    net = freeze(freeze(NormedCnn(), "first"), "first")

    assert {len(part._forward_pre_hooks) for part in net.first.modules()} == {1}
    assert not any(map(is_inert, unfreeze(net, "first").modules()))


def test_parameters_alone_can_be_frozen() -> None:
    """Freezing biases holds biases; their modules keep training."""
    net = freeze(NormedCnn(), "*.bias")
    before = tensors(net)
    train(net)
    frozen = {name for name, _ in net.named_parameters() if name.endswith(".bias")}

    assert not moved(net, before) & frozen
    assert "first.1.running_mean" in moved(net, before)


def test_module_whose_parameters_were_frozen_one_by_one_is_inert() -> None:
    """Weight and bias of a batch norm frozen by name freeze its statistics too."""
    net = freeze(NormedCnn(), "first.1.weight", "first.1.bias")
    before = tensors(net)
    train(net)

    assert not {"first.1.running_mean", "first.1.running_var"} & moved(net, before)


def test_a_callable_chooses_parameters_by_name() -> None:
    """A callable is asked about every parameter, and those it wants are frozen."""
    asked: list[str] = []
    net = freeze(NormedCnn(), lambda name: bool(asked.append(name)) or "bias" in name)

    assert asked == [name for name, _ in net.named_parameters()]
    assert all(parameter.requires_grad == ("bias" not in name) for name, parameter in net.named_parameters())


@pytest.mark.parametrize(
    ("selectors", "sentence"),
    [
        ((), "Nothing was named to freeze"),
        (("third",), "matches no block or parameter"),
        (("first", "third"), "matches no block or parameter"),
        ((lambda name: False,), "chose none of the model's"),
    ],
)
def test_selecting_nothing_is_refused(selectors: tuple[str, ...], sentence: str) -> None:
    """A selector without effect is an error, and then nothing at all is frozen."""
    net = NormedCnn()
    with pytest.raises(PlanError, match=sentence):
        freeze(net, *selectors)

    assert not frozen_tensors(net)


def test_a_plan_for_full_fine_tuning_freezes_nothing() -> None:
    """An empty plan is a choice, not a mistake."""
    net = freeze(NormedCnn(), FreezePlan(blocks=("first", "second", "fc")))

    assert not frozen_tensors(net)


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_frozen_moves_under_adamw_with_decay(name: str) -> None:
    """Five steps over any network, its first half frozen: no frozen bit moves, and the rest does."""
    make, example = NETWORKS[name]
    torch.manual_seed(0)
    net = make()
    found = blocks(net, example())
    plan = FreezePlan.upto(found, found[len(found) // 2 - 1].name)
    seal = Seal.of(freeze(net, plan))
    before = tensors(net)
    optimizer = make_optimizer(net, None, Recipe(weight_decay=0.1), 0.05)
    for _ in range(5):
        net.train()
        scalar(net, example()).backward()
        optimizer.step()
        optimizer.zero_grad()

    assert seal.compare(net, optimizer).holds
    assert seal.hashes
    assert moved(net, before)


def scalar(net: nn.Module, example: Example) -> Tensor:
    output = call(net, example)
    tensor = output if isinstance(output, Tensor) else output[0]
    return tensor.square().mean()
