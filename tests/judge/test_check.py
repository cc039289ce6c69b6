"""`frostline.check`: the founding figures, and bad input answered with a sentence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import frostline as fl
from frostline.core.errors import BadInputError, DataError, FloorError
from frostline.core.records import EXIT_CODES, Verdict
from frostline.judge.check import check, check_counts


def fraud_labels() -> tuple[list[str], list[str]]:
    true = ["fraud"] * 100 + ["fair"] * 4900
    predicted = ["fraud"] * 12 + ["fair"] * 88 + ["fraud"] * 12 + ["fair"] * 4888
    return true, predicted


def test_fraud_case_is_not_ready() -> None:
    """98 % accuracy with 12 % recall: every golden figure, the majority class, and what to change."""
    verdict = fl.check(*fraud_labels(), positive="fraud")

    assert (verdict.verdict, verdict.exit_code) == ("NOT READY", 1)
    assert verdict.confusion == {"tp": 12, "fn": 88, "fp": 12, "tn": 4888}
    rounded = {name: f"{estimate.value:.3f}" for name, estimate in verdict.metrics.items()}
    assert rounded == {
        "accuracy": "0.980",
        "recall": "0.120",
        "precision": "0.500",
        "f1": "0.194",
        "balanced_accuracy": "0.559",
        "mcc": "0.238",
    }
    recall = verdict.metrics["recall"]
    assert f"{recall.low:.2f} {recall.high:.2f}" == "0.07 0.20"
    paradox = next(finding for finding in verdict.findings if finding.code == "FRL101")
    assert "always answering the majority class 'fair' would also score 98.0 %" in paradox.sentence
    assert "Adjust which layers are frozen" in paradox.next and "retrain" in paradox.next


def test_counts_and_labels_give_the_same_verdict() -> None:
    """Four counts say as much as five thousand rows."""
    from_labels = check(*fraud_labels(), positive="fraud")
    from_counts = check_counts(12, 88, 12, 4888, positive="fraud")

    assert from_counts.verdict == from_labels.verdict
    assert [floor.bound for floor in from_counts.floors] == [floor.bound for floor in from_labels.floors]
    assert {name: estimate.value for name, estimate in from_counts.metrics.items()} == {
        name: estimate.value for name, estimate in from_labels.metrics.items()
    }


@pytest.mark.parametrize("kind", [list, np.array])
def test_numbers_and_text_are_the_same_label(kind: type) -> None:
    """1, "1" and an array's 1 are one label."""
    true = kind([0, 1] * 60)
    verdict = check(true, [str(n) for n in true], positive=1, floors=["recall>=0.5"])

    assert verdict.positive == "1"
    assert verdict.metrics["recall"].value == 1


def test_several_classes_need_no_positive() -> None:
    """With three classes the means over classes are judged, and each class is listed."""
    true = ["a", "b", "c"] * 60
    verdict = check(true, true)

    assert (verdict.average, verdict.positive) == ("macro", None)
    assert [measures.label for measures in verdict.per_class] == ["a", "b", "c"]
    assert verdict.verdict == "READY"


def test_scores_propose_a_threshold_before_unfreezing() -> None:
    """When the scores part the classes well, moving the threshold is the first advice."""
    true = ["bad"] * 100 + ["good"] * 100
    scores = [0.4] * 80 + [0.1] * 20 + [0.05] * 100
    verdict = check(true, ["good"] * 190 + ["bad"] * 10, scores, positive="bad")

    assert "Move the threshold before unfreezing anything" in verdict.next
    assert "from a score of 0.1 on gives recall 100.0 %" in verdict.next


