"""Claims about studies side by side: nothing that each of them says is lost, and nothing is read into it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from builders import make_forgetting, make_study
from frostline.cli.app import main
from frostline.core.errors import StudyError
from frostline.core.records import Confirmation, Opening, StudyRecord
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder, keep_record
from frostline.report.compare_text import print_comparison
from frostline.report.compare_view import CompareView, Judged, compare_document, compare_studies
from frostline.report.html import render_page
from frostline.report.parts import Table
from frostline.report.words import demand
from report.samples import HOSTILE, judged, renamed
from report.test_html import Page


def named(*records: StudyRecord) -> list[tuple[str, Judged]]:
    return [(f"study-{number}", Judged(*judged(record))) for number, record in enumerate(records)]


def printed(view: CompareView) -> str:
    console = Console(file=StringIO(), width=80)
    print_comparison(view, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def cells(tables: Sequence[Table]) -> dict[tuple[str, str], str]:
    """What is told, by study and fact, whichever way the tables lie."""
    found = {}
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.columns[1:], row.cells[1:], strict=True):
                study, fact = (row.cells[0], column) if table.columns[0] == "Study" else (column, row.cells[0])
                found[study, fact] = cell
    return found


def lowest_loss(record: StudyRecord) -> float:
    """Of the chosen candidate on the stop split: its weights were kept from there."""
    return min(e.stop_loss for e in record.run_of(record.choice.candidate).epochs if e.stop_loss is not None)


def on_other_test(record: StudyRecord) -> StudyRecord:
    openings = tuple(opening.model_copy(update={"test_sha256": "e" * 64}) for opening in record.openings)
    return record.model_copy(update={"openings": openings})


def on_other_data(record: StudyRecord) -> StudyRecord:
    data = record.data.model_copy(update={"content_sha256": "e" * 64, "source": "other.csv"})
    return record.model_copy(update={"data": data})


@pytest.mark.parametrize("copies", [1, 3])
def test_every_study_says_what_it_says_alone(copies: int) -> None:
    """Verdict, plan, metric, floors, loss, cost, forgetting and findings are those of the records, in either layout."""
    good = make_study(forgetting={"depth-4": make_forgetting(lost=40, gained=0)})
    studies = named(*[good, make_study(chosen="depth-6")] * copies)

    told = cells(compare_studies(studies).tables)

    assert told["study-0", "Verdict"] == "READY"
    assert told["study-1", "Verdict"] == "NOT READY"
    assert told["study-1", "Chosen plan"].startswith("depth-6")
    assert told["study-0", "Freeze depth"] == "4 of 8 blocks"
    assert re.fullmatch(r"95\.3 % \(\d\d\.\d to \d\d\.\d %\)", told["study-0", "F1 on test"])
    assert told["study-0", "Floors"] == "\n".join(
        f"{metric} {demand(metric.lower(), 0.8)}: met" for metric in ("Recall", "Precision")
    )
    assert told["study-0", "Validation loss"] == f"{lowest_loss(good):.3f}"
    assert told["study-0", "Search, in full fine-tunes"] == "4.12"
    assert told["study-0", "Forgetting of the old task"].startswith("+2.0 (")
    assert told["study-1", "Forgetting of the old task"] == "not measured"
    for name, study in studies:
        codes = [finding.code for finding in study.verdict.findings]
        assert re.findall(r"FRL\d+", told[name, "Findings"]) == codes
    assert "FRL103" in told["study-1", "Findings"]


def test_a_clean_study_has_no_findings() -> None:
    """Where no check found anything the cell says so, in either layout."""
    record, verdict = judged(make_study())
    clean = Judged(record, verdict.model_copy(update={"findings": ()}))
    for copies in (2, 5):
        view = compare_studies([(f"study-{number}", clean) for number in range(copies)])
        assert cells(view.tables)["study-0", "Findings"] == "none"


def test_more_than_four_are_rows() -> None:
    """Up to four studies are columns; from five on each is a row, and each stays one row at 80 columns."""
    assert compare_studies(named(*[make_study()] * 4)).wide
    many = compare_studies(named(*[make_study()] * 5))
    assert not many.wide
    assert all([row.cells[0] for row in table.rows] == [f"study-{n}" for n in range(5)] for table in many.tables)
    assert max(map(len, printed(many).splitlines())) <= 80


def test_other_data_are_refused() -> None:
    """Studies of different data get a sentence that names both."""
    studies = named(make_study(), make_study(), on_other_data(make_study()))

    for compare in (compare_studies, compare_document):
        with pytest.raises(StudyError, match=r"study-2 is a study of other data \(other\.csv.*study-0 \(messages\.csv"):
            compare(studies)


def test_the_same_test_split_is_said_with_its_readings() -> None:
    """One split: how often its labels were read counts each reading once, whoever tells of it."""
    first = make_study(openings=2)
    before = Opening(at="2026-01-01T00:00:00Z", test_sha256="d" * 64, contenders=("full",), study="older")
    second = make_study().model_copy(update={"earlier_openings": (before, first.openings[1])})
    view = compare_studies(named(first, second))

    assert "same test split, of which the labels were read 3 times" in " ".join(view.notes)
    assert "F1 on test" in {row.cells[0] for row in view.tables[0].rows}
    assert cells(view.tables)["study-1", "Test labels read"] == "once by it, 2 times before"


def test_different_test_splits_are_said() -> None:
    """The table itself says that test numbers are not of the same examples, and so does a sentence."""
    view = compare_studies(named(make_study(), on_other_test(make_study()), make_study()))
    notes = " ".join(view.notes)

    assert "F1 on test, not of the same examples" in {row.cells[0] for row in view.tables[0].rows}
    assert "Their test splits differ" in notes
    assert "that of study-0 and study-2: once; that of study-1: once" in notes
    assert compare_document(named(make_study(), on_other_test(make_study())))["same_test_split"] is False


def test_what_must_be_known_is_always_said() -> None:
    """Overlapping intervals settle nothing, and choosing by test numbers uses the test split."""
    text = " ".join(printed(compare_studies(named(make_study(), make_study()))).split())

    assert "Intervals that overlap settle nothing" in text
    assert "uses the test split for choosing" in text


def test_different_questions_are_said() -> None:
    """Another positive label or another metric of the choice is another question."""
    study = make_study()
    by_recall = study.model_copy(update={"choice": study.choice.model_copy(update={"metric": "recall"})})
    turned = study.data.task.model_copy(update={"positive": "ham"})
    other = study.model_copy(update={"data": study.data.model_copy(update={"task": turned})})
    verdict = judged(study)[1].model_copy(update={"positive": "ham"})
    view = compare_studies([*named(study, by_recall), ("turned", Judged(other, verdict))])
    notes = " ".join(view.notes)

    assert "different positive labels (study-0: spam, study-1: spam, turned: ham)" in notes
    assert "chose by different metrics" in notes
    assert cells(view.tables)["study-1", "Choice metric on test"].startswith("Recall: ")


def test_seeds_are_counted_with_their_range() -> None:
    """Seeds of the chosen candidate count, those of the runner-up do not."""
    study = make_study()
    select = study.select[0].measures
    again = [Confirmation(candidate=name, seed=1, select=select, flops=1) for name in ("depth-4", "depth-4", "full")]
    told = cells(compare_studies(named(study, study.model_copy(update={"confirmations": tuple(again)}))).tables)

    assert told["study-0", "Seeds"] == "1: no other was tried"
    assert re.fullmatch(r"3; F1 on select from \d\d\.\d to \d\d\.\d %", told["study-1", "Seeds"])


def test_a_network_that_was_not_trained_has_no_loss() -> None:
    """A chosen network without a run has an undefined validation loss, with the reason, and null in the document."""
    study = make_study()
    untrained = study.model_copy(update={"runs": tuple(run for run in study.runs if run.candidate != "depth-4")})
    pair = [("a", Judged(study, judged(study)[1])), ("b", Judged(untrained, judged(study)[1]))]
    document: Any = compare_document(pair)

    assert cells(compare_studies(pair).tables)["b", "Validation loss"] == "undefined (nothing was trained)"
    assert [told["validation_loss"] for told in document["studies"]] == [lowest_loss(study), None]


@pytest.mark.parametrize("copies", [2, 5])
def test_the_page_is_inert_and_offline(copies: int) -> None:
    """No script may run, nothing is fetched, and hostile names stay text."""
    view = compare_studies(named(*[renamed(make_study(), spam=HOSTILE, messages=HOSTILE)] * copies))
    page = Page(render_page("compare.html", view=view))
    policy = next(a["content"] for _, a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")

    verdicts = [text for _, attributes, text in page.all("td") if attributes.get("class") == "good"]
    assert verdicts == ["READY"] * copies
    assert page.stack == []
    assert policy and "default-src 'none'; script-src 'none';" in policy
    assert page.all("script", "img", "link", "iframe") == []
    assert {a["href"] for _, a, _ in page.all("a")} == {"#studies"}
    assert len(page.all("table")) == (1 if copies == 2 else 3)


# ---------------------------------------------------------------- the command


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two studies of one data set, and one of another, in the current folder."""
    records = {"a": make_study(), "b": make_study(chosen="depth-5"), "other": on_other_data(make_study())}
    for name, record in records.items():
        folder = StudyFolder(tmp_path / name)
        with folder.opened(Settings(model="minilm", data="messages.csv"), resume=False) as ledger:
            keep_record(ledger, record)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["frostline", "compare", *arguments])
    with pytest.raises(SystemExit) as exit:
        main()
    return int(exit.value.code or 0)


