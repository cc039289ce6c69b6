"""Two models on the same examples: whose metric is higher, by how much, and is it more than noise.

Whether two separate intervals overlap settles nothing; only the examples on which the models differ do.

Shape letters: N examples, R resamples, J cells of the joint table, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from frostline.core.predictions import Predictions
from frostline.core.records import Comparison, Difference
from frostline.measure.corrections import holm
from frostline.measure.intervals import bonett_price, mcnemar_midp
from frostline.measure.measures import confusion_of
from frostline.measure.metrics import METRICS, Floats, Margins, metric_values

RESAMPLES = 2_000
LEVEL = 0.05
"""Two-sided: below it two models are told apart."""

_Z_LEVEL, _Z_POWER = NormalDist().inv_cdf(1 - LEVEL / 2), NormalDist().inv_cdf(0.8)
_GO_ON = "should they go on to differ as they do"


def compare(
    first: Predictions,
    second: Predictions,
    *,
    names: tuple[str, str],
    split: str,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two models example by example.

    Accuracy, and the recall of a positive class, count the examples that only one of the two got
    right (mid-p McNemar); the other metrics are resampled with their examples kept in pairs for the interval, and
    the answers of the two are exchanged at random, example by example, for the p-value.

    Args:
        first: Answers of the one model.
        second: Answers of the other, on the same examples in the same order.
        names: What the two are called.
        split: Which split the examples are of.
        seed: Of the resampling.
        resamples: How many.

    Returns:
        For every metric `first - second` with a 95 % interval and a two-sided p-value.

    Raises:
        ValueError: The two are not about the same examples.

    Source: Fagerland et al. (2013) for the mid-p test, Bonett & Price (2012) for its interval,
        Efron & Tibshirani (1993), chapter 13, for the percentile interval; Yeh (2000), More accurate tests for the
        statistical significance of result differences, COLING, for exchanging answers.
    """
    differences = _tested_by_counting(first, second)
    resampled = [metric for metric in METRICS if metric not in differences]
    drawn = resampled_differences(first, second, resampled, seed=seed, resamples=resamples)
    exchanged = exchanged_differences(first, second, resampled, seed=seed, resamples=resamples)
    for metric in resampled:
        value = _difference(first, second, metric)
        differences[metric] = _from_resamples(value, drawn[metric], exchanged[metric], len(first))
    return Comparison(
        first=names[0],
        second=names[1],
        split=split,
        examples=len(first),
        differences={metric: differences[metric] for metric in METRICS},
    )


def metric_standard_error(
    first: Predictions, second: Predictions, metric: str, *, seed: int = 0, resamples: int = RESAMPLES
) -> float | None:
    """Paired bootstrap standard error of `first - second`; None when a resample almost never defines it.

    Args:
        first: Answers of the one model.
        second: Answers of the other, on the same examples in the same order.
        metric: One of `metrics.METRICS`.
        seed: Of the resampling.
        resamples: How many.
    """
    drawn = resampled_differences(first, second, [metric], seed=seed, resamples=resamples)[metric]
    return float(drawn.std(ddof=1)) if len(drawn) > 1 else None


def resampled_differences(
    first: Predictions, second: Predictions, metrics: Sequence[str], *, seed: int, resamples: int
) -> dict[str, Floats]:
    """`first - second` of each metric on resampled examples, those resamples left out that leave it undefined.

    Examples with the same truth and the same two answers are exchangeable, so the counts of the
    joint table are drawn instead of the examples: the same distribution, without touching N rows.

    Raises:
        ValueError: The two are not about the same examples.
    """
    joint = _Joint.of(first, second)
    drawn_RJ = np.random.default_rng(seed).multinomial(len(first), joint.counts_J / len(first), size=resamples)
    return joint.differences(drawn_RJ, metrics)


def exchanged_differences(
    first: Predictions, second: Predictions, metrics: Sequence[str], *, seed: int, resamples: int
) -> dict[str, Floats]:
    """`first - second` of each metric when it is thrown for each example which of the two gave which answer.

    What this gives if there is nothing between the two: the answers could as well have been the other's. Throws that
    leave a metric undefined are left out.

    Raises:
        ValueError: The two are not about the same examples.
    """
    joint = _Joint.of(first, second)
    cells = {cell: number for number, cell in enumerate(zip(*joint.triples, strict=True))}
    random = np.random.default_rng(seed)
    thrown_RJ = np.tile(joint.counts_J, (resamples, 1))
    for (true, of_first, of_second), number in cells.items():
        mirrored = cells.get((true, of_second, of_first))
        if of_first < of_second and mirrored is not None:
            total = int(joint.counts_J[number] + joint.counts_J[mirrored])
            thrown_RJ[:, number] = random.binomial(total, 0.5, size=resamples)
            thrown_RJ[:, mirrored] = total - thrown_RJ[:, number]
    return joint.differences(thrown_RJ, metrics)


