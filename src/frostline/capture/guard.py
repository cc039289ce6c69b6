"""Forward passes that leave no trace: random states, modes, statistics and weights are put back."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frostline.plan.apply import is_inert
from frostline.plan.chance import gpus_in_use


@dataclass(frozen=True, slots=True)
class State:
    """All that a forward pass may change: random states, and buffers of what is not frozen."""

    cpu: Tensor
    gpus: tuple[Tensor, ...]
    python: Any
    numpy: Any
    buffers: tuple[tuple[Tensor, int, Tensor], ...]
    """Each with its version and a copy of what it held."""
    registered: tuple[tuple[nn.Module, dict[str, Tensor | None]], ...]
    """Which tensors are the buffers of each module: some models put new ones in their place."""

    @classmethod
    def of(cls, model: nn.Module) -> State:
        return cls(
            cpu=torch.get_rng_state(),
            gpus=tuple(torch.cuda.get_rng_state_all()) if gpus_in_use() else (),
            python=random.getstate(),
            numpy=np.random.get_state(),
            buffers=tuple((buffer, buffer._version, buffer.clone()) for buffer in _moving(model)),
            registered=tuple((module, dict(module._buffers)) for module in model.modules() if module._buffers),
        )

    def put_back(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.gpus:
            torch.cuda.set_rng_state_all(list(self.gpus))
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        for module, buffers in self.registered:
            module._buffers.update(buffers)
        # Only what was written to: a backward pass that is still to come may need the others as they are. Batch norm
        # writes without a trace in the version.
        for buffer, version, held in self.buffers:
            if buffer._version != version or not torch.equal(buffer, held):
                buffer.data.copy_(held)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[State]:
    """Put everything back afterwards, whatever happened."""
    state = State.of(model)
    modes = {module: module.training for module in model.modules()}
    # Autocast keeps rounded weights until it ends: moved ones must not reach the user, nor the user's these passes.
    cached = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is done to find out, nobody needs to hear
            yield state
    finally:
        torch.set_autocast_cache_enabled(cached)
        state.put_back()
        for module, training in modes.items():
            if module.training is not training:
                module.training = training


@contextmanager
def other_weights(model: nn.Module) -> Iterator[None]:
    """Move everything that trains for a while: what a frozen part gives must not follow."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    held = [parameter.detach().clone() for parameter in trained]
    # By `.data`: to a backward pass that is still to come they are what they were.
    try:
        with torch.no_grad():
            for parameter in trained:
                parameter.data.add_(0.1 * torch.randn_like(parameter) * (parameter.abs().mean() + 0.1))
        yield
    finally:
        for parameter, before in zip(trained, held, strict=True):
            parameter.data.copy_(before)


def _moving(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if not is_inert(module):
            yield from module.buffers(recurse=False)
