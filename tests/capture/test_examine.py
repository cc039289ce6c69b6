"""Claims about examining: what can be replayed is found, everything else gets the reason that is its own, and the model
is left as if nobody had looked.
"""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable
from io import BytesIO
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from frostline.capture.batches import Batch
from frostline.capture.examine import Examined, Learnt, examine
from frostline.capture.outputs import same_bits, same_values
from frostline.capture.replay import Replay
from frostline.models.tensors import tensors_in
from frostline.plan.apply import freeze
from networks import NETWORKS, NormedCnn
from odd_networks import Wired, part, sequences, wired
from replaying import frozen_to, images, texts, train

Wiring = Callable[..., Any]


class By(nn.Module):
    """A part whose forward is a function of an inner part and its input."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Any], inner: nn.Module | None = None) -> None:
        super().__init__()
        self.function, self.inner = function, part() if inner is None else inner

    def forward(self, x: Tensor) -> Any:
        return self.function(self.inner, x)


def found(net: nn.Module, x: Tensor | None = None, *, learnt: Learnt | None = None) -> Examined | str:
    batch = Batch((sequences(4) if x is None else x,), {}, 4)
    return examine(net.train(), net.forward, batch, learnt or Learnt())


def said(net: nn.Module) -> str:
    examined = found(net)
    return examined if isinstance(examined, str) else " | ".join(examined.reasons)


def straight(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.answer(net.b(h if isinstance(h, Tensor) else h[0]))


def skipping(chance: Callable[[], Any]) -> Wiring:
    def wiring(net: Wired, x: Tensor) -> Tensor:
        h = net.a(x)
        return net.answer(net.c(net.b(h) if chance() else h))

    return wiring


def only_in_training(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.answer(net.b(h) if net.training else h)


def looked_at_unseen(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    places = torch.arange(x.abs().sum().long() * 0 + 8)  # torch looks at a number that no function of Python shows
    return net.answer(net.b(h[:, places]))


def counted(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x) + 0 * len(x.nonzero())
    return net.answer(net.b(h))


def fed_by_rows(net: Wired, x: Tensor) -> Tensor:
    rows = net.a(x)[x[..., 0] > -9]
    return net.answer(net.b(rows)[None])


def packed(net: Wired, x: Tensor) -> Tensor:
    rows = nn.utils.rnn.pack_padded_sequence(x, torch.arange(len(x)) % 2 + 7, batch_first=True, enforce_sorted=False)
    return net.answer(net.a(rows)[1][0].transpose(0, 1))


def with_a_look_in_training(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.answer(net.b(h) if not net.training or x.mean() > -9 else h)


TURN = count()


@pytest.mark.parametrize(
    ("wiring", "parts", "reason"),
    [
        (lambda net, x: net.answer(net.b(net.c(x))), {"frozen": ("b",)}, "'b' works on what trains"),
        (
            lambda net, x: net.answer(net.b((net.gate(x) > 0).float().expand_as(x))),
            {"frozen": ("b",)},
            "'b' works on what trains",
        ),
        (
            lambda net, x: net.answer(net.b(functional.dropout(net.a(x), 0.1))),
            {},
            "'b' is given what is left to chance",
        ),
        (
            straight,
            {"a": By(lambda inner, x: functional.dropout(inner(x), 0.01))},
            "'a' is given what is left to chance",
        ),
        (skipping(lambda: torch.rand(()) > 0.01), {}, "'c' is called on a way that is left to chance"),
        (skipping(lambda: random.random() > 0.01), {}, "the model draws random numbers of Python or NumPy"),
        (skipping(lambda: np.random.rand() > 0.01), {}, "the model draws random numbers of Python or NumPy"),
        (with_a_look_in_training, {}, "the model takes another way in training than in evaluation"),
        (only_in_training, {}, "'b' is not called alike in evaluation mode"),
        (lambda net, x: net.answer(net.c(net.a(x) if next(TURN) % 2 else net.b(x))), {}, "is not called alike"),
        (looked_at_unseen, {}, "'b' is called after the model looked at numbers in a way that cannot be followed"),
        (counted, {}, "'b' is called after the model counted something in the batch"),
        (fed_by_rows, {}, "'b' works on a number of rows that depends on the batch"),
        (straight, {"a": nn.LSTM(8, 8, batch_first=True)}, "'a' is rounded otherwise in evaluation mode"),
        (
            lambda net, x: net.answer(net.a(x) + net.b(net.a(x)[:, 0])[:, None]),
            {"a": part(8, 64), "b": nn.Linear(64, 64), "head": nn.Linear(64, 2), "frozen": ("a", "b")},
            "'b' is rounded otherwise in batches of another size",
        ),
        (
            straight,
            {"a": By(lambda inner, x: inner(x) / x.abs().max())},
            "'a' gives an example something else beside other examples",
        ),
        (
            straight,
            {"a": By(lambda inner, x: (inner(x), (x > 3).any(dim=0)))},
            "'a' gives something made of all examples of the batch",
        ),
        (
            straight,
            {"a": By(lambda inner, x: (inner(x), len(x)))},
            "'a' gives 2, which is not the same for every batch",
        ),
        (
            lambda net, x: net.answer(net.a(x)[0]),
            {"a": nn.LSTM(8, 8, num_layers=2, dropout=0.5, batch_first=True), "by hand": ("a",)},
            "'a' drops out at random: freeze it with frostline.freeze",
        ),
        (
            lambda net, x: net.answer(net.a(x)),
            {"a": nn.BatchNorm1d(8), "by hand": ("a",)},
            "the norm statistics of 'a' are in training mode",
        ),
        (straight, {"hooked": ("a.0",)}, "'a.0' has a hook of its own, which has to see what the module computes"),
        (straight, {"a": nn.LSTM(8, 8, batch_first=True), "packed": True}, "'a' looks at numbers of the batch"),
        (straight, {"frozen": ()}, "nothing is frozen"),
    ],
)
def test_every_reason_has_its_network(wiring: Wiring, parts: dict[str, Any], reason: str) -> None:
    """What stands against replaying a part, or the whole, is named after what it is."""
    parts = dict(parts)
    frozen = parts.pop("frozen", ("a", "b", "c"))
    by_hand, hooked = parts.pop("by hand", ()), parts.pop("hooked", ())
    wiring = packed if parts.pop("packed", False) else wiring
    net = wired(wiring, frozen=() if by_hand else frozen, **parts)
    for name in by_hand:
        getattr(net, name).requires_grad_(False)
    for name in hooked:
        net.get_submodule(name).register_forward_hook(lambda *_: None)
    sentence = said(net)

    assert reason in sentence


def test_what_can_be_replayed_is_found() -> None:
    """Calls, layouts, the work that they spare; parts that only compute count as well."""
    net = wired(straight)
    examined = found(net)
    assert isinstance(examined, Examined)

    assert [name.path for name in examined.calls] == ["a", "b"]
    assert [layout[0].shape for layout in examined.layouts.values()] == [(1, 8, 8)] * 2  # type: ignore[union-attr]
    assert list(examined.flops.values()) == [2 * 8 * 8 * 8] * 2
    assert examined.forward_flops == 2 * 2 * 8 * 8 * 8 + 2 * 8 * 2
    assert not examined.steered and examined.reasons == () and examined.buffers == ()


def test_numbers_that_are_looked_at_are_known() -> None:
    """Outside what is frozen they make ways; inside, the part is split."""

    def wiring(net: Wired, x: Tensor) -> Tensor:
        h = net.a(x)
        return net.answer(net.b(h) if x.mean() > -9 else h)

    examined = found(wired(wiring))
    assert isinstance(examined, Examined) and examined.steered
    assert examined.now.way == (("__bool__", True),)

    learnt = Learnt()
    inside = By(lambda inner, x: inner(x) if x.mean() > -9 else x)
    examined = found(wired(straight, a=inside), learnt=learnt)
    assert isinstance(examined, Examined) and examined.steered
    assert learnt.split == {"a"} and [name.path for name in examined.calls] == ["a.inner", "b"]


def test_buffers_outside_what_is_frozen_are_known() -> None:
    """Those on which a replayed call depends, and no others."""
    net = wired(lambda net, x: net.answer(net.a(x + net.shift) + net.scale))
    net.register_buffer("shift", torch.zeros(8))
    net.register_buffer("scale", torch.ones(8))
    examined = found(net)

    assert isinstance(examined, Examined) and examined.buffers == ("shift",)


def test_a_second_length_takes_two_passes() -> None:
    """What was found for one shape of batch holds for others, as far as two passes show; another freeze is new."""
    net, learnt, calls = wired(straight), Learnt(), count()
    net.register_forward_pre_hook(lambda *_: next(calls))  # type: ignore[arg-type]
    found(net, learnt=learnt)
    passes = count()
    own = net.forward

    def forward(x: Tensor) -> Tensor:
        next(passes)
        return own(x)

    examined = examine(net, forward, Batch((sequences(4, 6),), {}, 4), learnt)
    assert isinstance(examined, Examined) and next(passes) == 2
    assert [layout[0].shape for layout in examined.layouts.values()] == [(1, 6, 8)] * 2  # type: ignore[union-attr]


# ---------------------------------------------------------------- without a trace


def state_of(net: nn.Module) -> dict[str, Any]:
    """All that a network holds, and all that chance holds."""
    return {
        "tensors": {name: t.detach().clone() for name, t in (*net.named_parameters(), *net.named_buffers())},
        "gradients": {name: None if p.grad is None else p.grad.clone() for name, p in net.named_parameters()},
        "modes": [module.training for module in net.modules()],
        "requires": [p.requires_grad for p in net.parameters()],
        "versions": [p._version for p in net.parameters()],
        "attributes": [sorted(k for k in module.__dict__ if k != "training") for module in net.modules()],
        "hooks": [[*module._forward_hooks.values(), *module._forward_pre_hooks.values()] for module in net.modules()],
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
    }


def unlike(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    def same(one: Any, other: Any) -> bool:
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        return same_bits(one, other) if isinstance(one, Tensor) else bool(one == other)

    return [name for name in before if not same(before[name], after[name])]


def asked(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network with gradients from before and with what it builds at its first call, and a batch for it."""
    torch.manual_seed(0)
    make, example = NETWORKS[name]
    net = frozen_to(make(), example(), 1)
    data = texts()[0] if "bert" in name else {"pixel_values" if name == "swin" else "x_B3HW": images(16)}
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    net(**data)
    return net, data