@dataclass(frozen=True, slots=True)
class _Joint:
    """How often each truth met each pair of answers."""

    triples: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    """Truth, first answer and second answer of each cell."""
    counts_J: NDArray[np.int64]
    classes: int
    positive: int | None

    @classmethod
    def of(cls, first: Predictions, second: Predictions) -> _Joint:
        _require_same_examples(first, second)
        answers_3N = np.stack([first.true_N, first.predicted_N, second.predicted_N])
        # The mirror of every cell is there as well, if empty: exchanged answers fall into it.
        mirrored_3N = answers_3N[[0, 2, 1]]
        triples, at = np.unique(np.concatenate([answers_3N, mirrored_3N], axis=1), axis=1, return_inverse=True)
        counts_J = np.bincount(at.reshape(-1)[: len(first)], minlength=triples.shape[1])
        true_J, first_J, second_J = triples
        return cls((true_J, first_J, second_J), counts_J, len(first.task.labels), first.task.positive_index)

    def differences(self, drawn_RJ: NDArray[np.int64], metrics: Sequence[str]) -> dict[str, Floats]:
        """Of each metric, for each row of counts that defines it."""
        true_J, first_J, second_J = self.triples
        of_first = _margins(drawn_RJ, true_J, first_J, self.classes)
        of_second = _margins(drawn_RJ, true_J, second_J, self.classes)
        found = {
            metric: metric_values(metric, of_first, self.positive) - metric_values(metric, of_second, self.positive)
            for metric in metrics
        }
        return {metric: values_R[np.isfinite(values_R)] for metric, values_R in found.items()}


def _margins(
    drawn_RJ: NDArray[np.int64], true_J: NDArray[np.int64], predicted_J: NDArray[np.int64], classes: int
) -> Margins:
    drawn = drawn_RJ.astype(np.float64)
    true_JK, predicted_JK = np.eye(classes)[true_J], np.eye(classes)[predicted_J]
    return Margins(hits=drawn @ (true_JK * predicted_JK), true=drawn @ true_JK, predicted=drawn @ predicted_JK)


def _require_same_examples(first: Predictions, second: Predictions) -> None:
    if len(first) == 0 or first.task != second.task or not np.array_equal(first.true_N, second.true_N):
        raise ValueError("two models are compared on the same examples, of which there must be one at least")


def _tested_by_counting(first: Predictions, second: Predictions) -> dict[str, Difference]:
    _require_same_examples(first, second)
    right_first, right_second = first.predicted_N == first.true_N, second.predicted_N == second.true_N
    differences = {"accuracy": _mcnemar(right_first, right_second, "all examples", len(first))}
    positive = first.task.positive_index
    if positive is not None:
        found = first.true_N == positive
        differences["recall"] = _mcnemar(right_first[found], right_second[found], "the positive examples", len(first))
    return differences


def _mcnemar(right_first: NDArray[np.bool_], right_second: NDArray[np.bool_], among: str, examples: int) -> Difference:
    total = len(right_first)
    if total == 0:
        return Difference(value=None)
    first_only, second_only = int((right_first & ~right_second).sum()), int((right_second & ~right_first).sum())
    low, high = bonett_price(first_only, second_only, total)
    p = mcnemar_midp(first_only, second_only)
    pairs = None if p < LEVEL else pairs_needed(first_only / total, second_only / total)
    return Difference(
        value=(first_only - second_only) / total,
        low=low,
        high=high,
        p=p,
        # Of all examples, with as many positives among them as here: whoever labels more cannot choose the class.
        needed=None if pairs is None else ceil(pairs * examples / total),
        method=f"mid-p McNemar on {among}, interval after Bonett and Price",
    )


def _difference(first: Predictions, second: Predictions, metric: str) -> float | None:
    of_first, of_second = metric_of(first, metric), metric_of(second, metric)
    return None if of_first is None or of_second is None else of_first - of_second


def metric_of(predictions: Predictions, metric: str) -> float | None:
    """One metric of one model, without its interval; None where undefined."""
    margins = Margins.of(confusion_of(predictions).counts)
    value = float(metric_values(metric, margins, predictions.task.positive_index))
    return value if np.isfinite(value) else None


