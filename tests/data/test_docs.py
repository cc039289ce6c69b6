"""The page on data shows what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frostline.data.columns import LABEL_NAMES, TEXT_NAMES, ColumnNames, choose_columns
from frostline.data.images import SUFFIXES
from frostline.data.tables import READERS, read_table

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(csv|tsv|jsonl)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("suffix", "content"), EXAMPLES)
def test_every_example_can_be_read(tmp_path: Path, suffix: str, content: str) -> None:
    """The tables of the page are read, and their columns are told without help."""
    path = tmp_path / f"example.{suffix}"
    path.write_text(content, encoding="utf-8")

    columns = choose_columns(read_table(path), ColumnNames(), whole=True)

    assert (columns.text, columns.label) == ("text", "label")


def test_every_format_and_name_is_listed() -> None:
    """What the code reads and recognises stands on the page."""
    assert len(EXAMPLES) >= 4
    assert all(f"`{suffix}`" in PAGE for suffix in (*READERS, *SUFFIXES))
    assert ", ".join(LABEL_NAMES) in PAGE
    assert ", ".join(TEXT_NAMES) in PAGE
