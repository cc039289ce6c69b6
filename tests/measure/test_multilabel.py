"""Sets of labels against scikit-learn, and intervals that know that the labels of an example depend on each other."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle

from frostline.core.records import Measures
from frostline.measure.intervals import clopper_pearson_lower, mover_mean, wilson
from frostline.measure.metrics import METRICS
from frostline.measure.multilabel import Assigned, measure_assigned


def drawn(random: np.random.Generator, examples: int, labels: int, *, recall: float, together: bool) -> Assigned:
    """Every label on half of the examples; found with a probability, of an example all together or each by itself."""
    true_NL = random.random((examples, labels)) < 0.5
    luck_NL = random.random((examples, 1 if together else labels)) * np.ones((1, labels))
    return Assigned(tuple("abcdefgh"[:labels]), true_NL, true_NL & (luck_NL < recall))


def from_oracle(assigned: Assigned) -> dict[str, float]:
    true, answered = assigned.true_NL.astype(int), assigned.answered_NL.astype(int)
    shared = {"average": None, "zero_division": np.nan}
    specificity = np.array(
        [oracle.recall_score(1 - t, 1 - a, zero_division=np.nan) for t, a in zip(true.T, answered.T, strict=True)]
    )
    recall = np.atleast_1d(oracle.recall_score(true, answered, **shared))
    return {
        "accuracy": oracle.accuracy_score(true, answered),
        "recall": float(np.mean(recall)),
        "precision": float(np.mean(oracle.precision_score(true, answered, **shared))),
        "f1": float(np.mean(oracle.f1_score(true, answered, **shared))),
        "balanced_accuracy": float(np.mean((recall + specificity) / 2)),
        "mcc": oracle.matthews_corrcoef(true.ravel(), answered.ravel()),
    }


def test_values_are_those_of_scikit_learn() -> None:
    """120 random tables of two to five labels, rare labels and labels never answered among them."""
    random, undefined = np.random.default_rng(0), 0
    for _ in range(120):
        examples, labels = int(random.integers(3, 30)), int(random.integers(2, 6))
        tables = [random.random((examples, labels)) < random.random(labels) for _ in range(2)]
        assigned = Assigned(tuple("abcdef"[:labels]), *tables)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reference warns of what we call undefined
            theirs = from_oracle(assigned)
        for metric in METRICS:
            value = assigned.value(metric)
            undefined += value is None
            if value is None:
                assert np.isnan(theirs[metric]) or (metric == "mcc" and theirs[metric] == 0)
            else:
                assert value == pytest.approx(theirs[metric])

    assert undefined > 10


def test_pooled_counts_and_labels_are_those_of_scikit_learn() -> None:
    """The confusion is the sum of the confusions of the labels, and every label stands by itself too."""
    assigned = drawn(np.random.default_rng(1), 60, 3, recall=0.7, together=False)
    measured = measure_assigned(assigned, "given")
    of_labels = oracle.multilabel_confusion_matrix(assigned.true_NL.astype(int), assigned.answered_NL.astype(int))
    tn, fp, fn, tp = of_labels.sum(axis=0).ravel()

    assert measured.confusion.binary == {"tp": tp, "fn": fn, "fp": fp, "tn": tn}
    assert [each.label for each in measured.per_class] == ["a", "b", "c"]
    assert [each.support for each in measured.per_class] == assigned.true_NL.sum(axis=0).tolist()
    assert [each.recall.value for each in measured.per_class] == [c[1, 1] / c[1].sum() for c in of_labels]
    assert Measures.model_validate_json(measured.model_dump_json()) == measured


@pytest.mark.parametrize(("metric", "reason"), [("precision", "nothing was predicted as 'b'"), ("recall", "")])
def test_mean_is_undefined_as_soon_as_one_label_is(metric: str, reason: str) -> None:
    """A label that was never answered has no precision, so there is no mean of precisions, and it is named."""
    true = np.array([[True, False], [True, True]])
    found = measure_assigned(Assigned(("a", "b"), true, np.array([[True, False], [True, False]])), "given")

    assert (found.metrics[metric].value is None, found.metrics[metric].undefined) == (bool(reason), reason)


def test_one_label_has_the_limits_of_a_rate() -> None:
    """With a single label nothing depends on anything: Wilson's interval, Clopper and Pearson's bound of the sets."""
    assigned = drawn(np.random.default_rng(2), 200, 1, recall=0.8, together=False)
    hits, positives = int(assigned.answered_NL.sum()), int(assigned.true_NL.sum())
    recall, accuracy = assigned.estimate("recall"), assigned.bounds("accuracy")

    assert (recall.low, recall.high) == pytest.approx(wilson(hits, positives))
    assert accuracy is not None
    assert accuracy.lower(0.95) == clopper_pearson_lower(assigned.right, 200, confidence=0.95)


@pytest.mark.parametrize("metric", ["recall", "f1", "balanced_accuracy", "mcc", "accuracy"])
def test_bounds_hold_although_labels_depend(metric: str) -> None:
    """When all labels of an example are found or missed together, the lower bound is too high in at most about 5 %."""
    random, missed = np.random.default_rng(3), 0
    truth = drawn(random, 400_000, 4, recall=0.8, together=True).value(metric)
    for _ in range(200):
        found = drawn(random, 120, 4, recall=0.8, together=True).bounds(metric)
        assert found is not None and truth is not None
        missed += found.lower(0.95) > truth

    assert missed / 200 <= 0.09


def test_limits_of_independent_labels_would_be_too_short() -> None:
    """The planted fault: taken as independent, the intervals of the same examples miss the truth far too often."""
    random, naive, ours = np.random.default_rng(4), 0, 0
    for _ in range(200):
        assigned = drawn(random, 120, 8, recall=0.8, together=True)
        parts = [(c[1, 1], c[1].sum()) for c in oracle.multilabel_confusion_matrix(*_tables(assigned))]
        low, high = mover_mean([hits / total for hits, total in parts], [wilson(*part) for part in parts])
        naive += not low <= 0.8 <= high
        estimate = assigned.estimate("recall")
        assert estimate.low is not None and estimate.high is not None
        ours += not estimate.low <= 0.8 <= estimate.high

    assert naive / 200 > 0.15
    assert ours / 200 <= 0.09


def _tables(assigned: Assigned) -> tuple[np.ndarray, np.ndarray]:
    return assigned.true_NL.astype(int), assigned.answered_NL.astype(int)


def test_independent_labels_make_the_mean_surer() -> None:
    """The clean twin: eight labels found independently have a mean that is known better than eight found together."""
    random = np.random.default_rng(5)
    widths = []
    for together in (False, True):
        estimate = drawn(random, 400, 8, recall=0.8, together=together).estimate("recall")
        assert estimate.low is not None and estimate.high is not None
        widths.append(estimate.high - estimate.low)

    assert widths[0] < 0.65 * widths[1]


def test_perfect_answers_on_few_examples_show_little() -> None:
    """Where every resample would agree the bound still knows that there are ten examples."""
    true = np.array([[True, False], [False, True]] * 5)
    found = Assigned(("a", "b"), true, true).bounds("recall")

    assert found is not None and found.lower(0.95) < 0.7 and found.upper(0.95) == 1


def test_examples_needed_would_be_enough() -> None:
    """With as many examples as are said to be needed, answered alike, the floor is met; before that it is not."""
    assigned = drawn(np.random.default_rng(6), 100, 3, recall=0.85, together=True)
    value = assigned.value("recall")
    assert value is not None
    needed = assigned.examples_needed("recall", value - 0.03, confidence=0.95)
    assert needed is not None and needed > 300
    copies = needed / 100
    for times, met in ((np.ceil(1.05 * copies), True), (np.floor(0.8 * copies), False)):
        true, answered = (np.tile(table, (int(times), 1)) for table in (assigned.true_NL, assigned.answered_NL))
        again = Assigned(assigned.labels, true, answered).bounds("recall")
        assert again is not None and (again.lower(0.95) >= value - 0.03) == met
    assert assigned.examples_needed("recall", value, confidence=0.95) is None
