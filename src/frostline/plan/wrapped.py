"""Models inside wrappers: data-parallel ones, which fix what trains when they are made, and compiled ones."""

from __future__ import annotations

import sys

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from frostline.core.errors import PlanError


def refuse_data_parallel(model: nn.Module, asked: str) -> None:
    """Refuse to change what trains in a model that `DistributedDataParallel` has wrapped.

    Its reducer waits for the gradient of every parameter that trained when it was made: one frozen later
    hangs or fails the next step, one unfrozen later is never averaged over the processes. From the wrapped
    module alone the wrapper cannot be seen, so `freeze(wrapper.module, ...)` is out of reach of this check.

    Args:
        model: The model that was named.
        asked: "freeze" or "unfreeze".

    Raises:
        PlanError: The model is such a wrapper, or holds one.

    >>> refuse_data_parallel(nn.Linear(2, 2), "freeze")
    """
    for path, module in model.named_modules():
        if isinstance(module, DistributedDataParallel):
            where = f"its part {path!r}" if path else "the model"
            raise PlanError(
                f"Asked to {asked} parts of {type(model).__name__}, but {where} is wrapped in DistributedDataParallel, "
                f"which fixed what trains when it was made; {asked} first and wrap afterwards."
            )


def forget_compiled_graphs() -> None:
    """Let everything that `torch.compile` made be compiled anew at its next call.

    Compiled code is guarded by the `training` flags it met, not by hooks, so it would run a module
    that was frozen since with the dropout and the batch statistics of before. Which compiled function
    holds a module cannot be told from the module: all are forgotten. Nothing happens when nothing was compiled.
    """
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's own model inside compiled and data-parallel wrappers, whose names have no wrapper's prefix.

    >>> net = nn.Linear(2, 2)
    >>> unwrapped(nn.DataParallel(net)) is net, unwrapped(net) is net
    (True, True)
    """
    while True:
        # By attribute: importing the class of compiled modules would load the compiler.
        inner = getattr(model, "_orig_mod", None)
        if isinstance(model, DistributedDataParallel | DataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner
