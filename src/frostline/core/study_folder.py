"""The files of one study, where they lie, and who may write them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from frostline.core.errors import StudyError
from frostline.core.files import write_text_atomically
from frostline.core.ledger import Ledger
from frostline.core.records import StudyRecord
from frostline.core.settings import Settings, read_settings

_RECORD = "record"


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """Paths inside a study folder."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "study.toml"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.sqlite"

    @property
    def weights(self) -> Path:
        return self.path / "weights"

    @property
    def chosen_weights(self) -> Path:
        return self.weights / "chosen.safetensors"

    @property
    def start_head(self) -> Path:
        return self.weights / "start-head.safetensors"

    @property
    def probes(self) -> Path:
        """Heads of the networks that end early."""
        return self.weights / "probes.safetensors"

    @property
    def activations(self) -> Path:
        """May be deleted at any time."""
        return self.path / "activations"

    def scores(self, name: str, split: str) -> Path:
        """Per-example probabilities of one contender on one split."""
        return self.path / "scores" / f"{name}.{split}.npy"

    def embedding(self, split: str) -> Path:
        """Pretrained features of the examples of one split."""
        return self.path / "scores" / f"embedding.{split}.npy"

    def delete_activations(self) -> int:
        """Delete what is kept of frozen computation; bytes freed.

        Raises:
            StudyError: A process is working in the folder.
        """
        with self._locked():
            freed = sum(file.stat().st_size for file in self.activations.rglob("*") if file.is_file())
            rmtree(self.activations, ignore_errors=True)
        return freed

    @contextmanager
    def opened(self, settings: Settings, *, resume: bool) -> Iterator[Ledger]:
        """The ledger of a new study, or of this very one when it is resumed; nobody else writes meanwhile.

        Raises:
            StudyError: The folder holds a study already, or another one, or another process writes to it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if not self.ledger.exists() and any(entry.name != ".lock" for entry in self.path.iterdir()):
                raise StudyError(f"{self.path} holds other files and no study. Choose an empty folder with --out.")
            with Ledger.at(self.ledger) as ledger:
                if ledger.has_begun():
                    self._check_resumable(settings, resume)
                else:
                    # Nothing was acknowledged yet, so there is nothing to protect: bad input can be corrected.
                    write_text_atomically(self.settings, settings.to_toml())
                yield ledger

    def _check_resumable(self, settings: Settings, resume: bool) -> None:
        if not resume:
            raise StudyError(
                f"{self.path} already holds a study. Add --resume to go on with it, or choose another --out."
            )
        asked = read_settings(self.settings)
        differing = [name for name in Settings.model_fields if getattr(asked, name) != getattr(settings, name)]
        if differing:
            name = differing[0]
            raise StudyError(
                f"The study in {self.path} was begun with {name} = {getattr(asked, name)!r}, now {name} = "
                f"{getattr(settings, name)!r} is asked. Resume it as it was begun, or choose another folder with --out."
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StudyError(
                    f"Another frostline process is working in {self.path}. Wait for it, or choose another --out."
                ) from error
            yield


def keep_record(ledger: Ledger, record: StudyRecord) -> None:
    """Acknowledge the finished study."""
    ledger.note(_RECORD, record.model_dump_json())


def read_record(path: Path) -> StudyRecord:
    """The record of a finished study.

    Raises:
        StudyError: There is no study at the path, or it is not finished.
    """
    folder = StudyFolder(path)
    if not folder.ledger.is_file():
        raise StudyError(f"{path} holds no study: ledger.sqlite is missing. Give the folder that --out named.")
    with Ledger.at(folder.ledger) as ledger:
        record = finished_record(ledger)
    if record is None:
        raise StudyError(
            f"The study in {path} is not finished. Go on with: frostline search {folder.settings} --resume"
        )
    return record


def finished_record(ledger: Ledger) -> StudyRecord | None:
    """The record that `keep_record` acknowledged; None while the study is not finished."""
    record = ledger.fact(_RECORD)
    return None if record is None else StudyRecord.model_validate_json(record)
