"""Claims about chance: what is behind it is computed, however rarely it strikes, and what comes before is replayed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from frostline.capture.replay import Replay
from networks import NormedCnn
from odd_networks import Wired, part, sequences, wired
from replaying import Ran, images, shuffled, train_twice

Wiring = Callable[..., Any]


def trained(wiring: Wiring, *, steps: int = 24, data: Tensor | None = None, after: Any = None, **parts: Any) -> Ran:
    """Both runs, equal to the last bit, with every part frozen but the gate and the head."""
    batches = shuffled(sequences() if data is None else data, steps=steps)
    return train_twice(wired(wiring, **parts), batches, after=after)


# ---------------------------------------------------------------- what is left to chance


def dropped_between(net: Wired, x: Tensor) -> Tensor:
    return net.answer(net.b(functional.dropout(net.a(x), 0.1, net.training)))


def skipped_by_torch(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    if torch.rand(()) >= 0.1:
        h = net.b(h)
    return net.answer(net.c(h))


def skipped_in_training(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    if not net.training or torch.rand(()) >= 0.1:
        h = net.b(h)
    return net.answer(net.c(h))


def skipped_by_python(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    if not net.training or random.random() >= 0.1:
        h = net.b(h)
    return net.answer(net.c(h))


def skipped_by_numpy(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    if not net.training or np.random.rand() >= 0.1:
        h = net.b(h)
    return net.answer(net.c(h))


def skipped_by_example(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    kept = (torch.rand(len(x), 1, 1) >= 0.02).float() if net.training else 1.0
    return net.answer(net.c(h + kept * net.b(h)))


class AlwaysDropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = part()

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(self.inner(x), 0.01, training=True)


@pytest.mark.parametrize(
    ("wiring", "words", "replayed"),
    [
        (dropped_between, "'b' is given what is left to chance", 40),
        (skipped_by_torch, "'c' is called on a way that is left to chance", 20),
        (skipped_in_training, "the model takes another way in training than in evaluation", 0),
        (skipped_by_python, "the model draws random numbers of Python or NumPy", 0),
        (skipped_by_numpy, "the model draws random numbers of Python or NumPy", 0),
        (skipped_by_example, "'c' is given what is left to chance", 40),
    ],
)
def test_what_is_behind_chance_is_computed(wiring: Wiring, words: str, replayed: int) -> None:
    """However rarely something is dropped or skipped: what follows is computed, what comes before may be replayed."""
    ran = trained(wiring, steps=40)

    assert words in " ".join((ran.refused, *ran.replay.reasons))
    assert ran.replayed >= replayed and bool(ran.refused) == (replayed == 0)


def test_what_always_drops_is_computed() -> None:
    """Dropout by hand inside a frozen module, in evaluation as well."""
    ran = trained(lambda net, x: net.answer(net.b(net.a(x))), a=AlwaysDropping())

    assert "'a' is given what is left to chance" in " ".join((ran.refused, *ran.replay.reasons))
    assert ran.refused == "" or ran.replayed == 0


def test_a_random_generator_of_its_own_is_not_used_up() -> None:
    """It cannot be put back for the user once it is drawn from: nothing is replayed, and it is where it would be."""

    def wiring(net: Wired, x: Tensor) -> Tensor:
        h = net.a(x)
        return net.answer(h * torch.bernoulli(torch.full_like(h, 0.5), generator=net.source))

    net, other = wired(wiring), wired(wiring)
    net.source, other.source = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    replay, x = Replay(other), sequences(16)
    for _ in range(3):
        torch.manual_seed(0)
        expected = net(x)
        torch.manual_seed(0)
        with replay():
            assert torch.equal(other(x), expected)
    assert "the model draws from a random generator of its own" in replay.refused


# ---------------------------------------------------------------- frozen, but not held


def test_a_norm_that_is_frozen_by_its_gradients_only() -> None:
    """In training mode it mixes the examples of a batch: computed each time, and it is said how to hold it."""
    torch.manual_seed(0)
    net = NormedCnn()
    net.first.requires_grad_(False)
    ran = train_twice(net, shuffled(images()))
    assert "the norm statistics of 'first.1' are in training mode" in " ".join(ran.replay.reasons)
    assert ran.replayed == 12

    alone = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 256, 2))
    alone[0].requires_grad_(False)
    ran = train_twice(alone, shuffled(images()))
    assert ran.refused.startswith("the norm statistics of '0' are in training mode")


def test_a_dropout_that_is_frozen_by_its_gradients_only() -> None:
    """It goes on dropping out in training: computed each time, over the replayed layer before it."""
    net = nn.Sequential(nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)), nn.Flatten(), nn.Linear(64, 2))
    net[0].requires_grad_(False)
    ran = train_twice(net, shuffled(sequences()))

    assert ran.replayed == 12
    (plan,) = ran.replay._plans.values()
    assert [name.path for name in plan.calls] == ["0.0"]
