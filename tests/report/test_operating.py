"""Thresholds on the select split and calibration on the test split, as plain data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from builders import BINARY, make_predictions, make_study, spam_counts, with_scores
from frostline.core.predictions import Predictions
from frostline.core.records import StudyRecord, Verdict
from frostline.measure.measures import measure
from frostline.measure.threshold import choose_threshold, parse_aim
from frostline.report.html import render_html
from frostline.report.operating_view import SHOWN, calibration_figure, operating_view
from report.samples import judged

Pair = tuple[StudyRecord, Verdict]


@pytest.fixture(scope="module")
def honest() -> tuple[StudyRecord, np.ndarray, np.ndarray]:
    """A study whose chosen candidate has the scores beside it on select: truth and score of spam."""
    study, chosen = make_study(), "depth-4"
    predictions = with_scores(make_predictions(BINARY, spam_counts(240, 60, 90, 630), seed=3), seed=3)
    measures = measure(predictions, "select", scored=True)
    select = tuple(r.model_copy(update={"measures": measures}) if r.name == chosen else r for r in study.select)
    assert predictions.probabilities_NC is not None
    return study.model_copy(update={"select": select}), predictions.true_N, predictions.probabilities_NC[:, 1]


def test_every_point_is_what_scikit_learn_counts(honest: tuple[StudyRecord, np.ndarray, np.ndarray]) -> None:
    """True and false positives at each threshold of the slider, and the rates in the table, by scikit-learn."""
    study, true, scores = honest
    view = operating_view(study)
    assert view is not None
    for threshold, tp, fp in (tuple(point) for point in view.data["points"]):  # type: ignore[union-attr, arg-type]
        matrix = confusion_matrix(true, scores >= threshold)
        # The page has five digits of a threshold: a score within them may fall to the other side.
        near = int((np.abs(scores - float(threshold)) <= 1e-5).sum())
        assert abs(matrix[1, 1] - tp) <= near and abs(matrix[0, 1] - fp) <= near

    row = next(row for row in view.table.rows if row.mark == "chosen")
    precision, recall, f1, _ = precision_recall_fscore_support(true, scores >= 0.5, average="binary")
    assert row.cells[1:4] == (f"{100 * recall:.1f} %", f"{100 * precision:.1f} %", f"{100 * f1:.1f} %")


def test_the_slider_begins_at_the_present_answers_of_select() -> None:
    """Not of test: where the two splits differ, the counts are those of select."""
    study = make_study(test={"depth-4": spam_counts(200, 100, 50, 670)})
    view = operating_view(study)

    assert view is not None and view.data["current"] == view.start
    assert list(view.data["points"])[view.start][1:] == [282, 10]  # type: ignore[arg-type, index]
    assert "on the select split" in view.alt and "never on test" in view.table.note


def test_the_slider_begins_at_the_threshold_that_was_fixed_for_an_aim(
    honest: tuple[StudyRecord, np.ndarray, np.ndarray],
) -> None:
    """Its counts are those from that score on, not those of .5 by which the plan was chosen."""
    study, true, scores = honest
    answers = Predictions.from_probabilities(BINARY, true, np.stack([1 - scores, scores], axis=1))
    fixed = choose_threshold(answers, parse_aim("cost:fn=20,fp=1"))
    curve = measure(answers.with_threshold(fixed.at), "select", scored=True).curve
    select = tuple(
        r.model_copy(update={"measures": r.measures.model_copy(update={"curve": curve})}) if r.name == "depth-4" else r
        for r in study.select
    )
    view = operating_view(study.model_copy(update={"select": select, "thresholds": {"depth-4": fixed}}))
    answered = scores >= fixed.at

    assert view is not None and view.data["current"] == view.start
    counts = [int((answered & (true == 1)).sum()), int((answered & (true == 0)).sum())]
    assert list(view.data["points"])[view.start][1:] == counts  # type: ignore[arg-type, index]
    assert f"at a score of {fixed.at:.3f} or more gives recall" in view.alt


def test_the_table_has_ten_thresholds_with_both_ends_and_the_present_one(clean: Pair) -> None:
    """From everything answered positive to next to nothing; each row adds up to the examples there are."""
    view = operating_view(clean[0])
    assert view is not None
    rows = [row.cells for row in view.table.rows]

    assert len(rows) == SHOWN and len({cells[0] for cells in rows}) == SHOWN
    assert [row.mark for row in view.table.rows].count("chosen") == 1
    assert rows[0][4:] == ("300", "0", "720", "0")
    assert all(int(found) + int(missed) == 300 for *_, found, missed, _, _ in rows)
    assert all(int(false) + int(left) == 720 for *_, false, left in rows)


def test_answers_that_no_threshold_gives_are_not_called_current(clean: Pair) -> None:
    """The planted fault: the recorded answers differ from every point. Nothing is marked, and the words say so."""
    study = clean[0]
    other = make_study(select={"depth-4": spam_counts(150, 150, 300, 420)}).result("depth-4", "select")
    mine = study.result("depth-4", "select")
    assert other is not None and mine is not None
    mixed = mine.model_copy(
        update={"measures": mine.measures.model_copy(update={"confusion": other.measures.confusion})}
    )
    view = operating_view(study.model_copy(update={"select": (mixed,)}))

    assert view is not None and view.data["current"] is None
    assert "no threshold of this curve" in view.alt
    assert "chosen" not in {row.mark for row in view.table.rows}


def test_without_scores_or_with_several_classes_there_is_no_slider(several_classes: Pair) -> None:
    """Neither the slider nor, without scores, the reliability curve; the page reads all the same."""
    study = make_study()
    bare = [
        tuple(
            r.model_copy(update={"measures": r.measures.model_copy(update={"curve": (), "calibration": None})})
            for r in s
        )
        for s in (study.select, study.test)
    ]
    study = study.model_copy(update={"select": bare[0], "test": bare[1]})
    page = render_html(*judged(study))

    assert operating_view(several_classes[0]) is None
    assert operating_view(study) is None and calibration_figure(study) is None
    assert 'type="range"' not in page and 'data-live="calibration"' not in page


def test_the_reliability_table_holds_every_bin_of_the_test_split(clean: Pair) -> None:
    """Its examples are those of the test split, and its weighted distance is the recorded error."""
    study = clean[0]
    figure, tested = calibration_figure(study), study.result("depth-4", "test")
    assert figure is not None and tested is not None and tested.measures.calibration is not None
    bins = figure.data["bins"]
    assert isinstance(bins, list)
    sizes = np.array([bin["examples"] for bin in bins])  # type: ignore[index, call-overload]
    gaps = np.array([abs(bin["value"] - bin["observed"]) for bin in bins])  # type: ignore[index, call-overload, operator]

    assert sizes.sum() == tested.measures.examples and len(figure.table.rows) == len(bins)
    assert np.average(gaps, weights=sizes) == pytest.approx(tested.measures.calibration.error)
