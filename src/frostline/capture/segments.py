"""Segments: rows of one leaf in one raw file, beside a manifest that is committed last.

Knows nothing of budgets, of batches or of which rows are wanted. Nothing on disk is trusted unseen: a manifest carries
its own checksum, and the bytes of the rows are hashed the first time that a process touches them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frostline.core.errors import StudyError
from frostline.core.files import sync_folder, write_atomically, write_text_atomically

_FORMAT = 1
_LEFTOVER_S = 3600.0
# Segments, and the temporary files they begin as; nothing else in the folder is ever touched.
_OURS = re.compile(r"\.?[0-9a-f]{32}\.(rows|json)(\..+)?")
# Last in a manifest, so that what it covers is a run of bytes.
_CHECKSUM = ', "manifest_sha256": "'
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# The kernel cuts a longer request short without a word, at the read-ahead of the device.
_HINT_BYTES = 128 * 1024


class TornSegment(Exception):
    """A segment that cannot be trusted. Its message goes on from "a segment whose"."""

    def __init__(self, why: str, *, for_good: bool = True) -> None:
        super().__init__(why)
        self.for_good = for_good
        """False when it merely could not be read this time."""


class _Gone(Exception):
    """A segment was discarded by another process since the folder was listed."""


# ---------------------------------------------------------------- what a raw file holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a raw file holds."""

    shelf: str
    leaf: str
    dtype: str
    """Of the rows as they were put."""

    stored: str
    """Of the rows in the file: `dtype`, or float16 where they were rounded."""

    row_shape: tuple[int, ...]
    ids: tuple[str, ...]
    half_error: float | None
    """Largest rounding error of these rows; None when they are exact."""

    key: str = ""
    """SHA-256 of the key of the store. This and the next are filled in when the rows are written."""

    rows_sha256: str = ""

    def to_text(self) -> str:
        # Not `asdict`, which copies every id.
        content = json.dumps({field.name: getattr(self, field.name) for field in fields(self)})
        return f'{content[:-1]}{_CHECKSUM}{hashlib.sha256(content.encode()).hexdigest()}"}}'

    @classmethod
    def from_text(cls, text: bytes, *, key: str) -> Manifest:
        """Read back what `to_text` wrote.

        Raises:
            TornSegment: It is not what was written, or was written under another key.
        """
        content, _, checksum = text.rpartition(_CHECKSUM.encode())
        content += b"}"
        if checksum != hashlib.sha256(content).hexdigest().encode() + b'"}':
            raise TornSegment("manifest is torn or was altered")
        values = json.loads(content)
        manifest = cls(**values | {"row_shape": tuple(values["row_shape"]), "ids": tuple(values["ids"])})
        if manifest.key != key:
            raise TornSegment("manifest was written under another key")
        return manifest


def dtype_named(name: str) -> torch.dtype:
    """The dtype that `dtype_name` named."""
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def dtype_name(dtype: torch.dtype) -> str:
    """A dtype as manifests spell it.

    >>> dtype_name(torch.bfloat16)
    'bfloat16'
    """
    return str(dtype).removeprefix("torch.")


