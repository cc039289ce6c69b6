"""Every candidate on the page: complete, short enough for a hundred of them, and still readable without scripts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from builders import CANDIDATES, make_study
from frostline.core.records import Estimate, SelectSlice, StudyRecord, ThresholdChoice, Verdict
from frostline.measure.slices import MOST
from frostline.report.candidates_view import LISTED, candidates_view
from frostline.report.document import report_document
from frostline.report.html import render_html
from frostline.report.schema import json_schema
from frostline.report.slices_view import UNSEEN, select_slices_table
from report.devtools import Tab, tab
from report.large import CLASSES, EXAMPLES, large_study
from report.samples import judged, parted
from report.test_browser import QUIET

Pair = tuple[StudyRecord, Verdict]
PARTS = (
    "[...document.querySelectorAll('.parts tbody tr')].filter((row) => row.checkVisibility())"
    ".map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"
)


def packed(study: StudyRecord) -> dict[str, list[list[str]] | None]:
    """The short form of the parts, by candidate."""
    view = candidates_view(study)
    assert view is not None
    return {run["name"]: run["parts"] for run in view.data["runs"]}  # type: ignore[union-attr, index, call-overload, misc]


@pytest.fixture(scope="module")
def large() -> Pair:
    return large_study()


@pytest.mark.parametrize("which", ["clean", "several_classes", "large"])
def test_the_short_form_gives_back_every_count(which: str, request: pytest.FixtureRequest) -> None:
    """Non-zero cells alone are kept, and the matrix of each candidate on select comes back from them."""
    study: StudyRecord = request.getfixturevalue(which)[0]
    view = candidates_view(study)
    assert view is not None
    classes = len(view.data["labels"])  # type: ignore[arg-type]
    for run in view.data["runs"]:  # type: ignore[union-attr]
        assert isinstance(run, dict)
        cells = np.array(run["cells"]).reshape(-1, 3)
        counts = np.zeros((classes, classes), dtype=int)
        counts[cells[:, 0], cells[:, 1]] = cells[:, 2]
        recorded = study.result(str(run["name"]), "select")
        assert recorded is not None and counts.tolist() == [list(row) for row in recorded.measures.confusion.counts]
        assert (cells[:, 2] > 0).all()


def test_every_candidate_with_a_run_stands_in_the_list_the_chosen_first(clean: Pair) -> None:
    """None is missing, none stands twice."""
    view = candidates_view(clean[0])

    assert view is not None and view.names[0] == "depth-4"
    assert view.orientation.endswith("columns the answered class. The positive class is spam.")
    assert sorted(view.names) == sorted(CANDIDATES)


def test_a_failed_candidate_can_be_looked_at_without_a_matrix(faulty: Pair) -> None:
    """Its curve breaks off with nothing in place of a number, and it has no cells, rather than zeros."""
    view = candidates_view(faulty[0])
    assert view is not None
    failed = next(run for run in view.data["runs"] if run["name"] == "depth-2")  # type: ignore[union-attr, index, call-overload]

    assert failed["cells"] is None  # type: ignore[index, call-overload]
    assert failed["epochs"][-1][1] is None  # type: ignore[index, call-overload]


def test_with_one_run_there_is_nothing_to_choose() -> None:
    """No list of one."""
    study = make_study()
    assert candidates_view(study.model_copy(update={"runs": (study.run_of("depth-4"),)})) is None


def test_of_many_classes_the_commonest_mistakes_are_listed_and_the_rest_is_counted(large: Pair) -> None:
    """By falling count, never a right answer, and the number that is left out is said."""
    view, result = candidates_view(large[0]), large[0].result("depth-4", "select")
    assert view is not None and result is not None
    counts = np.array(result.measures.confusion.counts)
    np.fill_diagonal(counts, 0)
    shown = [int(row.cells[2]) for row in view.table.rows]

    assert shown == sorted(counts[counts > 0].tolist(), reverse=True)[:LISTED]
    assert all(row.cells[0] != row.cells[1] for row in view.table.rows)
    assert view.table.note.startswith(f"{(counts > 0).sum() - LISTED} more pairs")


def test_a_hundred_candidates_of_thirty_epochs_and_a_hundred_classes_stay_under_2_mb(large: Pair) -> None:
    """The whole page, scripts and all; what it holds is all there."""
    page = render_html(*large)
    study = large[0]

    assert (len(study.runs), {len(run.epochs) for run in study.runs}, CLASSES) == (100, {31}, 100)
    assert study.result("plan-99", "select").measures.confusion.total == EXAMPLES * CLASSES  # type: ignore[union-attr]
    assert page.count("<option>") == 100
    assert len(page.encode()) < 2_000_000


def test_the_short_form_of_the_parts_is_the_end_of_each_row() -> None:
    """For every candidate: what is left out is the same for all of them, what is kept is what its table says."""
    study = parted()
    chosen = select_slices_table(study, "depth-4")
    assert chosen is not None and [row.cells[0] for row in chosen.rows] == ["chat", "mail", "sms"]

    for candidate, texts in packed(study).items():
        table = select_slices_table(study, candidate)
        assert table is not None and texts is not None
        assert [[*row.cells[:3], *own] for row, own in zip(chosen.rows, texts, strict=True)] == [
            list(row.cells) for row in table.rows
        ]
    assert len({str(texts) for texts in packed(study).values()}) == len(CANDIDATES)


def test_the_table_of_the_parts_says_what_it_is() -> None:
    """Number of examples, metrics with intervals, what is new, on which split, and that nothing is judged by it."""
    study = parted()
    table = select_slices_table(study, "depth-6")

    assert table is not None
    assert table.caption == "depth-6 part by part, on the select split"
    assert table.columns == ("Part", "Examples", "In training", "Recall", "Precision")
    assert [row.cells[1:3] for row in table.rows] == [("340", UNSEEN), ("340", "300"), ("340", "400")]
    assert all(" to " in cell for row in table.rows for cell in row.cells[3:])
    assert "by the values of the slice column" in table.note and "nothing is judged" in table.note
    assert "threshold" not in table.note


def test_a_threshold_that_was_fixed_later_is_named_as_not_used() -> None:
    """Candidates are shown by the answers that the choice was made by."""
    estimates = {metric: Estimate(value=0.9) for metric in ("recall", "precision", "f1")}
    threshold = ThresholdChoice(at=0.3, aim="highest F1", select=estimates, default=estimates)
    table = select_slices_table(parted().model_copy(update={"thresholds": {"depth-4": threshold}}), "depth-4")

    assert table is not None and "whatever the threshold" in table.note


def test_a_failed_candidate_has_no_parts_and_the_others_keep_theirs() -> None:
    """Nothing in place of numbers, rather than zeros."""
    texts = packed(parted(failed=["depth-2"]))

    assert texts["depth-2"] is None
    assert all(own is not None for name, own in texts.items() if name != "depth-2")


def test_a_record_of_an_earlier_version_has_no_parts(clean: Pair) -> None:
    """It loads without the field, is valid by the schema, and its page is that of a study that was not parted."""
    document = clean[0].model_dump(mode="json", by_alias=True)
    del document["select_slices"]
    study = StudyRecord.model_validate(document)
    written = json.loads(json.dumps(report_document(*clean)))
    del written["study"]["select_slices"]

    assert study == clean[0]
    Draft202012Validator(json_schema("report")).validate(written)
    assert set(packed(study).values()) == {None}
    assert 'class="parts"' not in render_html(*clean)
    assert 'class="parts"' in render_html(*judged(parted()))


def test_fifty_parts_of_a_hundred_candidates_stay_under_2_mb(large: Pair) -> None:
    """As many parts as there can be, beside all the rest."""
    study, verdict = large
    random = np.random.default_rng(0)
    slices = tuple(
        SelectSlice(
            name=f"a source with a name of its own {n}", examples=1_000 + n, in_training=n, metrics=_random(random)
        )
        for n in range(MOST)
    )
    page = render_html(study.model_copy(update={"select_slices": slices}), verdict)

    assert page.count("a source with a name of its own") == MOST, "names stand once, not once a candidate"
    assert len(page.encode()) < 2_000_000


def _random(random: np.random.Generator) -> dict[str, dict[str, Estimate]]:
    found = {}
    for name in ("depth-4", *(f"plan-{n}" for n in range(1, 100))):
        low, value, high = np.sort(random.uniform(0.1, 0.9, 3)).tolist()
        found[name] = {"accuracy": Estimate(value=value, low=low, high=high)}
    return found


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_choosing_a_candidate_shows_its_parts(dark: bool, tmp_path: Path) -> None:
    """The table in the page is that of the candidate, word for word; one that failed has no rows."""
    study, file = parted(failed=["depth-2"]), tmp_path / "report.html"
    file.write_text(render_html(*judged(study)), encoding="utf-8")
    view = candidates_view(study)
    assert view is not None
    with tab(tmp_path, QUIET) as browser:
        browser.open(file, dark=dark)
        for name in (view.names[0], "full", "depth-2", "depth-7", view.names[0]):
            _choose(browser, view.names.index(name))
            table = select_slices_table(study, name)
            caption = browser.run("document.querySelector('.parts caption').textContent")
            region = browser.run("document.querySelector('.parts [role=region]').ariaLabel")

            assert browser.run(PARTS) == [
                [cell.replace(" %", "\N{NO-BREAK SPACE}%") for cell in row.cells]
                for row in (table.rows if table else ())
            ]
            assert caption == region == (table.caption if table else "depth-2 gave no answers on the select split")
        assert browser.complaints == []


def _choose(browser: Tab, number: int) -> None:
    browser.run(
        f"(() => {{ const list = document.querySelector('#candidate'); list.selectedIndex = {number};"
        "list.dispatchEvent(new Event('change')); })()"
    )


def test_the_schema_knows_the_parts() -> None:
    """A document that holds them is valid; one whose estimate is a word is not."""
    schema = Draft202012Validator(json_schema("report"))
    written = json.loads(json.dumps(report_document(*judged(parted()))))
    schema.validate(written)
    written["study"]["select_slices"][0]["metrics"]["full"]["recall"]["value"] = "high"

    assert not schema.is_valid(written)
