"""From a path to labelled, audited, split data with a sealed test split. Read this file of the room first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from frostline.core.records import DataSummary, SplitName, SplitSummary, Task
from frostline.data.assignment import SPLITS, Assignment, refuse_straddling_groups
from frostline.data.classes import settle_task
from frostline.data.columns import ColumnNames
from frostline.data.examples import Examples, read_examples
from frostline.data.sealed import SealedLabels
from frostline.data.split_up import SplitUp, split_up
from frostline.data.splits import SplitShares

SEALED = -1
"""Stands in `Dataset.labels` where the label is sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Examples without copies, each in exactly one split."""

    kind: Literal["text", "image", "table"]
    task: Task
    texts: tuple[str, ...] = ()
    """Of text data; else empty."""
    images: tuple[Path, ...] = ()
    """Of image data; else empty."""
    features: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))
    """Of a table of numbers, shape (examples, columns); else empty."""
    where: Sequence[str]
    """Where each example stands, for messages: "messages.csv row 17"."""
    rows: Mapping[SplitName, NDArray[np.int64]]
    """Sorted positions of each split."""
    labels: NDArray[np.int64]
    """Class numbers; -1 at the rows of the test split, whose labels only `sealed` holds."""
    sealed: SealedLabels
    """Labels of the test split, aligned with `rows["test"]`."""
    overlap_test: NDArray[np.bool_]
    """Aligned with `rows["test"]`: the example, or one nearly the same, also stood in an earlier given split (and was
    dropped there)."""
    slices: tuple[str, ...] = ()
    """The slice of every example; empty when no slice column was named."""
    suspect_pairs: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    """Positions of images that look like near-duplicates in two splits, that of the earlier split first; shape
    (pairs, 2). Each later image stands with the most alike one of each earlier split."""
    summary: DataSummary

    def __len__(self) -> int:
        return len(self.labels)


def load_data(
    path: Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    split_column: str | None = None,
    time_column: str | None = None,
    slice_column: str | None = None,
    positive: str | None = None,
    seed: int = 0,
    shares: SplitShares | None = None,
) -> Dataset:
    r"""Read data, drop copies, split it and seal the test labels.

    Args:
        path: A table, a folder of tables named after splits, or a folder of images; `docs/data.md`
            shows each layout.
        text_column: Column of the inputs; guessed when None. A table without one is read as numbers.
        label_column: Column of the labels; guessed when None.
        group_column: Examples with the same value here never straddle two splits.
        split_column: Column of one table that says train, validation or test.
        time_column: Splits that are carved follow it, train earliest and test latest; numbers, or dates in ISO 8601.
        slice_column: What `Dataset.slices` holds; never an input.
        positive: Label whose recall and precision are judged; of two classes the rarer when None.
        seed: Decides every shuffle: the same files and the same seed give the same splits.
        shares: What each split gets when it is carved; the default shares when None.

    Returns:
        The data. `summary.notes` says everything that was guessed or decided.

    Raises:
        DataError: The data cannot be read, told apart or split as asked.
        InvalidEvidence: Two given splits hold the very same inputs.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "messages.csv")
    ...     lines = [f"{'spam' if n % 4 == 0 else 'ham'},message {n}" for n in range(40)]
    ...     _ = path.write_text("\n".join(["label,text", *lines]))
    ...     data = load_data(path)
    >>> data.task.positive, {split: len(rows) for split, rows in data.rows.items()}
    ('spam', {'train': 20, 'stop': 4, 'select': 8, 'test': 8})
    >>> data.sealed
    SealedLabels(8 examples, sealed, sha256 ...)
    """
    named = ColumnNames(
        text=text_column,
        label=label_column,
        group=group_column,
        split=split_column,
        time=time_column,
        slice=slice_column,
    )
    given = read_examples(path, named)
    task, note = settle_task(given, positive)
    refuse_straddling_groups(given)
    split = split_up(given, task, shares or SplitShares(), seed)
    summary = DataSummary(
        source=str(path),
        kind=given.kind,
        task=task,
        splits=_describe(task, split.labels, split.assignment),
        audit=split.audit,
        notes=(*given.notes, note, *split.notes),
        content_sha256=_sha256(given, range(len(given))),
        features=len(split.kept.inputs[0]) if given.kind == "table" else None,  # type: ignore[arg-type]  # numbers
    )
    return _seal(split, summary)


def _describe(task: Task, labels: NDArray[np.int64], assignment: Assignment) -> tuple[SplitSummary, ...]:
    # Class counts of the test split are told: stratifying fixes them anyway, and no example can be read off them.
    counts = {split: np.bincount(labels[assignment.rows[split]], minlength=len(task.labels)) for split in SPLITS}
    return tuple(
        SplitSummary(
            name=split,
            examples=int(counts[split].sum()),
            per_class=dict(zip(task.labels, counts[split].tolist(), strict=True)),
            origin=assignment.origins[split],
        )
        for split in SPLITS
    )


def _seal(split: SplitUp, summary: DataSummary) -> Dataset:
    kept, labels, assignment = split.kept, split.labels, split.assignment
    test = assignment.rows["test"]
    visible = labels.copy()
    visible[test] = SEALED
    features = np.empty((0, 0), dtype=np.float32)
    if kept.kind == "table":
        features = np.stack(cast("list[NDArray[np.float32]]", kept.inputs))
    features.setflags(write=False)
    for values in (visible, *assignment.rows.values()):
        values.setflags(write=False)
    return Dataset(
        kind=kept.kind,
        task=summary.task,
        texts=cast("tuple[str, ...]", tuple(kept.inputs)) if kept.kind == "text" else (),
        images=cast("tuple[Path, ...]", tuple(kept.inputs)) if kept.kind == "image" else (),
        features=features,
        where=tuple(kept.where),
        rows=assignment.rows,
        labels=visible,
        sealed=SealedLabels(labels[test], sha256=_sha256(kept, test)),
        overlap_test=split.overlapping[test],
        slices=tuple(kept.slices or ()),
        suspect_pairs=split.suspect_pairs,
        summary=summary,
    )


def _sha256(examples: Examples, rows: Iterable[int]) -> str:
    """Of inputs and labels, whatever their order."""
    items = sorted(examples.digests[row] + examples.labels[row].encode() for row in rows)
    return hashlib.sha256(b"".join(len(item).to_bytes(8) + item for item in items)).hexdigest()
