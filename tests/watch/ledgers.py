"""Ledgers as a study writes them, made by hand, and a server that shows one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from frostline.core.ledger import Ledger
from frostline.core.records import Epoch, Run, StudyRecord
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder, keep_record
from frostline.watch.server import Watched, WatchServer

ASKED = Settings(model="minilm", data="messages.csv", epochs=3)


@contextmanager
def working(path: Path) -> Iterator[Ledger]:
    """A process works in the folder for as long as this lasts, and probed the model already."""
    with StudyFolder(path).opened(ASKED, resume=path.exists()) as ledger:
        ledger.note("start", "{}")
        yield ledger


def epoch(number: int, loss: float | None = None) -> Epoch:
    return Epoch(
        epoch=number,
        train_loss=None if number == 0 else 0.5,
        stop_loss=0.7 / (number + 1) if loss is None else loss,
        stop_accuracy=0.6 + 0.1 * number,
        seconds_s=0.0 if number == 0 else 12.0,
    )


def trained(ledger: Ledger, run: str, epochs: int) -> None:
    """Epochs 0 to the last one of a run."""
    for number in range(epochs + 1):
        ledger.add_epoch(run, epoch(number))


def concluded(record: StudyRecord, candidate: str, **changed: object) -> Run:
    """The run of a candidate, as a finished study has it, but for what is changed."""
    return record.run_of(candidate).model_copy(update={"id": f"{candidate}-seed-0", **changed})


def finish(path: Path, record: StudyRecord) -> None:
    """A finished study, without its report."""
    with working(path) as ledger:
        for run in record.runs:
            ledger.add_run(run)
        keep_record(ledger, record)


@contextmanager
def serving(path: Path) -> Iterator[WatchServer]:
    """A server in a thread of its own."""
    with WatchServer(Watched(path)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
