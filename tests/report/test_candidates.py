"""Every candidate on the page: complete, short enough for a hundred of them, and still readable without scripts."""

from __future__ import annotations

import numpy as np
import pytest

from builders import CANDIDATES, make_study
from frostline.core.records import StudyRecord, Verdict
from frostline.report.candidates_view import LISTED, candidates_view
from frostline.report.html import render_html
from report.large import EXAMPLES, LABELS, large_study

Pair = tuple[StudyRecord, Verdict]


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

    assert (len(study.runs), {len(run.epochs) for run in study.runs}, len(LABELS)) == (100, {31}, 100)
    assert study.result("plan-99", "select").measures.confusion.total == EXAMPLES * len(LABELS)  # type: ignore[union-attr]
    assert page.count("<option>") == 100
    assert len(page.encode()) < 2_000_000