@pytest.mark.parametrize("name", ["cnn", "swin", "bert classifier"])
@pytest.mark.parametrize("mode", [True, False])
def test_nothing_is_left_behind(name: str, mode: bool) -> None:
    """Random states, buffers, modes, gradients, versions, attributes, hooks: as if nobody had looked, and then as
    after one ordinary pass.
    """
    net, data = asked(name)
    net.train(mode)
    ordinary, before, replay = copy.deepcopy(net), state_of(net), Replay(net)
    batch = Batch((), data, 16)
    with replay():
        replay.prepare(batch, batch.ids())
    assert unlike(before, state_of(net)) == []

    expected, expected_after = ordinary(**data), state_of(ordinary)
    torch.set_rng_state(before["torch"])
    with replay():
        result = net(**data)
    assert replay.counts["replayed batches"] == 1, replay.sentence
    assert same_values(list(tensors_in(expected)), list(tensors_in(result)))
    assert not {"tensors", "torch", "python", "numpy"}.intersection(unlike(expected_after, state_of(net)))


def test_the_model_is_copied_and_saved_as_before() -> None:
    """After replay, and after an error in the middle of it: `state_dict`, `deepcopy`, `pickle`, no forward of ours."""
    torch.manual_seed(0)
    net = freeze(NormedCnn(), "first")
    keys = list(net.state_dict())
    replay = Replay(net)
    train(net, [images(16), images(16)], replay=replay)
    with pytest.raises(RuntimeError), replay():
        net(torch.ones(16, 5, 6, 6))
    with pytest.raises(KeyError), replay():
        raise KeyError

    assert not any("forward" in module.__dict__ for module in net.modules())
    assert list(net.state_dict()) == keys
    file = BytesIO()
    torch.save(net, file)
    file.seek(0)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), torch.load(file, weights_only=False)):
        assert same_bits(other.eval()(images(4)), net.eval()(images(4)))
