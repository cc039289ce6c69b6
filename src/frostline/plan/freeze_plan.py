"""A freeze plan: which blocks stay fixed while the others train. A value; knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import takewhile
from typing import Literal

from frostline.core.errors import PlanError, plain, suggestion
from frostline.core.records import Block
from frostline.plan.patterns import select

Spared = Literal["", "norms", "biases", "adapters"]

_SPARED = {"norms": "norm layers", "biases": "biases", "adapters": "low-rank adapters"}

# How a block looks in a notebook: a colour for light and dark pages alike, a sign beside it, and the word for it.
_FROZEN, _TRAINS = ("88,166,255", "&#10052; ", "frozen"), ("219,109,40", "", "trains")
_DROPPED = ("139,148,158", "&#8709; ", "dropped")
_STRIP = "display:flex;flex-wrap:wrap;gap:.2em"


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezePlan:
    """Which blocks of one network stay fixed while the others are trained.

    Blocks are named, never numbered: a name survives a block being inserted before it.

    >>> plan = FreezePlan(blocks=("stem", "stage", "head"), frozen=frozenset({"stem"}))
    >>> plan.freeze_depth, plan.sentence
    (1, 'freeze stem (1 of 3 blocks)')
    """

    blocks: tuple[str, ...]
    """Every block of the network, in execution order (not in attribute order)."""

    frozen: frozenset[str] = frozenset()
    """Blocks whose parameters are fixed. Empty means full fine-tuning."""

    spared: Spared = ""
    """What trains inside the frozen blocks all the same: scale and shift of their norm layers, every bias, or adapters
    that are put in."""

    ends_after: str = ""
    """The network ends after this block, the last of the frozen ones, and a fitted linear head answers; what stands
    behind is dropped. Empty: the whole network runs."""

    def __post_init__(self) -> None:
        if self.spared and self.spared not in _SPARED:
            raise PlanError(
                f"The plan spares {self.spared!r}, which is no part of a block. {suggestion(self.spared, _SPARED)}"
            )
        if self.spared and not self.frozen:
            raise PlanError(f"The plan spares the {_SPARED[self.spared]} of frozen blocks, but freezes no block.")
        for name in sorted(self.frozen.difference(self.blocks)):
            raise PlanError(
                f"The plan freezes {name!r}, but the model has no block of that name. {suggestion(name, self.blocks)}"
            )
        if self.ends_after and self.frozen_in_order[-1:] != (self.ends_after,):
            raise PlanError(f"The plan ends after {self.ends_after!r}, which is not the last of the blocks it freezes.")
        if self.blocks and not self.spared and self.frozen.issuperset(self.blocks):
            raise PlanError("The plan freezes every block, so nothing is left to train. Leave out at least the head.")

    @classmethod
    def upto(cls, blocks: Sequence[Block], name: str) -> FreezePlan:
        """Freeze every block from the first one to `name`, both included."""
        names = tuple(block.name for block in blocks)
        (last,) = select(name, names)[-1:]
        return cls(blocks=names, frozen=frozenset(names[: names.index(last) + 1]))

    @classmethod
    def matching(cls, blocks: Sequence[Block], *patterns: str) -> FreezePlan:
        """Freeze the blocks that the patterns mean."""
        names = tuple(block.name for block in blocks)
        return cls(blocks=names, frozen=frozenset(name for pattern in patterns for name in select(pattern, names)))

    @property
    def freeze_depth(self) -> int:
        """Length of the leading run of wholly frozen blocks."""
        if self.spared:
            return 0
        return sum(1 for _ in takewhile(self.frozen.__contains__, self.blocks))

    @property
    def frozen_in_order(self) -> tuple[str, ...]:
        return tuple(name for name in self.blocks if name in self.frozen)

    @property
    def sentence(self) -> str:
        """The plan in words."""
        if not self.frozen:
            return "train everything (full fine-tuning)"
        names = self.frozen_in_order
        if self.ends_after:
            return (
                f"end after {self.ends_after} with a fitted linear head ({len(names)} of {len(self.blocks)} blocks run)"
            )
        if self.spared:
            trained = [name for name in self.blocks if name not in self.frozen]
            also = f" and {', '.join(trained)}" if trained else ""
            return (
                f"train only the {_SPARED[self.spared]}{also} "
                f"(freeze the rest of {len(names)} of {len(self.blocks)} blocks)"
            )
        is_prefix = len(names) == self.freeze_depth
        listed = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}" if is_prefix else ", ".join(names)
        return f"freeze {listed} ({len(names)} of {len(self.blocks)} blocks)"

    def _repr_html_(self) -> str:
        """The plan in a notebook: its sentence, and every block in execution order, the frozen ones marked."""
        strip = "".join(map(self._cell, self.blocks))
        return f"<div><p>{escape(plain(self.sentence))}</p><div style='{_STRIP}'>{strip}</div></div>"

    def _cell(self, name: str) -> str:
        colour, sign, state = _FROZEN if name in self.frozen else _DROPPED if self.ends_after else _TRAINS
        style = f"padding:.1em .5em;background:rgba({colour},.25);border:1px solid rgba({colour},.6)"
        return f"<span title='{state}' style='{style}'>{sign}{escape(plain(name))}</span>"
