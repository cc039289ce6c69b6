"""Where else the decision threshold could stand: often cheaper to move than a frozen block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold with what it would give on the very examples it was found on, hence flattering."""

    at: float
    """Answer "positive" from this score on."""
    recall: float
    precision: float
    f1: float


def best_threshold(positive_N: NDArray[np.bool_], scores_N: NDArray[np.float64]) -> Threshold | None:
    """Threshold with the highest F1 on these examples; None without a positive one.

    Args:
        positive_N: Which examples are positive, shape (N,).
        scores_N: Score of the positive class, higher is more positive, shape (N,).

    >>> best_threshold(np.array([False, False, True, True]), np.array([0.1, 0.3, 0.2, 0.4]))
    Threshold(at=0.2, recall=1.0, precision=0.6666666666666666, f1=0.8)
    """
    positives = int(positive_N.sum())
    if positives == 0:
        return None
    order = np.argsort(-scores_N, kind="stable")
    scores, hits = scores_N[order], positive_N[order].cumsum()
    # Equal scores cannot be parted: a threshold stands only where the next score differs.
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    hits, answers = hits[last], last + 1
    f1 = 2 * hits / (answers + positives)
    best = int(f1.argmax())
    return Threshold(
        at=float(scores[last[best]]),
        recall=float(hits[best] / positives),
        precision=float(hits[best] / answers[best]),
        f1=float(f1[best]),
    )
