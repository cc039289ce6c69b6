"""The pass that computes rows: in evaluation mode, without gradients, no further than the last call that is kept.

Shape letters: B examples in a batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from frostline.capture.batches import Batch
from frostline.capture.calls import CallName, Flow, Read, Reading, standing_in
from frostline.capture.guard import undisturbed
from frostline.capture.plans import CallPlan, ReplayPlan
from frostline.plan.apply import evaluating

Rows = dict[tuple[str, str], Tensor]
"""Rows (B, *row) by shelf and name."""


class _Done(BaseException):
    """All that is kept was captured, so the pass ends here. No `Exception`, so that no model catches it."""


def shelf_of(shape: str, reads: Sequence[Read]) -> str:
    """Where rows of a batch lie: by its shape and by the way the model took so far."""
    if not reads:
        return shape
    return f"{shape}-{hashlib.sha256(repr(list(reads)).encode()).hexdigest()[:8]}"


def capture(
    model: nn.Module, forward: Callable[..., Any], batch: Batch, plans: Iterable[ReplayPlan], *, whole: bool = False
) -> tuple[Rows, Any]:
    """Compute all rows that these plans keep of a batch, in one pass that leaves no trace in the model.

    Args:
        forward: The model's own.
        batch: Two examples or more: one alone is rounded otherwise.
        plans: For batches of this shape.
        whole: Go on to the end and return the model's result as well.

    Raises:
        UnlikeExamined: A call gave something built otherwise than when it was examined.
    """
    ready, shape, flow = list(plans), batch.shape(), Flow()
    wanted: dict[CallName, list[CallPlan]] = {}
    for plan in ready:
        for name, call in plan.calls.items():
            if any(call.kept):
                wanted.setdefault(CallName(name.path, call.total), []).append(call)
    by_path = dict(model.named_modules())
    modules = {path: by_path[path] for plan in ready for path in plan.modules}
    rows: Rows = {}
    waiting = set(wanted)

    def keep(name: CallName, total: int, compute: Callable[[], Any], inputs: Any) -> Any:
        shelf = shelf_of(shape, flow.reads)
        output = compute()
        for call in wanted.get(name, ()):
            rows.update({(shelf, kept): rows_B for kept, rows_B in call.rows(output, batch.examples).items()})
        waiting.discard(name)
        if not waiting and not whole:
            raise _Done
        return output

    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.no_grad())
        stack.enter_context(standing_in(modules, keep, flow, inner=True))
        if any(plan.steered for plan in ready):
            stack.enter_context(Reading(flow))
        try:
            return rows, batch(forward)
        except _Done:
            return rows, None
