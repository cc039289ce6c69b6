"""Shelves: where each row lies, in memory or in a segment, and how the rows of a batch are put together.

Knows nothing of budgets and folders. Every id has a number on its shelf, and every row of a leaf has a slot: slots are
dealt out in stretches, one for each piece (a buffer or a segment), so that a batch is found by two array look-ups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frostline.capture.segments import Segment, TornSegment, bytes_per_row

_UNKNOWN = np.iinfo(np.int64).max
ABSENT, REFUSED = -1, -2
"""In the place of a slot: no row was ever put; a row was put and not kept. Both are below every slot."""


class Buffer:
    """Rows in memory: all of a store in memory, and what a store on disk has yet to write."""

    def __init__(self, stored: torch.dtype, row_shape: tuple[int, ...], capacity: int, reserve: int = 0) -> None:
        self.stored = stored
        self.row_shape = row_shape
        self.row_bytes = bytes_per_row(row_shape, stored)
        self.capacity = capacity
        self.first_slot = 0
        self.ids: list[str] = []
        self.half_error: float | None = None
        self._bytes = _empty_bytes(reserve, self.row_bytes)

    @property
    def count(self) -> int:
        return len(self.ids)

    @property
    def room(self) -> int:
        """Rows that can still be added."""
        return self.capacity - self.count

    def bytes_of_rows(self) -> Tensor:
        """All rows as bytes, shape (count, row_bytes), uint8."""
        return self._bytes[: self.count]

    @torch.inference_mode(False)
    @torch.no_grad()
    def add(self, ids: Sequence[str], rows: Tensor, half_error: float | None) -> None:
        """Copy rows of dtype `stored` to the end."""
        end = self.count + len(ids)
        if end > len(self._bytes):
            grown = _empty_bytes(min(self.capacity, max(end, 2 * len(self._bytes))), self.row_bytes)
            grown[: self.count] = self.bytes_of_rows()
            self._bytes = grown
        typed(self._bytes[self.count : end], self.stored, self.row_shape).copy_(rows)
        self.ids.extend(ids)
        if half_error is not None:
            self.half_error = max(half_error, self.half_error or 0.0)


class LeafRows:
    """The rows of one leaf on one shelf."""

    def __init__(self, shelf: str, leaf: str, dtype: torch.dtype, row_shape: tuple[int, ...]) -> None:
        self.shelf, self.leaf = shelf, leaf
        self.dtype, self.row_shape = dtype, row_shape
        self.buffer: Buffer | None = None
        self.is_kept_exact = False
        """Rounding was tried and failed, so no more of these rows are rounded."""
        self._pieces: list[Buffer | Segment] = []
        self._starts = np.empty(0, np.int64)
        self._next_slot = 0
        self._unchecked: set[int] = set()
        # The last entry stands for every number beyond, and stays ABSENT.
        self._slots = np.full(1, ABSENT, np.int64)

    @property
    def buffered_bytes(self) -> int:
        """Of the rows that are in memory only, in a store on disk."""
        return 0 if self.buffer is None else self.buffer.count * self.buffer.row_bytes

    def slots(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the rows of these numbers lie; ABSENT or REFUSED for those that are not here."""
        return self._slots.take(numbers, mode="clip")

    def place(self, numbers: NDArray[np.int64], slots: NDArray[np.int64] | int) -> None:
        """Note where the rows of these numbers lie from now on."""
        needed = int(numbers.max(initial=-1)) + 2
        if needed > len(self._slots):
            grown = np.full(max(needed, 2 * len(self._slots)), ABSENT, np.int64)
            grown[: len(self._slots)] = self._slots
            self._slots = grown
        self._slots[numbers] = slots

    def add_piece(self, piece: Buffer | Segment, length: int) -> int:
        """Deal out `length` slots for a piece; returns the first."""
        first = self._next_slot
        if isinstance(piece, Segment):
            self._unchecked.add(len(self._pieces))
        self._pieces.append(piece)
        self._starts = np.append(self._starts, first)
        self._next_slot += length
        return first

    def open_buffer(self, stored: torch.dtype, capacity: int) -> Buffer:
        """A new, empty buffer for the rows that come next."""
        # A leaf that filled a buffer fills the next one; many leaves, such as constants, never fill one.
        self.buffer = Buffer(stored, self.row_shape, capacity, reserve=capacity if self._pieces else 0)
        self.buffer.first_slot = self.add_piece(self.buffer, capacity)
        return self.buffer

    def exchange(self, buffer: Buffer, segment: Segment) -> None:
        """The rows of the buffer lie in the segment now, in the same order."""
        index = self._pieces.index(buffer)
        self._pieces[index] = segment
        self._unchecked.add(index)

    def drop_torn(self, slots: NDArray[np.int64]) -> Iterator[tuple[Segment, TornSegment, int]]:
        """Hash the segments of these slots that nobody hashed yet.

        Yields:
            Each segment that cannot be trusted, the reason, and how many rows were forgotten with it.
        """
        if not self._unchecked:
            return
        for index in self._unchecked.intersection(self._piece_of(slots[slots >= 0]).tolist()):
            piece = self._pieces[index]
            self._unchecked.discard(index)
            try:
                piece.bytes_of_rows()
            except TornSegment as torn:
                if isinstance(piece, Segment):
                    yield piece, torn, self._forget(index)

    def _forget(self, index: int) -> int:
        first = self._starts[index]
        lost = (self._slots >= first) & (self._slots < first + self._pieces[index].count)
        self._slots[lost] = ABSENT
        self._pieces[index] = Buffer(self.dtype, self.row_shape, capacity=0)
        return int(lost.sum())

    @torch.inference_mode(False)
    def gather(self, slots: NDArray[np.int64]) -> Tensor:
        """A fresh tensor of the rows at these slots, all of them present and dropped if torn."""
        which = self._piece_of(slots)
        positions = slots - self._starts[which]
        kinds = {self._pieces[index].stored for index in set(which.tolist())}
        if len(kinds) == 1:
            return self._of_one_kind(which, positions)
        rows = torch.empty((len(slots), *self.row_shape), dtype=self.dtype, device="cpu")
        for kind in kinds:
            chosen = np.flatnonzero([self._pieces[index].stored == kind for index in which.tolist()])
            rows[torch.from_numpy(chosen)] = self._of_one_kind(which[chosen], positions[chosen])
        return rows

    def _of_one_kind(self, which: NDArray[np.int64], positions: NDArray[np.int64]) -> Tensor:
        """Rows that are all kept in the same dtype."""
        sources = {index: self._pieces[index].bytes_of_rows() for index in set(which.tolist())}
        piece = self._pieces[which[0]]
        if len(sources) == 1:
            gathered = torch.index_select(sources[int(which[0])], 0, torch.from_numpy(positions))
        else:
            gathered = _empty_bytes(len(positions), piece.row_bytes)
            arrays, target = {index: source.numpy() for index, source in sources.items()}, gathered.numpy()
            # Row by row: torch's own gathers, segment by segment, take five to twenty times as long.
            for row, (index, position) in enumerate(zip(which.tolist(), positions.tolist(), strict=True)):
                target[row] = arrays[index][position]
        return typed(gathered, piece.stored, self.row_shape).to(self.dtype)

    def read_ahead(self, slots: NDArray[np.int64]) -> None:
        """Ask for these rows to be in memory soon, as far as they lie in segments that were hashed."""
        slots = slots[slots >= 0]
        which = self._piece_of(slots)
        for index in set(which.tolist()):
            piece = self._pieces[index]
            if isinstance(piece, Segment) and piece.is_checked:
                piece.read_ahead(slots[which == index] - self._starts[index])

    def _piece_of(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._starts, slots, side="right") - 1


