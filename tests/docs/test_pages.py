"""The pages that a newcomer reads show what is true: what stands in them runs as it is printed."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from builders import make_study
from factories import write_messages
from frostline.cli.app import main
from frostline.core.records import EXIT_CODES
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder, keep_record
from frostline.report.text import print_study
from tiny_bert import save_tiny_bert

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r'^```(console|python|text)(?: title="([^"]+)")?\n(.*?)^```', flags=re.MULTILINE | re.DOTALL)
PAGES = ["index.md", "tutorial.md", *sorted(f"recipes/{path.name}" for path in (DOCS / "recipes").glob("*.md"))]
WITH_SNIPPETS = [page for page in PAGES if FENCE.search((DOCS / page).read_text(encoding="utf-8"))]
A_VERDICT = (0, 1, 4)
COMPARED = {"comparison.md", "choosing-what-to-freeze.md"}


def slow_where_it_trains(page: str) -> object:
    """A page that trains takes longer than a unit test may."""
    trains = re.search(r"^\$ frostline search|Study\(", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return pytest.param(page, marks=pytest.mark.slow) if trains else page


@pytest.fixture
def as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages assume: `minilm` (a tiny one), messages, old messages, and a finished study."""
    save_tiny_bert(tmp_path / "minilm")
    write_messages(tmp_path / "messages.csv", rows=160)
    write_messages(tmp_path / "old.csv", rows=120, seed=1)
    folder = StudyFolder(tmp_path / "studies" / "spam")
    with folder.opened(Settings(model="minilm", data="messages.csv"), resume=False) as ledger:
        keep_record(ledger, make_study())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    return tmp_path


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell would run it; a verdict ends with its exit code, anything else with 0."""
    monkeypatch.setattr(sys, "argv", shlex.split(os.path.expandvars(command)))
    with pytest.raises(SystemExit) as exit:
        main()
    gives_a_verdict = sys.argv[1] in ("search", "check", "judge") and "--dry-run" not in sys.argv
    assert (exit.value.code or 0) in (A_VERDICT if gives_a_verdict else (0,)), command


def test_the_pages_have_something_to_run() -> None:
    """The patterns above still find the snippets: all but the index of the recipes have some."""
    assert set(PAGES) - set(WITH_SNIPPETS) == {"recipes/index.md"}


@pytest.mark.parametrize("page", [slow_where_it_trains(page) for page in WITH_SNIPPETS])
def test_snippets_run_in_their_order(
    page: str, as_described: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands and Python of a page, each with the names and files of those before it; what has a title is a file.

    A text that begins with a verdict is what the command before it prints first.
    """
    names: dict[str, object] = {}
    for language, title, content in FENCE.findall((DOCS / page).read_text(encoding="utf-8")):
        if title:
            (as_described / title).write_text(content, encoding="utf-8")
        elif language == "python":
            exec(compile(content, page, "exec"), names)
        elif language == "text":
            printed = capsys.readouterr().out
            if content.startswith(tuple(EXIT_CODES)):
                assert " ".join(printed.split()).startswith(" ".join(content.split()))
        else:
            for command in re.findall(r"^\$ (frostline .+)$", content, flags=re.MULTILINE):
                run(command, monkeypatch)


def test_the_rare_class_is_told_to_move_its_threshold(
    as_described: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's own file of predictions is NOT READY, and FRL107 is what it finds, as the page says."""
    page = (DOCS / "recipes" / "rare-class.md").read_text(encoding="utf-8")
    (snippet,) = (content for language, _, content in FENCE.findall(page) if language == "python")
    exec(compile(snippet, "rare-class.md", "exec"), {})
    run(re.findall(r"^\$ (frostline check .+)$", page, flags=re.MULTILINE)[0], monkeypatch)

    printed = capsys.readouterr().out
    assert printed.startswith("NOT READY") and "FRL107" in printed


def test_the_tutorial_names_the_parts_that_a_study_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Each part of its table is a heading of what `frostline demo` prints."""
    from rich.console import Console

    from frostline.judge.verdict import judge_study

    tutorial = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    parts = re.findall(r"^\| ([A-Z][^|]+) \| ", tutorial, flags=re.MULTILINE)
    study = make_study(openings=2)
    print_study(study, judge_study(study), Console(width=100))

    headings = {line.strip() for line in capsys.readouterr().out.splitlines()}
    assert len(parts) == 6
    assert set(parts) - headings == set()


@pytest.mark.parametrize("page", sorted(COMPARED))
def test_figures_of_a_comparison_stand_in_a_note(page: str) -> None:
    """No figure with decimals that neither a note nor the measured page on freezing holds: notes are made anew."""
    text = (DOCS / page).read_text(encoding="utf-8")
    notes = [path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks" / "notes").glob("*.md")]
    notes.append((DOCS / "how-freezing-goes-wrong.md").read_text(encoding="utf-8"))

    figures = set(re.findall(r"(?<![\w.])[+-]?\d*\.\d+(?:\.\d+)?(?![\w])", text))
    assert len(figures) > 5
    assert [figure for figure in sorted(figures) if not any(figure.lstrip("+") in note for note in notes)] == []
