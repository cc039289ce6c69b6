"""Claims about study folders: one study, one writer, resumed as it was begun."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from frostline.core.errors import StudyError
from frostline.core.settings import Settings, read_settings
from frostline.core.study_folder import StudyFolder, read_record

ASKED = Settings(model="minilm", data="sms.csv", seed=3)

INTRUDER = """
import sys
from pathlib import Path
from frostline.core.errors import StudyError
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder
try:
    with StudyFolder(Path(sys.argv[1])).opened(Settings(model="minilm", data="sms.csv", seed=3), resume=True):
        print("entered")
except StudyError as error:
    print(error)
"""


def begin(folder: StudyFolder) -> None:
    """A study in which something was acknowledged."""
    with folder.opened(ASKED, resume=False) as ledger:
        ledger.note("start", "done")


def enter_from_another_process(path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", INTRUDER, str(path)], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_new_study_writes_down_what_was_asked(tmp_path: Path) -> None:
    """Before any work the settings are on disk."""
    folder = StudyFolder(tmp_path / "study")
    with folder.opened(ASKED, resume=False):
        assert read_settings(folder.settings) == ASKED


def test_a_second_process_is_locked_out(tmp_path: Path) -> None:
    """While one process works, another gets a sentence; afterwards it may go on."""
    folder = StudyFolder(tmp_path / "study")
    with folder.opened(ASKED, resume=False):
        assert "Another frostline process is working" in enter_from_another_process(folder.path)

    assert enter_from_another_process(folder.path) == "entered\n"


def test_what_was_acknowledged_is_found_on_resume(tmp_path: Path) -> None:
    """A resumed study reads the ledger of the interrupted one."""
    folder = StudyFolder(tmp_path / "study")
    begin(folder)
    with folder.opened(ASKED, resume=True) as ledger:
        assert ledger.fact("start") == "done"


def test_an_existing_study_is_not_overwritten(tmp_path: Path) -> None:
    """Without --resume a folder with a study is refused."""
    folder = StudyFolder(tmp_path / "study")
    begin(folder)
    with pytest.raises(StudyError, match=r"already holds a study\. Add --resume"), folder.opened(ASKED, resume=False):
        pass


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    """The sentence names the setting and both values."""
    folder = StudyFolder(tmp_path / "study")
    begin(folder)
    other = ASKED.model_copy(update={"seed": 4})
    with (
        pytest.raises(StudyError, match="was begun with seed = 3, now seed = 4 is asked"),
        folder.opened(other, resume=True),
    ):
        pass


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    """Frostline writes into no folder that somebody else uses, and leaves it as it was."""
    (tmp_path / "thesis.tex").touch()
    with (
        pytest.raises(StudyError, match="holds other files and no study"),
        StudyFolder(tmp_path).opened(ASKED, resume=False),
    ):
        pass

    assert not (tmp_path / "study.toml").exists()


def test_before_anything_was_acknowledged_settings_can_be_corrected(tmp_path: Path) -> None:
    """A study that ended on bad input is begun again with other settings, and those are written down."""
    folder = StudyFolder(tmp_path / "study")
    corrected = ASKED.model_copy(update={"positive": "spam"})
    with pytest.raises(StudyError, match="no such label"), folder.opened(ASKED, resume=False):
        raise StudyError("no such label")
    with folder.opened(corrected, resume=False):
        assert read_settings(folder.settings) == corrected


def test_a_failure_inside_releases_the_folder(tmp_path: Path) -> None:
    """After a crash the same process may resume."""
    folder = StudyFolder(tmp_path / "study")
    with pytest.raises(ZeroDivisionError), folder.opened(ASKED, resume=False):
        raise ZeroDivisionError
    with folder.opened(ASKED, resume=True) as ledger:
        assert ledger.openings() == []


def test_an_unfinished_study_has_no_record(tmp_path: Path) -> None:
    """Reading it says how to finish it."""
    folder = StudyFolder(tmp_path / "study")
    with folder.opened(ASKED, resume=False):
        pass
    with pytest.raises(StudyError, match=r"is not finished\. Go on with: frostline search"):
        read_record(folder.path)


def test_a_folder_without_a_study_has_no_record(tmp_path: Path) -> None:
    """Reading it says what is missing, and makes no ledger there."""
    with pytest.raises(StudyError, match="holds no study"):
        read_record(tmp_path)

    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- activations


def test_deleting_activations_frees_them_and_nothing_else(tmp_path: Path) -> None:
    """The bytes of every file below are told; a second time there is nothing to free."""
    folder = StudyFolder(tmp_path)
    begin(folder)
    (folder.activations / "shelf").mkdir(parents=True)
    (folder.activations / "shelf" / "a.rows").write_bytes(b"x" * 1000)
    (folder.activations / "b.json").write_bytes(b"y" * 24)
    before = {path for path in tmp_path.iterdir() if path != folder.activations}

    assert folder.delete_activations() == 1024
    assert folder.delete_activations() == 0
    assert set(tmp_path.iterdir()) == before
    with folder.opened(ASKED, resume=True) as ledger:
        assert ledger.fact("start") == "done"


def test_activations_of_a_study_that_runs_are_not_deleted(tmp_path: Path) -> None:
    """While a process works in the folder, deleting is refused with a sentence, and every row stays."""
    folder = StudyFolder(tmp_path)
    begin(folder)
    folder.activations.mkdir()
    (folder.activations / "a.rows").touch()
    with folder.opened(ASKED, resume=True):
        code = (
            "import sys; from pathlib import Path; from frostline.core.study_folder import StudyFolder\n"
            "try: StudyFolder(Path(sys.argv[1])).delete_activations()\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("StudyError Another frostline process is working in")
    assert (folder.activations / "a.rows").exists()
