"""The page on data shows what is true."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from frostline.data.columns import LABEL_NAMES, TEXT_NAMES, ColumnNames, choose_columns
from frostline.data.images import SUFFIXES
from frostline.data.sources import load_data
from frostline.data.tables import READERS, read_table
from frostline.models.sources import load_model
from frostline.train.inputs import make_inputs

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(csv|tsv|jsonl)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("suffix", "content"), EXAMPLES)
def test_every_example_can_be_read(tmp_path: Path, suffix: str, content: str) -> None:
    """The tables of the page are read, and their columns are told without help."""
    path = tmp_path / f"example.{suffix}"
    path.write_text(content, encoding="utf-8")

    columns = choose_columns(read_table(path), ColumnNames(), whole=True)

    numbers = ("duration_s", "bytes_sent", "failed_logins")
    assert (columns.text, columns.features) in {("text", ()), (None, numbers)}
    assert columns.label == "label"


def test_the_network_of_the_page_takes_the_numbers_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The factory runs on the table above it: one number per feature column in, one logit per class out."""
    (table,) = (content for _, content in EXAMPLES if "failed_logins" in content)
    (factory,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    header, *rows = table.splitlines()
    (tmp_path / "numbers.csv").write_text("\n".join([header, *(f"{row}{n}" for n in range(9) for row in rows)]))
    (tmp_path / "net_of_the_page.py").write_text(factory)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    data = load_data(Path("numbers.csv"), positive="attack")
    model = load_model("net_of_the_page:net", kind=data.kind, classes=2, features=data.summary.features)

    inputs, _ = make_inputs(data, model)
    assert model.logits(inputs.batch(data.rows["test"])).shape == (len(data.rows["test"]), 2)
    assert data.summary.notes[0] == ("3 number columns are the features: 'duration_s', 'bytes_sent', 'failed_logins'")


def test_every_format_and_name_is_listed() -> None:
    """What the code reads and recognises stands on the page."""
    assert len(EXAMPLES) >= 4
    assert all(f"`{suffix}`" in PAGE for suffix in (*READERS, *SUFFIXES))
    assert ", ".join(LABEL_NAMES) in PAGE
    assert ", ".join(TEXT_NAMES) in PAGE
