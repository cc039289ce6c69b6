"""The page of founding cases: its commands print what it says they print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from frostline.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "founding-cases.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"```console\n\$ frostline (.+)\n((?:(?!```).*\n)+)```", PAGE)


def test_page_has_its_four_commands() -> None:
    """A pattern that finds no command would prove nothing."""
    assert len(SESSIONS) == 4


@pytest.mark.parametrize(("command", "shown"), SESSIONS, ids=[command for command, _ in SESSIONS])
def test_command_prints_what_the_page_shows(command: str, shown: str) -> None:
    """Every stretch between two ellipses occurs in the output, in this order; line breaks do not count."""
    result = CliRunner().invoke(app, shlex.split(command))
    printed, _, code = shown.partition("$ echo $?\n")
    position, output = 0, " ".join(result.stdout.split())
    for stretch in printed.split("...\n"):
        words = " ".join(stretch.split())
        found = output.find(words, position)
        assert found >= 0, f"{words!r} not in {output[position:]!r}"
        position = found + len(words)

    assert code == "" or int(code) == result.exit_code
