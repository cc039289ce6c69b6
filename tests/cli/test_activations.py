"""Where frozen computation is kept, as a user types it: `search --activations`, `--clean`, and `frostline clean`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

import frostline as fl
from factories import SWEEP, write_images, write_messages
from frostline.cli.app import main
from frostline.core.settings import read_settings
from frostline.core.study_folder import StudyFolder, read_record
from sweeps import FAST_TO_READ

Run = Callable[..., tuple[int, str, str]]
DONE = (0, 1, 4)
"""Exit codes of a study that came to its end."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Type a command; get its exit code, standard output and standard error. Reading is worth it."""
    monkeypatch.setattr("frostline.train.activations.measure_speeds", lambda forward, folder: FAST_TO_READ)

    def typed(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["frostline", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        captured = capsys.readouterr()
        return int(exit.value.code or 0), captured.out, captured.err

    return typed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that keeps its activations on disk. Not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    data = write_messages(folder / "messages.csv", rows=120)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("frostline.train.activations.measure_speeds", lambda forward, folder: FAST_TO_READ)
        fl.Study(
            budget="all", model="factories:tiny_text", data=data, epochs=1, activations="disk", out=folder / "study"
        ).run()
    return folder / "study"


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return copytree(finished, tmp_path / "study")


def search(folder: Path, *more: object) -> list[object]:
    data = write_messages(folder / "messages.csv", rows=120)
    usual = [*SWEEP, "--data", data, "--epochs", 1, "--out", folder / "study"]
    return [*usual, *more]


def kept_bytes(study: Path) -> int:
    return sum(path.stat().st_size for path in (study / "activations").rglob("*") if path.is_file())


def without_report(study: Path) -> set[str]:
    """Files that must outlive their activations."""
    files = {path.relative_to(study).as_posix() for path in study.rglob("*") if path.is_file()}
    return {name for name in files if not name.startswith(("activations/", "ledger.sqlite-"))}


def test_clean_frees_what_was_kept_and_says_how_much(study: Path, run: Run, tmp_path: Path) -> None:
    """Verdict, report and weights stay, the study is judged as before, and a second time nothing is freed."""
    size = kept_bytes(study)
    before, judged = without_report(study), run("judge", study)
    code, out, err = run("clean", study)

    assert size > 0
    assert (code, err) == (0, "")
    assert re.fullmatch(r"Freed \S+ k?B in \S+activations\.\n", out.replace(str(tmp_path), ""))
    assert float(out.split()[1]) == pytest.approx(size / 1000, rel=0.01)
    assert kept_bytes(study) == 0 and without_report(study) == before
    assert run("judge", study) == judged
    assert run("clean", study)[1].startswith("Freed 0 B in ")


@pytest.mark.parametrize("missing", [True, False])
def test_clean_where_no_study_is_does_nothing(missing: bool, run: Run, tmp_path: Path) -> None:
    """A folder of other things, or none at all: a sentence and exit code 2, and nothing is deleted or made."""
    folder = tmp_path / "other"
    if not missing:
        (folder / "activations").mkdir(parents=True)
        (folder / "activations" / "mine.rows").touch()
    code, out, err = run("clean", folder)

    assert (code, out) == (2, "")
    assert err == f"{folder} holds no study: ledger.sqlite is missing. Give the folder that --out named.\n"
    assert folder.exists() != missing
    assert missing or [path.name for path in folder.rglob("*")] == ["activations", "mine.rows"]


def test_clean_while_the_study_runs_is_refused(study: Path, run: Run) -> None:
    """Exit code 2 with a sentence; the rows stay."""
    folder, size = StudyFolder(study), kept_bytes(study)
    with folder.opened(read_settings(folder.settings), resume=True):
        code, _, err = run("clean", study)

    assert code == 2 and "Another frostline process is working in" in err
    assert kept_bytes(study) == size > 0


def test_search_cleans_up_when_it_is_asked_to(finished: Path, run: Run, tmp_path: Path) -> None:
    """With --clean no row stays and the record still tells what was kept; without it they stay."""
    code, out, _ = run(*search(tmp_path, "--activations", "disk", "--clean", "--json"))

    assert code in DONE and json.loads(out)["exit_code"] == code
    assert kept_bytes(finished) > 0 == kept_bytes(tmp_path / "study")
    replay = read_record(tmp_path / "study").replay
    assert replay is not None and replay.kept_bytes > 0


def test_options_reach_the_study(run: Run, tmp_path: Path) -> None:
    """Place, budget and precision are written down in the study file, and the study keeps to them."""
    options = ("--activations", "memory", "--activations-gib", 1e-6, "--activations-half")
    code, out, err = run(*search(tmp_path, *options))
    settings = read_settings(tmp_path / "study" / "study.toml")
    replay = read_record(tmp_path / "study").replay

    assert code in DONE
    assert (settings.activations, settings.activations_gib, settings.activations_half) == ("memory", 1e-6, True)
    assert replay is not None and replay.kept_bytes <= 2**30 / 1e6 and replay.half_error is not None
    assert "kept in memory" in err
    assert "Frozen computation was replayed for 2 of 3 freeze plans" in " ".join(out.split())


def test_off_is_off(run: Run, tmp_path: Path) -> None:
    """Nothing is prepared, and the last line before the report says so."""
    code, out, err = run(*search(tmp_path, "--activations", "off"))

    assert code in DONE
    assert read_record(tmp_path / "study").replay is None
    assert "Replay of frozen computation was switched off." in out
    assert "activations of" not in err and not (tmp_path / "study" / "activations").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--activations", "nonsense"], "activations is 'nonsense': input should be 'auto', 'memory', 'disk' or 'off'"),
        (["--activations-gib", "0"], "activations_gib is 0.0: input should be greater than 0"),
        (["--augment", "blur"], "there is no augmentation 'blur'. There is: flip, shift."),
        (["--augment", "shfit"], "Did you mean 'shift'?"),
        (["--augment", "shift,flip"], "--augment shift,flip is for images, and the data are texts. Leave it out."),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, run: Run, tmp_path: Path
) -> None:
    """What was asked and what there is; no traceback."""
    code, out, err = run(*search(tmp_path, *arguments))

    assert (code, out) == (2, "")
    assert sentence in err.strip().splitlines()[-1]
    assert "Traceback" not in err


def test_images_are_augmented_when_asked(run: Run, tmp_path: Path) -> None:
    """Said aloud: candidates are trained in step, and why."""
    data = write_images(tmp_path / "photos", each=16)
    code, _, err = run(
        *("search", "--budget", "all", "--model", "factories:tiny_image", "--data", data, "--epochs", 1),
        *("--augment", "shift,flip", "--out", tmp_path / "study"),
    )

    assert code in DONE
    assert "images are augmented at random" in err and "trained in step" in err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("search", ["--activations", "auto, memory, disk", "--activations-gib", "--activations-half", "float16"]),
        ("search", ["--clean", "Delete the stored activations when the study is done", "--augment", "shift, flip"]),
        ("clean", ["Delete the stored activations of a study", "frostline clean studies/spam", "weights stay"]),
    ],
)
def test_help_says_what_there_is(command: str, words: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option and the command, with what it does."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    code, out, _ = run(command, "--help")
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", out).split())

    assert code == 0
    assert [word for word in words if word not in text] == []
