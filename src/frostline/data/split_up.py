"""From all examples to split ones with their audit: copies out, near-duplicates together, then what the rest shows.

The steps in their order; each stands in its own file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from frostline.core.records import Audit, Task
from frostline.data.assignment import SPLITS, Assignment, assign, dealt_out
from frostline.data.audit import find_copies
from frostline.data.examples import PARTS, Examples
from frostline.data.giveaways import find_giveaways
from frostline.data.near import Straddling, clusters_of, kept_together, straddling, together
from frostline.data.near_images import suspects
from frostline.data.splits import SplitShares
from frostline.data.times import later_than_test, read_times


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitUp:
    """Examples that were kept, each in one split, and what was found on the way. Arrays have one entry per example."""

    kept: Examples
    labels: NDArray[np.int64]
    """Class numbers, those of the test split too."""
    assignment: Assignment
    overlapping: NDArray[np.bool_]
    """The example, or one nearly the same, also stood in an earlier given split."""
    suspect_pairs: NDArray[np.int64]
    audit: Audit
    notes: tuple[str, ...]


def split_up(given: Examples, task: Task, shares: SplitShares, seed: int) -> SplitUp:
    """Drop copies and split the rest.

    Args:
        given: All that was read.
        task: Names of the classes.
        shares: Wanted sizes of what is carved.
        seed: Decides every shuffle.

    Raises:
        DataError: The examples cannot be split as asked.
        InvalidEvidence: Two given splits hold the very same inputs.
    """
    times = _times(given)
    copies = find_copies(given)
    kept = given.take(copies.kept)
    clusters = clusters_of(kept)
    across = straddling(clusters, kept.parts, kept.where, [part for part in PARTS if part in kept.sources])
    rows = np.flatnonzero(~across.leaving)
    held = _Held(
        examples=kept.take(rows),
        overlapping=(copies.overlapping[copies.kept] | across.overlapping)[rows],
        clusters=kept_together(kept, clusters)[rows],
        times=None if times is None else times[copies.kept][rows],
    )
    labels = _numbers(held.examples, task)
    assignment = assign(held.examples, labels, task, shares, seed, clusters=held.clusters, times=held.times)
    parted = 0
    if held.times is not None:
        leaving = _parted_by_time(held, assignment)
        parted = int(leaving.sum())
        held, labels, assignment = _without(leaving, held, labels, assignment)
    audit = copies.audit.model_copy(
        update={
            "dropped_from_training": copies.audit.dropped_from_training + int(across.leaving.sum()) + parted,
            "overlaps": (*copies.audit.overlaps, *across.overlaps),
            "near_clusters": together(held.clusters, held.examples.parts, dealt_out(held.examples)),
        }
    )
    notes = (*copies.notes, *_notes(audit, across, parted), *assignment.notes)
    return _looked_at(held, labels, assignment, task, audit, notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What is still in the running; one entry per example."""

    examples: Examples
    overlapping: NDArray[np.bool_]
    clusters: NDArray[np.int64]
    times: NDArray[np.float64] | None

    def take(self, rows: NDArray[np.int64]) -> _Held:
        return _Held(
            examples=self.examples.take(rows),
            overlapping=self.overlapping[rows],
            clusters=self.clusters[rows],
            times=None if self.times is None else self.times[rows],
        )


def _times(given: Examples) -> NDArray[np.float64] | None:
    if given.times is None or given.columns is None or given.columns.time is None:
        return None
    return read_times(given.times, given.where, given.columns.time)


def _numbers(examples: Examples, task: Task) -> NDArray[np.int64]:
    class_of = {label: number for number, label in enumerate(task.labels)}
    return np.array([class_of[label] for label in examples.labels], dtype=np.int64)


def _parted_by_time(held: _Held, assignment: Assignment) -> NDArray[np.bool_]:
    """Near-duplicates that a cut in time has torn from a later one: time cannot bend, so the earlier leave."""
    sides = np.full(len(held.examples), "train", dtype=object)
    for split, rows in assignment.rows.items():
        sides[rows] = split
    return straddling(held.clusters, list(sides), held.examples.where, SPLITS).leaving


def _without(
    leaving: NDArray[np.bool_], held: _Held, labels: NDArray[np.int64], assignment: Assignment
) -> tuple[_Held, NDArray[np.int64], Assignment]:
    staying = np.flatnonzero(~leaving)
    place = np.cumsum(~leaving) - 1
    rows = {split: place[old[~leaving[old]]] for split, old in assignment.rows.items()}
    return held.take(staying), labels[staying], replace(assignment, rows=rows)


def _looked_at(
    held: _Held,
    labels: NDArray[np.int64],
    assignment: Assignment,
    task: Task,
    audit: Audit,
    notes: tuple[str, ...],
) -> SplitUp:
    """With what the split examples show: images alike, times out of order, giveaways."""
    examples, rows = held.examples, assignment.rows
    found: dict[str, object] = {"giveaways": find_giveaways(examples, labels, rows["train"], task)}
    pairs = np.empty((0, 2), dtype=np.int64)
    if examples.hashes is not None:
        found["suspects"], pairs = suspects(examples.hashes, rows, examples.where)
    if held.times is not None and examples.times is not None:
        cells = examples.times
        found["later_than_test"], found["later_sample"] = later_than_test(
            held.times, rows, lambda row: f"{examples.where[row]} ({cells[row].strip()})"
        )
    return SplitUp(
        kept=examples,
        labels=labels,
        assignment=assignment,
        overlapping=held.overlapping,
        suspect_pairs=pairs,
        audit=audit.model_copy(update=found),
        notes=notes,
    )


def _notes(audit: Audit, across: Straddling, parted: int) -> tuple[str, ...]:
    notes = [
        f"near-duplicates of texts of {overlap.later}, dropped from {overlap.earlier}: {overlap.examples} texts of "
        f"{overlap.later} had some ({overlap.share:.1%})"
        for overlap in across.overlaps
    ]
    if parted:
        notes.append(f"near-duplicates of later texts, dropped because a split by time parts them: {parted}")
    if audit.near_clusters:
        notes.append(f"clusters of near-duplicates, each kept in one split: {audit.near_clusters}")
    return tuple(notes)
