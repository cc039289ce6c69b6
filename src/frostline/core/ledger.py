"""What happened in a study, acknowledged row by row in SQLite (WAL mode, synchronous).

A row that was written is never lost and never rewritten with other content; a study that was
killed goes on from the rows it finds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from frostline.core.errors import StudyError
from frostline.core.records import Epoch, Opening, Run, Standing

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS epochs (run TEXT, epoch INTEGER, record TEXT NOT NULL, PRIMARY KEY (run, epoch));
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS openings (number INTEGER PRIMARY KEY, record TEXT NOT NULL);
"""


class Ledger:
    """The ledger of one study folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Ledger.at(Path(folder) / "ledger.sqlite") as ledger:
    ...     ledger.note("seed", "0")
    ...     ledger.fact("seed")
    '0'
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def at(cls, path: Path) -> Iterator[Ledger]:
        """Open the ledger, making it when there is none.

        Raises:
            StudyError: The file is not a ledger.
        """
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.executescript(_SCHEMA)
            except sqlite3.DatabaseError as error:
                raise StudyError(f"{path} is not a frostline ledger ({error}). Choose another study folder.") from error
            yield cls(connection)

    def has_begun(self) -> bool:
        """Whether anything was acknowledged."""
        return self._connection.execute("SELECT 1 FROM facts").fetchone() is not None

    def note(self, name: str, value: str) -> None:
        """Acknowledge one fact of the study."""
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def fact(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def total_of(self, pattern: str) -> int:
        """Sum of the facts whose names are LIKE the pattern and which hold whole numbers."""
        rows = self._connection.execute("SELECT value FROM facts WHERE name LIKE ?", (pattern,))
        return sum(int(value) for (value,) in rows)

    def add_epoch(self, run: str, epoch: Epoch) -> None:
        self._insert("epochs", (run, epoch.epoch, epoch.model_dump_json()))

    def epochs(self, run: str) -> list[Epoch]:
        rows = self._connection.execute("SELECT record FROM epochs WHERE run = ? ORDER BY epoch", (run,))
        return [Epoch.model_validate_json(record) for (record,) in rows]

    def add_run(self, run: Run) -> None:
        self._insert("runs", (run.id, run.model_dump_json()))

    def run(self, id: str) -> Run | None:
        row = self._connection.execute("SELECT record FROM runs WHERE run = ?", (id,)).fetchone()
        return None if row is None else Run.model_validate_json(row[0])

    def add_decision(self, number: int, standing: Standing) -> None:
        """Acknowledge a decision of the race, counted from 0. A study that goes on decides, and writes, the same."""
        self.note(f"decision {number:06d}", standing.model_dump_json())

    def decisions(self) -> list[Standing]:
        rows = self._connection.execute("SELECT value FROM facts WHERE name LIKE 'decision %' ORDER BY name")
        return [Standing.model_validate_json(record) for (record,) in rows]

    def add_opening(self, opening: Opening) -> None:
        self._insert("openings", (len(self.openings()) + 1, opening.model_dump_json()))

    def openings(self) -> list[Opening]:
        rows = self._connection.execute("SELECT record FROM openings ORDER BY number")
        return [Opening.model_validate_json(record) for (record,) in rows]

    def _insert(self, table: str, values: tuple[str | int, ...]) -> None:
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608, the table names are ours
