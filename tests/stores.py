"""Activation stores for tests, filled with rows that tell whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from frostline.capture import store as store_module
from frostline.capture.store import ActivationStore

KEY = {"weights": "0123", "torch": "2"}
PLENTY = 10**9


def opened(folder: Path, **options: Any) -> ActivationStore:
    return ActivationStore.at(folder, KEY, **({"budget_bytes": PLENTY} | options))


def rows_of(ids: Sequence[str], width: int = 6) -> Tensor:
    """What every store should hold for these ids."""
    return torch.tensor([float(id_) for id_ in ids]).reshape(-1, 1) + torch.arange(width) / 8


def numbered(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last)]


def put_and_flushed(folder: Path, *parts: Sequence[str], **options: Any) -> ActivationStore:
    """A store with one segment for each part."""
    store = opened(folder, **options)
    for part in parts:
        store.put("shelf", "leaf", part, rows_of(part))
        store.flush()
    return store


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Equal in dtype, shape and every bit, so that NaN equals NaN."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return torch.equal(*(tensor.reshape(-1).contiguous().view(torch.uint8) for tensor in (one, other)))


def files(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(folder.glob(f"*/{pattern}"))


@contextmanager
def small_segments(size_bytes: int = 100) -> Iterator[None]:
    with mock.patch.object(store_module, "SEGMENT_BYTES", size_bytes):
        yield
