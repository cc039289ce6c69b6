"""Everything the user's files say, before any of it is dropped or split.

Knows the layouts on disk: one table, a folder of tables named after splits, a folder of class
folders, with or without split folders above them.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import DataError
from frostline.data.columns import GIVEN_NAMES, ColumnNames, Columns, GivenName, choose_columns, given_name
from frostline.data.images import SUFFIXES, decode
from frostline.data.near_images import pattern_hash
from frostline.data.tables import READERS, Table, is_encodable, read_table

T = TypeVar("T")

Part = Literal["whole", GivenName]
PARTS: tuple[Part, ...] = ("whole", "train", "validation", "test")
"""Undivided data, or the splits that were given, from what trains to what judges."""


LARGEST = float(np.finfo(np.float32).max)
"""What a feature may be at most, either way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Labelled inputs in the order of the files. All fields but those from `kind` on have one entry per example."""

    inputs: Sequence[str] | Sequence[Path] | Sequence[NDArray[np.float32]]
    labels: Sequence[str]
    parts: Sequence[Part]
    where: Sequence[str]
    digests: Sequence[bytes]
    """SHA-256 of the decoded content: equal for copies, and only for copies."""
    groups: Sequence[str] | None
    times: Sequence[str] | None = None
    """As the file says them."""
    slices: Sequence[str] | None = None
    hashes: Sequence[int | None] | None = None
    """Of images: the coarse pattern, None for one without; None for other data."""
    kind: Literal["text", "image", "table"]
    columns: Columns | None = None
    """What was read of a table; None for images."""
    sources: Mapping[Part, str]
    """What messages call each part: "train.csv". In order of `PARTS`."""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """The same for some examples only."""
        return replace(
            self,
            inputs=[self.inputs[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            parts=[self.parts[row] for row in rows],
            where=[self.where[row] for row in rows],
            digests=[self.digests[row] for row in rows],
            groups=_taken(self.groups, rows),
            times=_taken(self.times, rows),
            slices=_taken(self.slices, rows),
            hashes=_taken(self.hashes, rows),
        )


def read_examples(path: Path, named: ColumnNames) -> Examples:
    """Read a table, a folder of tables or a folder of images.

    Raises:
        DataError: Nothing of the kind is there, or some file of it cannot be used.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist. Give a table ({', '.join(READERS)}), a folder of tables or of images.")
    if not path.is_dir():
        return _from_table(read_table(path), named)
    tables = _by_split([entry for entry in _entries(path) if entry.is_file() and entry.suffix.lower() in READERS])
    if "train" in tables:
        return _from_tables({part: read_table(tables[part]) for part in PARTS if part in tables}, named)
    folders = [entry for entry in _entries(path) if entry.is_dir()]
    if not folders:
        raise DataError(
            f"{path} holds neither a training table (train.csv, .tsv, .jsonl or .parquet) nor class folders with "
            f"images. It holds: {', '.join(entry.name for entry in _entries(path)[:8]) or 'nothing'}."
        )
    if named != ColumnNames():
        raise DataError(f"{path} is a folder of images, and images have no columns. Leave the column options out.")
    given = _by_split(folders) or {"whole": path}
    if "whole" not in given and "train" not in given:
        raise DataError(f"{path} holds {', '.join(given)} but no train folder. Add train with one folder per class.")
    return _from_images(path, {part: given[part] for part in PARTS if part in given})


def text_digest(text: str) -> bytes:
    """SHA-256 of a text in Unicode form NFC, outer white space taken off.

    >>> text_digest("caf\\u00e9") == text_digest(" cafe\\u0301\\n")
    True
    """
    return hashlib.sha256(unicodedata.normalize("NFC", text).strip().encode()).digest()


def image_digest(pixels_HW3: NDArray[np.uint8]) -> bytes:
    """SHA-256 of an image's size and pixels.

    >>> image_digest(np.zeros((2, 3, 3), np.uint8)) == image_digest(np.zeros((3, 2, 3), np.uint8))
    False
    """
    return hashlib.sha256(str(pixels_HW3.shape).encode() + pixels_HW3.tobytes()).digest()


def features_digest(features_F: NDArray[np.float32]) -> bytes:
    """SHA-256 of a row of numbers, in the precision they are kept in.

    >>> features_digest(np.array([0.1, 1], np.float32)) == features_digest(np.array([0.1 + 1e-12, 1.0], np.float32))
    True
    """
    return hashlib.sha256(features_F.astype("<f4").tobytes()).digest()


def _entries(folder: Path) -> list[Path]:
    try:
        # What starts with a dot or two underscores was left by a system or an editor, not by the user.
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__")))
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror or error}). Check its permissions.") from error
    for entry in entries:
        if not is_encodable(entry.name):
            raise DataError(f"{folder} holds {entry.name!a}, whose name is not UTF-8. Rename it.")
    return entries


def _by_split(entries: Sequence[Path]) -> dict[Part, Path]:
    found: dict[Part, Path] = {}
    for entry in entries:
        part = GIVEN_NAMES.get((entry.stem if entry.is_file() else entry.name).lower())
        if part is not None and found.setdefault(part, entry) != entry:
            raise DataError(
                f"{entry.parent} holds both {found[part].name} and {entry.name} as the {part} split. Keep one of them."
            )
    return found


