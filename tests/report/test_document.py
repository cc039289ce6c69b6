"""What the report says, the JSON says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frostline.core.records import StudyRecord, Verdict
from frostline.report.document import report_document
from frostline.report.html import render_html
from frostline.report.write import write_report

Pair = tuple[StudyRecord, Verdict]


def _read_back(text: str) -> Pair:
    document = json.loads(text)
    return StudyRecord.model_validate(document["study"]), Verdict.model_validate(document["verdict"])


@pytest.mark.parametrize("which", ["clean", "faulty", "replayed", "several_classes", "hostile"])
def test_the_page_is_a_function_of_the_json(which: str, request: pytest.FixtureRequest) -> None:
    """The page drawn from report.json alone is the page, letter by letter: it holds no number the JSON lacks."""
    study, verdict = request.getfixturevalue(which)
    text = json.dumps(report_document(study, verdict), allow_nan=False)

    assert render_html(*_read_back(text)) == render_html(study, verdict)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("study", "cost", "search_flops"), 123),
        (("study", "runs", 4, "epochs", 1, "stop_loss"), 0.9),
        (("study", "probes", 2, "measures", "metrics", "f1", "low"), 0.5),
        (("study", "select", 5, "measures", "metrics", "f1", "value"), 0.91),
        (("study", "test", 1, "measures", "metrics", "recall", "high"), 0.99),
        (("verdict", "floors", 0, "bound"), 0.7),
        (("verdict", "confusion", "fn"), 99),
        (("verdict", "metrics", "mcc", "value"), 0.1),
    ],
)
def test_a_changed_number_changes_the_page(clean: Pair, path: tuple[str | int, ...], value: float) -> None:
    """The page is not a constant: every kind of number in the JSON reaches it."""
    document = report_document(*clean)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    assert render_html(*_read_back(json.dumps(document))) != render_html(*clean)


def test_a_number_that_was_not_finite_is_null(clean: Pair) -> None:
    """JSON has no NaN: what was not finite is null, so any reader can read it."""
    study, verdict = clean
    run = study.runs[0].model_copy(update={"seconds_s": float("nan")})
    document = report_document(study.model_copy(update={"runs": (run, *study.runs[1:])}), verdict)

    assert document["study"]["runs"][0]["seconds_s"] is None
    assert json.dumps(document, allow_nan=False)


def test_the_folder_holds_the_outputs_and_nothing_else(clean: Pair, faulty: Pair, tmp_path: Path) -> None:
    """A second report replaces the first, and no temporary file stays behind."""
    folder = tmp_path / "study"
    write_report(*faulty, folder)
    write_report(*clean, folder)

    assert sorted(path.name for path in folder.iterdir()) == ["card.md", "junit.xml", "report.html", "report.json"]
    assert json.loads((folder / "report.json").read_text())["schema"] == "frostline.report/1"
    assert (folder / "report.html").read_text() == render_html(*clean)
