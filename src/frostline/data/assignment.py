"""Which example goes to which split: given splits are honoured, missing ones carved out of train.

A given validation part is halved into stop and select; `frostline.data.splits` does the dealing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import DataError
from frostline.core.records import SplitName, Task
from frostline.data.clusters import joined
from frostline.data.examples import Examples, Part
from frostline.data.splits import SplitShares, deal, deal_groups
from frostline.data.times import deal_by_time

SPLITS: tuple[SplitName, ...] = ("train", "stop", "select", "test")

# scikit-learn takes less than 2**32, and dealing groups anew adds a little to the seed.
SEEDS = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Every example in exactly one split."""

    rows: Mapping[SplitName, NDArray[np.int64]]
    """Sorted positions."""
    origins: Mapping[SplitName, str]
    """Where each split comes from: "given: test.csv", "20 % of data.csv"."""
    notes: tuple[str, ...]


def assign(
    examples: Examples,
    labels: NDArray[np.int64],
    task: Task,
    shares: SplitShares,
    seed: int,
    *,
    clusters: NDArray[np.int64] | None = None,
    times: NDArray[np.float64] | None = None,
) -> Assignment:
    """Put every example into train, stop, select or test.

    Args:
        examples: Without copies.
        labels: Their class numbers.
        task: Names of the classes.
        shares: Wanted sizes of what is carved.
        seed: The same seed assigns the same way.
        clusters: Equal numbers for near-duplicates, which no deal parts; None when each example stands alone.
        times: When each example is from: what is carved follows it, and nothing else decides; None to shuffle.

    Raises:
        DataError: Some split would have no example of some class, groups, clusters or times forbid it, or the seed is
            out of range.
    """
    if not 0 <= seed < SEEDS:
        raise DataError(f"The seed {seed} cannot be used. Give a whole number from 0 to {SEEDS - 1:,}.")
    parts = np.array(examples.parts)
    groups = _groups(examples, clusters, times)
    rows: dict[SplitName, NDArray[np.int64]] = {}
    origins: dict[SplitName, str] = {}
    plan = _shares_by_part(examples, shares)
    for part, wanted in plan.items():
        of_part = np.flatnonzero(parts == part)
        _require_classes(examples, labels[of_part], task, part, len(wanted))
        if times is not None and len(wanted) > 1:
            dealt = deal_by_time(times[of_part], wanted)
            _require_classes_in_time(examples, labels[of_part], task, part, dealt)
        elif groups is None:
            if clusters is not None:
                _require_clusters(examples, labels[of_part], clusters[of_part], task, part, len(wanted))
            dealt = deal(labels[of_part], wanted, seed, None if clusters is None else clusters[of_part])
        else:
            _require_groups(examples, labels[of_part], groups[of_part], task, part, len(wanted))
            dealt = deal_groups(labels[of_part], groups[of_part], wanted, seed)
        for split, chosen in dealt.items():
            rows[split] = of_part[chosen]
            origins[split] = _origin(examples.sources[part], wanted[split], in_time=times is not None)
    return Assignment(
        rows={split: rows[split] for split in SPLITS},
        origins=origins,
        notes=tuple(
            _note(examples.sources[part], wanted, None if times is not None else seed)
            for part, wanted in plan.items()
            if len(wanted) > 1
        ),
    )


def dealt_out(examples: Examples) -> dict[Part, bool]:
    """Whether frostline deals each part of the data out to several splits."""
    return {part: len(wanted) > 1 for part, wanted in _shares_by_part(examples, SplitShares()).items()}


def refuse_straddling_groups(examples: Examples) -> None:
    """Given splits must keep groups whole, as carved ones do.

    Raises:
        DataError: A group stands in two of them.
    """
    if examples.groups is None:
        return
    first: dict[str, int] = {}
    for row, group in enumerate(examples.groups):
        other = first.setdefault(group, row)
        if examples.parts[other] != examples.parts[row]:
            raise DataError(
                f"The group {group!r} stands on both sides of a split: {examples.where[other]} and "
                f"{examples.where[row]}. Move all of it to one side, or leave --group-column out."
            )


