"""Sets of labels as they are given, read into a table of decisions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import DataError
from frostline.measure.multilabel import Assigned

SETS = (set, frozenset, list, tuple)


def assigned_of(true: Sequence[object], predicted: Sequence[object]) -> Assigned:
    """Which labels each example carries and which were answered.

    Args:
        true: A set, list or tuple of labels for each example, which may be empty.
        predicted: The same of the answers, in the same order and number.

    Raises:
        DataError: An entry is something else, there are no examples, or no example has or got a label.

    >>> assigned_of([{"a"}, []], [["a", "b"], []]).labels
    ('a', 'b')
    """
    read = [_labels_of(name, entries) for name, entries in (("y_true", true), ("y_pred", predicted))]
    labels = tuple(sorted(set[str]().union(*read[0], *read[1])))
    if not labels:
        raise DataError("No example has a label, and none was predicted. Give at least one example with a label.")
    return Assigned(labels, *(_table(sets, labels) for sets in read))


def _labels_of(name: str, entries: Sequence[object]) -> list[frozenset[str]]:
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, SETS):
            raise DataError(
                f"Entry {number} of {name} is {entry!r}, and others are sets of labels. Give a set, list or tuple for "
                "each example; an empty one where there is no label."
            )
    return [frozenset(map(str, entry)) for entry in entries if isinstance(entry, SETS)]


def _table(sets: Sequence[frozenset[str]], labels: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([[label in carried for label in labels] for carried in sets], dtype=np.bool_)
