"""The page on data shows what is true."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from frostline.cli.app import app
from frostline.cli.audit import EXIT_CODES, SCHEMA
from frostline.data.columns import LABEL_NAMES, TEXT_NAMES, ColumnNames, choose_columns
from frostline.data.images import SUFFIXES
from frostline.data.sources import load_data
from frostline.data.tables import READERS, read_table
from frostline.models.sources import load_model
from frostline.train.inputs import make_inputs

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
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


def test_every_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of the page, where the files that it names are; the demonstration data hold nothing against them."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(
        f"{'spam' if n % 4 == 0 else 'ham'},so {n * n},{n},{'web' if n % 3 else 'phone'}\n" for n in range(120)
    )
    Path("messages.csv").write_text(f"label,text,sent,source\n{rows}", encoding="utf-8")

    for command in COMMANDS:
        name, *arguments = shlex.split(command)
        answer = CliRunner().invoke(app, arguments)
        assert (name, answer.exit_code) == ("frostline", 0), (command, answer.output, answer.exception)


def test_the_page_speaks_of_every_command_option_and_exit_code() -> None:
    """The audit and its options are shown, and what its answers are called."""
    assert sum(command.startswith("frostline audit ") for command in COMMANDS) >= 3
    assert all(f"`--{option}-column`" in PAGE for option in ("text", "label", "group", "split", "time", "slice"))
    assert all(f"| {code} | {verdict}: " in PAGE for verdict, code in EXIT_CODES.items())
    assert f"`{SCHEMA}`" in PAGE


def test_every_format_and_name_is_listed() -> None:
    """What the code reads and recognises stands on the page."""
    assert len(EXAMPLES) >= 4
    assert all(f"`{suffix}`" in PAGE for suffix in (*READERS, *SUFFIXES))
    assert ", ".join(LABEL_NAMES) in PAGE
    assert ", ".join(TEXT_NAMES) in PAGE
