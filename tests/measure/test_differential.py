"""Every statistic against an independent implementation, on 10,000 cases each.

The confusion matrices and label vectors are made from a fixed seed: two to six classes, 1 to 300 examples, classes
without examples, classes never answered, perfect answers, one class only. Against scikit-learn a share of them runs
with the unit tests and all of them with the slow ones; the interval formulas are cheap, so all 10,000 always run.

Shape letters: N examples, C classes.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from math import isnan, nan, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as oracle
from statsmodels.stats.proportion import proportion_confint

from frostline.core.predictions import Predictions
from frostline.core.records import Task
from frostline.measure.intervals import (
    bonett_price,
    clopper_pearson_lower,
    clopper_pearson_upper,
    mcnemar_midp,
    smallest_level,
    wilson,
)
from frostline.measure.measures import confusion_of, log_loss
from frostline.measure.metrics import METRICS, Margins, metric_values, why_undefined

SEED, CASES = 20261125, 10_000
KINDS = ("ordinary", "perfect", "class without examples", "class never answered", "one class only", "one answer only")
UNIT, REST = range(600), range(600, CASES)
SHARES = [pytest.param(UNIT, id="600"), pytest.param(REST, id="the other 9400", marks=pytest.mark.slow)]

Values = dict[str, float]
Computed = Callable[[Predictions], Values]


def kind_of(case: int) -> str:
    return KINDS[case % len(KINDS)]


def generated(case: int) -> Predictions:
    """Labels and answers of one case; of two classes the second is the positive one."""
    random = np.random.default_rng((SEED, case))
    classes, examples = int(random.integers(2, 7)), int(np.exp(random.uniform(0, np.log(300))).round())
    shares_C = random.dirichlet(np.full(classes, 0.8))
    true_N = random.choice(classes, size=examples, p=shares_C)
    guessed_N = random.integers(0, classes, examples)
    predicted_N = np.where(random.random(examples) < random.uniform(0, 1), true_N, guessed_N)
    odd, other = random.choice(classes, size=2, replace=False)
    match kind_of(case):
        case "perfect":
            predicted_N = true_N.copy()
        case "class without examples":
            true_N[true_N == odd] = other
        case "class never answered":
            predicted_N[predicted_N == odd] = other
        case "one class only":
            true_N[:] = odd
        case "one answer only":
            predicted_N[:] = odd
    labels = tuple("abcdef"[:classes])
    task = Task(labels=labels, positive="b" if classes == 2 else None)
    return Predictions(task=task, true_N=true_N, predicted_N=predicted_N)


def by_frostline(predictions: Predictions) -> Values:
    """The six metrics; NaN is checked to have its reason, and a value to have none."""
    confusion = confusion_of(predictions)
    margins, positive = Margins.of(confusion.counts), predictions.task.positive_index
    values = {metric: float(metric_values(metric, margins, positive)) for metric in METRICS}
    for metric, value in values.items():
        assert isnan(value) == bool(why_undefined(metric, confusion)), (metric, confusion)
    return values


def by_scikit_learn(predictions: Predictions) -> Values:
    """What the reference says of the label vectors, NaN where it warns or would divide by zero."""
    true_N, predicted_N = predictions.true_N, predictions.predicted_N
    classes, positive = range(len(predictions.task.labels)), predictions.task.positive_index
    precisions, recalls, f1s, _ = oracle.precision_recall_fscore_support(
        true_N, predicted_N, labels=list(classes), average=None, zero_division=nan
    )

    def averaged(per_class: NDArray[np.float64]) -> float:
        # A plain mean: with average="macro" the reference leaves undefined classes out without a word.
        return float(per_class.mean() if positive is None else per_class[positive])

    # balanced_accuracy_score leaves out classes without examples, and matthews_corrcoef answers 0 for 0 / 0.
    all_present = set(true_N.tolist()) == set(classes)
    correlated = len(set(true_N.tolist())) > 1 and len(set(predicted_N.tolist())) > 1
    return {
        "accuracy": oracle.accuracy_score(true_N, predicted_N),
        "recall": averaged(recalls),
        "precision": averaged(precisions),
        "f1": averaged(f1s),
        "balanced_accuracy": oracle.balanced_accuracy_score(true_N, predicted_N) if all_present else nan,
        "mcc": oracle.matthews_corrcoef(true_N, predicted_N) if correlated else nan,
    }


def disagreements(cases: Iterable[int], computed: Computed) -> list[str]:
    """Where a computation and the reference differ by more than 1e-12, or by what they leave undefined."""
    found = []
    for case in cases:
        predictions = generated(case)
        ours, theirs = computed(predictions), by_scikit_learn(predictions)
        for metric in METRICS:
            same = ours[metric] == pytest.approx(theirs[metric], abs=1e-12, rel=0, nan_ok=True)
            if not same:
                found.append(f"case {case} ({kind_of(case)}): {metric} {ours[metric]!r}, reference {theirs[metric]!r}")
    return found


# ---------------------------------------------------------------- metrics


@pytest.mark.parametrize("cases", SHARES)
def test_metrics_are_those_of_scikit_learn(cases: range) -> None:
    """All six metrics equal scikit-learn's within 1e-12, and are undefined, with a reason, exactly where it is."""
    assert disagreements(cases, by_frostline) == []


