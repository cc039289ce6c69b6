"""What trained networks answer, kept on disk: asked once, by name and split, with the FLOPs that took.

Shape letters: N examples, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.core.ledger import Ledger
from frostline.core.predictions import load_probabilities, save_probabilities
from frostline.core.records import SplitName
from frostline.core.study_folder import StudyFolder
from frostline.data.sources import Dataset
from frostline.models.task_model import TaskModel
from frostline.train.evaluate import losses_of, predict
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Inputs
from frostline.train.replaying import Replaying

Probabilities = NDArray[np.float64]
Losses = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asking:
    """The answers of one study."""

    data: Dataset
    inputs: Inputs
    folder: StudyFolder
    ledger: Ledger

    def ask(self, name: str, split: SplitName, model: TaskModel, replaying: Replaying | None) -> None:
        """Answer a split, and acknowledge it."""
        meter = FlopsMeter()
        # The test split is asked once, so there is nothing to replay.
        answer = predict(model, self.inputs, self.data.rows[split], meter, None if split == "test" else replaying)
        save_probabilities(self.folder.scores(name, split), answer)
        self.acknowledge(name, split, meter.total)

    def acknowledge(self, name: str, split: SplitName, flops: int) -> None:
        """What was answered on another way, and is on disk."""
        self.ledger.note(_fact(name, split), str(flops))

    def is_known(self, name: str, split: SplitName) -> bool:
        return self.ledger.fact(_fact(name, split)) is not None

    def answers(self, name: str, split: SplitName) -> Probabilities:
        """Probabilities (N, C) that were answered."""
        return load_probabilities(self.folder.scores(name, split))

    def losses(self, name: str) -> Losses:
        """Cross-entropy (N,) of what was answered on the select split."""
        return losses_of(self.answers(name, "select"), self.data.labels[self.data.rows["select"]])

    def flops(self, name: str, split: SplitName) -> int:
        """Spent on the names that are LIKE a pattern, in this process or before."""
        return self.ledger.total_of(_fact(name, split))


def _fact(name: str, split: str) -> str:
    return f"flops of {name} on {split}"
