"""The reference pages hold everything that the code offers."""

from __future__ import annotations

import re

import pytest
import typer
from site_reference import api_page, cli_page
from typer.testing import CliRunner

import frostline
from frostline.cli.app import app

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def section(page: str, title: str) -> str:
    """What stands under a heading of the second level."""
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, flags=re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_every_option_of_its_help(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--help` prints is the oracle: the same options stand in the section, no more and no fewer."""
    monkeypatch.setenv("COLUMNS", "200")
    printed = CliRunner().invoke(app, [command, "--help"]).output

    rows = re.findall(r"^\| `(--[a-z-]+)", section(cli_page(), f"frostline {command}"), flags=re.MULTILINE)

    assert {*rows, "--help"} == set(re.findall(r"^│ (?:\* *)?(--[a-z-]+)", printed, flags=re.MULTILINE))


def test_the_exit_codes_are_there() -> None:
    """All six, in one line."""
    (line,) = [line for line in cli_page().splitlines() if line.startswith("Exit codes")]
    assert re.findall(r"\d", line) == list("012345")


@pytest.mark.parametrize("name", frostline.__all__)
def test_a_public_name_has_its_signature_and_its_docstring(name: str) -> None:
    """A call as it is written, and the first line of what the docstring says."""
    found = section(api_page(), f"fl.{name}")
    first_line = (getattr(frostline, name).__doc__ or "").strip().splitlines()[0]

    assert f"```python\nfl.{name}(" in found
    assert first_line and first_line in found


def test_a_signature_reads_as_it_is_written() -> None:
    """The bare star and defaults stay; `self` and `cls` go."""
    page = api_page()
    assert "fl.keep_trainable_float32(model: nn.Module)" in section(page, "fl.keep_trainable_float32")
    assert "    *,\n    positive: Hashable | None = None,\n" in section(page, "fl.check")
    assert "upto(blocks: Sequence[Block], name: str) -> FreezePlan" in section(page, "fl.FreezePlan")
    assert not re.search(r"^\w+\((self|cls)\b", page, flags=re.MULTILINE)


def test_sections_of_a_docstring_become_lists_and_examples_code() -> None:
    """Nothing of an argument's second line is taken for code, and every prompt stands in a fence."""
    outside = re.sub(r"^```.*?^```", "", api_page(), flags=re.MULTILINE | re.DOTALL)
    assert ">>>" not in outside
    assert not re.findall(
        r"^ {4,}\S", re.sub(r"^Source.*\n(?: +.*\n)*", "", outside, flags=re.MULTILINE), flags=re.MULTILINE
    )
    assert "- `optimizer`: Asked whether" in section(api_page(), "fl.prove_frozen")


def test_members_that_ask_for_what_users_do_not_hold_are_left_out() -> None:
    """Of `Replay`, what a loop of one's own calls stays and what only its own room can call goes, as does no other."""
    page = api_page()
    members = {name: re.findall(rf"^### {name}\.(.+)$", page, flags=re.MULTILINE) for name in frostline.__all__}

    assert members["Replay"] == ["sentence", r"\_\_call\_\_", "refuse"]
    assert members["FreezePlan"] == ["upto", "matching", "freeze_depth", "sentence"], "blocks are another room's"
    assert members["Study"] == ["of", "run", "forecast"], "settings are another room's"
    assert not re.search(r"^\w+\(.*\bbatch: Batch\b", page, flags=re.MULTILINE)
