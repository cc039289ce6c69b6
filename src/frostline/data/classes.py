"""What the labels are, and which of them is the positive one."""

from __future__ import annotations

from collections import Counter

from frostline.core.errors import DataError, suggestion
from frostline.core.records import Task
from frostline.data.examples import Examples

SHOWN = 20
"""How many labels a message lists."""


def settle_task(examples: Examples, positive: str | None) -> tuple[Task, str]:
    """The classes of the data, with a note on how the positive one came about.

    Of two classes the positive one is the one asked for, else the rarer. Three or more have none.

    Args:
        examples: All that was read: a class may not be overlooked because it occurs in one file only.
        positive: What the user asked for, if anything.

    Raises:
        DataError: There is one class only; the positive label does not occur or makes no sense;
            or both classes are equally frequent and none was named.
    """
    counts = Counter(examples.labels)
    names = " and ".join(examples.sources.values())
    labels = tuple(sorted(counts, key=_natural))
    if len(labels) < 2:
        hint = ", or name another column with --label-column" if examples.kind != "image" else ""
        raise DataError(
            f"{names}: the only class is {labels[0]!r}, where at least two are needed. Add another class{hint}."
        )
    if positive is not None and positive not in counts:
        raise DataError(
            f"The positive label {positive!r} does not occur in {names}. {suggestion(positive, labels[:SHOWN])} "
            "Name one of the labels with --positive."
        )
    if len(labels) > 2:
        if positive is not None:
            raise DataError(
                f"--positive {positive} was asked for, but {names} holds {len(labels)} classes, and only a task of two "
                "has a positive one. Leave --positive out: all classes are then judged alike."
            )
        return Task(labels=labels), f"classes: {len(labels)}; recall, precision and F1 are means over them"
    if positive is not None:
        return Task(labels=labels, positive=positive), f"positive class: {positive!r} (as asked)"
    rarer, other = sorted(labels, key=lambda label: counts[label])
    if counts[rarer] == counts[other]:
        raise DataError(
            f"{names}: {labels[0]!r} and {labels[1]!r} occur {counts[rarer]} times each, so neither is the rarer one "
            "that would be taken as positive. Name the positive label with --positive."
        )
    return Task(labels=labels, positive=rarer), f"positive class: {rarer!r} (the rarer one; --positive names another)"


def _natural(label: str) -> tuple[bool, int, str]:
    """Whole numbers first and by value, then text."""
    is_number = label.isascii() and label.removeprefix("-").isdigit()
    return (not is_number, int(label) if is_number else 0, label)
