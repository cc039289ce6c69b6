"""Claims about writing: a crash leaves the old content or the new, never half of it and nothing beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.core.files import write_atomically, write_text_atomically


class PowerCut(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


def half_written(file: IO[bytes]) -> None:
    file.write(b"ha")
    raise PowerCut


def test_a_writer_that_dies_leaves_the_old_content(tmp_path: Path) -> None:
    """The target is untouched and no temporary file stays."""
    target = tmp_path / "report.json"
    write_text_atomically(target, "old")
    with pytest.raises(PowerCut):
        write_atomically(target, half_written)

    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_writer_that_dies_makes_no_new_file(tmp_path: Path) -> None:
    """Where nothing was, nothing is."""
    with pytest.raises(PowerCut):
        write_atomically(tmp_path / "report.json", half_written)

    assert not list(tmp_path.iterdir())


def test_the_rename_comes_after_the_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When flushing to disk fails, the old content stands."""
    target = tmp_path / "report.json"
    write_text_atomically(target, "old")

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_text_atomically(target, "new")

    assert target.read_text() == "old"


def test_folders_are_made(tmp_path: Path) -> None:
    """The parents of the target need not exist."""
    write_text_atomically(tmp_path / "a" / "b" / "c.txt", "text")

    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "text"


def test_readable_for_those_whom_the_umask_lets(tmp_path: Path) -> None:
    """A written file has the permissions of an ordinary one, not those of a temporary one."""
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    write_text_atomically(tmp_path / "written", "text")

    assert (tmp_path / "written").stat().st_mode == ordinary.stat().st_mode


@given(first=st.text(st.characters(codec="utf-8")), second=st.text(st.characters(codec="utf-8")))
def test_text_is_replaced_whole(tmp_path_factory: pytest.TempPathFactory, first: str, second: str) -> None:
    """Whatever stood there, what is read is what was written last, in UTF-8 and without translated line ends."""
    target = tmp_path_factory.getbasetemp() / "text"
    write_text_atomically(target, first)
    write_text_atomically(target, second)

    assert target.read_bytes() == second.encode("utf-8")
