"""What a study's ledger tells from outside, read without ever holding up the process that writes it."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from frostline.core.errors import StudyError
from frostline.core.ledger import Ledger
from frostline.core.records import Epoch, Run, Standing, StudyRecord
from frostline.core.study_folder import StudyFolder, finished_record

Activity = Literal["running", "stopped", "finished"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One consistent look into a ledger."""

    epochs: dict[str, tuple[Epoch, ...]]
    """By run, in the order in which runs were begun."""
    latest: str
    """Run of the epoch that was acknowledged last; empty before the first."""
    runs: dict[str, Run]
    """Runs that were concluded."""
    paused: frozenset[str]
    """Runs that were paused within an epoch at least once."""
    started: bool
    """Whether the pretrained model was probed: what comes before any training."""
    decisions: tuple[Standing, ...]
    """Of the race so far; empty when every candidate is trained to its end."""
    openings: int
    """Readings of the test labels."""
    record: StudyRecord | None
    """Of a finished study."""


def require_study(path: Path) -> StudyFolder:
    """The folder of a study that has begun.

    Raises:
        StudyError: There is no such folder, or it holds no ledger.
    """
    folder = StudyFolder(path)
    if not path.is_dir():
        raise StudyError(
            f"There is no folder {path}. Give the folder that --out named; a study makes it when it begins."
        )
    if not folder.ledger.is_file():
        raise StudyError(f"{path} holds no study: ledger.sqlite is missing. Give the folder that --out named.")
    return folder


def look(folder: StudyFolder) -> Seen:
    """Read the whole ledger as it is at one moment.

    Raises:
        StudyError: The ledger is gone, or is none.
    """
    try:
        logged = _log(folder.ledger).exists()
        with _read_only(folder.ledger) as connection:
            seen = _seen(connection)
        # A study that went on in this very moment is looked at again, now with its log.
        return seen if logged or not _log(folder.ledger).exists() else look(folder)
    except sqlite3.Error as error:
        raise StudyError(
            f"{folder.ledger} cannot be read ({error}). It is gone or no ledger: give another study folder."
        ) from error
    except ValueError as error:  # pydantic's ValidationError is one
        raise StudyError(
            f"{folder.ledger} holds what this version of frostline does not know. Watch it with the version that "
            "runs the study."
        ) from error


@contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    place = f"file:{quote(str(path.resolve()))}?mode=ro"
    # Without a write-ahead log nobody writes and the file alone is the whole truth. Opened as such it leaves no files
    # of its own beside it, and a folder that cannot be written to can be read.
    with closing(_connected(place if _log(path).exists() else f"{place}&immutable=1")) as connection:
        yield connection


def _log(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}-wal")


def _connected(place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(place, uri=True, isolation_level=None, timeout=5)
    try:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("SELECT 1 FROM facts").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _seen(connection: sqlite3.Connection) -> Seen:
    # In write-ahead mode a reader sees one moment for as long as its transaction lasts, and blocks no writer.
    connection.execute("BEGIN")
    ledger = Ledger(connection)
    epochs: dict[str, list[Epoch]] = {}
    latest = ""
    for run, record in connection.execute("SELECT run, record FROM epochs ORDER BY rowid"):
        epochs.setdefault(run, []).append(Epoch.model_validate_json(record))
        latest = run
    runs = [Run.model_validate_json(record) for (record,) in connection.execute("SELECT record FROM runs")]
    paused = [str(name) for (name,) in connection.execute("SELECT name FROM facts WHERE name LIKE 'paused %'")]
    seen = Seen(
        epochs={run: tuple(sorted(own, key=lambda epoch: epoch.epoch)) for run, own in epochs.items()},
        latest=latest,
        runs={run.id: run for run in runs},
        paused=frozenset(name.removeprefix("paused ") for name in paused),
        started=ledger.fact("start") is not None,
        decisions=tuple(ledger.decisions()),
        openings=len(ledger.openings()),
        record=finished_record(ledger),
    )
    connection.execute("COMMIT")
    return seen


class Activities:
    """Whether a process works in a study folder, asked as rarely as it can be told.

    Asking takes the folder's lock for a moment when nobody holds it. A search that begins in that very moment would be
    refused, so it is asked again only after something in the folder has changed.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._idle_at: tuple[float, ...] | None = None

    def of(self, seen: Seen) -> Activity:
        """What the study is doing."""
        if seen.record is not None:
            return "finished"
        now = self._written()
        if self._idle_at == now:
            return "stopped"
        if _is_locked(self._folder.path / ".lock"):
            self._idle_at = None
            return "running"
        self._idle_at = now
        return "stopped"

    def _written(self) -> tuple[float, ...]:
        ledger = self._folder.ledger
        places = (self._folder.path / ".lock", ledger, _log(ledger))
        return tuple(place.stat().st_mtime for place in places if place.exists())


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no lock was ever made, so nobody works here
    return False


def last_written_s(folder: StudyFolder) -> float:
    """When the ledger was last written to, in seconds since the epoch."""
    return max(place.stat().st_mtime for place in (folder.ledger, _log(folder.ledger)) if place.exists())
