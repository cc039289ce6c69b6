"""The head that every candidate starts from: a linear probe on the pretrained features, tempered.

A probe that is fitted to the end answers few training examples with great confidence. Its gradient is then next to
nothing where it is right and huge where the features move a little, and AdamW makes steps of the same size from both:
in the first epoch the backbone loses what it knew (`docs/log.md`). So the probe keeps the directions of the features as
they are, is the simplest one that cannot be told from the best, and its logits are drawn together.

Shape letters: N examples, F features, C classes.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from frostline.train.probes import STRENGTHS, Features, linear_layer

TEMPER = 0.3
"""Factor on the fitted logits. Better than 1 on most tasks, not on all (benchmarks/start_head.py)."""


def fit_start_head(
    train_NF: Features, train_N: NDArray[np.int64], stop_NF: Features, stop_N: NDArray[np.int64]
) -> tuple[Tensor, Tensor, float]:
    """Weight (C, F) and bias (C,) of the head, and the loss of the probe on the stop split before it was tempered.

    Features are centred and divided by one number for all: with one for each, as probes for comparison have it, a
    feature that hardly varies gets a weight that any training of the backbone makes enormous.

    Source: Kumar et al. (2022), Fine-tuning can distort pretrained features and underperform out-of-distribution, ICLR,
        for starting from a probe; the one-standard-error rule of Breiman et al. (1984) for its strength.
    """
    mean_F = train_NF.mean(axis=0, dtype=np.float64)
    scale = float(np.sqrt(train_NF.var(axis=0, dtype=np.float64).mean())) or 1.0
    fitted = []
    for strength in STRENGTHS:
        regression = LogisticRegression(C=strength, max_iter=300)
        with warnings.catch_warnings():
            # An unconverged fit is still a fit: its loss on the stop split is what it is.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit((train_NF - mean_F) / scale, train_N)
        answers_NC = regression.predict_proba((stop_NF - mean_F) / scale)
        right_N = answers_NC[np.arange(len(stop_N)), np.searchsorted(regression.classes_, stop_N)]
        fitted.append((regression, -np.log(np.clip(right_N, 1e-12, None))))
    best_N = min((losses_N for _, losses_N in fitted), key=np.mean)
    regression, losses_N = next((r, losses_N) for r, losses_N in fitted if _is_tied(losses_N, best_N))
    weight_CF = regression.coef_ / scale
    weight, bias = linear_layer(TEMPER * weight_CF, TEMPER * (regression.intercept_ - weight_CF @ mean_F))
    return weight, bias, float(losses_N.mean())


def _is_tied(losses_N: NDArray[np.float64], best_N: NDArray[np.float64]) -> bool:
    gap_N = losses_N - best_N
    return bool(gap_N.mean() <= gap_N.std(ddof=1) / np.sqrt(len(gap_N)))
