"""The activation store: what frozen modules give for an example, kept so that it is computed once.

Knows nothing of models: a row is a tensor under a shelf, a leaf and an id, all of which are opaque strings.
`shelves` finds rows and puts batches together, `segments` is the disk.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frostline.capture.segments import (
    Manifest,
    Segment,
    SegmentFolder,
    TornSegment,
    bytes_per_row,
    dtype_name,
    dtype_named,
)
from frostline.capture.shelves import REFUSED, Buffer, LeafRows, Shelf
from frostline.core.errors import plain

# Not above 32 MiB: glibc returns larger blocks to the system, and every buffer would be paged in anew.
SEGMENT_BYTES = 32 * 2**20
"""A leaf's buffer is written when no further row fits into this."""

SEGMENT_ROWS = 2**16
"""Or of this many rows, so that the manifest of a tiny leaf does not outgrow it."""

BUFFERED_BYTES = 512 * 2**20
"""Beyond this in all buffers together, the largest is written early."""

_LOOK_EVERY_S = 1.0
_ROUNDED = frozenset({torch.float32, torch.float64, torch.bfloat16})


class ActivationStore:
    """Rows of frozen outputs, in memory or in a folder, within a budget of bytes.

    Rows that do not fit are not kept, and none is ever given up for another, so that a fixed subset stays: epochs visit
    all examples in a new order, and whatever evicts loses most rows shortly before they are wanted.

    A folder may be shared by processes and may be deleted at any time. Within a process one thread uses the store.

    >>> store = ActivationStore.in_memory(budget_bytes=1000)
    >>> store.put("64 tokens", "encoder", ["a", "b"], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    >>> store.missing("64 tokens", ["encoder"], ["b", "c", "a"])
    [1]
    >>> store.get("64 tokens", "encoder", ["b", "a", "b"])
    tensor([[3., 4.],
            [1., 2.],
            [3., 4.]])
    >>> store.kept_bytes, store.is_full
    (16, False)
    """

    def __init__(self, *, budget_bytes: int, half: bool, disk: SegmentFolder | None) -> None:
        """Use `in_memory` or `at`."""
        self.budget_bytes = budget_bytes
        self.half = half
        self._disk = disk
        self._notes: dict[str, None] = {}
        self._torn: dict[str, int] = {}
        self._begin()
        self._absorb()

    @classmethod
    def in_memory(cls, *, budget_bytes: int, half: bool = False) -> ActivationStore:
        """A store that ends with the process."""
        return cls(budget_bytes=budget_bytes, half=half, disk=None)

    @classmethod
    def at(cls, folder: Path, key: Mapping[str, str], *, budget_bytes: int, half: bool = False) -> ActivationStore:
        """The store of this key in a folder, with the rows that were put there before.

        Args:
            folder: Made when it is missing. Stores of several keys may lie in it.
            key: All that rows depend on besides the example: weights, code, preprocessing, versions. Rows put under
                another key, or with another `half`, are not seen.
            budget_bytes: Of all rows that are kept. Rows on disk stay when the budget is smaller than they are.
            half: Keep float32, float64 and bfloat16 as float16; `half_error` tells what that costs.

        Raises:
            StudyError: The folder cannot be made or read.
        """
        return cls(budget_bytes=budget_bytes, half=half, disk=SegmentFolder(folder, key, half=half))

    # ---------------------------------------------------------------- what was kept

    @property
    def is_full(self) -> bool:
        """A row was refused, or the next one would be."""
        return self.refused_rows > 0 or self.kept_bytes >= self.budget_bytes

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences to say aloud."""
        torn = (
            f"{count} stored segment{'' if count == 1 else 's'} whose {why} {'was' if count == 1 else 'were'} dropped: "
            "the rows are computed again."
            for why, count in self._torn.items()
        )
        return (*torn, *self._notes)

    # ---------------------------------------------------------------- rows

    def missing(self, shelf: str, leaves: Sequence[str], ids: Sequence[str]) -> list[int]:
        """Positions in `ids` for which at least one of the leaves has no row."""
        absent = self._absent(shelf, leaves, ids)
        if absent.any() and time.monotonic() - self._looked_s > _LOOK_EVERY_S and self._absorb():
            absent = self._absent(shelf, leaves, ids)
        return np.flatnonzero(absent).tolist()

    def put(self, shelf: str, leaf: str, ids: Sequence[str], rows: Tensor) -> None:
        """Keep rows as far as the budget allows; ids that are there already are passed over.

        Args:
            shelf: What rows have in common besides the leaf: padded length, context of dtypes.
            leaf: The output that the rows are of. All its rows on a shelf have the same shape and dtype.
            ids: Of the examples; `"*"` for the one row of a constant.
            rows: Shape (len(ids), *row), any dtype, device and strides.

        Raises:
            StudyError: The disk is full or the folder cannot be written.
        """
        if len(rows) != len(ids):
            raise ValueError(f"{len(rows)} rows were put for {len(ids)} ids.")
        place = self._leaf(shelf, leaf, rows.dtype, tuple(rows.shape[1:]))
        fresh = self._fresh(place, ids)
        kept = fresh[: self._room(place)]
        if kept:
            chosen, half_error = self._rounded(place, _on_cpu(rows, kept))
            # Rows that turned out not to be rounded are larger.
            kept = kept[: self._room(place)]
            self._keep(place, [ids[position] for position in kept], chosen[: len(kept)], half_error)
        self._refuse(place, [ids[position] for position in fresh[len(kept) :]])

    def get(self, shelf: str, leaf: str, ids: Sequence[str]) -> Tensor:
        """Rows in the order of `ids`: a fresh, contiguous CPU tensor (len(ids), *row) of the dtype that was put.

        Raises:
            KeyError: An id has no row. `missing` says so beforehand.
        """
        place = self._find(shelf, leaf)
        if place is None:
            raise KeyError(f"Leaf {leaf!r} has no rows on shelf {shelf!r}.")
        slots = self._sound_slots(place, self._shelves[shelf].look_up(ids))
        if (slots < 0).any():
            raise KeyError(f"Leaf {leaf!r} on shelf {shelf!r} has no row of {ids[int(slots.argmin())]!r}.")
        return place.gather(slots)

    def prefetch(self, shelf: str, leaves: Sequence[str], ids: Sequence[str]) -> None:
        """Have the disk read these rows while something else is computed. Says nothing of rows that are not there."""
        if self._disk is not None and shelf in self._shelves:
            numbers = self._shelves[shelf].look_up(ids)
            for leaf in leaves:
                place = self._find(shelf, leaf)
                if place is not None:
                    place.read_ahead(place.slots(numbers))

    def flush(self) -> None:
        """Make all rows put so far durable.

        Raises:
            StudyError: The disk is full or the folder cannot be written. The rows stay in memory.
        """
        if self._disk is not None:
            for place in self._all_leaves():
                self._seal(place)

    def discard(self) -> int:
        """Delete all rows, and their files. The store is as new. Returns the bytes that were freed.

        Raises:
            StudyError: A file cannot be deleted.
        """
        freed = self.kept_bytes if self._disk is None else self._buffered_bytes + self._disk.discard()
        self._begin()
        return freed

    # ---------------------------------------------------------------- keeping

    def _begin(self) -> None:
        self._shelves: dict[str, Shelf] = {}
        self._buffered_bytes = 0
        self._looked_s = time.monotonic()
        self.kept_bytes = 0
        """Bytes of the rows that are kept, as they are kept."""
        self.refused_rows = 0
        """Rows that were put and not kept, each counted once."""
        self.half_error: float | None = None
        """Largest |stored - exact| over the largest |exact| of its row; None when nothing was rounded."""

    def _find(self, shelf: str, leaf: str) -> LeafRows | None:
        return self._shelves[shelf].leaves.get(leaf) if shelf in self._shelves else None

    def _all_leaves(self) -> list[LeafRows]:
        return [place for shelf in self._shelves.values() for place in shelf.leaves.values()]

    def _leaf(self, shelf: str, leaf: str, dtype: torch.dtype, row_shape: tuple[int, ...]) -> LeafRows:
        leaves = self._shelves.setdefault(shelf, Shelf()).leaves
        if leaf not in leaves:
            leaves[leaf] = LeafRows(shelf, leaf, dtype, row_shape)
        place = leaves[leaf]
        if (place.dtype, place.row_shape) != (dtype, row_shape):
            raise ValueError(
                f"Rows of leaf {leaf!r} on shelf {shelf!r} are {place.dtype} of shape {place.row_shape}; "
                f"{dtype} of shape {row_shape} were put."
            )
        return place

    def _fresh(self, place: LeafRows, ids: Sequence[str]) -> list[int]:
        """Positions of ids that have no row, each id once."""
        slots = self._sound_slots(place, self._shelves[place.shelf].look_up(ids))
        first: dict[str, int] = {}
        for position in np.flatnonzero(slots < 0).tolist():
            first.setdefault(ids[position], position)
        return list(first.values())

    def _room(self, place: LeafRows) -> int:
        """Rows of the leaf that the budget still allows."""
        row_bytes = bytes_per_row(place.row_shape, torch.float16 if self._rounds(place) else place.dtype)
        return max(0, self.budget_bytes - self.kept_bytes) // max(1, row_bytes)

    def _keep(self, place: LeafRows, ids: list[str], rows: Tensor, half_error: float | None) -> None:
        done = 0
        while done < len(ids):
            buffer = self._buffer(place, rows.dtype)
            some = ids[done : done + buffer.room]
            slots = buffer.first_slot + buffer.count + np.arange(len(some))
            buffer.add(some, rows[done : done + len(some)], half_error)
            self._buffered_bytes += len(some) * buffer.row_bytes
            self._place(place, self._shelves[place.shelf].number(some), slots, buffer.row_bytes)
            done += len(some)
            if buffer.room == 0:
                self._seal(place)
        if self._disk is not None and self._buffered_bytes > BUFFERED_BYTES:
            self._seal(max(self._all_leaves(), key=lambda leaf: leaf.buffered_bytes))

    def _place(self, place: LeafRows, numbers: NDArray[np.int64], slots: NDArray[np.int64], row_bytes: int) -> None:
        self.refused_rows -= int((place.slots(numbers) == REFUSED).sum())
        self.kept_bytes += len(numbers) * row_bytes
        place.place(numbers, slots)

    def _refuse(self, place: LeafRows, ids: list[str]) -> None:
        numbers = self._shelves[place.shelf].number(ids)
        self.refused_rows += int((place.slots(numbers) != REFUSED).sum())
        place.place(numbers, REFUSED)

    def _buffer(self, place: LeafRows, stored: torch.dtype) -> Buffer:
        """The leaf's buffer, with room for a row of this dtype."""
        buffer = place.buffer
        if buffer is not None and (buffer.room == 0 or buffer.stored != stored):
            self._seal(place)
        if place.buffer is None:
            row_bytes = bytes_per_row(place.row_shape, stored)
            return place.open_buffer(stored, min(SEGMENT_ROWS, max(1, SEGMENT_BYTES // max(1, row_bytes))))
        return place.buffer

    def _seal(self, place: LeafRows) -> None:
        """Write the leaf's buffer; in memory, leave it as it is and begin another."""
        buffer = place.buffer
        if buffer is None:
            return
        if self._disk is not None:
            draft = Manifest(
                shelf=place.shelf,
                leaf=place.leaf,
                dtype=dtype_name(place.dtype),
                stored=dtype_name(buffer.stored),
                row_shape=place.row_shape,
                ids=tuple(buffer.ids),
                half_error=buffer.half_error,
            )
            place.exchange(buffer, self._disk.write(draft, buffer.bytes_of_rows()))
        self._buffered_bytes -= place.buffered_bytes
        place.buffer = None

    # ---------------------------------------------------------------- finding

    def _absent(self, shelf: str, leaves: Sequence[str], ids: Sequence[str]) -> NDArray[np.bool_]:
        absent = np.zeros(len(ids), bool)
        numbers = self._shelves[shelf].look_up(ids) if shelf in self._shelves else None
        for leaf in leaves:
            place = self._find(shelf, leaf)
            if numbers is None or place is None:
                return np.ones(len(ids), bool)
            absent |= self._sound_slots(place, numbers) < 0
        return absent

    def _sound_slots(self, place: LeafRows, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots of these numbers, none of them in a segment that cannot be trusted."""
        slots = place.slots(numbers)
        for segment, torn, lost in place.drop_torn(slots):
            self._note_torn(torn)
            self.kept_bytes -= lost * segment.row_bytes
            if torn.for_good:
                segment.delete()
            slots = place.slots(numbers)
        return slots

    def _absorb(self) -> bool:
        """Take in segments that appeared in the folder; whether there were any."""
        self._looked_s = time.monotonic()
        found = list(self._disk.unseen()) if self._disk is not None else []
        for one in found:
            if isinstance(one, TornSegment):
                self._note_torn(one)
            else:
                self._take(*one)
        return bool(found)

    def _take(self, manifest: Manifest, segment: Segment) -> None:
        try:
            place = self._leaf(manifest.shelf, manifest.leaf, dtype_named(manifest.dtype), manifest.row_shape)
        except ValueError:
            self._note_torn(TornSegment("rows have another shape or dtype than others of their leaf"))
            return
        if manifest.half_error is not None:
            self.half_error = max(manifest.half_error, self.half_error or 0.0)
        elif self._rounds(place):
            self._keep_exact(place)
        numbers = self._shelves[manifest.shelf].number(manifest.ids)
        new = np.flatnonzero(place.slots(numbers) < 0)
        if len(new):
            first = place.add_piece(segment, segment.count)
            self._place(place, numbers[new], first + new, segment.row_bytes)

    def _note_torn(self, torn: TornSegment) -> None:
        self._torn[str(torn)] = self._torn.get(str(torn), 0) + 1

    # ---------------------------------------------------------------- rounding

    def _rounds(self, place: LeafRows) -> bool:
        return self.half and place.dtype in _ROUNDED and not place.is_kept_exact

    def _rounded(self, place: LeafRows, rows: Tensor) -> tuple[Tensor, float | None]:
        """The rows as they are kept, and the largest rounding error among them."""
        if not self._rounds(place):
            return rows, None
        halved = round_to_half(rows)
        if halved is None:
            self._keep_exact(place)
            return rows, None
        self.half_error = max(halved[1], self.half_error or 0.0)
        return halved

    def _keep_exact(self, place: LeafRows) -> None:
        place.is_kept_exact = True
        name = plain(f"{place.leaf!r} on shelf {place.shelf!r}")
        self._notes[f"Rows of {name} are kept exact: float16 cannot hold some of their values."] = None


def round_to_half(rows: Tensor) -> tuple[Tensor, float] | None:
    """Rows in float16 and their largest error over the largest value of the row; None where float16 does not do.

    >>> round_to_half(torch.tensor([[1.0, 3.0], [0.5, 2.0]]))[1]
    0.0
    >>> round_to_half(torch.tensor([[1.0, 70_000.0]])) is None
    True
    """
    halved = rows.to(torch.float16)
    finite = rows.isfinite()
    if bool((halved.isinf() & finite).any()) or bool(rows.isnan().any()):
        return None
    if rows.numel() == 0:
        return halved, 0.0
    # bfloat16 would round the difference itself.
    exact = rows if rows.dtype == torch.float64 else rows.to(torch.float32)
    gaps = torch.where(finite, (halved - exact).abs(), 0.0).reshape(len(rows), -1).amax(1)
    scales = torch.where(finite, exact.abs(), 0.0).reshape(len(rows), -1).amax(1)
    return halved, float((gaps[scales > 0] / scales[scales > 0]).amax()) if bool((scales > 0).any()) else 0.0


@torch.no_grad()
def _on_cpu(rows: Tensor, positions: Sequence[int]) -> Tensor:
    chosen = rows if len(positions) == len(rows) else rows[torch.tensor(positions, device=rows.device)]
    return chosen.detach().to("cpu")
