"""What is asked: the task and the floors."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from frostline.core.records.base import Record


class Task(Record):
    """What the labels are, and which of them is the positive one."""

    labels: tuple[str, ...]
    """Class labels; the position is the class number used everywhere."""
    positive: str | None = None
    """Label whose recall and precision are judged. None with three classes or more."""

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        if len(self.labels) == 2 and self.positive not in self.labels:
            raise ValueError(f"a task of two classes names its positive one, got {self.positive!r}")
        if len(self.labels) != 2 and self.positive is not None:
            raise ValueError("only a task of two classes has a positive one")
        return self

    @property
    def positive_index(self) -> int | None:
        return None if self.positive is None else self.labels.index(self.positive)

    @property
    def average(self) -> Literal["binary", "macro"]:
        """How recall, precision and F1 are formed: of the positive class, or the mean over classes."""
        return "macro" if self.positive is None else "binary"


class Floor(Record):
    """One demand: the metric must be at least this, with confidence; or at most this, where it is a loss."""

    metric: str
    floor: float
    at_most: bool = False
    """True for `old_accuracy_drop`: what the old task may lose."""
    default: bool = False
    """True when the user gave no floor and frostline supplied this one."""
