"""What was forgotten: the old task with its original head, before and after fine-tuning."""

from __future__ import annotations

from pydantic import Field

from frostline.core.records.base import Record
from frostline.core.records.measured import Difference, Estimate, Measures


class Forgetting(Record):
    """Accuracy on the old task as pretrained and as fine-tuned, on the same examples."""

    examples: int = Field(ge=1)
    before: Estimate
    """Accuracy of the pretrained network with the head it came with."""
    after: Estimate
    """Accuracy of the same head on the fine-tuned backbone."""
    drop: Difference
    """`before - after`, paired by example: above 0 something was forgotten, below 0 something was gained."""
    lost: int = Field(ge=0)
    """Examples that were right before and are wrong after."""
    gained: int = Field(ge=0)
    """Examples that were wrong before and are right after."""


class DialPoint(Record):
    """Weights between the pretrained and the fine-tuned ones, on the new task and on the old."""

    candidate: str
    share: float = Field(ge=0, le=1)
    """Of the fine-tuned weights."""
    select: Measures
    """The new task, on the select split."""
    forgetting: Forgetting


class Confirmation(Record):
    """A candidate trained once more, whole and from the same start, in another order of the batches."""

    candidate: str
    seed: int
    select: Measures
    flops: int
    """Training, evaluating, and answering the select split."""


class Drift(Record):
    """How far fine-tuning moved what the old head answers on the new inputs. Needs no labels: a proxy of forgetting."""

    examples: int = Field(ge=1)
    same_answer: Estimate
    """Share of inputs for which the old head's most probable class is the same before and after."""
    divergence: float
    """Mean Kullback-Leibler divergence of its answers after from those before, in nats."""