def test_scores_that_propose_nothing_better_change_no_advice() -> None:
    """The clean twin: scores that cannot part the classes leave the advice as it is."""
    true = ["bad"] * 100 + ["good"] * 100
    verdict = check(true, ["bad"] * 50 + ["good"] * 50 + ["bad"] * 50 + ["good"] * 50, [0.5] * 200, positive="bad")

    assert "Adjust which layers are frozen" in check(true, ["good"] * 199 + ["bad"], positive="bad").next
    assert "0.5 on" not in check(true, true, [0.5] * 200, positive="bad").next
    assert verdict.verdict == "NOT READY"


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((["a", "b"], ["a"]), {"positive": "a"}, "y_pred has 1 entries and y_true has 2"),
        (([], []), {}, "no examples"),
        ((["a", "a"], ["a", "a"]), {"positive": "a"}, "All 2 true labels are 'a'"),
        ((["a", "b", "a"], ["a", "b", "b"]), {}, "the rarer one is 'b'"),
        ((["ham", "spam"], ["ham", "spam"]), {"positive": "spma"}, "Did you mean 'spam'?"),
        ((["a", "b"], ["a", "c"]), {"positive": "a"}, "Prediction 2 is 'c'"),
        ((["a", "b", "c"], ["a", "b", "c"]), {"positive": "a"}, "there are 3 classes: a, b, c"),
        ((["a", "b"], ["a", "b"], [0.1, 1.5]), {"positive": "a"}, "Score 2 is 1.5, outside [0, 1]"),
        ((["a", "b"], ["a", "b"], [0.1, float("nan")]), {"positive": "a"}, "Score 2 is nan"),
        ((["a", "b"], ["a", "b"], [0.1]), {"positive": "a"}, "y_score has 1 entries"),
        ((["a", "b"], ["a", "b"], [[0.1, 0.9]] * 2), {"positive": "a"}, "shape (2, 2)"),
        ((["a", "b"], ["a", "b"], ["high", "low"]), {"positive": "a"}, "no number"),
        ((["a", "b", "c"], ["a", "b", "c"], [0.1, 0.2, 0.3]), {}, "two classes only"),
    ],
)
def test_bad_labels_and_scores_are_a_sentence(
    arguments: tuple[object, ...], options: dict[str, object], said: str
) -> None:
    """What was found and where, and what to do."""
    with pytest.raises(DataError) as refused:
        check(*arguments, **options)  # type: ignore[arg-type]

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("floors", "said"),
    [("recall>=0.8", "must be a list"), (["recall>=0.8", "recall>=0.9"], "2 floors for recall")],
)
def test_floors_that_contradict_are_a_sentence(floors: object, said: str) -> None:
    """A floor that stands alone or twice is caught before anything is measured."""
    with pytest.raises(FloorError, match=said):
        check_counts(85, 15, 10, 90, floors=floors)  # type: ignore[arg-type]


@pytest.mark.parametrize("counts", [(-1, 15, 10, 90), (0, 0, 10, 90), (85, 15, 0, 0)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int, int, int]) -> None:
    """A negative count, or a class without an example."""
    with pytest.raises(BadInputError):
        check_counts(*counts)


@settings(max_examples=60)
@given(cells=st.tuples(*[st.one_of(st.integers(0, 3), st.integers(0, 10_000_000))] * 4))
def test_any_counts_with_both_classes_get_a_verdict(cells: tuple[int, int, int, int]) -> None:
    """Whatever the counts: a verdict with its code, a sentence, reasons, a next step, and JSON that reads back."""
    tp, fn, fp, tn = cells
    verdict = check_counts(tp + 1, fn, fp, tn + 1)

    assert verdict.exit_code == EXIT_CODES[verdict.verdict]
    assert verdict.sentence and verdict.reasons and verdict.next
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=60))
def test_any_labels_of_several_classes_get_a_verdict(rows: list[tuple[str, str]]) -> None:
    """Classes never predicted and classes never true are judged, not tripped over."""
    true, predicted = (["a", "b", "c", *side] for side in zip(*rows, strict=True))
    verdict = check(true, predicted)

    assert verdict.reasons and verdict.average == "macro"
    for estimate in verdict.metrics.values():
        assert (estimate.value is None) == bool(estimate.undefined)
