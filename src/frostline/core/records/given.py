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
    """Examples of a later split that also stand in an earlier one, the same or nearly so."""

    kind: Literal["exact", "near text", "near image", "embedding"] = "exact"
    """How alike: equal content, nearly equal words, nearly equal pictures, nearly equal in the eyes of the model."""
    earlier: str
    later: str
    examples: int
    share: float
    """Of the later split."""
    sample: tuple[str, ...] = ()
    """Where a few of them are: "test.csv row 17 = train.csv row 4"."""


class Suspect(Record):
    """Images of a later split whose coarse pattern is that of one in an earlier split: not yet confirmed."""

    earlier: SplitName
    later: SplitName
    examples: int
    """Of the later split."""
    sample: tuple[str, ...] = ()
    """Where a few of them are: "test/cat/7.png ~ train/cat/3.png"."""


class Giveaway(Record):
    """Something beside the matter itself that tells the label of training examples."""

    kind: Literal["feature", "token", "id", "file name", "row order"]
    name: str
    """The column, the word, or what the position is counted by."""
    balanced_accuracy: float
    """Of answering by it alone; out of sample for ids, file names and row order."""
    examples: int
    """Training examples it was found on."""
    sentence: str


class Audit(Record):
    """What was found wrong between and inside the splits."""

    dropped_copies: int = 0
    """Exact copies of an earlier example, dropped before splitting or inside one split."""
    conflicting: int = 0
    """Inputs that occur with two different labels."""
    conflicting_sample: tuple[str, ...] = ()
    """Where a few of them are: "a.csv row 3 = a.csv row 9"."""
    dropped_from_training: int = 0
    """Examples of train, stop or select dropped because a later split holds them too, the same or nearly so."""
    near_clusters: int = 0
    """Groups of near-duplicates that were kept together when splits were dealt."""
    overlaps: tuple[Overlap, ...] = ()
    """Copies and near-duplicates between splits that were given; neighbours in the features between any two."""
    suspects: tuple[Suspect, ...] = ()
    """Pairs of images that look like near-duplicates, between any two splits."""
    later_than_test: int | None = None
    """Examples of train, stop and select later than the earliest test example; None without a time column."""
    later_sample: tuple[str, ...] = ()
    """Where a few of them are: "train.csv row 9 (2024-05-01)"."""
    giveaways: tuple[Giveaway, ...] | None = None
    """None: not looked for."""


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