def transposed(predictions: Predictions) -> Values:
    return by_frostline(
        Predictions(task=predictions.task, true_N=predictions.predicted_N, predicted_N=predictions.true_N)
    )


def zero_for_undefined(predictions: Predictions) -> Values:
    return {metric: 0.0 if isnan(value) else value for metric, value in by_frostline(predictions).items()}


def mean_of_what_is_defined(predictions: Predictions) -> Values:
    recalls = oracle.recall_score(
        predictions.true_N,
        predictions.predicted_N,
        labels=list(range(len(predictions.task.labels))),
        average=None,
        zero_division=nan,
    )
    return by_frostline(predictions) | {"balanced_accuracy": float(np.nanmean(recalls))}


@pytest.mark.parametrize("planted", [transposed, zero_for_undefined, mean_of_what_is_defined])
def test_planted_faults_are_found(planted: Computed) -> None:
    """Rows taken for columns, 0 for undefined, and a mean that forgets a class all show within 60 cases."""
    assert disagreements(range(60), planted)


def test_cases_hold_what_they_promise() -> None:
    """Among the first 600 every size, every number of classes and every way to be undefined occurs often."""
    found: Counter[object] = Counter()
    for case in UNIT:
        predictions = generated(case)
        found[len(predictions.task.labels)] += 1
        found["one example"] += len(predictions) == 1
        found["200 or more"] += len(predictions) >= 200
        found["perfect"] += bool((predictions.true_N == predictions.predicted_N).all())
        values = by_frostline(predictions)
        found.update(f"undefined {metric}" for metric, value in values.items() if isnan(value))
        found.update(f"defined {metric}" for metric, value in values.items() if not isnan(value))

    expected = [*range(2, 7), "one example", "200 or more", "perfect"]
    expected += [f"{word} {metric}" for word in ("defined", "undefined") for metric in METRICS]
    expected.remove("undefined accuracy")  # it takes an empty split, which the hand-made cases hold
    assert {what: found[what] for what in expected if found[what] < 8} == {}


@pytest.mark.parametrize("cases", SHARES)
def test_counts_are_those_of_scikit_learn(cases: range) -> None:
    """Label vectors are counted with the truth in the rows."""
    for case in cases:
        predictions = generated(case)
        theirs = oracle.confusion_matrix(
            predictions.true_N, predictions.predicted_N, labels=list(range(len(predictions.task.labels)))
        )
        assert np.array_equal(confusion_of(predictions).counts, theirs), case


@pytest.mark.parametrize("cases", SHARES)
def test_loss_is_that_of_scikit_learn(cases: range) -> None:
    """The mean cross-entropy is the same, certain mistakes and certain hits included."""
    for case in cases:
        predictions = generated(case)
        classes, random = len(predictions.task.labels), np.random.default_rng((SEED, case, 1))
        rows_NC = random.dirichlet(np.full(classes, 0.3), size=len(predictions))
        certain_N = random.random(len(predictions)) < 0.2
        rows_NC[certain_N] = np.eye(classes)[random.integers(0, classes, int(certain_N.sum()))]
        scored = Predictions.from_probabilities(predictions.task, predictions.true_N, rows_NC)
        theirs = oracle.log_loss(predictions.true_N, rows_NC, labels=list(range(classes)))

        assert log_loss(scored) == pytest.approx(theirs, abs=1e-12, rel=1e-12), case


# ---------------------------------------------------------------- intervals and tests


def rates() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Successes, cases and confidence of 10,000 rates, a fifth of them 0 or 1."""
    random = np.random.default_rng(SEED)
    totals = np.exp(random.uniform(0, np.log(3_000), CASES)).round().astype(np.int64)
    successes = random.binomial(totals, random.uniform(0, 1, CASES))
    edge = random.random(CASES)
    successes = np.where(edge < 0.1, 0, np.where(edge < 0.2, totals, successes))
    return successes, totals, random.uniform(0.5, 0.999, CASES)


def discordant() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cases that only the first, only the second got right, and all cases, of 10,000 pairs; many small, many ties."""
    random = np.random.default_rng(SEED + 1)
    first = np.exp(random.uniform(0, np.log(301), CASES)).astype(np.int64) - 1
    second = np.exp(random.uniform(0, np.log(301), CASES)).astype(np.int64) - 1
    second = np.where(random.random(CASES) < 0.1, first, second)
    return first, second, np.maximum(1, first + second + random.integers(0, 300, CASES))


def test_wilson_is_that_of_statsmodels() -> None:
    """Both limits agree within 1e-12 for 10,000 rates and levels."""
    successes, totals, levels = rates()
    ours = [wilson(k, n, confidence=c) for k, n, c in zip(successes, totals, levels, strict=True)]
    # statsmodels takes one level a call; its formula in scores is asked once for each.
    theirs = [
        proportion_confint(int(k), int(n), alpha=1 - c, method="wilson")
        for k, n, c in zip(successes, totals, levels, strict=True)
    ]

    assert np.max(np.abs(np.array(ours) - np.array(theirs))) < 1e-12


