"""The activation store beside numpy's memory map and safetensors: writing, cold and warm batches, and prefetch.

All write the same rows with the same discipline: temporary file, fsync, rename, fsync of the folder. numpy has one file
and knows its size beforehand; safetensors has files of about 32 MiB, mapped whole when read; the store has segments of
32 MiB, each with its SHA-256 and a manifest. Batches are random rows. "Cold" means that the kernel was made to give up
its copies of the files; the host of a virtual disk may still have its own. Figures are medians over rounds in which the
contenders take turns, so that a busy machine slows all of them alike.

    python benchmarks/store.py [FOLDER]
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import IO, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from frostline.capture.store import ActivationStore
from frostline.core.files import sync_folder, write_atomically

TOTAL_BYTES = 256 * 2**20
SHARD_BYTES = 32 * 2**20
ROW_SHAPES = {"49 KB": (32, 384), "1.5 KB": (384,)}
PUT_ROWS = 64
WRITE_ROUNDS = 3
COMPUTE_S = 0.02
COLD_STEPS = 15
WARM_STEPS = 200
MADV_DONTNEED = 4

Read = Callable[[list[int]], Tensor]
Call = Callable[[list[int]], object]


class Rows:
    """The rows of one size, as batches to put."""

    def __init__(self, row_shape: tuple[int, ...]) -> None:
        self.shape = row_shape
        self.row_bytes = 4 * int(np.prod(row_shape))
        self.count = TOTAL_BYTES // self.row_bytes
        self.ids = [f"{number:064x}" for number in range(self.count)]
        self._pattern = torch.randn(PUT_ROWS, *row_shape)

    def batches(self) -> Iterator[tuple[int, int, Tensor]]:
        """First row, last row, rows; the first number of a row tells which it is."""
        for first in range(0, self.count, PUT_ROWS):
            last = min(first + PUT_ROWS, self.count)
            rows = self._pattern[: last - first]
            rows.view(last - first, -1)[:, 0] = torch.arange(first, last)
            yield first, last, rows


# ---------------------------------------------------------------- the contenders


def write_ours(folder: Path, rows: Rows) -> None:
    store = ActivationStore.at(folder, {}, budget_bytes=2 * TOTAL_BYTES)
    for first, last, batch in rows.batches():
        store.put("shelf", "leaf", rows.ids[first:last], batch)
    store.flush()


def open_ours(folder: Path) -> ActivationStore:
    return ActivationStore.at(folder, {}, budget_bytes=2 * TOTAL_BYTES)


def write_numpy(folder: Path, rows: Rows) -> None:
    folder.mkdir(parents=True)
    temporary = folder / ".rows.npy"
    shape = (rows.count, *rows.shape)
    mapped = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
    for first, last, batch in rows.batches():
        mapped[first:last] = batch.numpy()
    mapped.flush()
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.rename(folder / "rows.npy")
    sync_folder(folder)


def read_numpy(folder: Path, rows: Rows) -> Read:
    mapped = np.load(folder / "rows.npy", mmap_mode="r")
    return lambda numbers: torch.from_numpy(mapped[numbers])


def write_safetensors(folder: Path, rows: Rows) -> None:
    """Batches are gathered in memory until a file is full, as in the store."""
    gathered = torch.empty(rows_per_file(rows), *rows.shape)
    for first, last, batch in rows.batches():
        position = first % len(gathered)
        gathered[position : position + len(batch)] = batch
        if last % len(gathered) == 0 or last == rows.count:
            content = save({"rows": gathered[: position + len(batch)]})
            path = folder / f"{first // len(gathered)}.safetensors"
            write_atomically(path, partial(write_bytes, content))


def write_bytes(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def rows_per_file(rows: Rows) -> int:
    """Of safetensors: whole batches, at most as large as a segment."""
    return SHARD_BYTES // rows.row_bytes // PUT_ROWS * PUT_ROWS


def read_safetensors(folder: Path, rows: Rows) -> Read:
    per_file = rows_per_file(rows)
    paths = [folder / f"{number}.safetensors" for number in range(len(list(folder.iterdir())))]
    opened: list[Any] = [safe_open(path, framework="pt") for path in paths]
    mapped = [file.get_tensor("rows") for file in opened]

    def read(numbers: list[int]) -> Tensor:
        return torch.stack([mapped[number // per_file][number % per_file] for number in numbers])

    return read


WRITERS = {"frostline": write_ours, "numpy.memmap": write_numpy, "safetensors": write_safetensors}

# ---------------------------------------------------------------- measuring


def evict(folder: Path) -> None:
    """Make the kernel give up its copies of the files: the pages that are mapped here first, then the others."""
    libc = ctypes.CDLL(None, use_errno=True)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if str(folder) in line:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED):
                raise OSError(ctypes.get_errno(), "madvise")
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(do: Callable[..., object], *arguments: object) -> float:
    start = perf_counter()
    do(*arguments)
    return perf_counter() - start


def compute() -> None:
    """A training step that needs nothing from the disk."""
    end = perf_counter() + COMPUTE_S
    while perf_counter() < end:
        torch.mm(_MATRIX, _MATRIX)


_MATRIX = torch.randn(300, 300)


def cold_wait(folder: Path, read: Read, ahead: Call, batch: list[int]) -> float:
    """What a step waits for a batch that is nowhere in memory: asking before the step, and reading after it."""
    evict(folder)
    asking_s = seconds(ahead, batch)
    compute()
    waiting_s = asking_s + seconds(read, batch)
    for thread in set(threading.enumerate()) - {threading.main_thread()}:
        thread.join()
    return waiting_s


def in_a_thread(read: Read) -> Call:
    """The way that was refused: read the batch in another thread, so that it is in the kernel's memory then."""
    return lambda batch: threading.Thread(target=read, args=(batch,)).start()


