"""Replay as training uses it: example ids, what is counted as what, and reading ahead."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from frostline.capture import batches
from frostline.capture.capturing import Rows as Captured
from frostline.capture.replay import Replay
from frostline.models.task_model import Batch, TaskModel
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Inputs, Rows, plain_batches

T = TypeVar("T")

_HASHED = 256
"""Examples that are hashed at a time."""


class Replaying:
    """The replay of one run.

    Args:
        replay: Of the module as it is frozen for the run.
        model: The module's task.
        ids: Content hash of every example, by its position in the data set.
    """

    def __init__(self, replay: Replay, model: TaskModel, ids: Sequence[str]) -> None:
        self.replay, self._model, self._ids = replay, model, ids
        self.preparing = FlopsMeter()
        """Examining, capturing, verifying."""

    def count(
        self,
        meter: FlopsMeter,
        shape: Hashable,
        rows: Rows,
        batch: Batch,
        work: Callable[[], T],
        captured: Captured | None = None,
    ) -> T:
        """Do the work, the frozen part replayed, and add its FLOPs to the meter; those of preparing are kept apart.

        Args:
            captured: What the frozen part gives for this very batch, when it is not in the store.
        """
        call, ids = call_of(self._model, batch), [self._ids[row] or f"row {row}" for row in rows]
        self.replay.given = captured
        if not self.replay.is_ready(call, ids):
            prepared = self.preparing.measure(lambda: self.replay.prepare(call, ids))
            # Rows that the budget refused would be computed once more, and billed to the step.
            self.replay.ready = None if self.replay.is_ready(call, ids) else prepared
        plan = self.replay.plan_for(call)
        replayed = self.replay.counts["replayed batches"]
        key = plan is not None, shape
        known = meter.knows(key)
        with self.replay(ids):
            result = meter.count(key, work)
        if plan is not None and self.replay.counts["replayed batches"] == replayed:
            # It went astray and was computed the ordinary way. What was measured now holds that, and looking into the
            # way; what is known from a replayed batch lacks the frozen part.
            if known:
                meter.total += plan.spared_flops * len(rows)
            else:
                meter.forget(key)
        self.replay.given = self.replay.ready = None
        return result

    def read_ahead(self, rows: Rows, batch: Batch) -> None:
        """Let the store fetch what a coming batch needs while this one is computed."""
        call = call_of(self._model, batch)
        plan = self.replay.plan_for(call)
        if plan is not None:
            self.replay.rows.prefetch(plan, call.shape(), [self._ids[row] for row in rows])


def call_of(model: TaskModel, batch: Batch) -> batches.Batch:
    """A batch as one call of the network."""
    examples = len(next(iter(batch.values())))
    if model.by_keyword:
        return batches.Batch((), dict(batch), examples)
    return batches.Batch(tuple(batch.values()), {}, examples)


def content_ids(model: TaskModel, inputs: Inputs, rows: Rows, examples: int) -> list[str]:
    """A hash of what the network is given for each of these examples, by position; empty for the others."""
    ids = [""] * examples
    for some in plain_batches(inputs, rows, _HASHED):
        for row, id in zip(some, call_of(model, inputs.batch(some)).ids(), strict=True):
            ids[row] = id
    return ids
