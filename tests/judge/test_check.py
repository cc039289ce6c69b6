"""`frostline.check`: the founding figures, and bad input answered with a sentence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

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
    assert "from a score of 0.075 on gives recall 100.0 %" in verdict.next


def test_scores_that_propose_nothing_better_change_no_advice() -> None:
    """The clean twin: scores that cannot part the classes leave the advice as it is."""
    true = ["bad"] * 100 + ["good"] * 100
    verdict = check(true, ["bad"] * 50 + ["good"] * 50 + ["bad"] * 50 + ["good"] * 50, [0.5] * 200, positive="bad")

    assert "Adjust which layers are frozen" in check(true, ["good"] * 199 + ["bad"], positive="bad").next
    assert "0.5 on" not in check(true, true, [0.5] * 200, positive="bad").next
    assert verdict.verdict == "NOT READY"


def test_scores_of_two_classes_are_measured() -> None:
    """The areas, losses and calibration of the scores stand beside the metrics, each with its interval."""
    random = np.random.default_rng(0)
    scores = random.random(600)
    true = np.where(random.random(600) < scores, "a", "b")
    verdict = check(true, np.where(scores >= 0.5, "a", "b"), scores, positive="a")

    assert verdict.scored["roc_auc"].value == pytest.approx(roc_auc_score(true == "a", scores))
    assert verdict.scored["pr_auc"].value == pytest.approx(average_precision_score(true == "a", scores))
    assert all(e.low <= e.value <= e.high for e in verdict.scored.values())  # type: ignore[operator]
    assert next(finding for finding in verdict.checks if finding.code == "FRL106").outcome == "passed"
    assert check(true, true, positive="a").scored == {}


def test_scores_of_several_classes_are_measured() -> None:
    """A column per class, in the order of the sorted labels."""
    random = np.random.default_rng(1)
    scores = random.dirichlet([1, 1, 1], size=300)
    true = np.array(["c", "a", "b"])[random.integers(0, 3, 300)]
    verdict = check(true, np.array(["a", "b", "c"])[scores.argmax(axis=1)], scores)

    theirs = np.mean([roc_auc_score(true == label, scores[:, n]) for n, label in enumerate("abc")])
    assert verdict.scored["roc_auc"].value == pytest.approx(theirs)
    assert next(finding for finding in verdict.checks if finding.code == "FRL107").outcome == "not applicable"


def test_scores_that_are_far_too_sure_are_noted() -> None:
    """The same ranking pushed to the ends is no probability any more, and the verdict's floors do not change."""
    random = np.random.default_rng(2)
    scores = random.random(1_000)
    true = np.where(random.random(1_000) < scores, "a", "b")
    predicted = np.where(scores >= 0.5, "a", "b")
    honest, pushed = (check(true, predicted, s, positive="a") for s in (scores, np.where(scores < 0.5, 0.01, 0.99)))
    finding = next(finding for finding in pushed.findings if finding.code == "FRL106")

    assert "temperature" in finding.next and "points apart on average" in finding.sentence
    assert "FRL106" not in {found.code for found in honest.findings}
    assert honest.floors == pushed.floors


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
        ((["a", "b", "c"], ["a", "b", "c"], [0.1, 0.2, 0.3]), {}, "shape (3,), and there are 3 classes (a, b, c)"),
        ((["a", "b", "c"], ["a", "b", "c"], [[0.5, 0.5]] * 3), {}, "shape (3, 2)"),
        ((["a", "b", "c"], ["a", "b", "c"], [[0.5, 0.5, 0.5]] * 3), {}, "row 1 add up to 1.5"),
        ((["a", "b", "c"], ["a", "b", "c"], [[0, 0, 1], [0, 2, -1], [0, 0, 1]]), {}, "Score 2 is 2"),
        ((["a", "b", "c"], ["a", "b", "c"], [[0, 0, 1]] * 2), {}, "y_score has 2 entries"),
    ],
)
def test_bad_labels_and_scores_are_a_sentence(
    arguments: tuple[object, ...], options: dict[str, object], said: str
) -> None:
    """What was found and where, and what to do."""
    with pytest.raises(DataError) as refused:
        check(*arguments, **options)  # type: ignore[arg-type]

    assert said in str(refused.value)


def sets(found: int, missed: int, kind: type = set) -> tuple[list[object], list[object]]:
    """Messages with two topics or none; of some the second topic is missed."""
    true = [["bill", "late"]] * (found + missed) + [[]] * 50
    predicted = [["bill", "late"]] * found + [["bill"]] * missed + [[]] * 50
    return list(map(kind, true)), list(map(kind, predicted))


@pytest.mark.parametrize("kind", [set, frozenset, list, tuple])
def test_sets_of_labels_are_judged_by_the_mean_over_labels(kind: type) -> None:
    """Recall is the mean over the labels, accuracy the share of exact sets, the counts those of all decisions."""
    verdict = check(*sets(90, 10, kind))

    assert (verdict.average, verdict.verdict) == ("multilabel", "READY")
    assert verdict.confusion == {"tp": 190, "fn": 10, "fp": 0, "tn": 100}
    assert verdict.metrics["recall"].value == pytest.approx(0.95)
    assert verdict.metrics["accuracy"].value == pytest.approx(140 / 150)
    assert [(each.label, each.recall.value) for each in verdict.per_class] == [("bill", 1.0), ("late", 0.9)]
    assert "mean over the labels" in verdict.floors[0].sentence


def test_floor_of_sets_reads_the_bound_over_examples() -> None:
    """60 of 80 second topics found: the mean of .875 does not show .85, and more examples would."""
    verdict = check(*sets(60, 20), floors=["recall>=0.85"])
    floor = verdict.floors[0]

    assert (verdict.verdict, floor.met) == ("INCONCLUSIVE", "cannot tell")
    assert floor.bound is not None and floor.bound < 0.85 < verdict.metrics["recall"].value  # type: ignore[operator]
    assert "more examples" in floor.more_needed
    assert next(finding for finding in verdict.checks if finding.code == "FRL101").outcome == "not applicable"


def test_rare_label_of_sets_is_noted_by_name() -> None:
    """29 messages with a topic are too few to judge that topic, however many have another."""
    verdict = check([{"bill"}] * 100 + [{"late"}] * 29, [{"bill"}] * 100 + [{"late"}] * 29)

    assert "29 examples of 'late'" in next(f for f in verdict.findings if f.code == "FRL102").sentence


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (([{"a"}, "b"], [{"a"}, {"b"}]), {}, "Entry 2 of y_true is 'b'"),
        (([{"a"}], [{"a"}, {"b"}]), {}, "y_pred has 2 entries"),
        (([set()], [set()]), {}, "No example has a label"),
        (([{"a"}], [{"a"}], [0.5]), {}, "neither scores nor a positive label"),
        (([{"a"}], [{"a"}]), {"positive": "a"}, "neither scores nor a positive label"),
    ],
)
def test_bad_sets_are_a_sentence(arguments: tuple[object, ...], options: dict[str, object], said: str) -> None:
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
