"""An activation store whose process is killed by SIGKILL at random moments."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor

from frostline.capture import store as store_module
from frostline.capture.store import ActivationStore

torch.set_num_threads(1)

KILLS = 50
IDS = [str(number) for number in range(10_000)]
LEAVES = {"wide": (torch.float32, 64), "narrow": (torch.bfloat16, 5)}


def opened(folder: Path) -> ActivationStore:
    return ActivationStore.at(folder, {"weights": "0123"}, budget_bytes=10**9)


def rows_of(leaf: str, ids: Sequence[str]) -> Tensor:
    """What the store should hold: no two ids and no two positions alike."""
    dtype, width = LEAVES[leaf]
    numbers = torch.tensor([int(id_) for id_ in ids]).reshape(-1, 1) * width + torch.arange(width)
    # bfloat16 rounds, so that it is the bits that tell ids apart.
    return numbers.to(dtype) if dtype == torch.float32 else numbers.to(torch.int16).view(dtype)


def fill(folder: Path) -> None:
    """Put what is missing, in batches, in segments small enough for most of the time to go into writing them."""
    store = opened(folder)
    with mock.patch.object(store_module, "SEGMENT_ROWS", 100):
        for start in range(0, len(IDS), 32):
            batch = IDS[start : start + 32]
            missing = [batch[position] for position in store.missing("shelf", list(LEAVES), batch)]
            for leaf in LEAVES:
                store.put("shelf", leaf, missing, rows_of(leaf, missing))
        store.flush()


def serve() -> None:
    """For each folder and time on the input, fill it in a process that is killed then, and print its exit code.

    Forked, since importing torch takes longer than the filling. The parent kills: its own child's number is not reused.
    """
    for line in sys.stdin:
        folder, seconds = json.loads(line)
        child = os.fork()
        if child == 0:
            fill(Path(folder))
            os._exit(0)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201


class Server:
    """The process above."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def is_killed(self, folder: Path, *, after_s: float) -> bool:
        """Whether the process that fills the folder was killed before its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder), after_s]) + "\n")
        return int(self._process.stdout.readline()) == -signal.SIGKILL

    def stop(self) -> None:
        self._process.communicate()


def claimed(folder: Path) -> dict[str, set[str]]:
    """Ids of the rows that a reopened store claims to have, every one of them right."""
    store = opened(folder)
    ids = {}
    for leaf in LEAVES:
        missing = set(store.missing("shelf", [leaf], IDS))
        there = [id_ for position, id_ in enumerate(IDS) if position not in missing]
        if there:
            stored, expected = store.get("shelf", leaf, there), rows_of(leaf, there)
            assert torch.equal(stored.view(torch.int16), expected.view(torch.int16))
        ids[leaf] = set(there)
    assert store.notes == ()
    return ids


def half_written(folder: Path) -> set[str]:
    """Temporary files, and rows without a manifest."""
    names = {path.name for path in folder.glob("*/*")}
    return {name for name in names if name.startswith(".") or name.replace(".rows", ".json") not in names}


@pytest.mark.slow
def test_killed_at_any_moment_it_claims_only_right_rows(tmp_path: Path) -> None:
    """After each of 50 kills all claimed rows are right, none claimed before is lost, and the fill goes on."""
    moments = random.Random(5)
    server = Server()
    kills = grew = in_the_middle = 0
    try:
        for number in range(KILLS):
            folder = tmp_path / str(number)
            before: dict[str, set[str]] = {leaf: set() for leaf in LEAVES}
            leftovers: set[str] = set()
            while kills < KILLS and server.is_killed(folder, after_s=moments.uniform(0, 0.15)):
                kills += 1
                now, left = claimed(folder), half_written(folder)
                assert all(before[leaf] <= now[leaf] for leaf in LEAVES)
                grew, in_the_middle = grew + (now != before), in_the_middle + (left != leftovers)
                before, leftovers = now, left
            fill(folder)
            assert claimed(folder) == {leaf: set(IDS) for leaf in LEAVES}
            if kills == KILLS:
                break
    finally:
        server.stop()

    assert kills == KILLS
    assert grew >= KILLS // 4
    assert in_the_middle >= KILLS // 5


if __name__ == "__main__":
    serve()
