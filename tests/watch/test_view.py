"""Claims about what is seen of a study from outside."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from builders import make_study
from frostline.core.errors import StudyError
from frostline.core.ledger import Ledger
from frostline.core.records import Epoch, Opening
from frostline.core.study_folder import StudyFolder
from frostline.watch import reading
from frostline.watch.reading import Activities, look, require_study
from frostline.watch.server import Watched
from frostline.watch.view import State
from report.samples import USUAL_RACE, raced
from watch.ledgers import concluded, epoch, finish, trained, working


def run_of(state: dict[str, Any], candidate: str) -> dict[str, Any]:
    (found,) = (run for run in state["runs"] if run["candidate"] == candidate)
    return dict(found)


def test_a_running_study(tmp_path: Path) -> None:
    """Epochs, concluded and open runs stand in the order in which they were begun, each with its state."""
    record = make_study()
    with working(tmp_path / "study") as ledger:
        trained(ledger, "full-seed-0", 3)
        ledger.add_run(concluded(record, "full", status="finished"))
        trained(ledger, "depth-4-seed-0", 1)
        ledger.add_run(concluded(record, "depth-4", status="paused", ended="its loss is above that of full"))
        trained(ledger, "depth-2-seed-0", 2)
        ledger.note("paused depth-2-seed-0", "{}")
        trained(ledger, "depth-6@1.7e-05-seed-0", 1)
        state: Any = Watched(tmp_path / "study").state()

    assert state["activity"] == "running"
    assert state["stage"] == "candidates are trained"
    assert [(run["candidate"], run["state"], run["epochs"]) for run in state["runs"]] == [
        ("full", "finished", 3),
        ("depth-4", "given up", 1),
        ("depth-2", "open", 2),
        ("depth-6@1.7e-05", "open", 1),
    ]
    assert run_of(state, "depth-4")["why"] == "its loss is above that of full"
    assert "paused in the race" in run_of(state, "depth-2")["why"]
    assert run_of(state, "depth-6@1.7e-05")["why"] == "epoch 1 of 3 was the last to be acknowledged"
    assert state["trained"] == "1 min 24 s"
    points = [(p["epoch"], p["loss"], p["accuracy"]) for p in state["points"] if p["run"] == "full-seed-0"]
    assert points == [(n, epoch(n).stop_loss, epoch(n).stop_accuracy) for n in range(4)]
    assert state["verdict"] is state["chosen"] is None
    assert state["report"] is False


def test_a_study_that_was_stopped(tmp_path: Path) -> None:
    """When its process is gone the study is stopped, and an open run is interrupted; it runs again once resumed."""
    with working(tmp_path / "study") as ledger:
        trained(ledger, "full-seed-0", 1)
    watched = Watched(tmp_path / "study")

    for _ in range(2):
        state: Any = watched.state()
        assert (state["activity"], run_of(state, "full")["state"]) == ("stopped", "interrupted")
        assert run_of(state, "full")["why"] == "after epoch 1 of 3"
    with working(tmp_path / "study"):
        assert watched.state()["activity"] == "running"


def test_a_finished_study(tmp_path: Path) -> None:
    """A finished study shows its verdict, its choice, every decision of its race and, when it is there, its report."""
    record = raced(USUAL_RACE)
    finish(tmp_path / "study", record)
    watched = Watched(tmp_path / "study")

    state: Any = watched.state()
    assert state["activity"] == "finished"
    assert state["verdict"]["name"] == "READY"
    assert state["chosen"]["candidate"] == record.choice.candidate
    assert [one["candidate"] for one in state["decisions"]] == [standing.candidate for standing in record.race]
    assert state["report"] is False
    (tmp_path / "study" / "report.html").write_text("a report")
    assert watched.state()["report"] is True


def test_a_race_that_runs_shows_what_was_decided(tmp_path: Path) -> None:
    """Each decision stands on the page as soon as it falls, in order; nothing is shown before the first."""
    record = raced(USUAL_RACE)
    with working(tmp_path / "study") as ledger:
        watched = Watched(tmp_path / "study")
        before: Any = watched.state()
        for number, standing in enumerate(record.race[:3]):
            ledger.add_decision(number, standing)
        state: Any = watched.state()

    assert before["decisions"] == []
    assert [one["reason"] for one in state["decisions"]] == [standing.reason for standing in record.race[:3]]


def test_what_is_undefined_is_null(tmp_path: Path) -> None:
    """A loss that was not finite is null in the points and named in the table; the document is strict JSON."""
    with working(tmp_path / "study") as ledger:
        ledger.add_epoch("full-seed-0", Epoch(epoch=0, stop_loss=None, stop_accuracy=0.5))
        state: Any = Watched(tmp_path / "study").state()

    assert state["points"][0]["loss"] is None
    assert run_of(state, "full")["stop_loss"] == "undefined"
    assert json.loads(json.dumps(state, allow_nan=False)) == state


def test_a_killed_study_is_seen_whole(tmp_path: Path) -> None:
    """What was acknowledged before a kill still stands in the log beside the ledger, and is seen."""
    code = (
        "import os, sys; from pathlib import Path; from watch.ledgers import trained, working\n"
        "with working(Path(sys.argv[1])) as ledger:\n    trained(ledger, 'full-seed-0', 2)\n    os._exit(9)"
    )
    tests = str(Path(__file__).parents[1])
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "study")], cwd=tests, check=False)
    state: Any = Watched(tmp_path / "study").state()

    assert killed.returncode == 9
    assert (tmp_path / "study" / "ledger.sqlite-wal").stat().st_size > 0
    assert (state["activity"], run_of(state, "full")["epochs"]) == ("stopped", 2)


def test_runs_with_other_seeds_are_told_apart(tmp_path: Path) -> None:
    """A candidate that is trained again carries its seed, but for the study's own."""
    with working(tmp_path / "study") as ledger:
        for seed in (0, 1):
            trained(ledger, f"depth-4-seed-{seed}", 1)
        state: Any = Watched(tmp_path / "study").state()

    assert [run["candidate"] for run in state["runs"]] == ["depth-4", "depth-4 (seed 1)"]