def _from_resamples(value: float | None, drawn: Floats, exchanged: Floats, examples: int) -> Difference:
    if value is None or len(drawn) == 0:
        return Difference(value=value)
    low, high = (float(limit) for limit in np.quantile(drawn, [0.025, 0.975]))
    # A throw as far from nothing as the observed one counts against it, rounding aside. One is added to both counts:
    # with R throws no p-value below 1 / R is known.
    as_far = int((np.abs(exchanged) >= abs(value) - 1e-12).sum())
    p = (1 + as_far) / (1 + len(exchanged))
    return Difference(
        value=value,
        low=min(low, value),
        high=max(high, value),
        p=p,
        needed=None if p < LEVEL else _by_spread(value, float(drawn.std()), examples),
        method=f"paired bootstrap, {len(drawn)} resamples; p by exchanging answers",
    )


def pairs_needed(first_only: float, second_only: float) -> int | None:
    """Examples that would tell two models apart, should they go on to differ as they do.

    Args:
        first_only: Share of the examples that only the first got right.
        second_only: Share that only the second got right.

    Returns:
        Examples for a two-sided test at 5 % that finds the difference in 80 % of the cases; None without one.

    Source: Connor (1987), Sample size for testing differences in proportions for the paired-sample design,
        Biometrics 43, 207-211.

    >>> pairs_needed(0.10, 0.05)
    469
    """
    difference, differing = first_only - second_only, first_only + second_only
    if difference == 0:
        return None
    spread = _Z_LEVEL * sqrt(differing) + _Z_POWER * sqrt(differing - difference**2)
    return ceil((spread / difference) ** 2)


def _by_spread(value: float, error: float, examples: int) -> int | None:
    """The same for a resampled metric, by its standard error, which shrinks with the root of the examples."""
    if abs(value) < 1e-12 or error == 0:
        return None
    return ceil(examples * ((_Z_LEVEL + _Z_POWER) * error / value) ** 2)


def adjusted(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same, each p-value beside what Holm's correction makes of it: for all comparisons of a split, by metric."""
    differences: list[dict[str, Difference]] = [dict(comparison.differences) for comparison in comparisons]
    for split in dict.fromkeys(comparison.split for comparison in comparisons):
        members = [number for number, comparison in enumerate(comparisons) if comparison.split == split]
        if len(members) < 2:
            continue
        for metric in METRICS:
            corrected = holm([differences[number][metric].p for number in members])
            for number, p in zip(members, corrected, strict=True):
                found = differences[number][metric]
                differences[number][metric] = found.model_copy(update={"adjusted_p": p})
    return tuple(
        comparison.model_copy(update={"differences": found})
        for comparison, found in zip(comparisons, differences, strict=True)
    )


def p_words(p: float | None) -> str:
    """A p-value as in a sentence; small ones are named as small, never as zero.

    >>> p_words(0.0412), p_words(1e-9), p_words(None)
    ('p = 0.041', 'p < 0.001', 'p undefined')
    """
    if p is None:
        return "p undefined"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def difference_clause(comparison: Comparison, metric: str) -> str:
    """Whether two models differ in a metric and by how much, as it stands in a sentence.

    When they cannot be told apart that is said, with how many examples would tell.

    Args:
        comparison: Of the two.
        metric: One of `metrics.METRICS`.

    >>> between = Difference(value=-0.004, p=0.41, needed=9300)
    >>> difference_clause(
    ...     Comparison(first="depth-4", second="full", split="test", examples=1020, differences={"f1": between}), "f1"
    ... )  # doctest: +NORMALIZE_WHITESPACE
    'F1 of depth-4 is 0.4 points below full on the same 1,020 test examples (p = 0.410): the two cannot be told apart;
    about 9,300 examples would tell, should they go on to differ as they do'
    """
    difference, name = comparison.differences[metric], spelled(metric)
    first, second, where = comparison.first, comparison.second, f"{comparison.examples:,} {comparison.split} examples"
    if difference.value is None:
        return f"{name} is undefined for {first} or {second} on the {where}"
    if difference.value == 0:
        return f"{name} of {first} and {second} is the same on the {where}"
    size = f"{abs(difference.value):.3f}" if metric == "mcc" else f"{100 * abs(difference.value):.1f} points"
    side = "above" if difference.value > 0 else "below"
    said = f"{name} of {first} is {size} {side} {second} on the same {where}"
    if difference.p is None:
        return said
    corrected = "" if difference.adjusted_p is None else f", {difference.adjusted_p:.3f} after Holm's correction"
    said = f"{said} ({p_words(difference.p)}{corrected})"
    if difference.p < LEVEL:
        return said
    more = "" if difference.needed is None else f"; about {difference.needed:,} examples would tell, {_GO_ON}"
    return f"{said}: the two cannot be told apart{more}"


def spelled(metric: str) -> str:
    """Name of a metric as it stands in a sentence.

    >>> spelled("f1"), spelled("balanced_accuracy")
    ('F1', 'balanced accuracy')
    """
    return {"f1": "F1", "mcc": "MCC"}.get(metric, metric.replace("_", " "))
