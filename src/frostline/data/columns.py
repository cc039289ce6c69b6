"""Which column holds what: named by the user, or told from names and contents and said aloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from frostline.core.errors import DataError
from frostline.data.tables import Table

GivenName = Literal["train", "validation", "test"]

SHOWN = 8
"""How many feature columns a note lists."""

LABEL_NAMES = ("label", "labels", "class", "target", "category", "y", "intent", "sentiment")
TEXT_NAMES = (
    *("text", "sentence", "message", "content", "question", "review"),
    *("comment", "body", "document", "utterance", "sms", "tweet"),
)
GIVEN_NAMES: Mapping[str, GivenName] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}
"""What files, folders and cells may call the splits that a user gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNames:
    """What the user named; None where nothing was."""

    text: str | None = None
    label: str | None = None
    group: str | None = None
    split: str | None = None
    time: str | None = None
    slice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What is read."""

    text: str | None
    """None when the inputs are numbers."""
    features: tuple[str, ...] = ()
    """Columns of numbers, in the order of the table; empty when the inputs are texts."""
    label: str
    group: str | None = None
    split: str | None = None
    time: str | None = None
    slice: str | None = None
    notes: tuple[str, ...] = ()
    """How each column came to be chosen."""


def choose_columns(table: Table, named: ColumnNames, *, whole: bool) -> Columns:
    """Settle which columns of a table are read.

    A column that the user named is taken. Otherwise a known name decides, then whether only one
    column is left, then (for the text alone) which column holds the longest values. When all columns
    beside a label that is named or known hold numbers, there is no text: they are the features.

    Args:
        table: The table, or the training table of several.
        named: What the user named.
        whole: True when the table holds all data, so that a column may tell the splits.

    Raises:
        DataError: A named column does not exist, two roles fall on one column, or a column cannot be told.

    >>> table = Table(name="m.csv", columns=("id", "label", "sms"), rows=[["1", "ham", "hello"]], numbers=[2])
    >>> choose_columns(table, ColumnNames(), whole=True).notes
    ("text column: 'sms' (guessed from its name)", "label column: 'label' (guessed from its name)")
    """
    taken = (named.text, named.label, named.group, named.split, named.time, named.slice)
    for name in taken:
        if name is not None:
            table.position(name)
    split = named.split or (_guess_split(table, taken) if whole else None)
    free = [column for column in table.columns if column and column not in (*taken, split)]
    label, why_label = named.label, "as asked"
    if label is None and (label := _known(free, LABEL_NAMES)):
        why_label = "guessed from its name"
        free.remove(label)
    features = () if named.text or label is None or _known(free, TEXT_NAMES) else _all_numbers(table, free)
    text, why_text = (named.text, "as asked") if named.text or features else _guess_text(table, free)
    if label is None:
        label, why_label = _guess_label(table, [column for column in free if column != text])
    read = {"--text-column": text, "--label-column": label, "--split-column": split}
    _require_distinct(table, {**read, "--group-column": named.group, "--time-column": named.time})
    # Examples may be shown by the group or the time that also keeps them together or apart.
    _require_distinct(table, {**read, "--slice-column": named.slice})
    inputs = _told_features(features) if features else f"text column: {text!r} ({why_text})"
    notes = [inputs, f"label column: {label!r} ({why_label})"]
    if named.group is not None:
        notes.append(f"group column: {named.group!r} (as asked); no group straddles two splits")
    if split is not None:
        notes.append(f"split column: {split!r} ({'as asked' if named.split else 'guessed from its name and values'})")
    if named.time is not None:
        notes.append(f"time column: {named.time!r} (as asked); splits that are carved follow it")
    if named.slice is not None:
        notes.append(f"slice column: {named.slice!r} (as asked); results are shown for each of its values")
    return Columns(
        text=text,
        features=features,
        label=label,
        group=named.group,
        split=split,
        time=named.time,
        slice=named.slice,
        notes=tuple(notes),
    )


def given_name(table: Table, row: int, value: str) -> GivenName:
    """The split that a cell of the split column names.

    Raises:
        DataError: It names none.
    """
    name = GIVEN_NAMES.get(value.strip().lower())
    if name is None:
        raise DataError(f"{table.where(row)} names the split {value!r}. Use one of {', '.join(GIVEN_NAMES)}.")
    return name


def _known(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The column whose name stands first in `names`."""
    lowered = {column.lower(): column for column in reversed(columns)}
    return next((lowered[name] for name in names if name in lowered), None)


def _guess_split(table: Table, taken: Sequence[str | None]) -> str | None:
    column = _known([column for column in table.columns if column not in taken], ["split"])
    if column is None:
        return None
    return column if all(value.strip().lower() in GIVEN_NAMES for value in table.column(column)) else None


def _all_numbers(table: Table, free: Sequence[str]) -> tuple[str, ...]:
    return () if any(_is_wordy(table.column(column)) for column in free) else tuple(free)


def _told_features(features: Sequence[str]) -> str:
    more = f" and {len(features) - SHOWN} more" if len(features) > SHOWN else ""
    are = "number column is the feature" if len(features) == 1 else "number columns are the features"
    return f"{len(features)} {are}: {', '.join(map(repr, features[:SHOWN]))}{more}"


def _guess_text(table: Table, free: Sequence[str]) -> tuple[str, str]:
    if (known := _known(free, TEXT_NAMES)) is not None:
        return known, "guessed from its name"
    cells = {column: table.column(column) for column in free}
    wordy = {column: values for column, values in cells.items() if _is_wordy(values)}
    if not wordy:
        raise DataError(
            f"{_untold(table, 'text', '--text-column')} "
            "When numbers are what is to be learnt from, name the label with --label-column."
        )
    if len(wordy) == 1:
        return next(iter(wordy)), "guessed: the only column left that is not numbers"
    mean_length = {column: sum(map(len, values)) / len(values) for column, values in wordy.items()}
    longest, second = sorted(mean_length, key=lambda column: -mean_length[column])[:2]
    if mean_length[longest] == mean_length[second]:
        raise DataError(_untold(table, "text", "--text-column"))
    return longest, f"guessed: the longest values, {mean_length[longest]:.0f} characters on average"


def _guess_label(table: Table, free: Sequence[str]) -> tuple[str, str]:
    if len(free) != 1:
        raise DataError(_untold(table, "label", "--label-column"))
    return free[0], "guessed: the only other column"


def _untold(table: Table, role: str, option: str) -> str:
    told = f"Which column of {table.name} holds the {role} cannot be told from its columns "
    told += f"({', '.join(map(repr, table.columns))}). "
    if 2 * sum(bool(column) and _is_number(column) for column in table.columns) > len(table.columns):
        return f"{told}Most are numbers: if the file has no header, write one as its first row. Name it with {option}."
    return f"{told}Name it with {option}."


def _require_distinct(table: Table, roles: Mapping[str, str | None]) -> None:
    owner: dict[str, str] = {}
    for option, column in roles.items():
        if column is not None and owner.setdefault(column, option) != option:
            raise DataError(
                f"{table.name}: {owner[column]} and {option} both mean column {column!r}. Name two columns."
            )


def _is_wordy(values: Sequence[str]) -> bool:
    """Whether a column is no column of numbers. A few cells such as "?" among numbers are faults, not texts."""
    filled = [value for value in values if value]
    words = sum(not _is_number(value) for value in filled)
    return words > 0 and 2 * words >= len(filled)


def _is_number(value: str) -> bool:
    try:
        float(value or "nan")
    except ValueError:
        return False
    return True
