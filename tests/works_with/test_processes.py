"""Claims about several processes over gloo: freeze, then wrap; after DistributedDataParallel it is too late."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

WAIT_S = 120


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found, by job."""
    folder = tmp_path_factory.mktemp("processes")
    script = Path(__file__).with_name("process.py")
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(folder)],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        answers = [process.communicate(timeout=WAIT_S) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], answers
    return [json.loads(out.splitlines()[-1]) for out, _ in answers]


def test_frozen_before_wrapping_trains_and_stays_frozen(found: list[dict[str, Any]]) -> None:
    """Without `find_unused_parameters`: the rest trains alike in both, the frozen part and its statistics stay."""
    for answer in found:
        assert answer["ddp_frozen_before"] == {"proof": True, "moved": True, "same": True}


def test_frozen_after_wrapping_is_refused_with_a_sentence(found: list[dict[str, Any]]) -> None:
    """Behind the wrapper's back torch itself fails a step later; the check says it beforehand."""
    for answer in found:
        assert "Expected to have finished reduction" in answer["ddp_frozen_after"]["torch"]
        assert answer["ddp_frozen_after"]["told"].endswith("freeze first and wrap afterwards.")


@pytest.mark.parametrize("job", ["fsdp_frozen_before", "fsdp_frozen_after"])
def test_sharded_parameters_stay_frozen(found: list[dict[str, Any]], job: str) -> None:
    """FSDP2 keeps a module's class and hooks, so a freeze holds whether it comes before sharding or after."""
    for answer in found:
        assert answer[job] == {"moved": ["1.bias", "1.weight", "2.bias", "2.weight"], "inert": True}


def test_a_delta_of_shards_is_refused(found: list[dict[str, Any]]) -> None:
    """A part of a tensor is not written as if it were the whole."""
    for answer in found:
        assert "'0.0.weight' is sharded over several processes" in answer["sharded_delta"]["told"]
