"""Examples that carry any number of labels: metrics, intervals and bounds.

    recall, precision, f1   mean over the labels, each decided by itself: undefined as soon as one label's is
    accuracy                share of examples with exactly the right set of labels
    balanced_accuracy       mean over the labels of the mean of recall and of the share rightly left off
    mcc                     of all decisions together, label by label

The decisions of one label are independent, those of one example are not: a hard example is hard for many labels.
So limits are taken label by label and joined with the correlation that the examples show.

Shape letters: N examples, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.core.records import ClassMeasures, Confusion, Estimate, Measures
from frostline.measure.bounds import Bounds
from frostline.measure.intervals import (
    Interval,
    clopper_pearson_lower,
    clopper_pearson_upper,
    f1_from_overlap,
    mover_mean,
    wilson,
)
from frostline.measure.measures import estimate
from frostline.measure.metrics import METRICS, Floats, Margins, metric_values, why_undefined
from frostline.measure.posterior import posterior_draws

ASSIGNED, NOT_ASSIGNED = "assigned", "not assigned"
_BY_LABEL = ("recall", "precision", "f1", "balanced_accuracy")
_METHOD = "Wilson limits per label, joined by the correlation over examples"


@dataclass(frozen=True, slots=True)
class Assigned:
    """Which labels each example carries, and which were answered."""

    labels: tuple[str, ...]
    true_NL: NDArray[np.bool_]
    answered_NL: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.true_NL)

    @property
    def right(self) -> int:
        """Examples with exactly the right labels."""
        return int((self.true_NL == self.answered_NL).all(axis=1).sum())

    def confusion(self, label: int | None = None) -> Confusion:
        """Decisions on one label, or on all of them together; "assigned" is the positive answer."""
        columns = slice(None) if label is None else slice(label, label + 1)
        true, answered = self.true_NL[:, columns], self.answered_NL[:, columns]
        hits, positives, answers = (int(side.sum()) for side in (true & answered, true, answered))
        counts = ((hits, positives - hits), (answers - hits, true.size - positives - answers + hits))
        name = ASSIGNED if label is None else self.labels[label]
        return Confusion(labels=(name, f"not {name}"), counts=counts, positive=name)

    def bounds(self, metric: str) -> Bounds | None:
        """One-sided bounds of a metric, None where it is undefined.

        Args:
            metric: One of `metrics.METRICS`.

        >>> carried = np.repeat([[True, False], [True, True]], 50, axis=0)
        >>> recall = Assigned(("a", "b"), carried, carried).bounds("recall")
        >>> f"{recall.lower(0.95):.3f} {recall.upper(0.95):.3f}"
        '0.961 1.000'
        """
        if self.value(metric) is None:
            return None
        if metric == "accuracy":
            return Bounds(
                lower=lambda confidence: clopper_pearson_lower(self.right, len(self), confidence=confidence),
                upper=lambda confidence: clopper_pearson_upper(self.right, len(self), confidence=confidence),
            )
        # Below one half a lower bound would pass its estimate.
        limits = self._limits(metric)
        return Bounds(
            lower=lambda confidence: limits(max(0.0, 2 * confidence - 1))[0],
            upper=lambda confidence: limits(max(0.0, 2 * confidence - 1))[1],
        )

    def value(self, metric: str) -> float | None:
        """A metric; None where it is undefined."""
        if metric == "accuracy":
            return self.right / len(self) if len(self) else None
        if metric == "mcc":
            value = float(metric_values(metric, Margins.of(self.confusion().counts), 0))
        else:
            value = float(np.mean([metric_values(metric, Margins.of(c.counts), 0) for c in self._by_label()]))
        return None if math.isnan(value) else value

    def examples_needed(self, metric: str, floor: float, *, confidence: float) -> int | None:
        """Examples in all that would show a floor, if it goes on like this; None when the value is not above it.

        The distance from value to bound shrinks with the root of the examples: an approximation.
        """
        value, found = self.value(metric), self.bounds(metric)
        if value is None or found is None or value <= floor:
            return None
        return math.ceil(len(self) * ((value - found.lower(confidence)) / (value - floor)) ** 2)

    def estimate(self, metric: str) -> Estimate:
        """A metric with its displayed 95 % interval, or why it is undefined."""
        value = self.value(metric)
        if value is None:
            return Estimate(value=None, undefined=self._why_undefined(metric))
        if metric == "accuracy":
            low, high = wilson(self.right, len(self))
            return Estimate(value=value, low=low, high=high, method="Wilson")
        low, high = self._limits(metric)(0.95)
        method = _METHOD if metric in _BY_LABEL else "Dirichlet posterior, as if an example were one decision"
        return Estimate(value=value, low=min(low, value), high=max(high, value), method=method)

    def _by_label(self) -> list[Confusion]:
        return [self.confusion(number) for number in range(len(self.labels))]

    def _why_undefined(self, metric: str) -> str:
        confusions = [self.confusion()] if metric == "mcc" else self._by_label()
        reasons = dict.fromkeys(why_undefined(metric, confusion) for confusion in confusions)
        return "; ".join(reason for reason in reasons if reason)

    def _limits(self, metric: str) -> Callable[[float], Interval]:
        """Limits of a metric, by their two-sided confidence."""
        if metric == "mcc":
            # With all decisions of an example alike it says no more than one of them: the limits are never too short.
            counts = np.array(self.confusion().counts) / len(self.labels)
            draws = posterior_draws(metric, counts, 0)
            return lambda confidence: _quantiles(draws, confidence)
        confusions, together_LL = self._by_label(), self._correlation(metric)
        return lambda confidence: _joined([_label(metric, c, confidence) for c in confusions], together_LL)

    def _correlation(self, metric: str) -> Floats:
        """Of the labels' estimates over the examples, never below 0; 1 where a label shows no variation."""
        by_label = zip(self.true_NL.T, self.answered_NL.T, strict=True)
        influence_NL = np.stack([_influence(metric, *decisions) for decisions in by_label], axis=1)
        centred_NL = influence_NL - influence_NL.mean(axis=0)
        size_L = np.sqrt((centred_NL**2).sum(axis=0))
        varies_L = size_L > 1e-12
        unit_NL = centred_NL / np.where(varies_L, size_L, 1.0)
        together_LL = np.where(np.outer(varies_L, varies_L), np.clip(unit_NL.T @ unit_NL, 0.0, 1.0), 1.0)
        np.fill_diagonal(together_LL, 1.0)
        return np.asarray(together_LL, dtype=np.float64)