class Shelf:
    """The leaves that share a set of ids."""

    def __init__(self) -> None:
        self.leaves: dict[str, LeafRows] = {}
        self._numbers: dict[str, int] = {}
        self._last: tuple[tuple[str, ...], NDArray[np.int64]] = ((), np.empty(0, np.int64))

    def look_up(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Numbers of the ids; one that no leaf knows for an id that was never numbered."""
        # Every leaf is asked for the same ids in turn, and each of them costs several cache misses.
        asked = tuple(ids)
        if asked != self._last[0]:
            self._last = asked, np.fromiter(map(self._numbers.get, asked, repeat(_UNKNOWN)), np.int64, len(asked))
        return self._last[1]

    def number(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Numbers of the ids; new ones for new ids."""
        known = self._numbers
        before = len(known)
        numbers = np.fromiter((known.setdefault(id_, len(known)) for id_ in ids), np.int64, len(ids))
        if len(known) > before:
            self._last = (), numbers[:0]
        return numbers


def typed(rows: Tensor, dtype: torch.dtype, row_shape: tuple[int, ...]) -> Tensor:
    """Bytes of rows, seen as rows."""
    if rows.shape[1] == 0:
        return torch.empty((len(rows), *row_shape), dtype=dtype, device="cpu")
    return rows.view(dtype).view(len(rows), *row_shape)


# Memory that is allocated in inference mode could not be used for training.
@torch.inference_mode(False)
def _empty_bytes(count: int, row_bytes: int) -> Tensor:
    return torch.empty((count, row_bytes), dtype=torch.uint8, device="cpu")
