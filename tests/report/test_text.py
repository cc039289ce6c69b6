"""The terminal: plain lines in a pipe, 80 columns, and labels that cannot steer it."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from builders import make_study
from frostline.core.records import StudyRecord, Verdict
from frostline.report.text import print_study, print_verdict
from report.samples import judged, renamed

Pair = tuple[StudyRecord, Verdict]


def _printed(study: StudyRecord, verdict: Verdict, *, terminal: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=80, force_terminal=terminal, color_system="standard" if terminal else "auto"
    )
    print_study(study, verdict, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _verdict_only(verdict: Verdict) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_verdict(verdict, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("which", ["clean", "faulty", "replayed", "several_classes"])
def test_a_pipe_gets_plain_lines_of_eighty_columns(which: str, request: pytest.FixtureRequest) -> None:
    """No colour, no rules, nothing beyond ASCII, and no line longer than 80."""
    text = _printed(*request.getfixturevalue(which))

    assert text.replace("\n", "").isascii() and text.replace("\n", "").isprintable()
    assert max(map(len, text.splitlines())) <= 80


def test_a_terminal_gets_colour(clean: Pair) -> None:
    """The same on a terminal is coloured: the plain form above is a choice, not an accident."""
    assert "\x1b[" in _printed(*clean, terminal=True)


def test_the_verdict_is_the_first_word(clean: Pair, faulty: Pair) -> None:
    """The first line is the verdict and nothing else."""
    assert [_printed(*pair).splitlines()[0] for pair in (clean, faulty)] == ["READY", "INVALID"]


def test_a_label_cannot_steer_the_terminal() -> None:
    """Escape sequences are made visible, and what looks like rich markup is printed as it stands."""
    text = _printed(*judged(renamed(make_study(), spam="\x1b[31m[red]", ham="[/nothing]")))

    assert "\x1b" not in text
    assert "\\x1b[31m[red]" in text and "[/nothing]" in text


def test_the_matrix_names_orientation_and_positive_class(clean: Pair) -> None:
    """Counts never stand without saying which way round they are."""
    text = _verdict_only(clean[1])

    assert "Rows are the true class, columns the answered class" in text
    assert "The positive class is spam." in text
    assert "282 (94.0 %) found" in text


def test_every_metric_stands_with_its_interval(clean: Pair) -> None:
    """A line that gives a metric gives its interval."""
    lines = _verdict_only(clean[1]).splitlines()
    metrics = [line for line in lines if line.startswith(("Accuracy", "F1", "Balanced", "MCC"))]

    assert len(metrics) == 4 and all(" to " in line for line in metrics)


def test_findings_say_what_to_do_next(faulty: Pair) -> None:
    """Every finding is printed with its code and its next step."""
    text = _verdict_only(faulty[1])

    assert all(f.code in text for f in faulty[1].findings)
    assert text.count("  Next: ") == sum(bool(f.next) for f in faulty[1].findings)


def test_a_study_shows_the_stack_with_its_frost_line(clean: Pair) -> None:
    """Blocks stand in execution order, the line below the last frozen one."""
    lines = _printed(*clean).splitlines()
    at = next(n for n, line in enumerate(lines) if "frost line" in line)

    assert lines[at - 1].startswith("encoder.layer.2   frozen") and lines[at - 1].rstrip().endswith("chosen")
    assert lines[at + 1].startswith("encoder.layer.3   trains")


def test_the_terminal_needs_no_template_engine() -> None:
    """Printing a verdict loads neither jinja2 nor torch, so that `check` answers at once."""
    code = "import sys, frostline.report.text; print(sorted({'jinja2', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
