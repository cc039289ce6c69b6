"""What every decision threshold would give: all places it could stand, thinned for the record, and the best of them.

Thresholds stand half-way between neighbouring scores, so that a new example falls on neither side by a hair.

Shape letters: N examples, T thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.core.predictions import Predictions
from frostline.core.records import CurvePoint
from frostline.measure.metrics import Floats

USUAL = 0.5
MOST_POINTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold with what it would give on the very examples it was found on, hence flattering."""

    at: float
    """Answer "positive" from this score on."""
    recall: float
    precision: float
    f1: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Every threshold that parts the examples in another way, from the highest to the lowest."""

    at_T: Floats
    tp_T: NDArray[np.int64]
    fp_T: NDArray[np.int64]

    @classmethod
    def of(cls, positive_N: NDArray[np.bool_], scores_N: Floats) -> Thresholds:
        """From the highest score alone answered as positive, to all of them.

        Args:
            positive_N: Which examples are positive, shape (N,); one at least.
            scores_N: Score of the positive class in [0, 1], shape (N,).

        >>> Thresholds.of(np.array([False, True, True]), np.array([0.25, 0.5, 0.75])).at_T.tolist()
        [0.625, 0.375, 0.0]
        """
        order = np.argsort(-scores_N, kind="stable")
        scores, hits = scores_N[order], positive_N[order].cumsum()
        # Equal scores cannot be parted: a threshold stands only where the next score differs.
        last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
        distinct, below = scores[last], np.append(scores[last][1:], 0.0)
        middle = (distinct + below) / 2
        # Between two neighbouring floats there is no middle: rounding may give the lower one.
        at = np.where(middle > below, middle, distinct)
        at[-1] = 0.0
        return cls(at, hits[last].astype(np.int64), (last + 1 - hits[last]).astype(np.int64))


def curve(predictions: Predictions) -> tuple[CurvePoint, ...]:
    """What thresholds on the score of the positive class would give, at most 200 of them.

    Kept are both ends, the threshold with the highest F1 and the one that gives the present answers; the others are
    spread evenly over those there are.

    Args:
        predictions: With probabilities, else there is no curve; with two classes, likewise.

    Returns:
        From the highest threshold to the lowest; empty without a positive example.
    """
    positive, probabilities_NC = predictions.task.positive_index, predictions.probabilities_NC
    if positive is None or probabilities_NC is None or not np.isfinite(probabilities_NC).all():
        return ()
    positive_N, scores_N = predictions.true_N == positive, probabilities_NC[:, positive]
    if not positive_N.any():
        return ()
    every = Thresholds.of(positive_N, scores_N)
    f1_T = f1_values(every.tp_T, every.fp_T, int(positive_N.sum()))
    best = int(np.lexsort((np.abs(every.at_T - USUAL), -f1_T))[0])
    answered = int((predictions.predicted_N == positive).sum())
    present = int(np.abs(every.tp_T + every.fp_T - answered).argmin())
    spread = np.linspace(0, len(every.at_T) - 1, min(len(every.at_T), MOST_POINTS - 2)).round().astype(np.int64)
    kept = np.unique([*spread, best, present])
    return tuple(
        CurvePoint(threshold=at, tp=tp, fp=fp)
        for at, tp, fp in zip(*(side[kept].tolist() for side in (every.at_T, every.tp_T, every.fp_T)), strict=True)
    )


def best_f1(points: Sequence[CurvePoint]) -> Threshold | None:
    """The point of a curve with the highest F1, of equals the one nearest to .5; None without points.

    Args:
        points: As `curve` makes them: the last one answers everything, so its `tp` are all positives there are.

    >>> best_f1([CurvePoint(threshold=0.6, tp=1, fp=0), CurvePoint(threshold=0.0, tp=2, fp=1)])
    Threshold(at=0.0, recall=1.0, precision=0.6666666666666666, f1=0.8)
    """
    if not points:
        return None
    positives = points[-1].tp
    every = [
        Threshold(
            at=point.threshold,
            recall=point.tp / positives,
            precision=point.tp / (point.tp + point.fp),
            f1=2 * point.tp / (point.tp + point.fp + positives),
        )
        for point in points
    ]
    return min(every, key=lambda threshold: (-threshold.f1, abs(threshold.at - USUAL)))


def f1_values(tp_T: NDArray[np.int64], fp_T: NDArray[np.int64], positives: int) -> Floats:
    """F1 of counts at each threshold, shape (T,)."""
    f1_T: Floats = 2 * tp_T / (tp_T + fp_T + positives)
    return f1_T