# ---------------------------------------------------------------- tables


def print_line(name: str, values: list[float], ours: list[float], unit: str, *, more_is_better: bool = False) -> None:
    """Each value, and how many times as good ours is."""
    ratios = [value / own if not more_is_better else own / value for value, own in zip(values, ours, strict=True)]
    cells = (f"{value:>9.2f} {unit} {ratio:>6.2f}x" for value, ratio in zip(values, ratios, strict=True))
    print(f"{name:<44}" + "   ".join(cells))


def measure_writing(folder: Path, rows: Rows) -> None:
    taken: dict[str, list[float]] = {name: [] for name in WRITERS}
    for _ in range(WRITE_ROUNDS):
        for name, write in WRITERS.items():
            rmtree(folder / name, ignore_errors=True)
            taken[name].append(seconds(write, folder / name, rows))
    rates = {name: TOTAL_BYTES / 1e9 / median(times) for name, times in taken.items()}
    for name, rate in rates.items():
        print_line(f"  {name}", [rate], [rates["frostline"]], "GB/s", more_is_better=True)


def measure_warm(reads: Mapping[str, Call], rows: Rows) -> None:
    generator = np.random.default_rng(1)
    figures: dict[str, list[float]] = {name: [] for name in reads}
    for size in (32, 256):
        taken: dict[str, list[float]] = {name: [] for name in reads}
        for _ in range(WARM_STEPS):
            batch = generator.integers(0, rows.count, size).tolist()
            for name, read in reads.items():
                taken[name].append(seconds(read, batch))
        for name in reads:
            figures[name].append(median(taken[name]) * 1e6)
    for name, values in figures.items():
        print_line(f"  {name}", values, figures["frostline"], "us")


def measure_cold(folder: Path, reads: dict[str, Read], hint: Call, rows: Rows) -> None:
    def nothing(batch: list[int]) -> None:
        pass

    ways: dict[str, tuple[Read, Call]] = {"frostline, prefetch": (reads["frostline"], hint)}
    ways |= {name: (read, nothing) for name, read in reads.items()}
    ways["frostline, a thread reads ahead"] = reads["frostline"], in_a_thread(reads["frostline"])
    ways["numpy.memmap, a thread reads ahead"] = reads["numpy.memmap"], in_a_thread(reads["numpy.memmap"])
    generator = np.random.default_rng(2)
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for size in (32, 256):
        waits: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(COLD_STEPS):
            batch = generator.integers(0, rows.count, size).tolist()
            for name, (read, ahead) in ways.items():
                waits[name].append(cold_wait(folder, read, ahead, batch) * 1e3)
        for name in ways:
            figures[name].append(median(waits[name]))
    for name, values in figures.items():
        print_line(f"  {name}", values, figures["frostline, prefetch"], "ms")


def measure_opening(folder: Path, rows: Rows) -> ActivationStore:
    """What a reopened store costs once in each process: reading the manifests, then hashing all segments."""
    evict(folder)
    opening_s = seconds(open_ours, folder)
    store = open_ours(folder)
    evict(folder)
    hashing_s = seconds(store.missing, "shelf", ["leaf"], rows.ids)
    generator = np.random.default_rng(0)
    batches = [[rows.ids[number] for number in generator.integers(0, rows.count, 256)] for _ in range(50)]
    looking_s = median(seconds(store.missing, "shelf", ["leaf"], batch) for batch in batches)
    print(f"\nreopened: {opening_s * 1e3:.0f} ms; all segments hashed, cold: {TOTAL_BYTES / 1e9 / hashing_s:.2f} GB/s")
    print(f"`missing` for 256 random ids: {looking_s * 1e6:.0f} us")
    return store


def measure(folder: Path, name: str, rows: Rows) -> None:
    print(f"\n---- rows of {name}: {rows.count} rows, {TOTAL_BYTES >> 20} MiB\n\nwriting, batches of {PUT_ROWS} rows")
    measure_writing(folder, rows)
    store = measure_opening(folder / "frostline", rows)

    def read_ours(numbers: list[int]) -> Tensor:
        return store.get("shelf", "leaf", [rows.ids[number] for number in numbers])

    def hint(numbers: list[int]) -> None:
        store.prefetch("shelf", ["leaf"], [rows.ids[number] for number in numbers])

    reads = {"frostline": read_ours, "numpy.memmap": read_numpy(folder / "numpy.memmap", rows)}
    reads["safetensors"] = read_safetensors(folder / "safetensors", rows)
    probe = [rows.count - 1, 0, 17, 17]
    for read in reads.values():
        assert read(probe).view(4, -1)[:, 0].tolist() == probe
    print(f"\n{'cold, what a 20 ms step waits; batch of':<44}{'32':>9}{'256':>24}")
    measure_cold(folder, reads, hint, rows)
    for read in reads.values():
        for first in range(0, rows.count, 1000):
            read(list(range(first, min(first + 1000, rows.count))))
    print(f"\n{'warm; batch of':<44}{'32':>9}{'256':>24}")
    measure_warm({**reads, "frostline, prefetch alone": hint}, rows)


def main() -> None:
    """Measure and print all tables."""
    torch.set_num_threads(1)
    told = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "safetensors", "frostline"))
    print(f"Python {platform.python_version()}, {told}; ratios: how many times as good frostline is")
    for name, row_shape in ROW_SHAPES.items():
        with TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
            measure(Path(folder), name, Rows(row_shape))


if __name__ == "__main__":
    main()
