"""What the page shows, as plain data."""

from __future__ import annotations

import pytest

from builders import make_study
from frostline.core.records import StudyRecord, Verdict
from frostline.report.plan_view import build_plan_view
from frostline.report.verdict_view import build_verdict_view
from frostline.report.view import build_view
from report.samples import judged

Pair = tuple[StudyRecord, Verdict]


@pytest.mark.parametrize("depth", [1, 4, 7])
def test_the_frost_line_runs_right_below_the_last_frozen_block(depth: int) -> None:
    """Everything above the line is frozen, everything below trains, and there is one line."""
    rows = build_plan_view(make_study(chosen=f"depth-{depth}")).rows

    assert [row.frozen for row in rows] == [True] * depth + [False] * (len(rows) - depth)
    assert [row.frost_line for row in rows].index(True) == depth - 1
    assert sum(row.frost_line for row in rows) == 1


def test_full_fine_tuning_has_no_frost_line() -> None:
    """Where nothing is frozen no line is drawn, and the first row is the chosen one."""
    plan = build_plan_view(make_study(chosen="full"))

    assert not any(row.frost_line or row.frozen for row in plan.rows)
    assert plan.unfrozen is not None and plan.unfrozen.mark == "chosen"


def test_a_block_carries_the_score_of_the_plan_that_freezes_down_to_it() -> None:
    """Row n of the stack shows freeze depth n, and the head, which no plan freezes, shows none."""
    rows = build_plan_view(make_study()).rows

    assert [row.score and row.score.candidate for row in rows] == [*(f"depth-{n}" for n in range(1, 8)), None]


def test_a_plan_that_is_no_leading_run_stays_off_the_stack() -> None:
    """A plan that freezes one block in the middle has no place among the depths, but is among the candidates."""
    study = make_study()
    candidates = list(study.candidates)
    surgical = candidates[3] = candidates[3].model_copy(update={"frozen": ("encoder.layer.4",), "freeze_depth": 0})
    plan = build_plan_view(study.model_copy(update={"candidates": tuple(candidates)}))

    assert plan.rows[2].score is None
    assert plan.unfrozen is not None and plan.unfrozen.candidate == "full"
    assert surgical.id in [row.cells[0] for row in plan.candidates.rows]


def test_a_failed_run_is_undefined_with_its_reason(faulty: Pair) -> None:
    """A candidate that broke down shows why, and draws no interval."""
    score = build_plan_view(faulty[0]).rows[1].score

    assert score is not None and score.span is None
    assert score.value == "undefined (failed: the training loss was not finite at epoch 2)"


def test_every_interval_lies_on_the_axis(clean: Pair) -> None:
    """No whisker leaves its track, and each holds its value."""
    scores = [row.score for row in build_plan_view(clean[0]).rows if row.score]

    assert all(s.span and 0 <= s.span.low <= s.span.value <= s.span.high <= 100 for s in scores)


def test_the_positive_class_stands_first_with_the_founding_words(clean: Pair) -> None:
    """Rows are true, columns answered; found and missed above, false alarms below, whatever the label order."""
    verdict = clean[1].model_copy(update={"confusion": {"tp": 85, "fn": 15, "fp": 10, "tn": 90}})
    confusion = build_verdict_view(verdict, "ham").confusion

    assert confusion.labels == ("spam", "ham")
    assert [(cell.count, cell.rate, cell.meaning) for row in confusion.rows for cell in row.cells] == [
        ("85", "85.0 %", "found"),
        ("15", "15.0 %", "missed"),
        ("10", "10.0 %", "false alarms"),
        ("90", "90.0 %", "rightly left alone"),
    ]
    assert "Rows are the true class" in confusion.orientation
    assert confusion.orientation.endswith("The positive class is spam.")


def test_a_matrix_of_several_classes_keeps_its_layout(several_classes: Pair) -> None:
    """With more than two classes the counts stand as recorded, and no class is called positive."""
    study, verdict = several_classes
    view = build_verdict_view(verdict).confusion
    recorded = next(r for r in study.test if r.name == study.choice.candidate).measures.confusion

    assert tuple(tuple(int(cell.count) for cell in row.cells) for row in view.rows) == recorded.counts
    assert "positive" not in view.orientation


def test_an_empty_row_has_no_rate(clean: Pair) -> None:
    """Shares of a class without examples are undefined, not 0 %."""
    verdict = clean[1].model_copy(update={"confusion": {"tp": 0, "fn": 0, "fp": 3, "tn": 7}})

    assert {cell.rate for cell in build_verdict_view(verdict).confusion.rows[0].cells} == {"undefined"}


def test_a_broken_freeze_is_the_first_thing_seen_and_its_clean_twin_is_not(clean: Pair, faulty: Pair) -> None:
    """The fact beside the banner says broken exactly when the proof does not hold."""
    assert [build_view(*pair).facts[3].value for pair in (clean, faulty)] == ["holds", "broken"]


def test_results_without_the_overlap_are_shown_only_when_there_is_one(clean: Pair, faulty: Pair) -> None:
    """Both numbers are shown when test examples also stand in an earlier split."""
    assert build_view(*clean).without_overlap is None
    assert build_view(*faulty).without_overlap is not None


def test_every_row_fills_its_columns(clean: Pair, faulty: Pair, replayed: Pair, several_classes: Pair) -> None:
    """No table has a row that is shorter or longer than its headings."""
    for pair in (clean, faulty, replayed, several_classes):
        view = build_view(*pair)
        tables = (view.differences, view.beside, view.proof, view.splits, view.classes, view.audit, view.openings)
        of_verdict = (view.verdict.floors, view.verdict.metrics, view.verdict.checks, view.plan.candidates)
        of_replay = filter(None, (view.replay, view.store, view.head_rates))
        for table in (*tables, *of_verdict, *of_replay, *(figure.table for figure in view.figures)):
            assert len(table.align) == len(table.columns), table.caption
            assert {len(row.cells) for row in table.rows} <= {len(table.columns)}, table.caption


def test_a_study_without_a_reference_still_reads() -> None:
    """Without a finished full fine-tune, work is absolute and only one pair of curves is drawn."""
    view = build_view(*judged(make_study(reference=None)))

    assert view.curves.data["runs"] == ["depth-4, chosen"]
    assert view.plan.cost_note == ""
    assert view.plan.rows[0].score is not None and view.plan.rows[0].score.cost == "4.50 GFLOP"
