"""One pass of the pretrained backbone that captures what every plan needs.

Shape letters: B examples in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from frostline.capture.batch_rows import BatchRows
from frostline.capture.batches import Batch
from frostline.capture.capturing import Rows, capture
from frostline.capture.plans import Kept, ReplayPlan
from frostline.capture.replay import Replay


class Sharing:
    """The replays of several freeze plans for one model, which share their rows.

    Args:
        model: With the weights from which every plan starts.
        replays: By candidate; each has examined the batches to come, with the model frozen by its plan.
        rows: The ones that they share.
    """

    def __init__(self, model: nn.Module, replays: Mapping[str, Replay], rows: BatchRows) -> None:
        self._model, self._replays, self.rows = model, replays, rows
        self._unchecked: tuple[Batch, Rows, Any] | None = None
        """The batch that was captured last, and what came of it."""

    def capture(self, batch: Batch, ids: Sequence[str]) -> Any:
        """Capture a batch for all plans and return what the model gives for it, in evaluation mode."""
        self.check()
        captured, result = self.pass_over(batch, whole=True)
        self.rows.put(batch.shape(), self._plans(batch), captured, ids)
        self._unchecked = batch, captured, result
        return result

    def check(self) -> None:
        """Find out whether slices are enough for the batch that was captured last.

        Not at once: this runs the model, and whoever listens to it by hooks would hear it instead of the pass.
        """
        if self._unchecked is not None:
            unchecked, self._unchecked = self._unchecked, None
            for replay in self._replays.values():
                replay.check_slices(*unchecked)

    def pass_over(self, batch: Batch, *, whole: bool = False) -> tuple[Rows, Any]:
        """The rows of a batch for all plans, from one pass, not stored: what random augmentation needs."""
        forward: Callable[..., Any] = self._model.forward
        plans = self._plans(batch)
        if not plans and not whole:
            return {}, None
        return capture(self._model, forward, batch, plans, whole=whole)

    def row_bytes(self, batch: Batch) -> int:
        """Stored for one example of such a batch, whatever the number of plans that share it."""
        layouts = [kept.layout for kept in self._kept(batch).values()]
        return sum(layout.row_bytes for layout in layouts if layout.dimension is not None)

    def _kept(self, batch: Batch) -> dict[str, Kept]:
        return {kept.name: kept for plan in self._plans(batch) for kept in plan.kept}

    def _plans(self, batch: Batch) -> list[ReplayPlan]:
        return [plan for replay in self._alive() for plan in replay.plans_like(batch)]

    def _alive(self) -> Iterator[Replay]:
        return (replay for replay in self._replays.values() if not replay.refused)
