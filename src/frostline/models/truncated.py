"""Networks that end early: the blocks up to a depth, a mean over their output and a linear head.

This is what a linear probe becomes when it is served: what runs behind its depth is never computed.

Shape letters: B examples, T tokens, F features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from frostline.core.errors import ModelError
from frostline.core.records import Block
from frostline.models.task_model import Batch, TaskModel, mean_pool
from frostline.models.tensors import tensors_in


class Truncated(nn.Module):
    """A network that is left as soon as one of its parts has given its output; a linear head answers from that.

    It takes what the network takes. A mask that tells padding is `attention_mask`, or the second positional input,
    as networks of factories have it. The network is shared, not copied, and works as before on its own.

    Args:
        module: The whole network.
        path: Of the part after which it is left.
        head: Linear layer on the pooled output (B, F).
        before: Leave right before the part runs, with its input, instead.
        calls: How often the part runs in one forward pass; its last output counts.

    Raises:
        ModelError: The network has no such part.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5), nn.Linear(5, 4))
    >>> short = Truncated(net, "0", nn.Linear(3, 4))
    >>> short(torch.ones(6, 2)).shape
    torch.Size([6, 4])
    """

    calls: Tensor

    def __init__(self, module: nn.Module, path: str, head: nn.Linear, *, before: bool = False, calls: int = 1) -> None:
        super().__init__()
        if path not in dict(module.named_modules()):
            raise ModelError(f"{type(module).__name__} has no module {path!r} after which it could end.")
        self.module, self.head = module, head
        self.path, self.before = path, before
        # Part of the state: who loads it need not find out again how often the part runs.
        self.register_buffer("calls", torch.tensor(calls))

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        output = self._output(args, kwargs)
        examples = next((len(tensor) for tensor in tensors_in((args, kwargs))), None)
        if output is None or output.dim() not in (2, 3, 4) or len(output) != examples:
            raise ModelError(
                f"{self.path!r} gives no batch of vectors, token sequences or feature maps, so no head can follow it. "
                "End the network after another block."
            )
        mask = kwargs.get("attention_mask", args[1] if len(args) > 1 else None)
        pooled_BF = mean_pool(output, mask if isinstance(mask, Tensor) else None)
        logits_BC: Tensor = self.head(pooled_BF.to(self.head.weight.dtype))
        return logits_BC

    def _output(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """What the part gave, or was given; the forward pass goes no further."""
        left = int(self.calls)

        def leave(value: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise _Reached(self, next(tensors_in(value), None))

        part = self.module.get_submodule(self.path)
        # Set for this call alone: the network stays whole for everyone else, and can be pickled.
        if self.before:
            handle = part.register_forward_pre_hook(lambda _, given: leave(given))
        else:
            handle = part.register_forward_hook(lambda _, given, output: leave(output))
        try:
            self.module(*args, **kwargs)
        except _Reached as reached:
            if reached.by is not self:
                raise
            return reached.output
        finally:
            handle.remove()
        raise ModelError(
            f"The network never came to {self.path!r}" + (f" {int(self.calls)} times." if self.calls > 1 else ".")
        )


class _Reached(BaseException):
    """Leaves a forward pass. No `Exception`: a network that catches those must not catch this."""

    def __init__(self, by: Truncated, output: Tensor | None) -> None:
        super().__init__()
        self.by, self.output = by, output


def truncate(
    model: TaskModel,
    blocks: Sequence[Block],
    depth: int,
    weight_CF: Tensor,
    bias_C: Tensor,
    batch: Batch | None = None,
) -> TaskModel:
    """A model that ends after `depth` blocks and answers what the probe fitted there answers.

    Its head holds the given weights, as `train.probes.head_weights` reads them from the probe. At the depth of the
    last block before the head it ends at the head's input, which is what the probe of that depth was fitted on.

    Args:
        model: The whole model. Its network is shared with what is returned, and left as it is.
        batch: Any batch, to see by one forward pass how often the block runs; without it, once.

    Raises:
        ModelError: The block at that depth is no module, is the head, or never runs.
    """
    modules = dict(model.module.named_modules())
    depths = [d for d, block in enumerate(blocks, 1) if not block.head and block.path in modules]
    if depth not in depths:
        raise ModelError(f"The model cannot end after {depth} blocks, only after {', '.join(map(str, depths))}.")
    at_head = depth == max(depths) and model.head is not None
    block = blocks[depth - 1]
    path = next(name for name, module in modules.items() if module is model.head) if at_head else block.path
    head = nn.Linear(weight_CF.shape[1], weight_CF.shape[0], device="meta")  # draws no random numbers
    head.weight, head.bias = nn.Parameter(weight_CF.detach().clone()), nn.Parameter(bias_C.detach().clone())
    return replace(
        model,
        module=Truncated(
            model.module, path, head, before=at_head, calls=1 if batch is None else _calls(model, path, batch)
        ),
        head=head,
        source=f"{model.source}, ended after {block.name}",
    )


def reached_parameters(blocks: Sequence[Block], depth: int) -> int:
    """Parameters that a network uses which ends after `depth` blocks, the linear head aside.

    >>> stack = [Block(name=n, path=n, parameters=100) for n in ("stem", "layer.0", "head")]
    >>> reached_parameters(stack, 2)
    200
    """
    return sum(block.parameters for block in blocks[:depth])


def _calls(model: TaskModel, path: str, batch: Batch) -> int:
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    modes = {module: module.training for module in model.module.modules()}
    handle = model.module.get_submodule(path).register_forward_pre_hook(count)
    try:
        model.module.eval()
        with torch.no_grad():
            model.logits(batch)
    finally:
        handle.remove()
        for module, training in modes.items():
            module.training = training
    if not calls:
        raise ModelError(f"The network never comes to {path!r}, so it cannot end there. Choose another depth.")
    return calls
