"""How far fine-tuning moved what the old head answers. Needs no labels, so it says nothing of right and wrong.

Shape letters: N examples, C outputs of the old head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frostline.core.records import Drift, Estimate
from frostline.measure.intervals import wilson

_SMALLEST = 1e-12
"""A probability of 0 is read as this, so that one answer ruled out costs much but not everything."""


def drift(before_NC: NDArray[np.float64], after_NC: NDArray[np.float64]) -> Drift:
    """Compare the old head's answers on the pretrained backbone with those on the fine-tuned one.

    Args:
        before_NC: Its probabilities before fine-tuning; rows sum to one.
        after_NC: After, for the same examples in the same order.

    Returns:
        Share of examples whose most probable class is the same, with a 95 % interval (Wilson); and the mean over
        examples of `sum before * log(before / after)`, in nats: 0 when nothing moved.

    Raises:
        ValueError: The two are not about the same examples and classes, there are none, or a number is not finite.

    Source: Kullback & Leibler (1951), On information and sufficiency, Ann. Math. Stat. 22, 79-86; as the proxy of
        forgetting that Li & Hoiem (2016), Learning without forgetting, train against.

    >>> moved = drift(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([[0.9, 0.1], [0.1, 0.9]]))
    >>> moved.same_answer.value, round(moved.divergence, 4)
    (0.5, 0.2554)
    """
    if before_NC.shape != after_NC.shape or before_NC.ndim != 2 or len(before_NC) == 0:
        raise ValueError(f"answers of shape {before_NC.shape} and {after_NC.shape} are not about the same examples")
    if not (np.isfinite(before_NC).all() and np.isfinite(after_NC).all()):
        raise ValueError("an answer of the old head is not finite")
    same = int((before_NC.argmax(axis=1) == after_NC.argmax(axis=1)).sum())
    low, high = wilson(same, len(before_NC))
    return Drift(
        examples=len(before_NC),
        same_answer=Estimate(value=same / len(before_NC), low=low, high=high, method="Wilson"),
        divergence=_divergence(before_NC, after_NC),
    )


def _divergence(before_NC: NDArray[np.float64], after_NC: NDArray[np.float64]) -> float:
    ratio_NC = np.log(np.maximum(before_NC, _SMALLEST) / np.maximum(after_NC, _SMALLEST))
    # Rows whose sums differ by a rounding would else come out a hair below 0.
    return max(0.0, float((before_NC * ratio_NC).sum(axis=1).mean()))
