"""Metrics that read scores: how well they rank, and how far they are from the truth as probabilities.

    roc_auc            share of pairs of a positive and a negative example that are ranked rightly, ties half
    pr_auc             average precision: precision at each distinct score, weighted by the recall gained there
    brier              mean squared distance between scores and truth
    calibration_error  mean distance between score and observed share, see `calibration`
    log_loss           mean of minus the logarithm of the score of the true class

With several classes the two areas are means over the classes, each against the rest; the squared distance is summed
over all classes, so it reaches 2; calibration is that of the answer given.

Shape letters: N examples, C classes, R resamples, B bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np

from frostline.core.predictions import Predictions
from frostline.core.records import Estimate
from frostline.measure.bootstrap import RESAMPLES, bca, centred, resampled_weights
from frostline.measure.calibration import Binned, binned
from frostline.measure.intervals import Interval
from frostline.measure.metrics import Floats
from frostline.measure.ranked import Ranked

AREAS = ("roc_auc", "pr_auc")
SCORED = (*AREAS, "brier", "calibration_error", "log_loss")
MOST_RESAMPLED = 15_000
"""Examples times rankings (one per class) up to which resampling takes a few seconds at most."""
_FEWEST = 2  # of a class: a single example is in every resample, so it says nothing of chance
_Z = NormalDist().inv_cdf(0.975)


def scored_metrics(predictions: Predictions, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
    """The five metrics of scores with 95 % intervals; empty when only labels are known.

    Intervals are bias-corrected and accelerated (BCa), from resamples that keep the class sizes. DeLong's interval
    would do for the area under the ROC curve of two classes, but not for average precision or a mean over classes: one
    method for all can be compared. Above `MOST_RESAMPLED` the derivatives that BCa needs anyway give the
    interval without resampling; for the ROC curve that is DeLong's. With some thirty positives among 20,000 examples
    these limits hold the truth in 87 to 95 of 100 cases.

    The calibration error is never negative and resampling only raises it, which no correction mends. Its interval
    comes from the distances in the bins by the triangle inequality: it is never too short, but often too long.

    Args:
        predictions: With probabilities.
        resamples: How many.
        seed: Of the resampling.

    Returns:
        Keys as `SCORED`.

    Source: Efron (1987) for the interval, see `bootstrap.bca`; Hand & Till (2001) for means over classes.

    >>> from frostline.core.records import Task
    >>> task = Task(labels=("ham", "spam"), positive="spam")
    >>> spam = np.array([0.1, 0.4, 0.35, 0.8])
    >>> answers = Predictions.from_probabilities(task, np.array([0, 0, 1, 1]), np.stack([1 - spam, spam], axis=1))
    >>> scored_metrics(answers)["roc_auc"].value
    0.75
    """
    if predictions.probabilities_NC is None:
        return {}
    found = binned(predictions)
    if found is None or len(predictions) < _FEWEST:
        finite = bool(np.isfinite(predictions.probabilities_NC).all())
        reason = "there are fewer than two examples" if finite else "some scores are not finite"
        return {metric: Estimate(value=None, undefined=reason) for metric in SCORED}
    lacking = _lacking(predictions)
    estimates = _estimates(predictions, [] if lacking else _rankings(predictions), resamples, seed)
    estimates |= {metric: Estimate(value=None, undefined=lacking) for metric in AREAS if lacking}
    estimates["calibration_error"] = _calibration_error(found, resamples, seed)
    return {metric: estimates[metric] for metric in SCORED}


def losses(predictions: Predictions) -> dict[str, Floats]:
    """Brier score and log loss of each example, shape (N,); empty when only labels are known.

    Probabilities below the smallest step of a float count as that step: one certain mistake costs much, not everything.

    Source: Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78, 1-3;
        of two classes the half of his sum, which is the squared distance of one of them.
    """
    probabilities_NC = predictions.probabilities_NC
    if probabilities_NC is None:
        return {}
    rows, positive = np.arange(len(predictions)), predictions.task.positive_index
    distances_NC = probabilities_NC.copy()
    distances_NC[rows, predictions.true_N] -= 1
    squared_NC = distances_NC**2
    of_truth_N = np.clip(probabilities_NC[rows, predictions.true_N], np.finfo(np.float64).eps, 1.0)
    return {
        "brier": squared_NC.sum(axis=1) if positive is None else squared_NC[:, positive],
        "log_loss": -np.log(of_truth_N),
    }


def _lacking(predictions: Predictions) -> str:
    """Why the areas do not exist: every class needs examples, and more than one to resample."""
    sizes = np.bincount(predictions.true_N, minlength=len(predictions.task.labels))
    for least, clause in ((1, "no example is {}"), (_FEWEST, "only one example is {}, too few to resample")):
        few = [repr(label) for label, size in zip(predictions.task.labels, sizes, strict=True) if size < least]
        if few:
            return clause.format(" or ".join(few))
    return ""


def _rankings(predictions: Predictions) -> list[Ranked]:
    """By the score of the positive class; with several, one for each class against the rest."""
    positive = predictions.task.positive_index
    classes = range(len(predictions.task.labels)) if positive is None else [positive]
    probabilities_NC = predictions.probabilities_NC
    if probabilities_NC is None:
        return []
    return [Ranked.of(predictions.true_N == number, probabilities_NC[:, number]) for number in classes]


def _areas(rankings: Sequence[Ranked], weights_RN: Floats) -> dict[str, Floats]:
    of_classes = np.array([ranked.areas(weights_RN) for ranked in rankings])
    return dict(zip(AREAS, of_classes.mean(axis=0), strict=True))


def _estimates(predictions: Predictions, rankings: Sequence[Ranked], resamples: int, seed: int) -> dict[str, Estimate]:
    """Of the two losses, and of the two areas when there is something to rank."""
    by_example = losses(predictions)
    values = {metric: float(loss_N.mean()) for metric, loss_N in by_example.items()}
    gradients = {metric: loss_N / len(predictions) for metric, loss_N in by_example.items()}
    if rankings:
        areas = _areas(rankings, np.ones((1, len(predictions))))
        values |= {metric: float(area[0]) for metric, area in areas.items()}
        of_classes = np.array([ranked.gradients() for ranked in rankings])
        gradients |= dict(zip(AREAS, of_classes.mean(axis=0), strict=True))
    influences = {metric: centred(gradient, predictions.true_N) for metric, gradient in gradients.items()}
    if len(predictions) * max(1, len(rankings)) > MOST_RESAMPLED:
        return {metric: _normal(metric, value, influences[metric]) for metric, value in values.items()}
    drawn = _resampled(predictions, by_example, rankings, resamples, seed)
    method = f"BCa bootstrap of {resamples:,} resamples within classes"
    return {
        metric: _limited(value, bca(value, drawn[metric], influences[metric]), method, predictions, metric)
        for metric, value in values.items()
    }


def _resampled(
    predictions: Predictions, by_example: Mapping[str, Floats], rankings: Sequence[Ranked], resamples: int, seed: int
) -> dict[str, Floats]:
    parts: dict[str, list[Floats]] = {}
    for weights_RN in resampled_weights(predictions.true_N, resamples=resamples, seed=seed):
        some = {metric: weights_RN @ loss_N / len(predictions) for metric, loss_N in by_example.items()}
        if rankings:
            some |= _areas(rankings, weights_RN)
        for metric, values_R in some.items():
            parts.setdefault(metric, []).append(values_R)
    return {metric: np.concatenate(values) for metric, values in parts.items()}


def _limited(value: float, limits: Interval | None, method: str, predictions: Predictions, metric: str) -> Estimate:
    if limits is not None:
        return Estimate(value=value, low=limits[0], high=limits[1], method=method)
    if metric == "roc_auc" and value == 1:
        return Estimate(value=value, low=_separated(predictions), high=value, method="disjoint pairs, none misranked")
    return Estimate(value=value, method="no interval: every resample gives the same value")


def _separated(predictions: Predictions) -> float:
    """Lower limit of an area of 1: pairs without a common example are independent, and all were ranked rightly.

    Each pair is ranked rightly with the probability that the area is, so the limit is Clopper & Pearson's for as many
    successes; with several classes at the level that covers all of them (Bonferroni).
    """
    sizes = np.bincount(predictions.true_N, minlength=len(predictions.task.labels))
    pairs = int(np.minimum(sizes, len(predictions) - sizes).min())
    rankings = 1 if predictions.task.positive is not None else len(sizes)
    return float((0.025 / rankings) ** (1 / pairs))


def _normal(metric: str, value: float, influence_N: Floats) -> Estimate:
    """Limits from the derivatives alone; those of an area on the logit scale, which keeps them inside [0, 1]."""
    half_width = _Z * sqrt(float((influence_N**2).sum()))
    if metric not in AREAS:
        return Estimate(value=value, low=max(0.0, value - half_width), high=value + half_width, method="delta method")
    if half_width == 0 or not 0 < value < 1:
        return Estimate(value=value, method="no interval: the scores part the classes perfectly")
    centre, reach = log(value / (1 - value)), half_width / (value * (1 - value))
    low, high = (1 / (1 + exp(-(centre + side * reach))) for side in (-1, 1))
    return Estimate(value=value, low=low, high=high, method="delta method on the logit scale")


def _calibration_error(found: Binned, draws: int, seed: int) -> Estimate:
    """The error moves by at most the sum of what its bins move by: a normal distance with the spread seen in each."""
    spread_B = np.sqrt(np.bincount(found.bins_N, weights=(found.scores_N - found.outcomes_N) ** 2))
    moved = np.abs(np.random.default_rng(seed).normal(size=(draws, len(spread_B))) * spread_B).sum(axis=1)
    reach = float(np.quantile(moved, 0.95)) / len(found.scores_N)
    value = found.error
    return Estimate(
        value=value,
        low=max(0.0, value - reach),
        high=min(1.0, value + reach),
        method="triangle inequality over the bins, conservative",
    )
