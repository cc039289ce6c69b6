"""`frostline search`, `judge`, `report`, `blocks`, `demo` as a user types them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from factories import SWEEP, write_images, write_messages
from frostline.cli.app import main
from frostline.core.settings import Settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Type a command; get its exit code, standard output and standard error."""

    def typed(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["frostline", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        captured = capsys.readouterr()
        return int(exit.value.code or 0), captured.out, captured.err

    return typed


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    return write_messages(tmp_path / "messages.csv")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study, made by the command line with --json."""
    folder = tmp_path_factory.mktemp("cli")
    write_messages(folder / "messages.csv")
    command = [sys.executable, "-m", "frostline", *SWEEP, "--positive", "spam"]
    command += ["--data", "messages.csv", "--epochs", "1", "--out", "study", "--json"]
    path = str(Path(__file__).parents[1])
    done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    (folder / "out.json").write_text(done.stdout)
    (folder / "exit.txt").write_text(str(done.returncode))
    return folder / "study"


def test_json_is_one_document_with_the_keys_of_the_contract(study: Path) -> None:
    """Standard output holds the verdict and chosen, candidates, cost, proof and forgetting, and nothing else."""
    document = json.loads((study.parent / "out.json").read_text())

    assert document["schema"] == "frostline.verdict/1"
    assert document["exit_code"] == int((study.parent / "exit.txt").read_text())
    assert {"candidate", "plan", "freeze_depth", "frozen"} <= set(document["chosen"])
    assert {"search_flops", "full_finetune_flops", "sweep_flops", "bound_flops", "seconds"} <= set(document["cost"])
    assert document["proof"]["frozen_unchanged"] is True
    assert document["forgetting"]["measured"] is False
    assert len(document["candidates"]) == 4


def test_judge_again_without_torch(study: Path) -> None:
    """`frostline judge` on a finished study imports no torch, and a floor out of reach changes the answer."""
    code = (
        "import sys; sys.argv = ['frostline', 'judge', sys.argv[1], '--floor', 'recall>=0.999', '--json']\n"
        "from frostline.cli.app import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, study], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    verdict = json.loads(done.stdout)
    assert [floor["metric"] for floor in verdict["floors"]] == ["recall"]
    assert done.returncode == verdict["exit_code"] != 0


def test_report_is_written_again(study: Path, run: Run) -> None:
    """`frostline report` makes the same two files from the ledger."""
    before = {name: (study / name).read_bytes() for name in ("report.html", "report.json")}
    for name in before:
        (study / name).unlink()
    code, out, _ = run("report", study)

    assert code == 0 and "report.html" in out
    assert {name: (study / name).read_bytes() for name in before} == before


def test_a_study_file_asks_again_what_it_asked(
    study: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`frostline search study.toml` runs the same study; an option overrides the file."""
    monkeypatch.chdir(study.parent)
    code, out, _ = run("search", study / "study.toml", "--seed", 1, "--out", tmp_path / "again", "--json")

    assert code in (0, 1, 4)
    settings = (tmp_path / "again" / "study.toml").read_text()
    assert "seed = 1" in settings and "epochs = 1" in settings
    assert json.loads(out)["positive"] == "spam"


def test_a_person_reads_the_verdict_first(messages: Path, run: Run, tmp_path: Path) -> None:
    """Without --json: notes on standard error, the verdict and where the report lies on standard output."""
    code, out, err = run(*SWEEP, "--data", messages, "--epochs", 1, "--out", tmp_path / "study")

    assert out.splitlines()[0] in ("READY", "NOT READY", "INCONCLUSIVE")
    assert code == {"READY": 0, "NOT READY": 1, "INCONCLUSIVE": 4}[out.splitlines()[0]]
    assert out.strip().endswith("report.html")
    assert "text column: 'text'" in err and "chosen:" in err


def test_blocks_in_execution_order(run: Run) -> None:
    """`frostline blocks` lists what plans name."""
    code, out, _ = run("blocks", "factories:tiny_text", "--json")

    assert code == 0
    assert [block["name"] for block in json.loads(out)] == ["embedding", "layers.0", "layers.1", "head"]
    code, out, _ = run("blocks", "factories:tiny_image", "--image-size", 16)
    assert [line.split()[0] for line in out.splitlines()] == ["block", "stem", "body", "head"]


def test_demo_data_is_exported_as_files(run: Run, tmp_path: Path) -> None:
    """`frostline demo NAME --export` writes the data as a user would have them."""
    assert run("demo", "spam", "--export", tmp_path)[0] == 0
    assert (tmp_path / "messages.csv").read_text("utf-8").startswith("label,text\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv"),
        (["--label-column", "lable"], "Did you mean 'label'?"),
        (["--positive", "span"], "Did you mean 'spam'?"),
        (["--plans", "embeding"], "Did you mean 'embedding'?"),
        (["--plans", "*"], "nothing is left to train"),
        (["--floor", "recal>=0.8"], "Did you mean 'recall'?"),
        (["--floor", "recall"], "METRIC>=NUMBER"),
        (["--model", "nowhere"], "neither a folder nor 'module:function'"),
        (["--model", "factories:tiny_texd"], "Did you mean 'tiny_text'?"),
        (["--epochs", "0"], "epochs"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, messages: Path, run: Run, tmp_path: Path
) -> None:
    """Whatever cannot be used is named, with what to do; there is no traceback and no study folder is blocked."""
    usual = {"--model": "factories:tiny_text", "--data": str(messages), "--out": str(tmp_path / "study")}
    options = usual | dict(zip(arguments[::2], arguments[1::2], strict=True))
    code, out, err = run("search", *[part for pair in options.items() for part in pair])

    last = err.strip().splitlines()[-1]
    assert code == 2 and out == ""
    assert sentence in last and last.endswith((".", "?", "`"))
    assert "Traceback" not in err


def test_the_command_that_an_export_prints_works_as_printed(run: Run, tmp_path: Path) -> None:
    """Model and data are found by it, also below a folder with a space in its name."""
    out = run("demo", "spam", "--export", tmp_path / "my data")[1]
    command = next(line for line in out.splitlines() if line.startswith("Run: frostline "))
    code, out, _ = run(*shlex.split(command.removeprefix("Run: frostline ")), "--dry-run")

    assert code == 0 and "depth-1" in out


def test_a_study_folder_in_place_of_its_file_is_answered_with_the_command(
    study: Path, run: Run, tmp_path: Path
) -> None:
    """Given alone or as --out, the folder is known; the command in the answer resumes. One without a study is told."""
    wanted = f"frostline search {study / 'study.toml'} --resume"

    assert run("search", study, "--resume")[::2] == (2, f"{study} is a study folder: go on with {wanted}\n")
    assert run("search", "--out", study, "--resume")[::2] == (2, f"{study} is a study folder: go on with {wanted}\n")
    assert "without study.toml" in run("search", tmp_path)[2]
    assert "--model is missing" in run("search", "--out", tmp_path, "--resume")[2]


def test_help_shows_the_defaults_that_hold(run: Run) -> None:
    """Settings is the oracle: a default in square brackets would be taken for markup and swallowed."""
    text = " ".join(run("search", "--help")[1].replace("│", " ").split())

    for option, default in (("Most epochs", "5"), ("Examples per step", "32"), ("Epochs without", "2")):
        assert f"Default: {default}." in text.partition(option)[2][:120]
    fields = Settings.model_fields
    assert [fields[name].default for name in ("epochs", "batch_size", "patience")] == [5, 32, 2]
    assert text.count("Default: ") == 19


def test_after_bad_input_the_corrected_command_works(messages: Path, run: Run, tmp_path: Path) -> None:
    """A study that never began does not stand in the way of the next try."""
    usual = [*SWEEP, "--data", messages, "--out", tmp_path / "study", "--epochs", 1]

    assert run(*usual, "--label-column", "lable")[0] == 2
    assert run(*usual)[0] in (0, 1, 4)


def test_model_folder_without_weights(messages: Path, run: Run, tmp_path: Path) -> None:
    """The file that is missing is named."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "bert"}')
    code, _, err = run("search", "--model", tmp_path / "model", "--data", messages, "--out", tmp_path / "study")

    assert code == 2 and "model.safetensors is missing" in err


def test_a_corrupt_image_is_named(run: Run, tmp_path: Path) -> None:
    """The file and what to do with it."""
    folder = write_images(tmp_path / "photos")
    (folder / "red" / "05.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    code, _, err = run("search", "--model", "factories:tiny_image", "--data", folder, "--out", tmp_path / "study")

    assert code == 2 and "05.png" in err


def test_usage_errors_exit_with_2(run: Run) -> None:
    """An unknown option or a missing model is bad usage."""
    assert run("search", "--modle", "x")[0] == 2
    code, _, err = run("search", "--data", "messages.csv")
    assert code == 2 and "--model is missing" in err


def test_an_internal_fault_exits_with_3(run: Run, monkeypatch: pytest.MonkeyPatch, study: Path) -> None:
    """What is not the user's fault is not called so."""
    monkeypatch.setattr("frostline.judge.asked.judge_study", lambda *given: 1 / 0)
    code, _, err = run("judge", study)

    assert code == 3 and "fault in frostline" in err
