"""What of one forward pass is replayed: a value, found by `examine` and followed by `replay`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec

from frostline.capture.calls import CallName, Read
from frostline.capture.outputs import Layout, flatten, unflatten


class UnlikeExamined(Exception):
    """A call gave something built otherwise than when it was examined."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A tensor on which the result depends: its rows are stored."""

    name: str
    """In the store."""
    layout: Layout
    requires_grad: bool = False
    """Whether somebody asked for its gradient, to checkpoint what follows."""


@dataclass(frozen=True, slots=True)
class Dead:
    """A tensor on which the result does not depend: zeros of its shape stand in."""

    layout: Layout


@dataclass(frozen=True, slots=True)
class Same:
    """No tensor, and the same for every batch; or an object that nobody looks at, for which None stands in."""

    value: Any


Part = Kept | Dead | Same


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One call that is not made any more."""

    structure: TreeSpec
    parts: tuple[Part, ...]
    total: int
    """The call's number among all of the module."""
    flops: int
    """Of the call, for one example."""

    @property
    def kept(self) -> Iterator[Kept]:
        return (part for part in self.parts if isinstance(part, Kept))

    def answer(self, rows: Callable[[Kept], Tensor], examples: int, device: torch.device) -> Any:
        """What the call gives, from stored rows."""
        leaves = [
            with_gradient(part.layout.leaf(rows(part)), part.requires_grad)
            if isinstance(part, Kept)
            else part.layout.stand_in(examples, device)
            if isinstance(part, Dead)
            else part.value
            for part in self.parts
        ]
        return unflatten(leaves, self.structure)

    def rows(self, output: Any, examples: int) -> dict[str, Tensor]:
        """The rows to store of what the call gave, by name in the store; copies, since the model may write to it.

        Raises:
            UnlikeExamined: The output is built otherwise than the one that was examined.
        """
        leaves, structure = flatten(output)
        if structure != self.structure:
            raise UnlikeExamined("a frozen module gave something built otherwise than for other batches")
        kept = [(part, leaf) for part, leaf in zip(self.parts, leaves, strict=True) if isinstance(part, Kept)]
        for part, leaf in kept:
            shape, layout = tuple(leaf.shape), part.layout
            if (shape, leaf.dtype) != (layout.full_shape(examples), layout.dtype):
                raise UnlikeExamined(f"{part.name!r} is {leaf.dtype} of shape {shape} for a batch of {examples}")
        return {part.name: part.layout.rows(leaf.detach()).clone() for part, leaf in kept}


def with_gradient(leaf: Tensor, requires_grad: bool) -> Tensor:
    """The tensor, requiring a gradient if it should; no leaf of the graph, since nobody may write to those."""
    return leaf.requires_grad_().clone() if requires_grad and torch.is_grad_enabled() else leaf


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What is replayed for batches of one shape, in one setting of the modes."""

    modules: Mapping[str, nn.Module]
    """All that are stood in for, by path."""
    calls: Mapping[CallName, CallPlan]
    steered: bool
    """Whether the model reads numbers out of tensors: then every pass is watched for other ways through it."""
    least: int = 2
    """Fewest examples of a batch that is replayed: fewer would be rounded otherwise."""
    flows: set[tuple[Read, ...]] = field(default_factory=set)
    """Ways through the model for which it was shown that the kept tensors are all that matter."""
    forward_flops: int = 0
    """Of one example's whole forward pass."""
    narrowed: bool = False
    """Whether a kept tensor was cut down to a slice: then every captured batch is checked."""

    @property
    def spared_flops(self) -> int:
        """Of one example: what replaying does not compute."""
        return sum(call.flops for call in self.calls.values())

    @property
    def kept(self) -> Iterator[Kept]:
        return (kept for call in self.calls.values() for kept in call.kept)

    @property
    def row_bytes(self) -> int:
        """Stored for one example, constants left out."""
        return sum(kept.layout.row_bytes for kept in self.kept if kept.layout.dimension is not None)


@dataclass(frozen=True, slots=True)
class Divide:
    """No plan can be made before these modules are looked into by their parts."""

    paths: frozenset[str]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is replayed, and why: the end of the sentence "replay is off because ..."."""

    why: str
