"""What one training step costs, block by block, measured in one real forward and backward pass.

Each FLOP is billed to the block that is running: forward, the one whose module was entered last; backward,
the one in which the autograd node was made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from frostline.core.errors import ModelError
from frostline.models.tensors import tensors_in
from frostline.plan.apply import unfreeze
from frostline.plan.blocks import Example, call
from frostline.plan.flops import flop_counter

OUTSIDE = ""
"""What is billed here was done outside all blocks."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """What one block costs in one step."""

    forward_flops: int = 0
    backward_flops: int = 0
    activation_bytes: int = 0
    """What the forward pass keeps for the backward pass, without parameters and buffers."""


Costs = Mapping[str, StepCost]


def step_costs(model: nn.Module, example: Example, paths: Sequence[str]) -> tuple[Costs, Costs]:
    """Costs of one training step by block path: as the model is frozen now, and with everything trainable.

    Both steps are run on a copy in training mode, so the model keeps its modes, gradients and buffers.
    The loss is the output's `loss`, or the sum of all its differentiable tensors.

    Args:
        model: Any module, not in a data-parallel or compiled wrapper.
        example: What one call needs; with batch norm, of two examples or more.
        paths: Paths of the blocks.

    Returns:
        Two mappings from block path to cost. `OUTSIDE` stands for what no block did.

    >>> from frostline.plan.apply import freeze
    >>> net = freeze(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5)), "0")
    >>> frozen, full = step_costs(net, torch.ones(1, 2), ["0", "1"])
    >>> frozen["0"], full["0"].backward_flops
    (StepCost(forward_flops=12, backward_flops=0, activation_bytes=0), 12)
    """
    copy = deepcopy(model).train()
    as_frozen = _one_step(copy, example, paths)
    return as_frozen, _one_step(unfreeze(copy).train(), example, paths)


@contextmanager
def measuring(model: nn.Module) -> Iterator[None]:
    """Put the random state back afterwards, and say in a sentence when the model does not run.

    Raises:
        ModelError: What was measured failed.

    >>> with measuring(net := nn.Linear(2, 2)):
    ...     _ = torch.rand(1), net(torch.ones(1, 2))
    """
    try:
        with torch.random.fork_rng({parameter.device for parameter in model.parameters() if parameter.is_cuda}):
            yield
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"A training step of {type(model).__name__} on the example could not be measured ({reason}). "
            "Give an example that the model takes in training mode, of two rows or more."
        ) from error


def _one_step(model: nn.Module, example: Example, paths: Sequence[str]) -> Costs:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.enable_grad(), flop_counter() as counter:
        meter = _Meter(counter, {tensor.untyped_storage().data_ptr() for tensor in _held(model)})
        hooks = list(_hooks(model, paths, meter))
        try:
            with torch.autograd.graph.saved_tensors_hooks(meter.keep, lambda tensor: tensor):
                loss = _loss(call(model, example))
        finally:
            for hook in hooks:
                hook.remove()
        meter.enter(OUTSIDE)
        if trained and loss is not None:
            meter.claim([loss], OUTSIDE)
            meter.follow_backward()
            # Not `backward()`: nobody's gradients are touched, no hook of an optimizer fires.
            torch.autograd.grad(loss, trained, allow_unused=True)
            meter.enter(OUTSIDE)
    return meter.costs([*paths, OUTSIDE])


def _held(model: nn.Module) -> Iterable[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _loss(output: Any) -> Tensor | None:
    if isinstance(output, Mapping) and isinstance(output.get("loss"), Tensor):
        loss: Tensor = output["loss"].sum()
        return loss if loss.requires_grad else None
    parts = [tensor.sum() for tensor in tensors_in(output) if tensor.requires_grad]
    return torch.stack([part.float() for part in parts]).sum() if parts else None


class _Meter:
    """Bills FLOPs and kept bytes to whichever block is running."""

    def __init__(self, counter: FlopCounterMode, held: set[int]) -> None:
        self._counter = counter
        self._billed = 0
        self._running = OUTSIDE
        self._bills = {"forward": Counter[str](), "backward": Counter[str](), "kept": Counter[str]()}
        self._phase = "forward"
        self._held = held
        self._kept: dict[int, Any] = {}
        self._made_by: dict[Any, str] = {}

    @property
    def running(self) -> str:
        return self._running

    def enter(self, path: str) -> None:
        total = self._counter.get_total_flops()
        self._bills[self._phase][self._running] += total - self._billed
        self._billed, self._running = total, path

    def keep(self, tensor: Tensor) -> Tensor:
        """Count the memory behind a tensor that is saved for backward, once."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._held and storage.data_ptr() not in self._kept:
            # Held on to: the address of freed memory would be given to another tensor.
            self._kept[storage.data_ptr()] = storage
            self._bills["kept"][self._running] += storage.nbytes()
        return tensor

    def claim(self, tensors: Iterable[Tensor], path: str) -> None:
        """Autograd nodes behind the tensors that nobody has claimed were made by this block."""
        waiting = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
        while waiting:
            node = waiting.pop()
            if node not in self._made_by:
                self._made_by[node] = path
                waiting += [earlier for earlier, _ in node.next_functions if earlier is not None]

    def follow_backward(self) -> None:
        self._phase = "backward"
        self._kept.clear()
        for node, path in self._made_by.items():
            node.register_prehook(_entering(self, path))

    def costs(self, paths: Iterable[str]) -> Costs:
        forward, backward, kept = self._bills.values()
        return {path: StepCost(forward[path], backward[path], kept[path]) for path in paths}


def _entering(meter: _Meter, path: str) -> Callable[..., None]:
    return lambda *args: meter.enter(path)


def _hooks(model: nn.Module, paths: Sequence[str], meter: _Meter) -> Iterable[Any]:
    """Hooks on every module inside a block: a block may be a container that is never called itself."""
    wanted = set(paths)
    for name, module in model.named_modules():
        parts = name.split(".")
        path = next((p for p in (".".join(parts[:n]) for n in range(len(parts), 0, -1)) if p in wanted), None)
        if path is not None:
            came_from: list[str] = []
            yield module.register_forward_pre_hook(_begin(meter, path, came_from), with_kwargs=True)
            yield module.register_forward_hook(_end(meter, path, came_from))


def _begin(meter: _Meter, path: str, came_from: list[str]) -> Any:
    def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
        # What made the inputs is not this block's work.
        meter.claim(tensors_in((args, kwargs)), meter.running)
        came_from.append(meter.running)
        meter.enter(path)

    return hook


def _end(meter: _Meter, path: str, came_from: list[str]) -> Any:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        meter.claim(tensors_in(output), path)
        meter.enter(came_from.pop())

    return hook
