"""What was given: the data with its audit, and the blocks of the model."""

from __future__ import annotations

from typing import Literal

from frostline.core.records.asked import Task
from frostline.core.records.base import Record, SplitName


class SplitSummary(Record):
    name: SplitName
    examples: int
    per_class: dict[str, int]
    origin: str
    """Where it comes from, in words: "given: test.csv", "20 % of data.csv"."""


class Overlap(Record):
    """Examples of a later split whose exact content also stands in an earlier one."""

    earlier: str
    later: str
    examples: int
    share: float
    """Of the later split."""
    sample: tuple[str, ...] = ()
    """Where a few of them are: "test.csv row 17 = train.csv row 4"."""


class Audit(Record):
    """What was found wrong between and inside the splits."""

    dropped_copies: int = 0
    """Exact copies of an earlier example, dropped before splitting or inside one split."""
    conflicting: int = 0
    """Inputs that occur with two different labels."""
    dropped_from_training: int = 0
    """Examples of train, stop or select dropped because a later split holds them too."""
    overlaps: tuple[Overlap, ...] = ()
    """Only between splits that were given; splits we carve cannot overlap."""


class DataSummary(Record):
    source: str
    kind: Literal["text", "image", "table"]
    task: Task
    splits: tuple[SplitSummary, ...]
    audit: Audit
    notes: tuple[str, ...] = ()
    """What was guessed or decided, said aloud: columns, carved splits, positive class."""
    content_sha256: str
    features: int | None = None
    """Columns of a table of numbers; None for other data."""

    def split(self, name: str) -> SplitSummary:
        return next(split for split in self.splits if split.name == name)


class Block(Record):
    """Smallest named unit that a plan freezes."""

    name: str
    """Name used in plans: the module path without the backbone prefix."""
    path: str
    """Path of the module in the model (`model.get_submodule(path)`), or of a parameter held by a parent."""
    parameters: int
    buffers: int = 0
    """Elements in buffers, running statistics among them."""
    forward_flops: int = 0
    """Of the traced example."""
    output_bytes: int = 0
    """Of the traced example."""
    head: bool = False
    tied: tuple[str, ...] = ()
    """Other places in the model that share its parameters: freezing the block freezes these names too."""
    norms: tuple[str, ...] = ()
    """Paths of the norm layers inside."""
