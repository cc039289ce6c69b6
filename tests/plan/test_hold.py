"""What holds a frozen part frozen against the rest of a training script."""

from __future__ import annotations

import copy
import logging
import pickle
from functools import partial

import pytest
import torch
import transformers
from torch import Tensor, nn

from frostline.plan.apply import forget_frozen, freeze, is_inert, unfreeze
from frostline.plan.proof import Seal
from frostline.plan.rows import FrozenRows, freeze_rows


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Linear(8, 2)
    )


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(16, 6, generator=generator) + 2, torch.randint(2, (16,), generator=generator)


def step(net: nn.Module, optimizer: torch.optim.Optimizer, *, set_to_none: bool = True) -> None:
    inputs, truth = batch()
    optimizer.zero_grad(set_to_none=set_to_none)
    nn.functional.cross_entropy(net(inputs), truth).backward()
    optimizer.step()


def test_a_parents_requires_grad_is_undone_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """`model.requires_grad_(True)` after a freeze moves nothing frozen, and the log says what happened."""
    net = freeze(network(), "[0-2]")
    seal = Seal.of(net)
    net.requires_grad_(True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    with caplog.at_level(logging.WARNING, logger="frostline"):
        for _ in range(3):
            step(net.train(), optimizer)

    assert seal.compare(net).changed == ()
    assert "requires_grad" in caplog.text and "unfreeze" in caplog.text


def test_without_the_hold_the_same_script_moves_it() -> None:
    """The planted twin: plain requires_grad=False is overridden, so the test above can fail."""
    net = network()
    net[0].requires_grad_(False)
    before = net[0].weight.clone()
    net.requires_grad_(True)
    step(net, torch.optim.AdamW(net.parameters(), lr=0.1))

    assert not torch.equal(net[0].weight, before)


def test_single_parameters_are_held_too(caplog: pytest.LogCaptureFixture) -> None:
    """A frozen bias of a trainable layer stays frozen through requires_grad_(True)."""
    net = freeze(network(), "*.bias")
    biases = [p.clone() for n, p in net.named_parameters() if n.endswith("bias")]
    net.requires_grad_(True)
    step(net, torch.optim.AdamW(net.parameters(), lr=0.1))

    assert all(map(torch.equal, biases, [p for n, p in net.named_parameters() if n.endswith("bias")]))
    assert not is_inert(net[0])


@pytest.mark.parametrize("carry", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_the_hold_travels(carry: object) -> None:
    """A copied or pickled model holds its frozen part as the original did."""
    net = carry(freeze(network(), "[0-2]"))  # type: ignore[operator]
    seal = Seal.of(net)
    net.requires_grad_(True)
    step(net.train(), torch.optim.AdamW(net.parameters(), lr=0.1))

    assert seal.compare(net).changed == ()


def test_train_only_is_the_other_way_round() -> None:
    """Everything but the named part is frozen and inert, whatever it was before."""
    net = freeze(network(), "4")
    freeze(net, train_only="[4]")

    assert {n for n, p in net.named_parameters() if p.requires_grad} == {"4.weight", "4.bias"}
    assert [is_inert(part) for part in net] == [True, True, True, True, False]


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("make", [torch.optim.AdamW, partial(torch.optim.SGD, momentum=0.9, weight_decay=0.1)])
@pytest.mark.parametrize("take_along", [True, False])
def test_a_late_freeze_moves_nothing_more(set_to_none: bool, make: object, take_along: bool) -> None:
    """Frozen after some steps, even between backward and step: neither momentum nor decay moves it."""
    net = network()
    optimizer = make(net.parameters(), lr=0.1)  # type: ignore[operator]
    for _ in range(3):
        step(net, optimizer, set_to_none=set_to_none)
    inputs, truth = batch()
    nn.functional.cross_entropy(net(inputs), truth).backward()
    freeze(net, "0", optimizer=optimizer if take_along else None)
    before = net[0].weight.clone()
    optimizer.step()
    for _ in range(3):
        step(net, optimizer, set_to_none=set_to_none)

    assert torch.equal(net[0].weight, before)
    if take_along:
        held = {id(p) for group in optimizer.param_groups for p in group["params"]} | set(map(id, optimizer.state))
        assert id(net[0].weight) not in held and id(net[4].weight) in held


def test_plain_late_freezing_leaks() -> None:
    """The planted twin: requires_grad=False between backward and step lets the step move it."""
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    inputs, truth = batch()
    nn.functional.cross_entropy(net(inputs), truth).backward()
    net[0].requires_grad_(False)
    before = net[0].weight.clone()
    optimizer.step()

    assert not torch.equal(net[0].weight, before)


def test_forgetting_compares_by_identity() -> None:
    """A trainable parameter equal in value to a frozen one keeps its place and its state."""
    net = nn.Sequential(nn.LayerNorm(4), nn.LayerNorm(4))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=0.0)
    net(torch.randn(3, 4)).sum().backward()
    optimizer.step()
    net[0].requires_grad_(False)
    forget_frozen(optimizer)

    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(net[1].weight), id(net[1].bias)]
    assert set(map(id, optimizer.state)) == {id(net[1].weight), id(net[1].bias)}


