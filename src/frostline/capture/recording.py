"""One forward pass with all that the calls of chosen modules gave."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec

from frostline.capture.batches import Batch
from frostline.capture.calls import (
    CallName,
    Flow,
    Read,
    Reading,
    Unevenness,
    need_gradients,
    noting_packed,
    standing_in,
)
from frostline.capture.descent import LOOK, NONE, ROWS, SMALL, TRAINING, Descent, Marks
from frostline.capture.outputs import flatten
from frostline.plan.flops import flop_counter


class Leaf(NamedTuple):
    """One tensor, or other value, that a call gives."""

    name: CallName
    position: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one call gave."""

    total: int
    leaves: tuple[Any, ...]
    structure: TreeSpec
    follows_training: bool
    """Its outputs depend on what trains. As autograd sees it, where no marks were followed."""
    requires_grad: tuple[bool, ...]
    """Of every leaf. Somebody may have asked for gradients of what does not train, to checkpoint what follows."""
    flops: int
    marks: tuple[Marks, ...] = ()
    """Of every leaf: what it descends from."""
    after: Marks = NONE
    """What had been looked at when the call was made, or had given a number of rows."""


@dataclass(slots=True)
class Recording:
    """One forward pass and the calls made in it."""

    result: Any = None
    calls: dict[CallName, Recorded] = field(default_factory=dict)
    flow: Flow = field(default_factory=Flow)
    flops: int = 0
    random_state: Tensor | None = None
    """After the pass."""
    foreign_chance: bool = False
    """Python's or NumPy's random numbers were drawn."""

    @property
    def way(self) -> tuple[Read, ...]:
        return tuple(self.flow.reads)


def record(
    model: nn.Module,
    forward: Callable[..., Any],
    modules: Mapping[str, nn.Module],
    batch: Batch,
    *,
    descent: Descent | None = None,
    uneven: Collection[CallName] = (),
) -> Recording:
    """One forward pass, in whatever modes the model is. The caller guards its state.

    Args:
        descent: Follows marks meanwhile.
        uneven: Calls that are rounded otherwise in batches of another size.
    """
    made = Recording()
    foreign = _foreign_states()

    def keep(name: CallName, total: int, compute: Callable[[], Any], inputs: Any) -> Any:
        follows, before = need_gradients(inputs), counter.get_total_flops()
        after = _before_call(made.flow, descent, unevenness.looks)
        output = compute()
        leaves, structure = flatten(output)
        requires_grad = tuple(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves)
        # Copies: the model may write to what it was given.
        copies = tuple(leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves)
        if descent is not None and name in uneven:
            descent.mark(output, SMALL)
        marks = () if descent is None else tuple(map(descent.of, leaves))
        follows = follows or any(requires_grad) if descent is None else TRAINING in NONE.union(*marks)
        flops = counter.get_total_flops() - before
        made.calls[name] = Recorded(total, copies, structure, follows, requires_grad, flops, marks, after)
        return output

    with ExitStack() as stack:
        counter = stack.enter_context(flop_counter())
        unevenness = stack.enter_context(Unevenness(made.flow))
        stack.enter_context(noting_packed(model, made.flow))
        stack.enter_context(standing_in(modules, keep, made.flow))
        stack.enter_context(Reading(made.flow))
        if descent is not None:
            stack.enter_context(descent)
        made.result = batch(forward)
    made.flops = counter.get_total_flops()
    made.random_state = torch.get_rng_state()
    made.foreign_chance = foreign != _foreign_states()
    return made


def _before_call(flow: Flow, descent: Descent | None, looks: int) -> Marks:
    """What had been looked at or counted when a call is made."""
    if descent is None:
        return NONE
    hidden = [LOOK] if flow.has_hidden(looks) else []
    return frozenset([*descent.read, *hidden, *([ROWS] if descent.counted else [])])


def _foreign_states() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), kind, np.asarray(keys).tobytes(), *rest
