"""Claims about keeping or computing: where rows go, what either takes, and a measurement that leaves no trace."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frostline.capture import cost
from frostline.capture.cost import Room, Speeds, measure_speeds
from frostline.capture.store import ActivationStore

sizes = st.integers(0, 2**50)


@given(memory=sizes, disk=sizes, asked=sizes)
def test_memory_when_it_fits_else_the_disk(memory: int, disk: int, asked: int) -> None:
    """To the byte, and whatever the disk holds: what does not fit there is refused row by row."""
    assert Room(memory, disk).place_for(asked) == ("memory" if asked <= memory else "disk")


def test_room_is_a_share_of_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the free memory and half of the free disk, asked of the nearest folder that is there already."""
    free = {"SC_AVPHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    asked: list[Path] = []

    def usage(path: Path) -> tuple[int, int, int]:
        asked.append(path)
        return type("Usage", (), {"free": 10_000})()

    monkeypatch.setattr(cost.os, "sysconf", free.__getitem__)
    monkeypatch.setattr(cost.shutil, "disk_usage", usage)

    assert Room.here(tmp_path / "not" / "yet") == Room(1_024_000, 5_000)
    assert asked == [tmp_path]


def test_room_is_there(tmp_path: Path) -> None:
    """On this machine, unmocked, both are positive; the folder is not made."""
    room = Room.here(tmp_path / "activations")

    assert room.memory_bytes > 0 and room.disk_bytes > 0
    assert not list(tmp_path.iterdir())


def test_seconds_are_work_over_speed() -> None:
    """Each place has its own speed."""
    speeds = Speeds(flops_per_s=1e9, memory_bytes_per_s=4e9, disk_bytes_per_s=5e8)

    assert speeds.compute_s(3e9) == 3
    assert (speeds.read_s("memory", 2e9), speeds.read_s("disk", 2e9)) == (0.5, 4)
    assert speeds.compute_s(0) == speeds.read_s("disk", 0) == 0


def test_speeds_are_measured_and_leave_nothing_behind(tmp_path: Path) -> None:
    """All positive; the pass is made once to warm up and once by the clock; no file stays."""
    (tmp_path / "rows of the study").touch()
    calls = []

    def forward() -> int:
        calls.append(torch.ones(64, 64) @ torch.ones(64, 64))
        return 2 * 64**3

    speeds = measure_speeds(forward, tmp_path)

    assert min(speeds.flops_per_s, speeds.memory_bytes_per_s, speeds.disk_bytes_per_s) > 0
    assert len(calls) == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["rows of the study"]


def test_a_slow_model_is_measured_as_slow(tmp_path: Path) -> None:
    """A pass that sleeps has the FLOPs a second that its sleep allows: the warm-up is not counted."""
    slept = iter((0.0, 0.05))

    def forward() -> int:
        time.sleep(next(slept))
        return 1000

    assert measure_speeds(forward, tmp_path).flops_per_s <= 1000 / 0.05


def test_a_measurement_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files go also when reading them fails."""

    def fails(*given: object) -> None:
        raise OSError("no more disk")

    monkeypatch.setattr(ActivationStore, "get", fails)
    with pytest.raises(OSError, match="no more disk"):
        measure_speeds(lambda: 1, tmp_path)

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_a_killed_measurement_left_is_no_hindrance(tmp_path: Path) -> None:
    """Files of an earlier measurement are measured again or overwritten, and go."""
    store = ActivationStore.at(tmp_path / "speed", {"for": "measuring"}, budget_bytes=2**30)
    store.put("speed", "rows", ["0", "1"], torch.ones(2, 8192))
    store.flush()

    assert measure_speeds(lambda: 1, tmp_path).disk_bytes_per_s > 0
    assert not list(tmp_path.iterdir())
