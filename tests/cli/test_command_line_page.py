"""The page on the command line: its commands run in a shell and print what stands below them, its tables are whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from frostline.cli.app import app
from frostline.core.records import EXIT_CODES

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
SHELL = shutil.which("bash")


def commands_of(block: str) -> list[tuple[str, str]]:
    """Each command, with what is shown below it."""
    return re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, flags=re.MULTILINE)


def section(title: str) -> str:
    """What stands below a heading, until the next one."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment with `frostline` and `python` on its path, and a home of its own."""
    program = tmp_path / "bin" / "frostline"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom frostline.cli.app import main\nmain()\n", encoding="utf-8")
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    return {**kept, "PATH": path, "HOME": str(tmp_path), "COLUMNS": "80", "FROSTLINE_STATE": str(tmp_path / "own")}


@pytest.mark.skipif(SHELL is None, reason="the page's commands are written for bash")
@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_page_shows_is_what_is_printed(block: str, shell: dict[str, str], tmp_path: Path) -> None:
    """Every command; where something stands below it, that is all that it prints, on both streams."""
    for command, shown in commands_of(block):
        # A line of its own behind it: else bash becomes the command, and completion finds no shell above it.
        done = subprocess.run(
            [str(SHELL), "-c", f"{command}\ncode=$?\nexit $code"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd=tmp_path,
            env=shell,
        )
        assert "Traceback" not in done.stdout
        assert done.returncode in (*EXIT_CODES.values(), 2)
        assert done.stdout == shown or not shown, command
        assert shown or done.returncode != 2, command


def test_the_page_has_something_to_run() -> None:
    """The patterns above still find the commands."""
    assert len(BLOCKS) >= 7
    assert sum(bool(shown) for block in BLOCKS for _, shown in commands_of(block)) >= 8


def test_every_verdict_has_its_exit_code() -> None:
    """As the records have it, beside bad input, faults and a stop."""
    rows = re.findall(r"^\| (\d+) \| ((?:[A-Z]{2,} ?)*)", section("Exit codes"), flags=re.MULTILINE)
    assert {name.strip(): int(code) for code, name in rows if name} == EXIT_CODES
    assert {"2", "3", "130"} == {code for code, name in rows if not name}


def test_every_option_before_the_command_is_there() -> None:
    """typer's group is the oracle; help needs no row."""
    known = {option for p in typer.main.get_command(app).params for option in p.opts if option.startswith("--")}
    rows = re.findall(r"^\| (`--.+?) \|", section("Options before the command"), flags=re.MULTILINE)
    assert set(re.findall(r"--[a-z-]+", " ".join(rows))) == known - {"--help"}