def _from_table(table: Table, named: ColumnNames) -> Examples:
    columns = choose_columns(table, named, whole=True)
    examples = _rows(table, columns, "whole")
    if columns.split is None:
        return replace(examples, sources={"whole": table.name}, notes=columns.notes)
    parts = [given_name(table, row, value) for row, value in enumerate(table.filled(columns.split))]
    if "train" not in parts:
        raise DataError(f"{table.name} has no row whose {columns.split!r} is train. Name the training rows so.")
    sources: dict[Part, str] = {part: f"{table.name} ({columns.split} = {part})" for part in PARTS if part in parts}
    return replace(examples, parts=parts, sources=sources, notes=columns.notes)


def _from_tables(tables: Mapping[Part, Table], named: ColumnNames) -> Examples:
    if named.split is not None:
        files = ", ".join(table.name for table in tables.values())
        raise DataError(
            f"--split-column {named.split} was asked for, but the files {files} give the splits already. "
            "Leave the option out, or give one file."
        )
    columns = choose_columns(tables["train"], named, whole=False)
    pieces = [_rows(table, columns, part) for part, table in tables.items()]
    return replace(_joined(pieces), sources={part: table.name for part, table in tables.items()}, notes=columns.notes)


def _rows(table: Table, columns: Columns, part: Part) -> Examples:
    inputs: Sequence[str] | Sequence[NDArray[np.float32]]
    if columns.text is None:
        inputs = list(_numbers(table, columns.features))
        digests = [features_digest(features_F) for features_F in inputs]
    else:
        inputs = table.filled(columns.text)
        digests = [text_digest(text) for text in inputs]
    return Examples(
        inputs=inputs,
        labels=[label.strip() for label in table.filled(columns.label)],
        parts=[part] * len(table),
        where=[table.where(row) for row in range(len(table))],
        digests=digests,
        groups=None if columns.group is None else table.filled(columns.group),
        times=None if columns.time is None else table.filled(columns.time),
        slices=None if columns.slice is None else table.filled(columns.slice),
        columns=columns,
        kind="table" if columns.text is None else "text",
        sources={},
    )


def _numbers(table: Table, names: Sequence[str]) -> NDArray[np.float32]:
    """Some columns of a table, of the precision that networks read; shape (rows, columns)."""
    found = np.empty((len(table), len(names)), dtype=np.float32)
    for at, name in enumerate(names):
        for row, value in enumerate(table.column(name)):
            number = _number(value)
            if not abs(number) <= LARGEST:
                raise DataError(
                    f"{table.where(row)} has {repr(value) if value.strip() else 'nothing'} in column {name!r}, where a "
                    "finite number is needed: the columns beside the label are the features. Encode the column as "
                    "numbers, take it or the row out, or name the column of texts with --text-column if there is one."
                )
            found[row, at] = number
    return found + np.float32(0)  # minus zero becomes zero: two spellings of one number


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


def _from_images(root: Path, folders: Mapping[Part, Path]) -> Examples:
    pieces = []
    ignored = 0 if "whole" in folders else len(_entries(root)) - len(folders)
    for part, folder in folders.items():
        classes = [entry for entry in _entries(folder) if entry.is_dir()]
        if not classes:
            raise DataError(f"{folder} holds no class folders. Put each image into a folder named after its class.")
        ignored += len(_entries(folder)) - len(classes)
        for one in classes:
            images = [entry for entry in _entries(one) if entry.suffix.lower() in SUFFIXES and entry.is_file()]
            if not images:
                raise DataError(
                    f"The class folder {one} holds no image ({', '.join(SUFFIXES)}). Add images, or remove the folder."
                )
            ignored += len(_entries(one)) - len(images)
            pieces.append(_pictures(root, one.name, images, part))
    notes = ["labels: the names of the class folders"]
    if ignored:
        notes.append(f"{ignored} files or folders that are no {', '.join(SUFFIXES)} image were left out")
    sources = {part: f"{folder.name}/" for part, folder in folders.items()}
    return replace(_joined(pieces), sources=sources, notes=tuple(notes))


def _pictures(root: Path, label: str, images: Sequence[Path], part: Part) -> Examples:
    digests, hashes = [], []
    for image in images:
        pixels_HW3 = decode(image)
        digests.append(image_digest(pixels_HW3))
        hashes.append(pattern_hash(pixels_HW3))
    return Examples(
        inputs=images,
        labels=[label] * len(images),
        parts=[part] * len(images),
        where=[image.relative_to(root).as_posix() for image in images],
        digests=digests,
        hashes=hashes,
        groups=None,
        kind="image",
        sources={},
    )


def _joined(pieces: Sequence[Examples]) -> Examples:
    return replace(
        pieces[0],
        inputs=[one for piece in pieces for one in piece.inputs],  # type: ignore[arg-type]  # all of one kind
        labels=[one for piece in pieces for one in piece.labels],
        parts=[one for piece in pieces for one in piece.parts],
        where=[one for piece in pieces for one in piece.where],
        digests=[one for piece in pieces for one in piece.digests],
        groups=_chained([piece.groups for piece in pieces]),
        times=_chained([piece.times for piece in pieces]),
        slices=_chained([piece.slices for piece in pieces]),
        hashes=_chained([piece.hashes for piece in pieces]),
    )


def _chained(pieces: Sequence[Sequence[T] | None]) -> list[T] | None:
    """What all tables have of a column, one behind the other; None where none has it."""
    return None if pieces[0] is None else [one for piece in pieces for one in piece or ()]


def _taken(values: Sequence[T] | None, rows: NDArray[np.int64]) -> list[T] | None:
    return None if values is None else [values[row] for row in rows]