def test_stages_before_and_after_training(tmp_path: Path) -> None:
    """Before the first epoch the probing is named; after the opening of the test split, that."""
    with working(tmp_path / "study") as ledger:
        watched = Watched(tmp_path / "study")
        assert "nothing is trained yet" in str(watched.state()["stage"])
        trained(ledger, "full-seed-0", 1)
        ledger.add_opening(Opening(at="2026-03-02T09:30:00Z", test_sha256="d" * 64, contenders=("full",)))
        assert "test labels were read" in str(watched.state()["stage"])


def test_reading_never_writes(tmp_path: Path) -> None:
    """Looking leaves the folder byte for byte, without a file more, and the connection refuses to write."""
    with working(tmp_path / "study") as ledger:
        trained(ledger, "full-seed-0", 1)
    folder = StudyFolder(tmp_path / "study")
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}

    look(folder)

    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before
    with reading._read_only(folder.ledger) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM epochs")


def test_a_reader_blocks_no_writer(tmp_path: Path) -> None:
    """While a look is open in the middle, the study writes on at once; the look sees one moment only."""
    with working(tmp_path / "study") as ledger:
        trained(ledger, "full-seed-0", 0)
        with reading._read_only(StudyFolder(tmp_path / "study").ledger) as connection:
            connection.execute("BEGIN")
            count = "SELECT count(*) FROM epochs"
            assert connection.execute(count).fetchone() == (1,)
            ledger._connection.execute("PRAGMA busy_timeout=0")
            ledger.add_epoch("full-seed-0", epoch(1))
            assert connection.execute(count).fetchone() == (1,)
        assert len(look(StudyFolder(tmp_path / "study")).epochs["full-seed-0"]) == 2


def test_an_idle_folder_is_locked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of a stopped study is asked for once, not with every poll: a search that begins is not turned away."""
    with working(tmp_path / "study") as ledger:
        trained(ledger, "full-seed-0", 1)
    folder, asked = StudyFolder(tmp_path / "study"), list[Path]()

    def free(path: Path) -> bool:
        asked.append(path)
        return False

    monkeypatch.setattr(reading, "_is_locked", free)
    activities, seen = Activities(folder), look(folder)

    assert {activities.of(seen) for _ in range(5)} == {"stopped"}
    assert len(asked) == 1


def test_what_is_no_study_gets_a_sentence(tmp_path: Path) -> None:
    """No folder, no ledger, a ledger that is none: each has its sentence."""
    with pytest.raises(StudyError, match="There is no folder"):
        require_study(tmp_path / "nowhere")
    with pytest.raises(StudyError, match=r"ledger\.sqlite is missing"):
        require_study(tmp_path)
    (tmp_path / "ledger.sqlite").write_text("this is no database, only some words that stand where one should be" * 20)
    with pytest.raises(StudyError, match="cannot be read"):
        look(StudyFolder(tmp_path))


def test_records_of_another_version_get_a_sentence(tmp_path: Path) -> None:
    """What this version cannot read names the remedy instead of a traceback."""
    tmp_path.mkdir(exist_ok=True)
    with Ledger.at(tmp_path / "ledger.sqlite") as ledger:
        ledger.note("record", '{"schema": "frostline.study/9"}')

    with pytest.raises(StudyError, match="with the version that"):
        look(StudyFolder(tmp_path))


def test_watching_needs_no_torch(tmp_path: Path) -> None:
    """A finished study is seen and judged without torch or scikit-learn being imported."""
    finish(tmp_path / "study", make_study())
    code = (
        "import sys; from pathlib import Path; from frostline.watch.server import Watched\n"
        "print(Watched(Path(sys.argv[1])).state()['verdict']['name'])\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "study")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("READY\n", "")


def test_every_state_is_explained() -> None:
    """The page in docs/ explains each state that a run can have."""
    page = (Path(__file__).parents[2] / "docs" / "watching.md").read_text(encoding="utf-8")

    assert all(f"| {state} |" in page for state in get_args(State))