def test_clopper_pearson_is_that_of_statsmodels() -> None:
    """The one-sided bounds are the limits of the two-sided interval at twice the level, within 1e-10."""
    successes, totals, levels = rates()
    lows = [clopper_pearson_lower(k, n, confidence=c) for k, n, c in zip(successes, totals, levels, strict=True)]
    highs = [clopper_pearson_upper(k, n, confidence=c) for k, n, c in zip(successes, totals, levels, strict=True)]
    their_lows, their_highs = proportion_confint(successes, totals, alpha=2 * (1 - levels), method="beta")

    assert np.max(np.abs(np.array(lows) - their_lows)) < 1e-10
    assert np.max(np.abs(np.array(highs) - their_highs)) < 1e-10


@pytest.mark.parametrize("cases", SHARES)
def test_clopper_pearson_is_the_exact_one_sided_interval_of_scipy(cases: range) -> None:
    """scipy's root search over binomial tails ends at the same bound, within 1e-9."""
    successes, totals, levels = (column[cases.start : cases.stop] for column in rates())
    for k, n, c in zip(successes.tolist(), totals.tolist(), levels.tolist(), strict=True):
        low = stats.binomtest(k, n, alternative="greater").proportion_ci(c, method="exact").low
        high = stats.binomtest(k, n, alternative="less").proportion_ci(c, method="exact").high
        assert clopper_pearson_lower(k, n, confidence=c) == pytest.approx(low, abs=1e-9), (k, n, c)
        assert clopper_pearson_upper(k, n, confidence=c) == pytest.approx(high, abs=1e-9), (k, n, c)


@pytest.mark.parametrize("cases", SHARES)
def test_level_of_an_exact_bound_is_the_binomial_p_value(cases: range) -> None:
    """Inverting the Clopper-Pearson bound gives the p-value of scipy's exact one-sided test, within 1e-9."""
    successes, totals, _ = (column[cases.start : cases.stop] for column in rates())
    # Floors near the observed rate, where p-values are neither 0 nor 1.
    floors = np.random.default_rng(SEED + 2).normal(successes / totals, 1.5 / np.sqrt(totals)).clip(0.01, 0.99)
    for k, n, floor in zip(successes.tolist(), totals.tolist(), floors.tolist(), strict=True):
        theirs = stats.binomtest(k, n, floor, alternative="greater").pvalue
        ours = smallest_level(partial(_lower, k, n), floor)
        assert ours == pytest.approx(theirs, abs=1e-9), (k, n, floor)


def _lower(successes: int, total: int, confidence: float) -> float:
    return clopper_pearson_lower(successes, total, confidence=confidence)


def test_midp_is_twice_the_tail_less_the_half_of_what_was_seen() -> None:
    """Built from scipy's binomial distribution: 2 (P(X < k) + P(X = k) / 2), at most 1, within 1e-12."""
    first, second, _ = discordant()
    ours = [mcnemar_midp(b, c) for b, c in zip(first.tolist(), second.tolist(), strict=True)]
    fewer, half = np.minimum(first, second), stats.binom(first + second, 0.5)
    theirs = np.minimum(1, 2 * (half.cdf(fewer) - half.pmf(fewer) / 2))

    assert np.max(np.abs(np.array(ours) - theirs)) < 1e-12


def test_paired_interval_is_a_wald_interval_after_one_case_more_on_either_side() -> None:
    """Bonett and Price: add a case that only the first and one that only the second got right, then mean and spread."""
    columns = zip(*(column.tolist() for column in discordant()), strict=True)
    z = NormalDist().inv_cdf(0.975)
    for first_only, second_only, total in columns:
        gains = np.repeat([1, -1, 0], [first_only + 1, second_only + 1, total - first_only - second_only])
        half_width = z * gains.std() / sqrt(len(gains))
        expected = (max(-1, gains.mean() - half_width), min(1, gains.mean() + half_width))
        assert bonett_price(first_only, second_only, total) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("factor", [1 - 1e-6, 1 + 1e-6])
def test_an_interval_off_by_a_millionth_is_found(factor: float) -> None:
    """The planted fault: a quantile taken a millionth too small or too large moves limits past the tolerance."""
    successes, totals, levels = (column[:200] for column in rates())
    theirs = [
        proportion_confint(k, n, alpha=1 - c, method="wilson")[0]
        for k, n, c in zip(successes, totals, levels, strict=True)
    ]
    ours = [wilson(k, n, confidence=c * factor)[0] for k, n, c in zip(successes, totals, levels, strict=True)]

    assert np.max(np.abs(np.array(ours) - np.array(theirs))) > 1e-12


@pytest.fixture(autouse=True)
def _quiet_reference() -> Iterable[None]:
    """scikit-learn warns of what we call undefined, and of label vectors with one class."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"sklearn\.metrics")
        yield
