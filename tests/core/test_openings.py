"""Claims about the count of test openings: across studies, by content, and repeats with the same answers count once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from frostline.core.openings import TestOpenings, state_folder
from frostline.core.records import Opening


def opening(at: str = "2026-01-01", test: str = "aa", answers: str = "11", study: str = "first") -> Opening:
    return Opening(at=at, test_sha256=test, contenders=("full",), study=study, answers_sha256=answers)


def test_other_answers_on_the_same_examples_are_earlier_openings(tmp_path: Path) -> None:
    """What two studies read of one test split is counted for the third, in the order of time."""
    TestOpenings(tmp_path).add(opening("2026-01-02", answers="22", study="second"))
    TestOpenings(tmp_path).add(opening("2026-01-01", answers="11", study="first"))

    found = TestOpenings(tmp_path).earlier("aa", answers_sha256="33")

    assert [earlier.study for earlier in found] == ["first", "second"]


def test_the_same_answers_are_the_same_opening(tmp_path: Path) -> None:
    """A study that is run again with the same result has opened its test split once."""
    openings = TestOpenings(tmp_path)
    openings.add(opening("2026-01-01"))
    openings.add(opening("2026-02-02"))

    assert openings.earlier("aa", answers_sha256="11") == ()
    assert [earlier.at for earlier in openings.earlier("aa", answers_sha256="other")] == ["2026-01-01"]


def test_other_test_examples_are_not_counted(tmp_path: Path) -> None:
    """Openings are counted by the content of the test split, not by its name."""
    openings = TestOpenings(tmp_path)
    openings.add(opening(test="bb"))

    assert openings.earlier("aa", answers_sha256="33") == ()


def test_count_lives_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`FROSTLINE_STATE` goes before `XDG_STATE_HOME`, which goes before the home folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("FROSTLINE_STATE", str(tmp_path / "own"))
    assert state_folder() == tmp_path / "own"
    monkeypatch.delenv("FROSTLINE_STATE")
    assert state_folder() == tmp_path / "xdg" / "frostline"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_folder() == Path.home() / ".local" / "state" / "frostline"


def test_a_file_that_is_no_count_is_an_error(tmp_path: Path) -> None:
    """Nothing is counted silently in a file that is something else: the caller has to say so."""
    (tmp_path / "openings.sqlite").write_text("not a database, but long enough to be read as one" * 20)

    with pytest.raises(sqlite3.DatabaseError):
        TestOpenings(tmp_path).earlier("aa", answers_sha256="11")
