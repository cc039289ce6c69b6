"""Two models on the same examples: against a bootstrap of rows, by symmetry, and with planted differences."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score
from statsmodels.stats.multitest import multipletests

from builders import BINARY, TOPICS, make_predictions, spam_counts, topic_counts
from frostline.core.predictions import Predictions
from frostline.core.records import Comparison, Difference
from frostline.measure.compare import adjusted, compare, difference_clause, metric_standard_error, pairs_needed
from frostline.measure.intervals import mcnemar_midp
from frostline.measure.metrics import METRICS

GOOD = make_predictions(BINARY, spam_counts(90, 10, 8, 192), seed=1)
WORSE = make_predictions(BINARY, spam_counts(70, 30, 8, 192), seed=2)


def test_table_bootstrap_is_a_row_bootstrap() -> None:
    """Drawing the counts of the joint table gives the standard error that drawing rows gives."""
    random = np.random.default_rng(3)
    differences = []
    for _ in range(600):
        rows = random.integers(0, len(GOOD), len(GOOD))
        true = GOOD.true_N[rows]
        differences.append(f1_score(true, GOOD.predicted_N[rows]) - f1_score(true, WORSE.predicted_N[rows]))

    assert metric_standard_error(GOOD, WORSE, "f1") == pytest.approx(np.std(differences), rel=0.12)


def test_planted_loss_of_recall_is_found() -> None:
    """Twenty more misses of a hundred are more than noise; the false alarms are the same and are not."""
    differences = compare(GOOD, WORSE, names=("good", "worse"), split="test").differences

    assert list(differences) == list(METRICS)
    assert differences["recall"].value == pytest.approx(0.2)
    assert differences["recall"].p is not None and differences["recall"].p < 0.001
    assert differences["precision"].p is not None and differences["precision"].p > 0.05
    for difference in differences.values():
        assert difference.low is not None and difference.value is not None and difference.high is not None
        assert difference.low <= difference.value <= difference.high


def test_model_does_not_differ_from_itself() -> None:
    """The same answers: every difference is 0 with a p-value of 1."""
    for difference in compare(GOOD, GOOD, names=("a", "b"), split="test").differences.values():
        assert difference.value == 0
        assert difference.p == 1


@pytest.mark.parametrize("metric", METRICS)
def test_swapping_the_models_swaps_the_sign(metric: str) -> None:
    """The difference changes its sign and keeps its p-value."""
    one = compare(GOOD, WORSE, names=("a", "b"), split="test").differences[metric]
    other = compare(WORSE, GOOD, names=("b", "a"), split="test").differences[metric]

    assert one.value == pytest.approx(-(other.value or 0))
    assert one.p == pytest.approx(other.p, abs=0.05)


def test_undefined_metric_has_no_difference() -> None:
    """A model that answers one class only has no precision, so there is nothing to subtract."""
    majority = make_predictions(BINARY, spam_counts(0, 100, 0, 200))
    difference = compare(GOOD, majority, names=("a", "majority"), split="test").differences["precision"]

    assert difference.value is None and difference.p is None


def test_several_classes_are_compared_by_their_mean() -> None:
    """With four classes recall is the mean over classes and is resampled."""
    first = make_predictions(TOPICS, topic_counts(140), seed=1)
    second = make_predictions(TOPICS, topic_counts(110), seed=2)
    recall = compare(first, second, names=("a", "b"), split="test").differences["recall"]

    assert recall.value == pytest.approx(0.2)
    assert "bootstrap" in recall.method


def test_other_examples_are_refused() -> None:
    """Two models measured on different examples cannot be paired."""
    with pytest.raises(ValueError, match="same examples"):
        compare(GOOD, make_predictions(BINARY, spam_counts(50, 60, 0, 190)), names=("a", "b"), split="test")


def test_equally_good_models_are_rarely_told_apart() -> None:
    """Of 200 pairs of equally good models at most about one in twenty is called different."""
    random = np.random.default_rng(5)
    true = np.repeat([0, 1], [140, 60])
    p_values = []
    for _ in range(200):
        first, second = (np.where(random.random(200) < 0.15, 1 - true, true) for _ in range(2))
        pair = [Predictions(task=BINARY, true_N=true, predicted_N=answers) for answers in (first, second)]
        p_values.append(compare(*pair, names=("a", "b"), split="test", resamples=400).differences["f1"].p)

    assert np.mean([p is not None and p < 0.05 for p in p_values]) <= 0.10


@pytest.mark.parametrize(("first_only", "second_only"), [(0.10, 0.05), (0.03, 0.01), (0.02, 0.20)])
def test_examples_needed_would_tell_in_four_of_five_cases(first_only: float, second_only: float) -> None:
    """With so many examples the test finds the difference in about 80 % of 400 draws, and with half as many seldom."""
    needed = pairs_needed(first_only, second_only)
    assert needed is not None

    def found(examples: int) -> float:
        rates = [first_only, second_only, 1 - first_only - second_only]
        drawn = np.random.default_rng(7).multinomial(examples, rates, size=400)
        return float(np.mean([mcnemar_midp(int(one), int(other)) < 0.05 for one, other, _ in drawn]))

    assert 0.73 < found(needed) < 0.88
    assert found(needed // 2) < 0.65


def test_examples_needed_are_none_when_told_apart_or_when_nothing_differs() -> None:
    """Who is told apart needs no more examples, and no number of them shows a difference of 0."""
    told = compare(GOOD, WORSE, names=("good", "worse"), split="test").differences
    alike = compare(GOOD, GOOD, names=("a", "b"), split="test").differences

    assert told["recall"].needed is None and told["f1"].needed is None
    assert told["precision"].needed is not None
    assert all(difference.needed is None for difference in alike.values())


def test_examples_needed_for_recall_count_the_negatives_too() -> None:
    """Nobody labels positives alone: a third of the examples are positive, so three times as many must be labelled."""
    near = make_predictions(BINARY, spam_counts(87, 13, 8, 192), seed=4)
    recall = compare(GOOD, near, names=("good", "near"), split="test").differences["recall"]
    positive_N = GOOD.true_N == 1
    good_N, near_N = (answers.predicted_N[positive_N] == 1 for answers in (GOOD, near))
    pairs = pairs_needed((good_N & ~near_N).mean(), (near_N & ~good_N).mean())

    assert pairs is not None and recall.needed is not None
    assert recall.needed == pytest.approx(3 * pairs, abs=3)


def test_as_many_examples_as_needed_tell_a_resampled_metric_apart() -> None:
    """Two models that differ in F1 by a little: their answers repeated until there are enough tell them apart."""
    near = make_predictions(BINARY, spam_counts(86, 14, 12, 188), seed=4)
    found = compare(GOOD, near, names=("good", "near"), split="test").differences["f1"]
    assert found.needed is not None and found.needed > len(GOOD)

    times = -(-found.needed // len(GOOD))
    more = [
        Predictions(task=BINARY, true_N=np.tile(one.true_N, times), predicted_N=np.tile(one.predicted_N, times))
        for one in (GOOD, near)
    ]
    again = compare(*more, names=("good", "near"), split="test").differences["f1"]
    assert again.p is not None and again.p < 0.05 and again.needed is None


def test_p_values_of_one_split_are_corrected_together_metric_by_metric() -> None:
    """Holm as statsmodels does it, over the comparisons of a split; one that stands alone on its split is left."""
    others = [make_predictions(BINARY, spam_counts(tp, 100 - tp, 12, 188), seed=tp) for tp in (70, 80, 88)]
    made = [compare(GOOD, other, names=("good", str(n)), split="test") for n, other in enumerate(others)]
    alone = compare(GOOD, others[0], names=("good", "0"), split="select")
    *tested, selected = adjusted([*made, alone])

    for metric in METRICS:
        theirs = multipletests([c.differences[metric].p for c in made], method="holm")[1]
        assert [c.differences[metric].adjusted_p for c in tested] == pytest.approx(list(theirs))
    assert selected == alone and selected.differences["f1"].adjusted_p is None


def test_undefined_difference_is_not_counted_among_the_corrected() -> None:
    """A rival without a precision is no question asked: the others are corrected as if it were not there."""
    never = make_predictions(BINARY, spam_counts(0, 100, 0, 200))
    rivals = [WORSE, make_predictions(BINARY, spam_counts(80, 20, 30, 170), seed=6), never]
    found = adjusted([compare(GOOD, other, names=("good", str(n)), split="test") for n, other in enumerate(rivals)])
    p_values = [c.differences["precision"].p for c in found]

    assert p_values[2] is None and found[2].differences["precision"].adjusted_p is None
    theirs = multipletests(p_values[:2], method="holm")[1]
    assert [c.differences["precision"].adjusted_p for c in found[:2]] == pytest.approx(list(theirs))


def clause(metric: str = "f1", **fields: float | None) -> str:
    difference = Difference.model_validate(fields)
    return difference_clause(
        Comparison(first="a", second="b", split="test", examples=1020, differences={metric: difference}), metric
    )


def test_clause_says_what_cannot_be_told_and_how_many_examples_would() -> None:
    """Only what is not told apart names a number of examples; an equal or undefined metric says just that."""
    assert clause(value=0.012, p=0.31, needed=5200).endswith(
        "(p = 0.310): the two cannot be told apart; about 5,200 examples would tell, should they go on to differ as "
        "they do"
    )
    assert clause(value=-0.12, p=0.001, adjusted_p=0.003) == (
        "F1 of a is 12.0 points below b on the same 1,020 test examples (p = 0.001, 0.003 after Holm's correction)"
    )
    assert clause("mcc", value=0.3, p=0.01).startswith("MCC of a is 0.300 above b")
    assert clause(value=0.0, p=1.0) == "F1 of a and b is the same on the 1,020 test examples"
    assert clause(value=None) == "F1 is undefined for a or b on the 1,020 test examples"
