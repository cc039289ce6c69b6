"""Keep in memory, keep on disk, or compute again: decided by FLOPs and bytes, at speeds measured once.

What a plan freezes is worth keeping when reading its rows takes less than computing them.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from frostline.capture.store import ActivationStore

Place = Literal["memory", "disk"]

_SAMPLE_ROWS, _SAMPLE_FLOATS = 256, 8192
"""Rows that are written and read to measure the store: 8 MiB."""
_SHARE_OF_MEMORY = 0.25
_SHARE_OF_DISK = 0.5


@dataclass(frozen=True, slots=True)
class Speeds:
    """Measured once, on this machine and this model."""

    flops_per_s: float
    """Of the model's forward pass."""
    memory_bytes_per_s: float
    """Of batches gathered at random from rows in memory."""
    disk_bytes_per_s: float
    """The same from a store on disk."""

    def read_s(self, place: Place, size_bytes: float) -> float:
        return size_bytes / (self.memory_bytes_per_s if place == "memory" else self.disk_bytes_per_s)

    def compute_s(self, flops: float) -> float:
        return flops / self.flops_per_s


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that activations may take."""

    memory_bytes: int
    disk_bytes: int

    @classmethod
    def here(cls, folder: Path) -> Room:
        """A quarter of the free memory, half of the free disk."""
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        disk = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
        return cls(int(free * _SHARE_OF_MEMORY), int(disk * _SHARE_OF_DISK))

    def place_for(self, size_bytes: int) -> Place:
        """Memory when they fit, else the disk."""
        return "memory" if size_bytes <= self.memory_bytes else "disk"


def measure_speeds(forward: Callable[[], int], folder: Path | None) -> Speeds:
    """One short measurement.

    Args:
        forward: Makes one forward pass and returns its FLOPs.
        folder: Where a store on disk would lie; None when none is wanted: then nothing is written.
    """
    forward()  # the first pass is slower: memory is allocated, kernels are chosen
    began = time.perf_counter()
    flops = forward()
    flops_per_s = flops / (time.perf_counter() - began)
    memory_bytes_per_s = _bytes_per_s(ActivationStore.in_memory(budget_bytes=2**30))
    if folder is None:
        return Speeds(flops_per_s, memory_bytes_per_s, memory_bytes_per_s)
    on_disk = ActivationStore.at(folder / "speed", {"for": "measuring"}, budget_bytes=2**30)
    try:
        return Speeds(flops_per_s, memory_bytes_per_s, _bytes_per_s(on_disk))
    finally:
        on_disk.discard()
        shutil.rmtree(folder / "speed", ignore_errors=True)


def _bytes_per_s(store: ActivationStore) -> float:
    ids = [str(n) for n in range(_SAMPLE_ROWS)]
    rows = torch.ones(_SAMPLE_ROWS, _SAMPLE_FLOATS)
    store.put("speed", "rows", ids, rows)
    store.flush()
    store.get("speed", "rows", ids[:1])  # the first touch checks the whole segment
    began = time.perf_counter()
    for first in range(0, _SAMPLE_ROWS, 32):
        store.get("speed", "rows", ids[first::8][:32])
    taken = sum(len(ids[first::8][:32]) for first in range(0, _SAMPLE_ROWS, 32))
    return taken * rows[0].nbytes / (time.perf_counter() - began)
