"""Whether scores can be read as probabilities: of a hundred examples scored .8, are eighty positive?

Of two classes the score of the positive one is read, of several the score of the answer given.

Shape letters: N examples, B bins, C cells of neighbouring scores, S simulations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.core.predictions import Predictions
from frostline.core.records import Calibration, CalibrationBin
from frostline.measure.metrics import Floats

BINS = 15
SIMULATIONS = 1_000
_CELLS = 2_000  # more single scores than this are drawn together with their neighbours


@dataclass(frozen=True, slots=True)
class Binned:
    """Scores with their outcomes, in bins of equal size."""

    scores_N: Floats
    outcomes_N: Floats
    """1.0 where the score was right, 0.0 where it was not."""
    bins_N: NDArray[np.int64]
    """From 0, the lowest scores first; every bin holds an example."""

    @property
    def error(self) -> float:
        """Mean distance of score and observed share over bins, weighted by examples."""
        gaps_B = np.bincount(self.bins_N, weights=self.scores_N - self.outcomes_N)
        return float(np.abs(gaps_B).sum()) / len(self.scores_N)


def binned(predictions: Predictions, bins: int = BINS) -> Binned | None:
    """The scores that calibration is asked of; None without examples or without finite probabilities.

    Equal scores share a bin, or the order of the file would decide the error. Bins may thus differ in size.

    Args:
        predictions: With probabilities.
        bins: At most.
    """
    probabilities_NC = predictions.probabilities_NC
    if probabilities_NC is None or not len(predictions) or not np.isfinite(probabilities_NC).all():
        return None
    positive = predictions.task.positive_index
    if positive is None:
        scores_N = probabilities_NC[np.arange(len(predictions)), predictions.predicted_N]
        right_N = predictions.predicted_N == predictions.true_N
    else:
        scores_N, right_N = probabilities_NC[:, positive], predictions.true_N == positive
    inner = np.quantile(scores_N, np.arange(1, bins) / bins, method="inverted_cdf")
    _, bins_N = np.unique(np.searchsorted(inner, scores_N, side="left"), return_inverse=True)
    return Binned(scores_N, right_N.astype(np.float64), bins_N.astype(np.int64))


def calibration(predictions: Predictions, *, seed: int = 0) -> Calibration | None:
    """Calibration error over 15 bins of equal size, with the error that perfect scores would show.

    Args:
        predictions: With probabilities.
        seed: Of the simulated outcomes.

    Returns:
        Error, its 95th percentile under perfect calibration, and the bins; None where `binned` is.

    Source: Naeini et al. (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI; bins of equal
        size and the comparison with simulated outcomes: Vaicenavicius et al. (2019), Evaluating model calibration in
        classification, AISTATS.

    >>> from frostline.core.records import Task
    >>> true = np.array([0, 1] * 50)
    >>> unsure = Predictions.from_probabilities(Task(labels=("a", "b"), positive="b"), true, np.full((100, 2), 0.5))
    >>> calibration(unsure).error
    0.0
    """
    found = binned(predictions)
    if found is None:
        return None
    sizes_B = np.bincount(found.bins_N)
    scores_B = np.bincount(found.bins_N, weights=found.scores_N) / sizes_B
    observed_B = np.bincount(found.bins_N, weights=found.outcomes_N) / sizes_B
    return Calibration(
        error=found.error,
        null_error=null_error(found, seed=seed),
        bins=tuple(
            CalibrationBin(examples=size, score=score, observed=observed)
            for size, score, observed in zip(sizes_B.tolist(), scores_B.tolist(), observed_B.tolist(), strict=True)
        ),
    )


def null_error(found: Binned, *, seed: int = 0, simulations: int = SIMULATIONS) -> float:
    """95th percentile of the error if every outcome were drawn with the probability that its score claims.

    Beyond a few thousand examples neighbours of one bin are drawn together, at their mean score.

    Args:
        found: The scores in their bins.
        seed: Of the outcomes.
        simulations: How many.
    """
    order = np.lexsort((found.scores_N, found.bins_N))
    # Cells never cross a bin: a bin's first example opens one.
    opens = np.diff(found.bins_N[order], prepend=-1) > 0
    opens[:: max(1, len(order) // _CELLS)] = True
    starts_C = np.flatnonzero(opens)
    sizes_C = np.diff(np.append(starts_C, len(order)))
    scores_C = np.clip(np.add.reduceat(found.scores_N[order], starts_C) / sizes_C, 0.0, 1.0)
    hits_SC = np.random.default_rng(seed).binomial(sizes_C, scores_C, size=(simulations, len(starts_C)))
    bins_C = found.bins_N[order][starts_C]
    gaps_SB = np.add.reduceat(scores_C * sizes_C - hits_SC, np.flatnonzero(np.diff(bins_C, prepend=-1)), axis=1)
    errors_S = np.abs(gaps_SB).sum(axis=1) / len(order)
    return float(np.quantile(errors_S, 0.95))
