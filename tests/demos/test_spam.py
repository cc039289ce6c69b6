"""The embedded messages, as a table."""

from __future__ import annotations

from pathlib import Path

from frostline.data.sources import load_data
from frostline.data.tables import read_table
from frostline.demos import spam


def test_export_holds_every_message_as_it_was(tmp_path: Path) -> None:
    """All 5,574 rows come back through our own reader, quotes and commas included."""
    table = read_table(spam.export(tmp_path / "new"))
    original = spam.ORIGINAL.read_text(encoding="utf-8").removesuffix("\n").split("\n")

    assert table.columns == ("label", "text")
    assert list(zip(table.column("label"), table.column("text"), strict=True)) == [
        tuple(line.split("\t", 1)) for line in original
    ]
    assert (len(table), table.column("label").count("spam")) == (5574, 747)


def test_messages_load_without_copies(tmp_path: Path) -> None:
    """The main demonstration's data: copies dropped, spam positive, no label in conflict."""
    data = load_data(spam.export(tmp_path))

    assert data.task.positive == "spam"
    assert len(data) == 5160
    assert (data.summary.audit.dropped_copies, data.summary.audit.conflicting) == (414, 0)
    assert len(data.rows["test"]) == 1032
