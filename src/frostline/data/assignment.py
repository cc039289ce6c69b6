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
from frostline.data.examples import Examples, Part
from frostline.data.splits import SplitShares, deal, deal_groups

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


def assign(examples: Examples, labels: NDArray[np.int64], task: Task, shares: SplitShares, seed: int) -> Assignment:
    """Put every example into train, stop, select or test.

    Args:
        examples: Without copies.
        labels: Their class numbers.
        task: Names of the classes.
        shares: Wanted sizes of what is carved.
        seed: The same seed assigns the same way.

    Raises:
        DataError: Some split would have no example of some class, groups forbid it, or the seed is out of range.
    """
    if not 0 <= seed < SEEDS:
        raise DataError(f"The seed {seed} cannot be used. Give a whole number from 0 to {SEEDS - 1:,}.")
    parts = np.array(examples.parts)
    groups = None if examples.groups is None else np.unique(np.array(examples.groups), return_inverse=True)[1]
    rows: dict[SplitName, NDArray[np.int64]] = {}
    origins: dict[SplitName, str] = {}
    plan = _shares_by_part(examples, shares)
    for part, wanted in plan.items():
        of_part = np.flatnonzero(parts == part)
        _require_classes(examples, labels[of_part], task, part, len(wanted))
        if groups is None:
            dealt = deal(labels[of_part], wanted, seed)
        else:
            _require_groups(examples, labels[of_part], groups[of_part], task, part, len(wanted))
            dealt = deal_groups(labels[of_part], groups[of_part], wanted, seed)
        for split, chosen in dealt.items():
            rows[split] = of_part[chosen]
            origins[split] = _origin(examples.sources[part], wanted[split])
    return Assignment(
        rows={split: rows[split] for split in SPLITS},
        origins=origins,
        notes=tuple(_note(examples.sources[part], wanted, seed) for part, wanted in plan.items() if len(wanted) > 1),
    )


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


def _origin(source: str, share: float) -> str:
    return f"given: {source}" if share == 1 else f"{100 * share:.3g} % of {source}"


def _note(source: str, wanted: Mapping[SplitName, float], seed: int) -> str:
    shares = ", ".join(f"{split} {100 * share:.3g} %" for split, share in wanted.items())
    return f"{source} was dealt out by class with seed {seed}: {shares}"


def _require_classes(examples: Examples, labels: NDArray[np.int64], task: Task, part: Part, needed: int) -> None:
    counts = np.bincount(labels, minlength=len(task.labels))
    for label, count in zip(task.labels, counts, strict=True):
        if count < needed:
            raise DataError(
                f"Class {label!r} has {_amount(count, 'example')} in {examples.sources[part]}, not counting copies and "
                f"what a later split holds too; {_demand(needed)} Add examples of it, or take the class out everywhere."
            )


def _require_groups(
    examples: Examples, labels: NDArray[np.int64], groups: NDArray[np.int64], task: Task, part: Part, needed: int
) -> None:
    for number, label in enumerate(task.labels):
        count = len(np.unique(groups[labels == number]))
        if count < needed:
            raise DataError(
                f"Class {label!r} occurs in {_amount(count, 'group')} of {examples.sources[part]}; {_demand(needed)} "
                "Add groups that hold it, or give the splits as files."
            )


def _amount(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def _demand(needed: int) -> str:
    if needed == 1:
        return "every split needs each class."
    return f"{needed} are needed, one for each split that is carved out of it."