def _shares_by_part(examples: Examples, shares: SplitShares) -> dict[Part, dict[SplitName, float]]:
    """For each part of the data, the splits it is dealt out to."""
    if "whole" in examples.sources:
        return {"whole": shares.among(SPLITS)}
    carved: list[SplitName] = ["train"]
    if "validation" not in examples.sources:
        carved += ["stop", "select"]
    if "test" not in examples.sources:
        carved.append("test")
    plan: dict[Part, dict[SplitName, float]] = {
        "train": shares.among(carved),
        "validation": {"stop": 0.5, "select": 0.5},
        "test": {"test": 1.0},
    }
    return {part: plan[part] for part in examples.sources}


def _groups(
    examples: Examples, clusters: NDArray[np.int64] | None, times: NDArray[np.float64] | None
) -> NDArray[np.int64] | None:
    """Numbers of what the user wants kept together, near-duplicates with it; None when nothing was named."""
    if examples.groups is None:
        return None
    if times is not None:
        raise DataError(
            "--group-column and --time-column were both asked for: splits that follow time may tear a group apart. "
            "Name one of the two, or give the splits as files."
        )
    named = np.unique(np.array(examples.groups), return_inverse=True)[1]
    if clusters is None or len(np.unique(clusters)) == len(clusters):
        return named
    return np.unique(joined(named, clusters), return_inverse=True)[1]


def _origin(source: str, share: float, *, in_time: bool) -> str:
    if share == 1:
        return f"given: {source}"
    return f"{100 * share:.3g} % of {source}{' by time' if in_time else ''}"


def _note(source: str, wanted: Mapping[SplitName, float], seed: int | None) -> str:
    shares = ", ".join(f"{split} {100 * share:.3g} %" for split, share in wanted.items())
    how = "by time, the earliest first" if seed is None else f"by class with seed {seed}"
    return f"{source} was dealt out {how}: {shares}"


def _require_classes(examples: Examples, labels: NDArray[np.int64], task: Task, part: Part, needed: int) -> None:
    counts = np.bincount(labels, minlength=len(task.labels))
    for label, count in zip(task.labels, counts, strict=True):
        if count < needed:
            raise DataError(
                f"Class {label!r} has {_amount(count, 'example')} in {examples.sources[part]}, not counting copies and "
                f"what a later split holds too; {_demand(needed)} Add examples of it, or take the class out everywhere."
            )


def _require_classes_in_time(
    examples: Examples,
    labels: NDArray[np.int64],
    task: Task,
    part: Part,
    dealt: Mapping[SplitName, NDArray[np.int64]],
) -> None:
    for split, rows in dealt.items():
        counts = np.bincount(labels[rows], minlength=len(task.labels))
        if not counts.all():
            raise DataError(
                f"{examples.sources[part]}, cut at points in time, leaves {split} without class "
                f"{task.labels[int(counts.argmin())]!r}; every split needs each class. Leave --time-column out, take "
                "the rarest classes out, or give the splits as files."
            )


def _require_clusters(
    examples: Examples, labels: NDArray[np.int64], clusters: NDArray[np.int64], task: Task, part: Part, needed: int
) -> None:
    for label, count in _kinds_by_class(labels, clusters, task):
        if count < needed:
            raise DataError(
                f"Class {label!r} has {_amount(count, 'example')} in {examples.sources[part]}, "
                f"near-duplicates counting once; {_demand(needed)} Add other examples of it, or give the splits as "
                "files."
            )


def _require_groups(
    examples: Examples, labels: NDArray[np.int64], groups: NDArray[np.int64], task: Task, part: Part, needed: int
) -> None:
    for label, count in _kinds_by_class(labels, groups, task):
        if count < needed:
            raise DataError(
                f"Class {label!r} occurs in {_amount(count, 'group')} of {examples.sources[part]}; {_demand(needed)} "
                "Add groups that hold it, or give the splits as files."
            )


def _kinds_by_class(labels: NDArray[np.int64], kinds: NDArray[np.int64], task: Task) -> list[tuple[str, int]]:
    """How many kinds (clusters, groups) hold each class."""
    return [(label, len(np.unique(kinds[labels == number]))) for number, label in enumerate(task.labels)]


def _amount(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def _demand(needed: int) -> str:
    if needed == 1:
        return "every split needs each class."
    return f"{needed} are needed, one for each split that is carved out of it."