def measure_assigned(assigned: Assigned, split: str) -> Measures:
    """Measure answers that are sets of labels.

    Args:
        assigned: What is true and what was answered.
        split: Which split they are of, in words.

    Returns:
        All six metrics with 95 % intervals, every label by itself, and the pooled counts of all decisions.

    Source: Tsoumakas et al. (2010), Mining multi-label data, for the averages over labels and the exact match;
        Zou & Donner (2008), Statistics in Medicine 27, 1693-1702, for limits of a sum from the limits of its parts.

    >>> carried = np.array([[True, False], [True, True]])
    >>> measured = measure_assigned(Assigned(("a", "b"), carried, np.array([[True, False], [True, False]])), "given")
    >>> measured.metrics["recall"].value, measured.metrics["precision"].undefined
    (0.5, "nothing was predicted as 'b'")
    """
    return Measures(
        split=split,
        examples=len(assigned),
        average="multilabel",
        confusion=assigned.confusion(),
        metrics={metric: assigned.estimate(metric) for metric in METRICS},
        per_class=tuple(
            ClassMeasures(
                label=confusion.labels[0],
                support=sum(confusion.counts[0]),
                recall=estimate("recall", confusion),
                precision=estimate("precision", confusion),
                f1=estimate("f1", confusion),
            )
            for confusion in (assigned.confusion(number) for number in range(len(assigned.labels)))
        ),
    )


def _label(metric: str, confusion: Confusion, confidence: float) -> tuple[float, Interval]:
    """The value of one label with its Wilson limits."""
    (hits, missed), (alarms, left) = confusion.counts
    if metric == "balanced_accuracy":
        parts = [(hits, hits + missed), (left, left + alarms)]
        rates = [part / total for part, total in parts]
        return sum(rates) / 2, mover_mean(rates, [wilson(*part, confidence=confidence) for part in parts])
    total = {"recall": hits + missed, "precision": hits + alarms, "f1": hits + missed + alarms}[metric]
    low, high = wilson(hits, total, confidence=confidence)
    if metric != "f1":
        return hits / total, (low, high)
    return f1_from_overlap(hits / total), (f1_from_overlap(low), f1_from_overlap(high))


def _joined(labels: Sequence[tuple[float, Interval]], together_LL: Floats) -> Interval:
    """Limits of the mean over labels: the distances to their limits add up as correlated deviations do."""
    values = np.array([value for value, _ in labels])
    below, above = (np.array([abs(value - limits[side]) for value, limits in labels]) for side in (0, 1))
    mean = float(values.mean())
    down, up = (math.sqrt(float(side @ together_LL @ side)) / len(labels) for side in (below, above))
    return max(0.0, mean - down), min(1.0, mean + up)


def _influence(metric: str, true_N: NDArray[np.bool_], answered_N: NDArray[np.bool_]) -> Floats:
    """What each example does to the estimate of one label, up to a factor."""
    hit_N = true_N & answered_N
    if metric == "balanced_accuracy":
        return _share(hit_N, true_N) + _share(~true_N & ~answered_N, ~true_N)
    return _share(hit_N, {"recall": true_N, "precision": answered_N, "f1": true_N | answered_N}[metric])


def _share(part_N: NDArray[np.bool_], whole_N: NDArray[np.bool_]) -> Floats:
    total = max(1, int(whole_N.sum()))
    return np.asarray((part_N - whole_N * (part_N.sum() / total)) / total, dtype=np.float64)


def _quantiles(draws: Floats, confidence: float) -> Interval:
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
