"""Who has read which test labels: counted over all studies of a user, by the content of the test split.

A test split that was read before is a little less of a test: whoever saw its numbers may have changed the plan because
of them. The count lives in the user's state folder, so that a new study folder does not start it anew.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from frostline.core.records import Opening

_SCHEMA = """
CREATE TABLE IF NOT EXISTS openings (
    test_sha256 TEXT, answers_sha256 TEXT, record TEXT NOT NULL, PRIMARY KEY (test_sha256, answers_sha256)
);
"""


def state_folder() -> Path:
    """Where frostline keeps what outlives a study: `FROSTLINE_STATE`, else the user's XDG state folder."""
    own, user = os.environ.get("FROSTLINE_STATE"), os.environ.get("XDG_STATE_HOME")
    if own:
        return Path(own)
    return (Path(user) if user else Path.home() / ".local" / "state") / "frostline"


class TestOpenings:
    """Readings of test labels, kept in one small SQLite file.

    A reading that gave the very same answers as an earlier one told nothing new, so it is the same reading: a study
    that is run twice has opened its test split once.

    Args:
        folder: Of the file; the user's state folder when None.

    >>> import tempfile
    >>> once = Opening(at="2026-01-01T00:00:00+00:00", test_sha256="5f", contenders=("full",), answers_sha256="a1")
    >>> with tempfile.TemporaryDirectory() as place:
    ...     known = TestOpenings(Path(place))
    ...     known.add(once)
    ...     known.earlier("5f", answers_sha256="a1"), len(known.earlier("5f", answers_sha256="b2"))
    ((), 1)
    """

    __test__ = False  # a name that pytest would take for a test

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (folder or state_folder()) / "openings.sqlite"

    def earlier(self, test_sha256: str, *, answers_sha256: str) -> tuple[Opening, ...]:
        """Openings of the same test examples by other answers, in the order of their time.

        Raises:
            OSError: The file cannot be made or read.
            sqlite3.Error: It is no such file.
        """
        with closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT record FROM openings WHERE test_sha256 = ? AND answers_sha256 != ?",
                (test_sha256, answers_sha256),
            ).fetchall()
        return tuple(sorted((Opening.model_validate_json(record) for (record,) in rows), key=lambda found: found.at))

    def add(self, opening: Opening) -> None:
        """Count an opening, unless the same answers are counted already.

        Raises:
            OSError: The file cannot be made or written.
            sqlite3.Error: It is no such file.
        """
        with closing(self._connect()) as connection:
            connection.execute(
                "INSERT OR IGNORE INTO openings VALUES (?, ?, ?)",
                (opening.test_sha256, opening.answers_sha256, opening.model_dump_json()),
            )

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
        return connection