def test_command(studies: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the table, exits with 0, and leaves a page when one is asked for."""
    assert typed(monkeypatch, "a", "b", "--html", "pages/both.html") == 0

    assert "2 studies of messages.csv" in capsys.readouterr().out
    assert "<h1" in (studies / "pages" / "both.html").read_text()


def test_json_is_one_document(studies: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """--json prints one document with fractions and nothing else, also beside --html."""
    assert typed(monkeypatch, "a", "b", "--json", "--html", "both.html") == 0

    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "frostline.compare/1"
    assert [study["study"] for study in document["studies"]] == ["a", "b"]
    assert [study["exit_code"] for study in document["studies"]] == [0, 1]
    assert 0.9 < document["studies"][0]["test"]["value"] < 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a",), "takes two studies"),
        (("a", "other"), "other is a study of other data"),
        (("a", "nowhere"), "nowhere holds no study"),
    ],
)
def test_bad_input_gets_a_sentence(
    arguments: tuple[str, ...], sentence: str, studies: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """One study, other data, no study: a sentence and exit code 2."""
    assert typed(monkeypatch, *arguments) == 2
    assert sentence in capsys.readouterr().err


def test_comparing_needs_no_torch(studies: Path) -> None:
    """Neither torch nor scikit-learn is imported."""
    code = (
        "import sys; sys.argv = ['frostline', 'compare', 'a', 'b', '--html', 'both.html']\n"
        "from frostline.cli.app import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=studies, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_of_the_page_runs(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/comparing-studies.md says to type is accepted, and the rows it explains are there."""
    page = (Path(__file__).parents[2] / "docs" / "comparing-studies.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ frostline compare (.+)$", page, flags=re.MULTILINE)
    (studies / "studies").mkdir()
    (studies / "a").rename(studies / "studies" / "spam")
    (studies / "b").rename(studies / "studies" / "spam-large")

    assert len(commands) == 3
    for command in commands:
        assert typed(monkeypatch, *shlex.split(command.partition(" > ")[0])) == 0
    view = compare_studies(named(make_study(), make_study()))
    assert all(fact in page for fact in (row.cells[0] for row in view.tables[0].rows))
