"""`frostline check`: files in every format, guesses said aloud, exit codes, and nothing heavy imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from frostline.cli.app import app
from frostline.cli.check import parse_counts
from frostline.core.errors import BadInputError

FRAUD = "tp=12,fn=88,fp=12,tn=4888"
ROWS = (
    [("spam", "spam", 0.9)] * 95 + [("spam", "ham", 0.4)] * 5 + [("ham", "ham", 0.1)] * 195 + [("ham", "spam", 0.6)] * 5
)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def refusal(*arguments: str | Path) -> str:
    """The sentence of a refused command."""
    error = run(*arguments).exception
    assert isinstance(error, BadInputError), error
    return str(error)


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    file = tmp_path / "predictions.csv"
    rows = "".join(f"{label},{prediction},{score}\n" for label, prediction, score in ROWS)
    file.write_text(f"label,prediction,score\n{rows}", encoding="utf-8")
    return file


def written(folder: Path, suffix: str) -> Path:
    """The same predictions in another format."""
    file = folder / f"predictions{suffix}"
    if suffix == ".jsonl":
        file.write_text("".join(json.dumps({"label": y, "prediction": p}) + "\n" for y, p, _ in ROWS), encoding="utf-8")
    elif suffix == ".tsv":
        file.write_text("label\tprediction\n" + "".join(f"{y}\t{p}\n" for y, p, _ in ROWS), encoding="utf-8")
    else:
        import pyarrow
        import pyarrow.parquet

        columns = {"label": [y for y, _, _ in ROWS], "prediction": [p for _, p, _ in ROWS]}
        pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file


def test_a_column_that_is_missing_is_answered_with_its_option(predictions: Path) -> None:
    """Which of the columns it is, decides the option that names another."""
    assert refusal(predictions, "--label-column", "lable").endswith(
        "Did you mean 'label'? Name it with --label-column."
    )
    assert refusal(predictions, "--prediction-column", "answer").endswith("Name it with --prediction-column.")
    assert refusal(predictions, "--score-column", "scores").endswith("Name it with --score-column.")
    assert refusal(predictions, "--separator", ";", "--prediction-column", "answer").endswith("--prediction-column.")


def test_good_predictions_are_ready(predictions: Path) -> None:
    """95 of 100 found with 5 false alarms: exit code 0."""
    result = run(predictions, "--positive", "spam")

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("READY")
    assert result.stderr == ""


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv", ".parquet"])
def test_format_of_the_file_changes_nothing(predictions: Path, tmp_path: Path, suffix: str) -> None:
    """The same rows as JSONL, TSV or Parquet give the same document."""
    other = run(written(tmp_path, suffix), "--positive", "spam", "--json")

    assert json.loads(other.stdout) == json.loads(run(predictions, "--positive", "spam", "--json").stdout)


def test_json_is_the_contract_and_nothing_else() -> None:
    """One document on standard output with all fields that others may rely on; the exit code is that of the verdict."""
    result = run("--counts", FRAUD, "--positive", "fraud", "--json")
    document = json.loads(result.stdout)

    assert result.exit_code == document["exit_code"] == 1
    assert (document["schema"], document["verdict"]) == ("frostline.verdict/1", "NOT READY")
    assert document["positive"] == "fraud"
    assert document["confusion"] == {"tp": 12, "fn": 88, "fp": 12, "tn": 4888}
    assert set(document["metrics"]) == {"accuracy", "recall", "precision", "f1", "balanced_accuracy", "mcc"}
    assert set(document["metrics"]["accuracy"]) >= {"value", "low", "high"}
    assert set(document["floors"][0]) >= {"metric", "floor", "bound", "met"}
    assert document["floors"][0]["met"] == "no"
    assert set(document["findings"][0]) >= {"code", "name", "severity", "sentence", "next"}
    assert document["findings"][0]["code"] == "FRL101"


def test_missing_positive_is_guessed_aloud(predictions: Path) -> None:
    """The rarer label is taken, and standard error says so while standard output stays one document."""
    result = run(predictions, "--json")

    assert json.loads(result.stdout)["positive"] == "spam"
    assert "'spam', the rarer label, is taken as the positive one" in result.stderr


def test_tie_between_two_labels_is_not_guessed(tmp_path: Path) -> None:
    """With as many of either class nothing is rarer: the user must say."""
    file = tmp_path / "tie.csv"
    file.write_text("label,prediction\na,a\nb,b\n", encoding="utf-8")

    assert "say which one is to be found" in refusal(file)


def test_several_classes_need_no_positive(tmp_path: Path) -> None:
    """Three classes are judged by their means, without a word about a positive one."""
    file = tmp_path / "three.csv"
    file.write_text("label,prediction\n" + "a,a\nb,b\nc,c\n" * 60, encoding="utf-8")
    result = run(file)

    assert result.exit_code == 0
    assert result.stderr == ""


def test_own_columns_and_floors_are_used(predictions: Path) -> None:
    """Columns by name, a score column, several floors."""
    renamed = predictions.with_name("renamed.csv")
    text = predictions.read_text(encoding="utf-8").replace("label,prediction,score", "y,guess,p", 1)
    renamed.write_text(text, encoding="utf-8")
    result = run(
        renamed, "--label-column", "y", "--prediction-column", "guess", "--score-column", "p", "--positive", "spam",
        "--floor", "recall>=85%", "--floor", "precision >= 0.85", "--json",
    )  # fmt: skip
    floors = json.loads(result.stdout)["floors"]

    assert [(floor["metric"], floor["floor"], floor["default"]) for floor in floors] == [
        ("recall", 0.85, False),
        ("precision", 0.85, False),
    ]


def test_score_column_is_measured(predictions: Path) -> None:
    """With scores the document holds what they are worth; without, nothing."""
    scored = json.loads(run(predictions, "--positive", "spam", "--score-column", "score", "--json").stdout)["scored"]

    assert set(scored) == {"roc_auc", "pr_auc", "brier", "calibration_error", "log_loss"}
    assert scored["roc_auc"]["low"] <= scored["roc_auc"]["value"] <= scored["roc_auc"]["high"]
    assert json.loads(run(predictions, "--positive", "spam", "--json").stdout)["scored"] == {}


def test_separator_splits_cells_into_labels(tmp_path: Path) -> None:
    """Two labels in a cell, blanks around them, and an empty cell for no label."""
    file = tmp_path / "topics.csv"
    file.write_text("label,prediction\n" + "bill; late,late;bill\n,\n" * 60, encoding="utf-8")
    result = run(file, "--separator", ";", "--json")
    document = json.loads(result.stdout)

    assert (result.exit_code, document["average"]) == (0, "multilabel")
    assert [each["label"] for each in document["per_class"]] == ["bill", "late"]
    assert document["metrics"]["accuracy"]["value"] == 1
    assert run(file, "--separator", ";").stdout.startswith("READY")


@pytest.mark.parametrize("options", [("--separator", " "), ("--separator", ";", "--positive", "spam")])
def test_separator_goes_with_nothing_else(predictions: Path, options: tuple[str, ...]) -> None:
    """An empty separator, or one beside a positive label, is refused."""
    assert "--separator parts the labels of a cell" in refusal(predictions, *options)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "not neither"),
        (("--counts", "tp=1,fn=2"), "tp, fn, fp and tn are needed"),
        (("--counts", "tp=1,fn=2,fp=3,tn=x"), "tp, fn, fp and tn are needed"),
        (("--counts", "tp=1,fn=2,fp=3,tp=4"), "tp, fn, fp and tn are needed"),
        (("--counts", FRAUD, "--floor", "recal>=0.8"), "Did you mean 'recall'?"),
        (("missing.csv",), "missing.csv"),
    ],
)
def test_bad_commands_are_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    """What was asked and what to do, without a traceback."""
    assert said in refusal(*arguments)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--label-column", "labl"), "Did you mean 'label'?"),
        (("--positive", "spma"), "Did you mean 'spam'?"),
        (("--score-column", "label"), "predictions.csv row 2 holds 'spam' in column 'label'"),
        (("--counts", FRAUD), "not both"),
    ],
)
def test_bad_files_are_a_sentence_with_the_place(predictions: Path, options: tuple[str, ...], said: str) -> None:
    """File, row and column are named."""
    assert said in refusal(predictions, *options)


def test_empty_prediction_names_its_row(tmp_path: Path) -> None:
    """A hole in the file is not a class of its own."""
    file = tmp_path / "holes.csv"
    file.write_text("label,prediction\na,a\nb,\na,b\n", encoding="utf-8")

    assert "holes.csv row 3" in refusal(file)


def test_counts_come_in_any_order() -> None:
    """The names decide, not the places."""
    assert parse_counts("tn=4,tp=1, fp = 3,FN=2") == {"tp": 1, "fn": 2, "fp": 3, "tn": 4}


@pytest.mark.parametrize(("arguments", "code"), [(["--counts", FRAUD], 1), (["--counts", "tp=1"], 2)])
def test_answer_comes_without_torch(arguments: list[str], code: int) -> None:
    """Neither torch nor scikit-learn nor scipy.stats is loaded, and bad input exits with 2 and one line."""
    program = (
        "import atexit, sys\n"
        "heavy = ('torch', 'sklearn', 'scipy.stats', 'pandas', 'transformers')\n"
        "atexit.register(lambda: print('LOADED', [name for name in heavy if name in sys.modules]))\n"
        "from frostline.cli.app import main\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, "check", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        check=False,
    )

    assert result.stdout.endswith("LOADED []\n")
    assert result.returncode == code
    assert len(result.stderr.splitlines()) == (1 if code == 2 else 0)