def bytes_per_row(row_shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Bytes of one row, kept in this dtype."""
    return math.prod(row_shape) * dtype.itemsize


# ---------------------------------------------------------------- one segment


class Segment:
    """Rows in a file; mapped into memory once their bytes were found to be those that were written."""

    def __init__(self, manifest: Manifest, manifest_path: Path) -> None:
        self.stored = dtype_named(manifest.stored)
        self.count = len(manifest.ids)
        self.row_bytes = bytes_per_row(manifest.row_shape, self.stored)
        self._sha256 = manifest.rows_sha256
        self._manifest_path = manifest_path
        self._path = manifest_path.with_suffix(".rows")
        self._bytes: Tensor | None = None

    @property
    def is_checked(self) -> bool:
        """The bytes were hashed in this process."""
        return self._bytes is not None

    def bytes_of_rows(self) -> Tensor:
        """All rows as bytes, shape (count, row_bytes), uint8. They change when somebody writes to the file.

        Raises:
            TornSegment: The file is missing, torn, altered or unreadable.
        """
        if self._bytes is None:
            self.check_size()
            self._bytes = self._checked()
        return self._bytes

    def check_size(self) -> None:
        """What can be seen of the rows without reading them.

        Raises:
            TornSegment: The file is missing or has another size.
        """
        with _torn_when_unreadable():
            if self._path.stat().st_size != self.count * self.row_bytes:
                raise TornSegment("rows are torn")

    # A mapping that is made in inference mode could not be used for training.
    @torch.inference_mode(False)
    def _checked(self) -> Tensor:
        size = self.count * self.row_bytes
        with _torn_when_unreadable():
            # Read, not mapped: disks do one pass in order best, and a bad sector raises where a mapping kills.
            with self._path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != self._sha256:
                    raise TornSegment("rows are not those that were written")
            if size == 0:
                return torch.empty((self.count, 0), dtype=torch.uint8, device="cpu")
            # Unlike `mmap` and `numpy.memmap` this keeps no file open: a store has thousands of segments.
            whole = torch.from_file(str(self._path), shared=False, size=size, dtype=torch.uint8, device="cpu")
        return whole.view(self.count, self.row_bytes)

    def read_ahead(self, positions: NDArray[np.int64]) -> None:
        """Ask the kernel to have these rows in memory soon. A hint: nothing depends on it."""
        if not hasattr(os, "posix_fadvise"):
            return
        starts = np.unique(positions) * self.row_bytes
        ends = starts + self.row_bytes
        gaps = np.flatnonzero(starts[1:] - ends[:-1] >= _PAGE_BYTES)
        runs = zip(starts[np.append(0, gaps + 1)].tolist(), ends[np.append(gaps, -1)].tolist(), strict=True)
        # Another process may have deleted the file, say; what is mapped stays readable.
        with suppress(OSError), self._path.open("rb", buffering=0) as file:
            for start, end in runs:
                for offset in range(start, end, _HINT_BYTES):
                    length = min(_HINT_BYTES, end - offset)
                    os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_WILLNEED)

    def delete(self) -> None:
        """Remove both files."""
        _delete(self._manifest_path)


# ---------------------------------------------------------------- all segments of one key


class SegmentFolder:
    """The segments of one key. Processes may share it: names are unique and no file is written twice."""

    def __init__(self, folder: Path, key: Mapping[str, str], *, half: bool) -> None:
        canonical = json.dumps({"format": _FORMAT, "half": half, "key": dict(key)}, sort_keys=True)
        self._key = hashlib.sha256(canonical.encode()).hexdigest()
        self.path = folder / self._key[:16]
        self._seen: set[str] = set()
        with self._told("opened"):
            self.path.mkdir(parents=True, exist_ok=True)
            sync_folder(folder)
            self._sweep()

    def unseen(self) -> Iterator[tuple[Manifest, Segment] | TornSegment]:
        """Segments that appeared since the last call, whoever wrote them; in the place of a torn one what is wrong."""
        for name in self._names():
            if name.endswith(".json") and not name.startswith(".") and name not in self._seen:
                self._seen.add(name)
                try:
                    yield self._opened(self.path / name)
                except _Gone:
                    continue
                except TornSegment as torn:
                    if torn.for_good:
                        _delete(self.path / name)
                    yield torn

    def _opened(self, path: Path) -> tuple[Manifest, Segment]:
        with _torn_when_unreadable():
            try:
                text = path.read_bytes()
            except FileNotFoundError as error:
                raise _Gone from error
            manifest = Manifest.from_text(text, key=self._key)
        segment = Segment(manifest, path)
        segment.check_size()
        return manifest, segment

    def write(self, draft: Manifest, rows: Tensor) -> Segment:
        """Make rows durable: the raw file first, then its manifest.

        Raises:
            StudyError: The disk is full or the folder cannot be written.
        """
        content = rows.numpy().reshape(-1).data
        manifest = replace(draft, key=self._key, rows_sha256=hashlib.sha256(content).hexdigest())
        path = self.path / f"{uuid4().hex}.json"
        rows_path = path.with_suffix(".rows")
        self._seen.add(path.name)
        with self._told("written"):
            try:
                write_atomically(rows_path, lambda file: file.write(content))
                write_text_atomically(path, manifest.to_text())
            except BaseException:
                _delete(path)
                raise
        return Segment(manifest, path)

    def discard(self) -> int:
        """Delete all segments and leftovers; returns the bytes of the files."""
        freed = 0
        with self._told("deleted"):
            # Manifests first: whoever looks meanwhile finds fewer segments, not torn ones.
            for name in sorted(self._names(), key=lambda name: ".rows" in name):
                with suppress(FileNotFoundError):  # another process discards as well
                    freed += (self.path / name).stat().st_size
                    (self.path / name).unlink()
            with suppress(OSError):  # somebody else's file is in it
                self.path.rmdir()
        self._seen.clear()
        return freed

    def _sweep(self) -> None:
        """Delete what killed processes left: temporary files, and rows whose manifest never came."""
        names = set(self._names())
        for name in names:
            whole = not name.startswith(".") and name.replace(".rows", ".json") in names
            path = self.path / name
            with suppress(FileNotFoundError):  # another process sweeps as well
                # A younger one may be the work of a process that lives.
                if not whole and time.time() - path.stat().st_mtime > _LEFTOVER_S:
                    path.unlink()

    def _names(self) -> list[str]:
        if not self.path.exists():
            return []  # discarded
        with self._told("read"):
            return sorted(entry.name for entry in self.path.iterdir() if _OURS.fullmatch(entry.name))

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StudyError(
                f"Stored activations in {self.path} cannot be {done}: {error.strerror or error}. Make room there or "
                "make the folder writable; it may also be deleted, since all that is in it can be computed again."
            ) from error


@contextmanager
def _torn_when_unreadable() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise TornSegment("rows are missing") from error
    except (OSError, RuntimeError) as error:  # RuntimeError is how torch says that it cannot map a file
        raise TornSegment("files cannot be read", for_good=False) from error


def _delete(manifest_path: Path) -> None:
    # Where that is impossible the files are left, and found torn again.
    with suppress(OSError):
        manifest_path.unlink(missing_ok=True)
        manifest_path.with_suffix(".rows").unlink(missing_ok=True)
