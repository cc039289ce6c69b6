"""Which column is which: named, told from the names, told from the contents, or refused."""

from __future__ import annotations

import pytest

from frostline.core.errors import DataError
from frostline.data.columns import ColumnNames, choose_columns
from frostline.data.tables import Table


def table(**columns: list[str]) -> Table:
    rows = list(zip(*columns.values(), strict=True))
    return Table(name="a.csv", columns=tuple(columns), rows=rows, numbers=range(2, 2 + len(rows)))


def chosen(found: Table, **named: str) -> tuple[str | None, str]:
    columns = choose_columns(found, ColumnNames(**named), whole=True)
    return columns.text, columns.label


LONG, SHORT, NUMBERS = ["a whole sentence", "and one more"], ["x", "z"], ["1", "2.5"]


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        ({"label": SHORT, "text": LONG}, "text", "label"),
        ({"Category": SHORT, "Message": LONG}, "Message", "Category"),
        ({"y": SHORT, "label": SHORT, "message": LONG, "text": LONG}, "text", "label"),
        ({"label": SHORT, "v2": LONG}, "v2", "label"),
        ({"text": LONG, "v1": SHORT}, "text", "v1"),
        ({"label": SHORT, "a": SHORT, "b": LONG}, "b", "label"),
        ({"label": SHORT, "id": NUMBERS, "b": SHORT}, "b", "label"),
        ({"": NUMBERS, "label": SHORT, "b": LONG}, "b", "label"),
    ],
)
def test_columns_are_told_from_names_then_contents(columns: dict[str, list[str]], text: str, label: str) -> None:
    """A known name wins; then what is left alone; then the longest values. Each guess is said aloud."""
    found = table(**columns)

    assert chosen(found) == (text, label)
    notes = choose_columns(found, ColumnNames(), whole=True).notes
    assert all("guessed" in note for note in notes)


def test_named_columns_are_taken_even_against_the_names() -> None:
    """The user knows better, and a named column is not said to be guessed."""
    found = table(label=SHORT, text=LONG, really=LONG)

    assert chosen(found, text="label", label="text") == ("label", "text")
    notes = choose_columns(found, ColumnNames(text="really", label="label"), whole=True).notes
    assert notes == ("text column: 'really' (as asked)", "label column: 'label' (as asked)")


@pytest.mark.parametrize(
    ("columns", "named", "said"),
    [
        ({"a": NUMBERS, "b": NUMBERS}, {}, "holds the text .* Name it with --text-column.* with --label-column"),
        ({"label": NUMBERS}, {}, "holds the text .* Name it with --text-column"),
        ({"a": NUMBERS, "b": NUMBERS}, {"text": "a", "label": "a"}, "--text-column and --label-column both"),
        ({"label": SHORT, "a": LONG, "b": LONG}, {}, "holds the text .*'label', 'a', 'b'"),
        ({"text": LONG, "a": SHORT, "b": SHORT}, {}, "holds the label .* Name it with --label-column"),
        (
            {"0.23": NUMBERS, "5.1": NUMBERS, "'-1'": NUMBERS},
            {},
            "if the file has no header, write one .* --text-column",
        ),
        ({"": NUMBERS, "0.23": NUMBERS, "b": NUMBERS, "c": NUMBERS}, {}, r"'b', 'c'\)\. Name it with --text-column"),
        ({"0.23": NUMBERS, "b": NUMBERS}, {}, r"\('0.23', 'b'\)\. Name it with --text-column"),
        ({"text": LONG, "label": SHORT}, {"text": "txet"}, "Did you mean 'text'"),
        ({"text": LONG, "label": SHORT}, {"group": "sender"}, "no column 'sender'"),
        ({"text": LONG, "label": SHORT}, {"text": "label", "label": "label"}, "--text-column and --label-column both"),
        ({"text": LONG, "label": SHORT}, {"group": "text", "text": "text"}, "--text-column and --group-column both"),
    ],
)
def test_what_cannot_be_told_is_refused(columns: dict[str, list[str]], named: dict[str, str], said: str) -> None:
    """Never a guess without ground: the columns are listed and the option is named."""
    with pytest.raises(DataError, match=said):
        chosen(table(**columns), **named)


@pytest.mark.parametrize(
    ("columns", "named", "features"),
    [
        ({"label": SHORT, "a": NUMBERS}, {}, ("a",)),
        ({"b": NUMBERS, "Class": NUMBERS, "a": NUMBERS}, {}, ("b", "a")),
        ({"b": NUMBERS, "kind": SHORT, "a": NUMBERS}, {"label": "kind"}, ("b", "a")),
        ({"": NUMBERS, "label": SHORT, "a": NUMBERS}, {}, ("a",)),
        ({"label": SHORT, "a": ["1", ""]}, {}, ("a",)),
        ({"label": SHORT * 2, "a": ["1", "2", "3", "?"]}, {}, ("a",)),
        ({"label": SHORT, "who": SHORT, "a": NUMBERS}, {"group": "who"}, ("a",)),
        ({"label": SHORT, "a": NUMBERS, "split": ["train", "test"]}, {}, ("a",)),
    ],
)
def test_number_columns_are_features_when_nothing_is_text(
    columns: dict[str, list[str]], named: dict[str, str], features: tuple[str, ...]
) -> None:
    """All of them, in the order of the table, but label, group, split and unnamed columns; and it is said."""
    found = choose_columns(table(**columns), ColumnNames(**named), whole=True)

    assert (found.text, found.features) == (None, features)
    assert found.notes[0].endswith(f"the feature{'s'[: len(features) > 1]}: {', '.join(map(repr, features))}")


@pytest.mark.parametrize(
    ("columns", "named", "text"),
    [
        ({"label": SHORT, "text": NUMBERS, "a": NUMBERS}, {}, "text"),
        ({"label": SHORT, "a": NUMBERS}, {"text": "a"}, "a"),
        ({"label": SHORT, "a": NUMBERS, "b": SHORT}, {}, "b"),
        ({"label": SHORT, "a": NUMBERS, "b": ["1", "tcp"]}, {}, "b"),
    ],
)
def test_a_text_column_keeps_a_table_text(columns: dict[str, list[str]], named: dict[str, str], text: str) -> None:
    """Named, known by its name, or told from its contents: numbers beside it are then not read."""
    found = choose_columns(table(**columns), ColumnNames(**named), whole=True)

    assert (found.text, found.features) == (text, ())


def test_a_wide_table_is_said_in_one_line() -> None:
    """Of many columns the first few are listed."""
    found = table(label=SHORT, **{f"c{number}": NUMBERS for number in range(30)})

    note = choose_columns(found, ColumnNames(), whole=True).notes[0]
    assert note.startswith("30 number columns are the features: 'c0', 'c1'")
    assert note.endswith("'c7' and 22 more")


def test_split_column_is_taken_only_when_every_value_is_a_split() -> None:
    """A column that merely happens to be called split stays an ordinary column."""
    columns = {"label": SHORT, "text": LONG}

    assert choose_columns(table(**columns, split=["train", "Dev"]), ColumnNames(), whole=True).split == "split"
    assert choose_columns(table(**columns, split=["train", "left"]), ColumnNames(), whole=True).split is None
    assert choose_columns(table(**columns, split=["train", "test"]), ColumnNames(), whole=False).split is None
