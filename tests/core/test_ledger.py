"""Claims about the ledger: what was acknowledged is there, once, and nothing else is taken for a ledger."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from frostline.core.errors import StudyError
from frostline.core.ledger import Ledger
from frostline.core.records import Epoch, Opening, Proof, Run


def epoch(number: int, loss: float | None = 0.5) -> Epoch:
    return Epoch(epoch=number, stop_loss=loss, stop_accuracy=0.75)


def a_run(id: str = "full-seed-0") -> Run:
    return Run(
        id=id,
        candidate="full",
        seed=0,
        status="finished",
        epochs=(epoch(0), epoch(1, None)),
        best_epoch=0,
        ended="all 1 epochs done",
        train_fit=None,
        proof=Proof(frozen_tensors=0, sha256_before="0", sha256_after="0"),
        seconds_s=1.5,
        train_flops=10**15,
        evaluate_flops=7,
    )


OPENING = Opening(at="2026-01-01T00:00:00+00:00", test_sha256="abc", contenders=("full", "majority"))


def test_rows_survive_reopening(tmp_path: Path) -> None:
    """Facts, epochs, runs and openings are read back equal by another connection."""
    path = tmp_path / "ledger.sqlite"
    with Ledger.at(path) as ledger:
        ledger.note("start", "here")
        for number in (2, 0, 1):
            ledger.add_epoch("full-seed-0", epoch(number))
        ledger.add_run(a_run())
        ledger.add_opening(OPENING)
    with Ledger.at(path) as ledger:
        assert ledger.fact("start") == "here"
        assert ledger.epochs("full-seed-0") == [epoch(0), epoch(1), epoch(2)]
        assert ledger.run("full-seed-0") == a_run()
        assert ledger.openings() == [OPENING]


def test_what_was_written_is_there_before_the_ledger_is_closed(tmp_path: Path) -> None:
    """Every row is committed at once: another process sees it while the first one still works."""
    path = tmp_path / "ledger.sqlite"
    with Ledger.at(path) as writer:
        writer.add_epoch("full-seed-0", epoch(0))
        with Ledger.at(path) as reader:
            assert reader.epochs("full-seed-0") == [epoch(0)]


def test_what_was_never_written_is_none(tmp_path: Path) -> None:
    """Unknown facts and runs are None, unknown epochs and openings empty."""
    with Ledger.at(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.fact("start") is None
        assert ledger.run("full-seed-0") is None
        assert ledger.epochs("full-seed-0") == []
        assert ledger.openings() == []


def test_an_epoch_or_a_run_is_written_once(tmp_path: Path) -> None:
    """A second row of the same name is refused, and the first one stands."""
    with Ledger.at(tmp_path / "ledger.sqlite") as ledger:
        ledger.add_epoch("full-seed-0", epoch(1))
        ledger.add_run(a_run())
        with pytest.raises(sqlite3.IntegrityError):
            ledger.add_epoch("full-seed-0", epoch(1, 0.1))
        with pytest.raises(sqlite3.IntegrityError):
            ledger.add_run(a_run().model_copy(update={"seed": 9}))

        assert ledger.epochs("full-seed-0") == [epoch(1)]
        assert ledger.run("full-seed-0") == a_run()


def test_runs_do_not_share_epochs(tmp_path: Path) -> None:
    """The same epoch number of two runs are two rows."""
    with Ledger.at(tmp_path / "ledger.sqlite") as ledger:
        ledger.add_epoch("full-seed-0", epoch(0))
        ledger.add_epoch("depth-1-seed-0", epoch(0, 0.1))

        assert ledger.epochs("depth-1-seed-0") == [epoch(0, 0.1)]


def test_every_opening_counts(tmp_path: Path) -> None:
    """The same opening twice is two rows, in order."""
    with Ledger.at(tmp_path / "ledger.sqlite") as ledger:
        ledger.add_opening(OPENING)
        ledger.add_opening(OPENING)

        assert len(ledger.openings()) == 2


@pytest.mark.parametrize("content", [b"label,text\nham,hello\n" * 50, b"SQLite format 3\x00" + b"\xff" * 200])
def test_another_file_is_no_ledger(tmp_path: Path, content: bytes) -> None:
    """A file of another kind is refused in a sentence, and left as it is."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(StudyError, match="is not a frostline ledger"), Ledger.at(path):
        pass

    assert path.read_bytes() == content