def test_names_given_to_an_optimizer_stay_in_step() -> None:
    """An optimizer built from named parameters forgets the names of frozen ones, too."""
    net = network()
    optimizer = torch.optim.SGD(net.named_parameters(), lr=0.1)
    freeze(net, "0", optimizer=optimizer)

    (group,) = optimizer.param_groups
    assert group["param_names"] == [name for name, p in net.named_parameters() if p.requires_grad]
    assert len(group["params"]) == len(group["param_names"])


def test_the_seal_covers_frozen_rows() -> None:
    """A write to a frozen row is found; training the other rows is not taken for one."""
    net = nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 2))
    freeze_rows(net[0], [0, 2])
    seal = Seal.of(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    net(torch.arange(6)).sum().backward()
    optimizer.step()

    assert seal.compare(net).changed == ()
    with torch.no_grad():
        next(module for module in net.modules() if isinstance(module, FrozenRows)).values.add_(1)
    assert len(seal.compare(net).changed) == 1


def test_tied_weights_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """Freezing GPT-2's token embedding says that its output layer is frozen, too."""
    config = transformers.GPT2Config(
        n_embd=16, n_layer=1, n_head=2, vocab_size=30, n_positions=16, bos_token_id=0, eos_token_id=0
    )
    net = transformers.GPT2LMHeadModel(config)
    with caplog.at_level(logging.WARNING, logger="frostline"):
        freeze(net, "wte")

    assert "lm_head.weight" in caplog.text and "Tied" in caplog.text


def test_batch_norm_without_statistics_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing can make it independent of the batch, so the log says it; with statistics it is silent."""
    with caplog.at_level(logging.WARNING, logger="frostline"):
        freeze(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)), "0")
        assert caplog.text == ""
        freeze(nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 1)), "0")

    assert "'0' is frozen but keeps no running statistics" in caplog.text


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d(4), (8, 4)),
        (nn.BatchNorm2d(4), (8, 4, 3, 3)),
        (nn.BatchNorm3d(4), (8, 4, 2, 2, 2)),
        (nn.SyncBatchNorm(4), (8, 4, 3)),
        (nn.InstanceNorm1d(4, affine=True, track_running_stats=True), (8, 4, 5)),
        (nn.InstanceNorm2d(4, affine=True, track_running_stats=True), (8, 4, 3, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_every_norm_with_statistics_uses_and_keeps_them(norm: nn.Module, shape: tuple[int, ...]) -> None:
    """A frozen norm layer's buffers stay and an example's output does not depend on its batch-mates."""
    net = freeze(nn.Sequential(norm, nn.Identity()), "0").train()
    seal = Seal.of(net)
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 4 + 1
    together, alone = net(inputs)[:1], net(inputs[:1])

    assert torch.allclose(together, alone, atol=1e-6)
    assert seal.compare(net).changed == ()


def test_dropout_of_a_frozen_rnn_is_off() -> None:
    """`nn.LSTM` drops out between its layers by its own flag; frozen, two passes are equal."""
    net = nn.ModuleDict({"rnn": nn.LSTM(4, 6, num_layers=2, dropout=0.5, batch_first=True), "head": nn.Linear(6, 1)})
    inputs = torch.randn(2, 7, 4)
    awake = [net.train()["rnn"](inputs)[0] for _ in range(2)]
    freeze(net, "rnn").train()
    frozen = [net["rnn"](inputs)[0] for _ in range(2)]

    assert not torch.equal(*awake)
    assert torch.equal(*frozen)


def test_unfreeze_releases_everything() -> None:
    """After `unfreeze` no hook, no mark and no frozen parameter is left."""
    net = unfreeze(freeze(network().train(), "[0-3]", "4.bias"))

    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(module.training and not module._forward_pre_hooks for module in net.modules())
    assert not any("_frostline_held" in vars(module) for module in net.modules())
