"""`frostline audit`: the same sentences as the judge, before any model, with exit codes that a pipeline can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from builders import make_study
from frostline.cli.app import app, main
from frostline.core.errors import BadInputError
from frostline.core.records import Overlap
from frostline.judge.data_checks import DATA_CHECKS, audit_findings
from frostline.judge.registry import CHECKS
from frostline.judge.verdict import judge_study


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


def message(number: int) -> str:
    return " ".join(str(word) for word in np.random.default_rng(number).integers(1000, 9999, 20))


def write(path: Path, first: int, count: int, more: str = "") -> Path:
    """Every third message is spam; no two are alike."""
    lines = "".join(f"{'spam' if n % 3 == 0 else 'ham'},{message(n)}\n" for n in range(first, first + count))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"label,text\n{lines}{more}", encoding="utf-8")
    return path


def given_splits(folder: Path, leak: int = 0) -> Path:
    """Train and test files; the first test messages also stand in train with a word more."""
    write(folder / "train.csv", 0, 300, "".join(f"ham,{message(1001 + 3 * n)} again\n" for n in range(leak)))
    write(folder / "test.csv", 1000, 150)
    return folder


def test_clean_data_exit_with_0(tmp_path: Path) -> None:
    """Splits with their classes, what was looked at, and what was read are said."""
    result = run(write(tmp_path / "m.csv", 0, 600))

    assert result.exit_code == 0, result.output
    assert "CLEAN: nothing stands against the data." in result.output
    assert "Split   Examples  ham  spam  From" in result.output
    assert "test         120   80    40  20 % of m.csv" in result.output
    assert "FRL504 near-duplicates-across-splits: No near-duplicates" in result.output
    assert "positive class: 'spam'" in result.output


def test_near_duplicates_of_the_test_are_invalid(tmp_path: Path) -> None:
    """Two of 150 test messages, 1.3 %, are in train but for a word: exit 5, with places and advice."""
    clean, leaking = run(given_splits(tmp_path / "clean")), run(given_splits(tmp_path / "leaking", leak=2))

    assert clean.exit_code == 0, clean.output
    assert leaking.exit_code == 5
    assert "issue FRL504" in leaking.output and "test.csv row 3 ~ train.csv row 302" in " ".join(leaking.output.split())


def test_one_near_duplicate_is_a_note(tmp_path: Path) -> None:
    """Below 1 % of the test nothing is broken."""
    result = run(given_splits(tmp_path, leak=1))

    assert result.exit_code == 0 and "note FRL504" in result.output


def test_json_is_one_document(tmp_path: Path) -> None:
    """Schema, verdict, exit code, data and findings, the issue first; nothing else on standard output."""
    write(tmp_path / "m.csv", 0, 60)
    table = (tmp_path / "m.csv").read_text(encoding="utf-8").splitlines()
    numbers = [f"{line.split(',')[0]},{n},{int(line.startswith('spam'))}" for n, line in enumerate(table[1:])]
    many = [line for n in range(6) for line in (f"{row.split(',')[0]},{n}{row.split(',', 1)[1]}" for row in numbers)]
    (tmp_path / "n.csv").write_text("\n".join(["label,size,refunded", *many]) + "\n", encoding="utf-8")

    result = run(tmp_path / "n.csv", "--json")

    document = json.loads(result.stdout)
    assert list(document) == ["schema", "verdict", "exit_code", "data", "findings"]
    assert (document["schema"], document["verdict"]) == ("frostline.audit/1", "ISSUE")
    assert document["exit_code"] == result.exit_code == 1
    assert document["findings"][0]["code"] == "FRL505" and "'refunded'" in document["findings"][0]["next"]
    assert document["data"]["audit"]["giveaways"][0]["name"] == "refunded"


def test_few_positives_are_noted(tmp_path: Path) -> None:
    """Where 20 % of 60 examples judge, four are spam: a note says how many are missing."""
    result = run(write(tmp_path / "m.csv", 0, 60))

    assert result.exit_code == 0
    assert "note FRL102" in result.output and "26 more of 'spam'" in result.output


def test_of_many_classes_the_rarest_are_shown(tmp_path: Path) -> None:
    """Nine classes: six columns, the rarest first, and what the others have at least."""
    lines = "".join(f"c{label},{message(100 * label + n)}\n" for label in range(9) for n in range(20 + 10 * label))
    (tmp_path / "m.csv").write_text(f"label,text\n{lines}", encoding="utf-8")

    result = run(tmp_path / "m.csv")

    assert "Split   Examples  c0  c1  c2  c3  c4  c5  From" in result.output
    assert "3 more classes have at least 16 test examples each." in result.output


def test_suspected_images_are_said_and_decide_nothing(tmp_path: Path) -> None:
    """A picture saved again in train is named; only embeddings could confirm it."""
    for split, first in (("train", 0), ("test", 1000)):
        for kind, label in enumerate(("cat", "dog", "owl")):
            (tmp_path / split / label).mkdir(parents=True)
            for n in range(12):
                pixels = np.random.default_rng(first + 100 * kind + n).integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{n}.png")
    again = Image.open(tmp_path / "test" / "cat" / "3.png").resize((32, 32), Image.Resampling.NEAREST)
    again.save(tmp_path / "train" / "cat" / "x.png")

    result = run(tmp_path)

    assert result.exit_code == 0, result.output
    assert "such as test/cat/3.png ~ train/cat/x.png" in " ".join(result.output.split())


def test_the_same_inputs_twice_are_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence on standard error and exit 5; with --json a document that says the same."""
    write(tmp_path / "train.csv", 0, 60)
    write(tmp_path / "val.csv", 100, 40)
    write(tmp_path / "test.csv", 100, 40)
    monkeypatch.setattr(sys, "argv", ["frostline", "audit", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()

    said = capsys.readouterr()
    assert stopped.value.code == 5 and said.out == ""
    assert said.err.startswith("INVALID: val.csv and test.csv hold the very same inputs")
    document = json.loads(run(tmp_path, "--json").stdout)
    assert (document["verdict"], document["exit_code"], document["data"]) == ("INVALID", 5, None)
    assert document["findings"][0]["breaks_evidence"] and document["findings"][0]["sentence"] == said.err.strip()


def test_bad_input_is_refused(tmp_path: Path) -> None:
    """What cannot be read is exit 2: a sentence, raised as the other commands raise it."""
    assert isinstance(run(tmp_path / "none.csv").exception, BadInputError)
    error = run(write(tmp_path / "m.csv", 0, 60), "--time-column", "sent").exception
    assert isinstance(error, BadInputError) and "no column 'sent'" in str(error)


def test_time_slice_and_group_options_reach_the_data(tmp_path: Path) -> None:
    """Each is said among what was read."""
    lines = "".join(f"{'spam' if n % 3 == 0 else 'ham'},{message(n)},{n},{n % 2}\n" for n in range(300))
    (tmp_path / "m.csv").write_text(f"label,text,sent,source\n{lines}", encoding="utf-8")

    result = run(tmp_path / "m.csv", "--time-column", "sent", "--slice-column", "source")

    assert result.exit_code == 0, result.output
    assert "time column: 'sent'" in result.output and "slice column: 'source'" in result.output
    assert "50 % of m.csv by time" in result.output
    assert "FRL506 later-than-test: Nothing that trains" in result.output


@pytest.mark.parametrize("overlap", [0, 5, 20])
def test_audit_and_judge_say_the_same(overlap: int) -> None:
    """Every check on data answers alike from a study and from its data alone."""
    near = Overlap(kind="near text", earlier="train", later="test", examples=overlap, share=overlap / 1020)
    study = make_study(audit={"overlaps": (near,), "conflicting": overlap, "near_clusters": 3})
    judged = {finding.code: finding for finding in judge_study(study).checks}

    for finding in audit_findings(study.data):
        assert finding == judged[finding.code]


def test_audit_asks_in_the_order_of_codes() -> None:
    """Its checks are those of the judge, and no other."""
    codes = [check.code for check in DATA_CHECKS]

    assert codes == [check.code for check in CHECKS if check in DATA_CHECKS]
    assert codes == ["FRL102", "FRL501", "FRL504", "FRL505", "FRL506", "FRL507", "FRL508"]


def test_audit_needs_no_torch(tmp_path: Path) -> None:
    """It answers before torch would have been imported; and data of numbers do not even load the hashing of texts."""
    rng = np.random.default_rng(0)
    lines = "".join(f"{'bad' if n % 3 == 0 else 'good'},{rng.normal()}\n" for n in range(90))
    (tmp_path / "n.csv").write_text(f"label,size\n{lines}", encoding="utf-8")
    code = (
        "import sys; from typer.testing import CliRunner; from frostline.cli.app import app; "
        "answer = CliRunner().invoke(app, ['audit', sys.argv[1]]); "
        "sys.exit('torch' in sys.modules or 'datasketch' in sys.modules or answer.exit_code)"
    )

    subprocess.run([sys.executable, "-c", code, str(tmp_path / "n.csv")], check=True, timeout=60, env=dict(os.environ))
