"""The page of founding cases: its commands print what it says they print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from builders import make_slices, make_study, spam_counts
from frostline.cli.app import app
from frostline.judge.verdict import judge_study

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


def test_filter_that_misses_new_kinds_of_spam_is_not_ready_and_the_part_is_named() -> None:
    """Precision holds on the whole; in a part that training never met recall drops; the advice names that part.

    Where full fine-tuning finds that spam, the frozen blocks stand in the way and are named; where it does not,
    examples are missing, and freezing is acquitted.
    """
    missed, found = spam_counts(30, 70, 3, 237), spam_counts(93, 7, 4, 236)
    answers = {}
    for name, full in (("full finds them", found), ("full misses them as well", missed)):
        slices = make_slices(parts={"chat": missed}, full={"chat": full}, unseen=("chat",))
        verdict = judge_study(make_study(slices=slices))
        answers[name] = next(finding for finding in verdict.findings if finding.code == "FRL207")
        assert verdict.verdict == "NOT READY"
        assert all(floor.met == "yes" for floor in verdict.floors), "the whole looks well"

    said = answers["full finds them"].sentence
    assert "'chat'" in said and "none of them met in training" in said
    assert answers["full finds them"].next.startswith("Unfreeze")
    assert answers["full misses them as well"].next.startswith("Label examples like those of 'chat'")
    assert "freezing is not what stands in the way" in answers["full misses them as well"].next
