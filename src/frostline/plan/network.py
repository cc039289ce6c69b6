"""The network that a freeze plan trains: the model itself, a twin with adapters, or one that ends early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from frostline.core.errors import PlanError
from frostline.core.records import Block
from frostline.models.task_model import Batch, TaskModel
from frostline.models.truncated import truncate
from frostline.plan.adapters import with_lora
from frostline.plan.apply import freeze
from frostline.plan.freeze_plan import FreezePlan


@dataclass(frozen=True, slots=True)
class LinearHead:
    """What a network answers with that ends early. Shapes: weight (C, F), bias (C)."""

    weight_CF: Tensor
    bias_C: Tensor


def planned(
    model: TaskModel,
    plan: FreezePlan,
    blocks: Sequence[Block],
    *,
    seed: int,
    head: LinearHead | None = None,
    batch: Batch | None = None,
) -> TaskModel:
    """The model of a plan, frozen by it.

    A plan of blocks freezes the given model in place. A plan with adapters trains a twin of it, and one that ends
    early trains the head of a twin without the blocks that stand behind.

    Args:
        model: Nothing of it is frozen but what no plan trains.
        seed: Of the adapters.
        head: Of a plan that ends early.
        batch: Any batch, to see how often the last block of such a plan runs in one pass; without it, once.

    Raises:
        PlanError: The plan ends early and no head was given.
        ModelError: The network has nothing that adapters go with, or cannot end where the plan wants it to.
    """
    if plan.spared == "adapters":
        return with_lora(model, seed=seed)
    if not plan.ends_after:
        freeze(model.module, plan)
        return model
    if head is None:
        raise PlanError(f"The plan ends after {plan.ends_after!r}, and no linear head was fitted there.")
    short = truncate(model.copied(), blocks, plan.freeze_depth, head.weight_CF, head.bias_C, batch)
    whole = short.module.get_submodule("module")
    for block in blocks[plan.freeze_depth :]:
        if block.path in dict(whole.named_modules()):
            whole.set_submodule(block.path, nn.Identity())
    freeze(short.module, "module")
    return short
