"""Per-example answers of one model on one split, in memory and on disk.

Shape letters: N examples, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import StudyError
from frostline.core.files import write_atomically
from frostline.core.records import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a model answered, beside the truth."""

    task: Task
    true_N: NDArray[np.int64]
    """Class numbers."""
    predicted_N: NDArray[np.int64]
    """Class numbers."""
    probabilities_NC: NDArray[np.float64] | None = None
    """Rows sum to one. None when only labels are known."""

    def __len__(self) -> int:
        return len(self.true_N)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Predictions:
        """The same for some rows only."""
        chosen = None if self.probabilities_NC is None else self.probabilities_NC[rows]
        return Predictions(
            task=self.task,
            true_N=self.true_N[rows],
            predicted_N=self.predicted_N[rows],
            probabilities_NC=chosen,
        )

    @classmethod
    def from_probabilities(
        cls, task: Task, true_N: NDArray[np.int64], probabilities_NC: NDArray[np.float64]
    ) -> Predictions:
        """Predict the most probable class."""
        return cls(
            task=task,
            true_N=true_N,
            predicted_N=probabilities_NC.argmax(axis=1).astype(np.int64),
            probabilities_NC=probabilities_NC,
        )


def save_probabilities(path: Path, probabilities_NC: NDArray[np.float64]) -> None:
    """Write one model's probabilities for one split, atomically."""
    write_atomically(path, lambda file: np.save(file, probabilities_NC, allow_pickle=False))


def load_probabilities(path: Path) -> NDArray[np.float64]:
    """Read what `save_probabilities` wrote.

    Raises:
        StudyError: The file is missing or torn.
    """
    try:
        loaded: NDArray[np.float64] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StudyError(
            f"The scores in {path} cannot be read ({error}). Run the search again with --resume to make them anew."
        ) from error
    return loaded
