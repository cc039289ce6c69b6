"""Training twice from the same seeds, the ordinary way and replayed, for tests: the same to the last bit, or a fault.

Shape letters: B examples of a batch, T tokens, N examples of a data set.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frostline.capture.outputs import same_bits
from frostline.capture.replay import Replay
from frostline.capture.store import ActivationStore
from frostline.models.tensors import tensors_in
from frostline.plan.apply import freeze
from frostline.plan.blocks import Example, blocks, call
from frostline.plan.freeze_plan import FreezePlan
from networks import VOCABULARY

BATCH = 16
"""As many as any replayed batch needs."""

EXAMPLES, STEPS = 24, 12

Loss = Callable[[Any], Tensor]
Epilogue = Callable[[nn.Module, int, Replay | None], None]
"""Called after every step with the network, the number of the step and, when replaying, with what replays."""


def picked(data: Example, rows: Sequence[int]) -> Example:
    """Some examples of a data set that is given as one call's arguments."""
    index = torch.as_tensor(list(rows))
    if isinstance(data, Tensor):
        return data[index]
    if isinstance(data, Mapping):
        return {name: tensor[index] for name, tensor in data.items()}
    return tuple(tensor[index] for tensor in data)


def shuffled(data: Example, *, size: int = BATCH, steps: int = STEPS, examples: int = EXAMPLES) -> list[Example]:
    """Batches in a new order at every step, always the same ones."""
    generator = torch.Generator().manual_seed(3)
    orders = (torch.randperm(examples, generator=generator)[:size].tolist() for _ in range(steps))
    return [picked(data, order) for order in orders]


def images(examples: int = EXAMPLES, *, edge: int = 16) -> Tensor:
    return torch.randn(examples, 3, edge, edge, generator=torch.Generator().manual_seed(1))


def texts(
    *, lengths: Sequence[int] = (4, 6, 8), examples: int = EXAMPLES, vocabulary: int = VOCABULARY
) -> list[dict[str, Tensor]]:
    """Padded batches: some of one length, without any padding, and mixed ones in which only some rows are padded."""
    generator = torch.Generator().manual_seed(2)
    sizes = [lengths[n % len(lengths)] for n in range(examples)]
    tokens = [torch.randint(1, vocabulary, (size,), generator=generator) for size in sizes]
    batches = []
    for step in range(STEPS):
        allowed = lengths[-1 - step // 4 % len(lengths) :][:1] if step % 3 == 2 else lengths[: len(lengths) - step % 2]
        pool = [n for n, size in enumerate(sizes) if size in allowed]
        order = (torch.randperm(3 * len(pool), generator=generator) % len(pool)).tolist()[:BATCH]
        batches.append(padded([tokens[pool[n]] for n in order]))
    return batches


def padded(tokens: Sequence[Tensor]) -> dict[str, Tensor]:
    """One batch, as long as its longest text."""
    ids_BT = nn.utils.rnn.pad_sequence(list(tokens), batch_first=True)
    return {"input_ids": ids_BT, "attention_mask": (ids_BT != 0).long()}


def mean_square(output: Any) -> Tensor:
    """A loss of all that a model gives, whatever it gives."""
    parts = [tensor.float().square().mean() for tensor in tensors_in(output) if tensor.requires_grad]
    return torch.stack(parts).sum()


# ---------------------------------------------------------------- training


@dataclass
class Ran:
    """All that a training run left behind."""

    net: nn.Module
    replay: Replay | None
    losses: list[Tensor] = field(default_factory=list)
    gradients: list[dict[str, Tensor | None]] = field(default_factory=list)
    state: dict[str, Tensor] = field(default_factory=dict)
    random_state: Tensor | None = None

    @property
    def refused(self) -> str:
        assert self.replay is not None
        return self.replay.refused

    @property
    def replayed(self) -> int:
        """Batches that were replayed."""
        assert self.replay is not None
        return self.replay.counts["replayed batches"]


def train(
    net: nn.Module,
    batches: Sequence[Example],
    *,
    replay: Replay | None = None,
    loss: Loss = mean_square,
    ask: Callable[[nn.Module, Example], Any] = call,
    autocast: torch.dtype | None = None,
    after: Epilogue | None = None,
    ids: Sequence[Sequence[str]] | None = None,
) -> Ran:
    """AdamW with weight decay, `net.train()` at every step, a fixed seed."""
    ran = Ran(net, replay)
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    for step, example in enumerate(batches):
        net.train()
        replaying = nullcontext() if replay is None else replay(None if ids is None else ids[step])
        with replaying, torch.autocast("cpu", dtype=autocast) if autocast else nullcontext():
            output = ask(net, example)
            value = loss(output)
        value.backward()
        ran.losses.append(value.detach().clone())
        ran.gradients.append({n: None if p.grad is None else p.grad.clone() for n, p in net.named_parameters()})
        optimizer.step()
        optimizer.zero_grad()
        if after is not None:
            after(net, step, replay)
    ran.state = {name: tensor.detach().clone() for name, tensor in (*net.named_parameters(), *net.named_buffers())}
    ran.random_state = torch.get_rng_state()
    return ran


def train_twice(
    net: nn.Module, batches: Sequence[Example], *, store: ActivationStore | None = None, **options: Any
) -> Ran:
    """Train a network the ordinary way and its copy replayed; the second run, after everything was found equal."""
    copy = deepcopy(net)
    replay = Replay(copy, store)
    expected = train(net, batches, **options)
    found = train(copy, batches, replay=replay, **options)
    assert_equal(expected, found)
    return found


def assert_equal(expected: Ran, found: Ran) -> None:
    """Losses, gradients of every step, final weights and buffers, random state: all bits."""
    for step, (one, other) in enumerate(zip(expected.losses, found.losses, strict=True)):
        assert same_bits(one, other), f"loss of step {step}: {one} and {other}"
        differing = [n for n, g in expected.gradients[step].items() if not _same(g, found.gradients[step][n])]
        assert not differing, f"gradients of step {step}: {differing}"
    assert expected.state.keys() == found.state.keys()
    assert not [name for name, tensor in expected.state.items() if not same_bits(tensor, found.state[name])]
    assert expected.random_state is not None and found.random_state is not None
    assert torch.equal(expected.random_state, found.random_state), "random states"


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else same_bits(one, other)


def frozen_to(net: nn.Module, example: Example, depth: int) -> nn.Module:
    """Freeze the first blocks, in place."""
    names = tuple(block.name for block in blocks(net, example))
    return freeze(net, FreezePlan(blocks=names, frozen=frozenset(names[:depth])))


def depths(net: nn.Module, example: Example) -> list[int]:
    """One block, half of them, all but the last."""
    last = max(n for n, block in enumerate(blocks(net, example)) if block.output_bytes)
    return sorted({1, (last + 1) // 2, last} - {0})
