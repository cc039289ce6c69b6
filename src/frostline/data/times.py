"""When each example is from, and whether what trains is older than what judges.

Knows cells, times and places; nothing of tables or models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import DataError
from frostline.core.records import SplitName

SAMPLE = 5
"""How many places are named."""

KINDS = ("numbers", "dates and times without a zone", "dates and times with a zone")


def read_times(cells: Sequence[str], where: Sequence[str], column: str) -> NDArray[np.float64]:
    """Numbers that order examples by time: the numbers of a column, or seconds since 1970.

    Args:
        cells: Numbers, or dates and times in ISO 8601, all of the kind of the first one.
        where: Place of each, for messages.
        column: Name of the column, for messages.

    Raises:
        DataError: A cell is neither, or of another kind than the first one.

    >>> read_times(["2024-01-02", "2024-01-01T12:00"], ["a row 2", "a row 3"], "sent").tolist()
    [1704153600.0, 1704110400.0]
    """
    read = [_read(cell, place, column) for cell, place in zip(cells, where, strict=True)]
    for (kind, _), place, cell in zip(read, where, cells, strict=True):
        if kind != read[0][0]:
            raise DataError(
                f"{place} has {cell!r} in column {column!r}, and {where[0]} has {cells[0]!r}: {KINDS[kind]} and "
                f"{KINDS[read[0][0]]} cannot be put in one order. Write all of them alike."
            )
    return np.array([value for _, value in read], dtype=np.float64)


def deal_by_time(times_N: NDArray[np.float64], shares: Mapping[SplitName, float]) -> dict[SplitName, NDArray[np.int64]]:
    """Cut examples at points in time, the first split earliest; what is of the same time stays together.

    Args:
        times_N: When each is from.
        shares: In order of time, summing to 1. They are met as nearly as equal times allow.

    Returns:
        Sorted positions per split. A split may be empty when few times differ.

    >>> dealt = deal_by_time(np.array([3.0, 1.0, 2.0, 2.0]), {"train": 0.5, "test": 0.5})
    >>> {split: rows.tolist() for split, rows in dealt.items()}
    {'train': [1], 'test': [0, 2, 3]}
    """
    ordered = np.argsort(times_N, kind="stable")
    # Where a cut tears no equal times apart: before the first example of each time.
    cuts = np.flatnonzero(np.r_[True, np.diff(times_N[ordered]) > 0, True])
    wanted = np.cumsum(list(shares.values()))[:-1] * len(times_N)
    chosen = cuts[np.abs(cuts[None, :] - wanted[:, None]).argmin(axis=1)]
    return {split: np.sort(rows) for split, rows in zip(shares, np.split(ordered, chosen), strict=True)}


def later_than_test(
    times_N: NDArray[np.float64],
    rows: Mapping[SplitName, NDArray[np.int64]],
    said: Callable[[int], str],
) -> tuple[int, tuple[str, ...]]:
    """Count what trains or chooses and is later than the earliest test example, and name the latest of it.

    Args:
        times_N: When each example is from.
        rows: Positions of each split.
        said: What a message calls the example at a position.
    """
    others = np.concatenate([rows["train"], rows["stop"], rows["select"]])
    late = others[times_N[others] > times_N[rows["test"]].min()]
    latest = late[np.argsort(-times_N[late], kind="stable")][:SAMPLE]
    return len(late), tuple(said(int(row)) for row in latest)


def _read(cell: str, place: str, column: str) -> tuple[int, float]:
    text = cell.strip()
    try:
        number = float(text)
    except ValueError:
        return _read_date(text, cell, place, column)
    if not math.isfinite(number):
        raise DataError(_unreadable(cell, place, column))
    return 0, number


def _read_date(text: str, cell: str, place: str, column: str) -> tuple[int, float]:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(_unreadable(cell, place, column)) from error
    if moment.tzinfo is None:
        return 1, moment.replace(tzinfo=UTC).timestamp()
    return 2, moment.timestamp()


def _unreadable(cell: str, place: str, column: str) -> str:
    found = repr(cell) if cell.strip() else "nothing"
    return (
        f"{place} has {found} in column {column!r}, where a time is needed. Write a number, or a date in ISO 8601 "
        "such as 2024-05-31 or 2024-05-31T18:30."
    )
