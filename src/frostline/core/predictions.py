"""Per-example answers of one model on one split, in memory and on disk.

Shape letters: N examples, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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

    def with_threshold(self, at: float) -> Predictions:
        """The same scores with other answers: positive from this score on, for tasks of two classes.

        Raises:
            ValueError: There are several classes, or only labels are known.

        >>> task = Task(labels=("ham", "spam"), positive="spam")
        >>> answers = Predictions.from_probabilities(task, np.array([0, 1]), np.array([[0.9, 0.1], [0.7, 0.3]]))
        >>> answers.with_threshold(0.2).predicted_N.tolist()
        [0, 1]
        """
        positive = self.task.positive_index
        if positive is None or self.probabilities_NC is None:
            raise ValueError("a threshold needs two classes and their probabilities")
        answered_N = self.probabilities_NC[:, positive] >= at
        return replace(self, predicted_N=np.where(answered_N, positive, 1 - positive).astype(np.int64))

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
    _save(path, probabilities_NC)


def save_features(path: Path, features_NF: NDArray[np.float32]) -> None:
    """Write the pretrained features of one split, atomically."""
    _save(path, features_NF)


def _save(path: Path, array: NDArray[Any]) -> None:
    write_atomically(path, lambda file: np.save(file, array, allow_pickle=False))


def load_probabilities(path: Path) -> NDArray[np.float64]:
    """Read what `save_probabilities` wrote.

    Raises:
        StudyError: The file is missing or torn.
    """
    loaded: NDArray[np.float64] = _load(path)
    return loaded


def load_features(path: Path) -> NDArray[np.float32]:
    """Read what `save_features` wrote.

    Raises:
        StudyError: The file is missing or torn.
    """
    loaded: NDArray[np.float32] = _load(path)
    return loaded


def _load(path: Path) -> NDArray[Any]:
    try:
        loaded: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StudyError(
            f"The scores in {path} cannot be read ({error}). Run the search again with --resume to make them anew."
        ) from error
    return loaded
