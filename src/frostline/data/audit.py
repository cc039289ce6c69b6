"""Copies: inputs that occur more than once, inside a split or on both sides of one.

A copy counts once everywhere, in the test split too: repeated examples are not independent, so they
would narrow every interval without telling anything new. A copy that straddles two given splits
stays in the later one and leaves the earlier, so nothing is judged on what it was trained on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import InvalidEvidence
from frostline.core.records import Audit, Overlap
from frostline.data.examples import PARTS, Examples, Part

SAMPLE = 5
"""How many places an overlap names."""

FirstSeen = Mapping[Part, Mapping[bytes, int]]
"""For each part, where each content stands first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What to keep, and what was found."""

    kept: NDArray[np.int64]
    """Positions that stay, sorted."""
    overlapping: NDArray[np.bool_]
    """Per example of the input: its content stands in an earlier given split."""
    audit: Audit
    notes: tuple[str, ...]


def find_copies(examples: Examples) -> Copies:
    """Find exact copies by decoded content.

    Raises:
        InvalidEvidence: Two given splits hold the very same inputs.

    >>> twice = Examples(
    ...     inputs=["hi", "hi ", "win"], labels=["ham", "spam", "spam"], parts=["whole"] * 3, kind="text",
    ...     where=["a.csv row 2", "a.csv row 3", "a.csv row 4"], digests=[b"1", b"1", b"2"], groups=None,
    ...     sources={"whole": "a.csv"},
    ... )
    >>> find_copies(twice).kept.tolist()
    [0, 2]
    """
    first = _first_seen(examples)
    _refuse_equal_parts(examples, first)
    leaving: set[int] = set()
    overlapping = np.zeros(len(examples), dtype=bool)
    overlaps = []
    for earlier, later in combinations(first, 2):
        shared = [content for content in first[later] if content in first[earlier]]
        leaving.update(first[earlier][content] for content in shared)
        overlapping[[first[later][content] for content in shared]] = True
        if shared:
            overlaps.append(_overlap(examples, first, earlier, later, shared))
    conflicts = _conflicts(examples)
    firsts = {row for rows in first.values() for row in rows.values()}
    audit = Audit(
        dropped_copies=len(examples) - len(firsts),
        conflicting=len(conflicts),
        conflicting_sample=tuple(
            f"{examples.where[one]} = {examples.where[other]}" for one, other in conflicts[:SAMPLE]
        ),
        dropped_from_training=len(leaving),
        overlaps=tuple(overlaps),
    )
    kept = np.array(sorted(firsts - leaving), dtype=np.int64)
    return Copies(kept=kept, overlapping=overlapping, audit=audit, notes=_notes(audit))


def _first_seen(examples: Examples) -> FirstSeen:
    first: dict[Part, dict[bytes, int]] = {part: {} for part in PARTS if part in examples.sources}
    for row, (part, content) in enumerate(zip(examples.parts, examples.digests, strict=True)):
        first[part].setdefault(content, row)
    return first


def _refuse_equal_parts(examples: Examples, first: FirstSeen) -> None:
    for earlier, later in combinations(first, 2):
        if first[earlier].keys() == first[later].keys():
            raise InvalidEvidence(
                f"{examples.sources[earlier]} and {examples.sources[later]} hold the very same inputs, so one cannot "
                f"judge what the other was used for. Give other data as {earlier} or leave it out."
            )


def _overlap(examples: Examples, first: FirstSeen, earlier: Part, later: Part, shared: list[bytes]) -> Overlap:
    pairs = [(first[later][content], first[earlier][content]) for content in shared[:SAMPLE]]
    return Overlap(
        earlier=earlier,
        later=later,
        examples=len(shared),
        share=len(shared) / len(first[later]),
        sample=tuple(f"{examples.where[there]} = {examples.where[here]}" for there, here in pairs),
    )


def _conflicts(examples: Examples) -> list[tuple[int, int]]:
    """For each content with several labels, where two of them are. Which is never told: one may be sealed."""
    rows: defaultdict[bytes, dict[str, int]] = defaultdict(dict)
    for row, (content, label) in enumerate(zip(examples.digests, examples.labels, strict=True)):
        rows[content].setdefault(label, row)
    return [(first, second) for first, second, *_ in (list(o.values()) for o in rows.values() if len(o) > 1)]


def _notes(audit: Audit) -> tuple[str, ...]:
    notes = []
    if audit.dropped_copies:
        notes.append(f"exact copies inside the data dropped, the first kept: {audit.dropped_copies}")
    if audit.conflicting:
        notes.append(f"inputs that occur with different labels, only one of them kept: {audit.conflicting}")
    notes.extend(
        f"examples of {overlap.later} that stand in {overlap.earlier} too, dropped from {overlap.earlier}: "
        f"{overlap.examples} ({overlap.share:.1%} of {overlap.later})"
        for overlap in audit.overlaps
    )
    return tuple(notes)
