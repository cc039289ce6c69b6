"""A study killed by SIGKILL at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_study import without_clock

from factories import SWEEP, write_messages
from frostline.core.study_folder import read_record


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "frostline", *SWEEP, "--positive", "spam"]
    command += ["--data", "messages.csv", "--out", "study", "--epochs", "6", "--patience", "6", "--batch-size", "4"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen([*command, *more], cwd=folder, env=environment, stdout=log, stderr=log)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["auto", "disk"])
def test_killed_at_any_moment_it_ends_with_the_same_result(place: str, tmp_path: Path) -> None:
    """Six kills at random moments, a resume after each: the record is that of the study nobody killed."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        write_messages(folder / "messages.csv", rows=1200)
    began = time.monotonic()
    kept = ("--activations", place)
    assert start(whole, *kept).wait(timeout=300) in (0, 1, 4)
    lasts_s = time.monotonic() - began

    moments = random.Random(3)
    kills = 0
    for _ in range(6):
        process = start(broken, *kept, *(["--resume"] if (broken / "study").exists() else []))
        try:
            process.wait(timeout=moments.uniform(0.3, 0.8) * lasts_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    assert start(broken, *kept, "--resume").wait(timeout=300) in (0, 1, 4), (broken / "log.txt").read_text()

    assert kills >= 2
    assert without_clock(read_record(broken / "study")) == without_clock(read_record(whole / "study"))
