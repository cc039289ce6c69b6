"""Thresholds and the curve against scikit-learn, aims read from text, and aims that cannot be had."""

from __future__ import annotations

import re
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_curve, precision_score, recall_score

from frostline.core.errors import AimError
from frostline.core.predictions import Predictions
from frostline.core.records import Task, ThresholdChoice
from frostline.measure.curve import MOST_POINTS, Thresholds, best_f1, curve
from frostline.measure.threshold import choose_threshold, parse_aim

SPAM = Task(labels=("ham", "spam"), positive="spam")


def answers(true_N: np.ndarray, scores_N: np.ndarray) -> Predictions:
    return Predictions.from_probabilities(SPAM, true_N.astype(np.int64), np.stack([1 - scores_N, scores_N], axis=1))


@st.composite
def examples(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Up to 40 examples, one positive at least, with few distinct scores among them 0 and 1."""
    score = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.5, 0.9, 1.0])
    rows = draw(st.lists(st.tuples(st.booleans(), score), min_size=1, max_size=40))
    rows.append((True, draw(score)))
    return np.array([positive for positive, _ in rows]), np.array([score for _, score in rows])


def test_curve_is_that_of_scikit_learn() -> None:
    """On 1,500 random sets: the same precision and recall at each distinct score, thresholds between the scores."""
    random = np.random.default_rng(0)
    for _ in range(1_500):
        positive_N = np.append(True, random.random(int(random.integers(1, 50))) < 0.3)
        scores_N = np.round(random.random(len(positive_N)), int(random.choice([1, 2, 9])))
        found = Thresholds.of(positive_N, scores_N)
        precision, recall, at = precision_recall_curve(positive_N, scores_N)

        assert found.tp_T[::-1] / (found.tp_T + found.fp_T)[::-1] == pytest.approx(precision[:-1])
        assert found.tp_T[::-1] / positive_N.sum() == pytest.approx(recall[:-1])
        assert (found.at_T[::-1] <= at).all() and (found.at_T[::-1][1:] > at[:-1]).all()


@given(rows=examples())
def test_answering_by_a_threshold_gives_its_counts(rows: tuple[np.ndarray, np.ndarray]) -> None:
    """Every point of the curve is what `with_threshold` answers there."""
    positive_N, scores_N = rows
    predictions = answers(positive_N, scores_N)
    for point in curve(predictions):
        answered_N = predictions.with_threshold(point.threshold).predicted_N == 1

        assert (point.tp, point.fp) == ((answered_N & positive_N).sum(), (answered_N & ~positive_N).sum())


@given(rows=examples())
def test_no_threshold_does_better(rows: tuple[np.ndarray, np.ndarray]) -> None:
    """The F1 found is that of answering so, no other threshold gives more, and the curve knows it too."""
    positive_N, scores_N = rows
    found = choose_threshold(answers(positive_N, scores_N), parse_aim("f1"))
    every = [f1_score(positive_N, scores_N >= at) for at in np.unique(scores_N)]
    of_curve = best_f1(curve(answers(positive_N, scores_N)))

    assert found.select["f1"].value == pytest.approx(max(every))
    assert of_curve is not None and (of_curve.at, of_curve.f1) == (found.at, found.select["f1"].value)


@given(rows=examples(), demand=st.sampled_from([0.3, 0.5, 0.75, 1.0]))
def test_demand_is_kept_and_the_rest_is_best(rows: tuple[np.ndarray, np.ndarray], demand: float) -> None:
    """By trying every score: no threshold with that precision finds more; with none there is a refusal."""
    positive_N, scores_N = rows
    allowed = [
        recall_score(positive_N, scores_N >= at)
        for at in np.unique(scores_N)
        if precision_score(positive_N, scores_N >= at) >= demand
    ]
    aim = parse_aim(f"recall@precision>={demand}")
    if not allowed:
        with pytest.raises(AimError, match="cannot be had"):
            choose_threshold(answers(positive_N, scores_N), aim)
        return
    found = choose_threshold(answers(positive_N, scores_N), aim).select

    assert (found["precision"].value or 0) >= demand
    assert found["recall"].value == pytest.approx(max(allowed))


@given(rows=examples(), demand=st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_precision_is_best_at_a_recall(rows: tuple[np.ndarray, np.ndarray], demand: float) -> None:
    """A recall can always be had: answering everything has it."""
    positive_N, scores_N = rows
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        allowed = [
            precision_score(positive_N, scores_N >= at)
            for at in np.unique(scores_N)
            if recall_score(positive_N, scores_N >= at) >= demand
        ]
    found = choose_threshold(answers(positive_N, scores_N), parse_aim(f"precision@recall>={100 * demand}%")).select

    assert (found["recall"].value or 0) >= demand
    assert found["precision"].value == pytest.approx(max(allowed))


@given(rows=examples(), costs=st.tuples(st.integers(1, 30), st.integers(1, 30)))
def test_cost_is_the_lowest_there_is(rows: tuple[np.ndarray, np.ndarray], costs: tuple[int, int]) -> None:
    """Answering nothing is among what is tried, and the cost is said for a thousand examples."""
    positive_N, scores_N = rows
    miss, alarm = costs
    tried = [
        miss * (positive_N & (scores_N < at)).sum() + alarm * (~positive_N & (scores_N >= at)).sum()
        for at in [*np.unique(scores_N), 2.0]
    ]
    found = choose_threshold(answers(positive_N, scores_N), parse_aim(f"cost:fn={miss},fp={alarm}"))

    assert found.cost_per_1000 == pytest.approx(1000 * min(tried) / len(positive_N))


def test_dear_misses_lower_the_threshold() -> None:
    """The same scores with the costs turned round: dear misses ask for more answers, dear false alarms for fewer."""
    random = np.random.default_rng(1)
    true_N = random.integers(0, 2, 500)
    predictions = answers(true_N, 1 / (1 + np.exp(-random.normal(size=500) - 2 * (true_N - 0.5))))
    low, high = (choose_threshold(predictions, parse_aim(aim)) for aim in ("cost:fn=20,fp=1", "cost:fp=20,fn=1"))

    assert low.at < 0.3 < 0.7 < high.at
    assert low.aim == "lowest cost, 20 for a miss and 1 for a false alarm"


@pytest.mark.parametrize(("scores", "nearest"), [([1.0, 0.6, 0.55, 0.5, 0.4], 0.45), ([0.5, 0.4, 0.3, 0.2, 0.1], 0.45)])
def test_equals_go_to_the_threshold_nearest_to_one_half(scores: list[float], nearest: float) -> None:
    """One of two found without a false alarm, and both with two, have the same F1 of 2/3."""
    positive_N = np.array([True, False, False, True, False])
    found = choose_threshold(answers(positive_N, np.array(scores)), parse_aim("f1"))

    assert found.select["f1"].value == pytest.approx(2 / 3)
    assert found.at == pytest.approx(nearest)


def test_threshold_stands_between_two_scores() -> None:
    """Half-way, also when there is nothing between them, and it says what .5 would have given."""
    above = np.nextafter(0.7, 1)
    found = choose_threshold(answers(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4])), parse_aim("f1"))
    close = choose_threshold(answers(np.array([0, 1]), np.array([0.7, above])), parse_aim("f1"))

    assert found.at == pytest.approx(0.25)
    assert (found.select["recall"].value, found.default["recall"].value) == (1, 0)
    assert found.default["precision"].value is None
    assert close.at == above and close.select["f1"].value == 1


def test_curve_is_thinned_and_keeps_what_matters() -> None:
    """Of 3,000 thresholds at most 200 are kept: both ends, the best F1 and the present answers among them."""
    random = np.random.default_rng(2)
    true_N = random.integers(0, 2, 3_000)
    predictions = answers(true_N, 1 / (1 + np.exp(-random.normal(size=3_000) - true_N)))
    points = curve(predictions)
    answered = predictions.predicted_N == 1

    assert len(points) <= MOST_POINTS
    assert all(first.threshold > second.threshold for first, second in pairwise(points))
    assert points[0].tp + points[0].fp == 1
    assert (points[-1].tp, points[-1].fp) == (true_N.sum(), 3_000 - true_N.sum())
    assert ((answered & (true_N == 1)).sum(), (answered & (true_N == 0)).sum()) in {(p.tp, p.fp) for p in points}
    best = best_f1(points)
    assert best is not None and best.at == choose_threshold(predictions, parse_aim("f1")).at


def test_without_scores_or_with_several_classes_there_is_no_curve() -> None:
    """Nothing to draw is an empty curve, not a guess."""
    labels = Predictions(task=SPAM, true_N=np.array([0, 1]), predicted_N=np.array([0, 1]))
    three = Predictions.from_probabilities(Task(labels=("a", "b", "c")), np.arange(3), np.eye(3))

    assert curve(labels) == curve(three) == curve(answers(np.array([0, 0]), np.array([0.1, 0.2]))) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("f1", "highest F1"),
        (" recall @ precision >= 90% ", "highest recall at a precision of at least 90.0 %"),
        ("precision@recall>=.8", "highest precision at a recall of at least 80.0 %"),
        ("cost: fp=1, fn=20", "lowest cost, 20 for a miss and 1 for a false alarm"),
    ],
)
def test_aims_are_read(text: str, words: str) -> None:
    """An aim in its short form and in words."""
    assert parse_aim(text).text == words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("recall>=0.8", "cannot be read"),
        ("recall@recall>=0.8", "names recall twice"),
        ("recall@precision>=90", "demands a precision of 90"),
        ("cost:fn=20", "cannot be read"),
        ("cost:fn=20,fn=1", "needs one cost above 0"),
        ("cost:fn=0,fp=1", "needs one cost above 0"),
    ],
)
def test_other_aims_are_a_sentence(text: str, said: str) -> None:
    """What was asked and how to write it."""
    with pytest.raises(AimError, match=re.escape(said)) as refused:
        parse_aim(text)

    assert '"recall@precision>=0.9"' in str(refused.value)


def test_aim_out_of_reach_says_the_best_there_is() -> None:
    """The highest precision that any threshold has, with its recall and where it stands."""
    predictions = answers(np.array([0, 1, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))

    said = r"highest precision there is 66\.7 %, with recall 100\.0 %, from a score of 0\.4 on"
    with pytest.raises(AimError, match=said):
        choose_threshold(predictions, parse_aim("recall@precision>=0.9"))


@pytest.mark.parametrize(
    ("predictions", "said"),
    [
        (Predictions.from_probabilities(Task(labels=("a", "b", "c")), np.arange(3), np.eye(3)), "there are 3"),
        (Predictions(task=SPAM, true_N=np.array([1]), predicted_N=np.array([1])), "only labels"),
        (answers(np.array([0, 0]), np.array([0.1, 0.9])), "No example"),
        (answers(np.array([0, 1]), np.array([0.1, np.nan])), "not finite"),
    ],
)
def test_threshold_needs_two_classes_and_their_scores(predictions: Predictions, said: str) -> None:
    """What is missing is named."""
    with pytest.raises(AimError, match=said):
        choose_threshold(predictions, parse_aim("f1"))


def test_choice_survives_the_record() -> None:
    """A choice reads back from JSON as it was."""
    choice = choose_threshold(answers(np.array([0, 1, 1]), np.array([0.1, 0.3, 0.9])), parse_aim("cost:fn=3,fp=1"))

    assert ThresholdChoice.model_validate_json(choice.model_dump_json()) == choice
