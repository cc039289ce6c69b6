"""The README says what is true: its snippets run as they are printed."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from factories import write_messages
from tiny_bert import save_tiny_bert

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = re.findall(r"^\$ (frostline .*)$", README, flags=re.MULTILINE)


@pytest.fixture(autouse=True)
def as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with what the README assumes: `minilm` (here a tiny one) and `messages.csv`."""
    monkeypatch.chdir(tmp_path)
    save_tiny_bert(tmp_path / "minilm")
    write_messages(tmp_path / "messages.csv", rows=160)


def test_there_is_something_to_run() -> None:
    """The patterns above still find the snippets."""
    assert len(SNIPPETS) == 3 and len(COMMANDS) == 2


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python_snippets_run(snippet: str) -> None:
    """Each snippet runs by itself."""
    exec(compile(snippet, "README.md", "exec"), {})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_give_a_verdict(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command ends with the exit code of a verdict."""
    from frostline.cli.app import main

    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as exit:
        main()

    assert exit.value.code in (0, 1, 4)
