"""The two areas that need only the order of the scores, for whole stacks of weighted examples at once.

Shape letters: N examples, R rows of weights, J distinct scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.measure.metrics import Floats


@dataclass(frozen=True, slots=True)
class Ranked:
    """Examples sorted from the highest score to the lowest. Equal scores cannot be parted and share one place."""

    order_N: NDArray[np.int64]
    positive_N: NDArray[np.bool_]
    """In that order."""
    last_J: NDArray[np.int64]
    """Place of the last example of each distinct score."""

    @classmethod
    def of(cls, positive_N: NDArray[np.bool_], scores_N: Floats) -> Ranked:
        """Sort examples, given which are positive and the score of each, shape (N,)."""
        order_N = np.argsort(-scores_N, kind="stable")
        scores = scores_N[order_N]
        return cls(order_N, positive_N[order_N], np.flatnonzero(np.append(scores[1:] != scores[:-1], True)))

    def areas(self, weights_RN: Floats) -> tuple[Floats, Floats]:
        """Area under the ROC curve, and average precision, of each row of weights.

        Both classes must have weight in every row. Average precision is the sum of the precisions at each distinct
        score, weighted by the recall gained there; nothing is interpolated.

        Args:
            weights_RN: How often each example counts, in its first order, shape (R, N).

        Returns:
            Two arrays of shape (R,), each in [0, 1].

        Source: Hanley & McNeil (1982), The meaning and use of the area under a ROC curve, Radiology 143, 29-36.

        >>> ranked = Ranked.of(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]))
        >>> roc, precision = ranked.areas(np.ones((1, 4)))
        >>> f"{roc[0]:.4f} {precision[0]:.4f}"
        '0.7500 0.8333'
        """
        weights = weights_RN[:, self.order_N]
        all_RJ = self._at_scores(weights.cumsum(axis=1))
        true_RJ = self._at_scores(np.multiply(weights, self.positive_N, out=weights).cumsum(axis=1))
        false_RJ = all_RJ - true_RJ
        gained_RJ = np.diff(true_RJ, axis=1, prepend=0)
        passed_RJ = np.diff(false_RJ, axis=1, prepend=0)
        positives, negatives = true_RJ[:, -1], false_RJ[:, -1]
        roc_R = np.einsum("rj,rj->r", passed_RJ, true_RJ - gained_RJ / 2) / (positives * negatives)
        # Where nothing counts yet nothing is gained either, so any divisor will do.
        precision_RJ = true_RJ / np.maximum(all_RJ, 1e-300)
        return roc_R, np.einsum("rj,rj->r", gained_RJ, precision_RJ) / positives

    def gradients(self) -> tuple[Floats, Floats]:
        """Derivative of both areas by the weight of each example, up to a constant within each class, shape (N,).

        Source: the placements of DeLong et al. (1988), Biometrics 44, 837-845, for the first; for the second the
            derivative of its sum.
        """
        true_J = self.positive_N.cumsum()[self.last_J].astype(np.float64)
        all_J = self.last_J + 1.0
        false_J = all_J - true_J
        gained_J, passed_J = np.diff(true_J, prepend=0), np.diff(false_J, prepend=0)
        positives, negatives = true_J[-1], false_J[-1]
        below_J = (negatives - false_J + passed_J / 2) / (positives * negatives)
        above_J = (true_J - gained_J / 2) / (positives * negatives)
        # A positive at one score raises the precision there and at every lower score; a negative lowers them.
        raised_J = _from_here_on(gained_J * false_J / all_J**2) + true_J / all_J
        lowered_J = -_from_here_on(gained_J * true_J / all_J**2)
        return (
            self._by_example(below_J, above_J),
            self._by_example(raised_J / positives, lowered_J / positives),
        )

    def _at_scores(self, summed_RN: Floats) -> Floats:
        return summed_RN if len(self.last_J) == len(self.order_N) else summed_RN[:, self.last_J]

    def _by_example(self, of_positive_J: Floats, of_negative_J: Floats) -> Floats:
        sizes = np.diff(self.last_J, prepend=-1)
        sorted_N = np.where(self.positive_N, np.repeat(of_positive_J, sizes), np.repeat(of_negative_J, sizes))
        by_example = np.empty_like(sorted_N)
        by_example[self.order_N] = sorted_N
        return by_example


def _from_here_on(values_J: Floats) -> Floats:
    sums: Floats = values_J[::-1].cumsum()[::-1]
    return sums
