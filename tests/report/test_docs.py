"""The page on outputs shows what is true."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from builders import make_study
from frostline.cli.app import app
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder, keep_record
from frostline.report import junit

PAGE = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", PAGE, flags=re.MULTILINE)
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the finished study that the page speaks of."""
    folder = StudyFolder(tmp_path / "studies" / "spam")
    with folder.opened(Settings(model="minilm", data="messages.csv"), resume=False) as ledger:
        keep_record(ledger, make_study())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    return tmp_path


def run(command: str) -> None:
    """As a shell would: variables, a file for the output, and the exit code that the line allows."""
    call, _, rest = command.partition(" > ")
    result = CliRunner().invoke(app, shlex.split(os.path.expandvars(call))[1:])
    allowed = re.search(r"\|\| test \$\? -eq (\d+)$", rest)
    assert result.exit_code == (int(allowed[1]) if allowed else 0), f"{command}\n{result.output}"
    if rest:
        Path(shlex.split(rest)[0]).write_text(result.stdout, encoding="utf-8")


def test_commands_and_snippets_run_in_their_order(as_described: Path) -> None:
    """As they are printed, on a study that is READY; each leaves what the page says of it."""
    assert len(COMMANDS) == 6 and len(SNIPPETS) == 2
    for command in COMMANDS:
        assert command.startswith("frostline ")
        run(command)
    for snippet in SNIPPETS:
        exec(compile(snippet, "outputs.md", "exec"), {})

    written = {path.name for path in (as_described / "studies" / "spam").iterdir()}
    assert {"report.html", "report.json", "card.md", "junit.xml"} <= written
    assert (as_described / "summary.md").read_text(encoding="utf-8").startswith("## READY: spam\n")
    assert {"verdict.json", "report.schema.json", "verdict.schema.json"} <= {p.name for p in as_described.iterdir()}
    assert not [name for name in written if name.startswith(".") and name != ".lock"]


def test_the_page_names_every_file_and_every_type() -> None:
    """What is written and how a test case can fail stand on the page."""
    assert all(f"`{name}`" in PAGE for name in ("report.html", "report.json", "card.md", "junit.xml"))
    assert all(f"`{type}`" in PAGE for type in (*junit._FAILURES.values(), "ISSUE", "INVALID"))
