"""What of a frozen model could be computed once and replayed, or why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from frostline.capture.replay import Replay, batch_of
from frostline.core.sizes import size_text
from frostline.plan.blocks import Example


def replay_answers(model: nn.Module, example: Example) -> Iterator[str]:
    """Sentences on replay for batches like the example, found by running the model, which is left as it is.

    Nothing is said of a model in which nothing is frozen.
    """
    if all(parameter.requires_grad for parameter in model.parameters()):
        return
    args = (example,) if isinstance(example, Tensor) else () if isinstance(example, Mapping) else example
    batch = batch_of(args, dict(example) if isinstance(example, Mapping) else {}, None)
    if batch.examples < 2:
        yield "Whether frozen computation can be replayed is not told: give an example of two rows or more."
        return
    replay = Replay(model)
    modes = {module: module.training for module in model.modules()}
    try:
        model.train()
        with torch.enable_grad():
            plan = replay.plan_like(batch)
    finally:
        for module, training in modes.items():
            module.training = training
    if plan is None:
        yield f"Replay is off because {replay.refused or 'batches like the example cannot be replayed'}."
        return
    share = f"{plan.spared_flops / plan.forward_flops:.1%}" if plan.forward_flops else "an uncounted part"
    large = "" if plan.least == 2 else f", in batches of {plan.least} examples or more"
    yield (
        f"Replay: with frostline.Replay {share} of the forward pass is computed once per example, stored in "
        f"{size_text(plan.row_bytes)} and given back bit for bit{large}."
    )
    if replay.reasons:
        yield f"Computed each time although frozen: {'; '.join(reason.rstrip('.') for reason in replay.reasons)}."
