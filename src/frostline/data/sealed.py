"""The labels of the test split, kept where only a counted opening reaches them (law 3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import StudyError
from frostline.core.records import Opening


class SealedLabels:
    """Test labels that are read once, for contenders named beforehand.

    The seal guards against accidents, not against intent: Python hides nothing from whoever digs.

    >>> sealed = SealedLabels(np.array([1, 0, 1]), sha256="5f" * 32)
    >>> sealed
    SealedLabels(3 examples, sealed, sha256 5f5f5f5f5f5f)
    >>> labels, opening = sealed.open(["depth-4", "full"])
    >>> labels.tolist(), opening.contenders
    ([1, 0, 1], ('depth-4', 'full'))
    """

    __slots__ = ("_labels_N", "_opening", "sha256")

    def __init__(self, labels_N: NDArray[np.int64], *, sha256: str) -> None:
        self._labels_N = labels_N.copy()
        self._labels_N.setflags(write=False)
        self._opening: Opening | None = None
        self.sha256 = sha256
        """Of the test inputs and their labels, in any order: by it openings are counted across studies."""

    def __len__(self) -> int:
        return len(self._labels_N)

    def __repr__(self) -> str:
        state = "opened" if self._opening else "sealed"
        return f"SealedLabels({len(self)} examples, {state}, sha256 {self.sha256[:12]})"

    def open(self, contenders: Sequence[str]) -> tuple[NDArray[np.int64], Opening]:
        """Read the labels.

        Args:
            contenders: Everything that will be measured on them, named before anything is seen.

        Returns:
            Class numbers, aligned with the test rows, and the record of this opening. Asking again
            for the same contenders returns the first opening: nothing more is learned from it.

        Raises:
            StudyError: Nobody is named, or the labels were opened for others before.
        """
        if not contenders:
            raise StudyError("The test labels were asked for without naming a contender. Name all that will be judged.")
        named = tuple(contenders)
        if self._opening is None:
            self._opening = Opening(
                at=datetime.now(UTC).isoformat(timespec="seconds"), test_sha256=self.sha256, contenders=named
            )
        elif set(named) != set(self._opening.contenders):
            raise StudyError(
                f"The test labels were opened at {self._opening.at} for {', '.join(self._opening.contenders)} and are "
                f"now asked for by {', '.join(named)}. Choose on the select split; judge others on new test data."
            )
        return self._labels_N, self._opening
