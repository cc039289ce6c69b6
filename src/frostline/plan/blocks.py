"""Blocks of any network, in the order in which a forward pass runs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from frostline.core.errors import ModelError
from frostline.core.records import Block
from frostline.plan.apply import evaluating
from frostline.plan.flops import flop_counter

Example = Tensor | tuple[Any, ...] | Mapping[str, Any]


def blocks(model: nn.Module, example: Example) -> tuple[Block, ...]:
    """Blocks in execution order, found by one forward pass in evaluation mode.

    A stack of like members (`encoder.layer.0`, `layer1.0`) is split into them; what stands before and
    after is a block each; a parameter that a split parent holds itself (a class token) is a block of its own.

    Args:
        model: Any module; its modes and hooks are as before afterwards.
        example: What one call needs: a tensor, a tuple of positional or a mapping of keyword arguments.

    Raises:
        ModelError: The model has no parameters.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> [(block.name, block.parameters, block.head) for block in blocks(net, torch.zeros(1, 2))]
    [('0', 9, False), ('2', 4, True)]
    """
    trace = _trace(model, example)
    in_order = sorted(_units(model, trace), key=lambda unit: trace.position(unit.owner))
    units = _each_parameter_once(in_order)
    if not units:
        raise ModelError(f"{type(model).__name__} has no parameters, so there is nothing to freeze or to train.")
    # Sought before tied weights are merged: a head tied to the embeddings is no block, and no other block is one.
    last = next((unit.path for unit in reversed(in_order) if trace.was_called(unit.owner)), None)
    prefix = _backbone_prefix(model)
    return tuple(
        Block(
            name=unit.path.removeprefix(prefix),
            path=unit.path,
            parameters=sum(p.numel() for p in unit.parameters),
            buffers=sum(b.numel() for b in unit.buffers),
            forward_flops=trace.flops.get(unit.path, 0),
            output_bytes=trace.output_bytes.get(unit.path, 0),
            head=unit.path == last and not unit.in_stack,
        )
        for unit in units
    )


def call(model: nn.Module, example: Example) -> Any:
    """Run the model on an example in any of the accepted forms."""
    if isinstance(example, Tensor):
        return model(example)
    return model(**example) if isinstance(example, Mapping) else model(*example)


# ---------------------------------------------------------------- which parts are blocks


@dataclass(frozen=True, slots=True)
class _Unit:
    path: str
    owner: str
    """Module whose first call places the unit in the order."""
    in_stack: bool
    parameters: tuple[nn.Parameter, ...]
    buffers: tuple[Tensor, ...] = ()


def _units(model: nn.Module, trace: _Trace) -> Iterator[_Unit]:
    """The model's children, each split where it holds a stack of layers."""
    yield from _own_parameters(model, "")
    for name, child in model.named_children():
        yield from _split(child, name, trace, member=_repeats(child, model))


def _split(module: nn.Module, path: str, trace: _Trace, *, member: bool) -> Iterator[_Unit]:
    divides = _holds_chain_of_layers(module, path, trace) if member else any(map(_is_stack, module.modules()))
    if divides:
        yield from _own_parameters(module, path)
        for name, child in module.named_children():
            yield from _split(child, f"{path}.{name}", trace, member=_repeats(child, module))
    elif next(module.parameters(), None) is not None:
        yield _Unit(path, path, member, tuple(module.parameters()), tuple(module.buffers()))


def _own_parameters(module: nn.Module, path: str) -> Iterator[_Unit]:
    for name, parameter in module.named_parameters(recurse=False):
        yield _Unit(f"{path}.{name}".lstrip("."), path, False, (parameter,))


def _is_stack(module: nn.Module) -> bool:
    """Whether two or more children are composite modules of one class: layers, stages, residual blocks."""
    return isinstance(module, nn.ModuleList | nn.Sequential) and any(_repeats(c, module) for c in module.children())


def _repeats(child: nn.Module, parent: nn.Module) -> bool:
    kinds = [type(other) for other in parent.children() if _is_composite(other)]
    return isinstance(parent, nn.ModuleList | nn.Sequential) and kinds.count(type(child)) > 1 and _is_composite(child)


def _is_composite(module: nn.Module) -> bool:
    return next(module.children(), None) is not None and next(module.parameters(), None) is not None


def _holds_chain_of_layers(member: nn.Module, path: str, trace: _Trace) -> bool:
    """Whether a member of a stack is a stage made of layers, rather than one layer.

    A stage runs its layers one after the other, each a network of its own. The experts of a layer
    run side by side; the convolutions of a residual block hold one weight each.
    """
    for inner, stack in member.named_modules():
        if _is_stack(stack):
            names = [f"{path}.{inner}.{name}".replace("..", ".") for name, c in stack.named_children()]
            layers = [sum(p.dim() > 1 for p in c.parameters()) > 1 for c in stack.children()]
            return all(layers) and trace.is_chain(names)
    return False


def _each_parameter_once(units: Sequence[_Unit]) -> list[_Unit]:
    """Tied weights belong to the block that runs first."""
    seen: set[int] = set()
    kept = []
    for unit in units:
        own = tuple(p for p in unit.parameters if id(p) not in seen)
        seen.update(map(id, own))
        if own:
            kept.append(replace(unit, parameters=own))
    return kept


def _backbone_prefix(model: nn.Module) -> str:
    """What is left out of block names: the attribute under which a task model keeps its backbone."""
    name = getattr(model, "base_model_prefix", "")
    return f"{name}." if isinstance(name, str) and isinstance(getattr(model, name or "-", None), nn.Module) else ""


# ---------------------------------------------------------------- one traced forward pass


@dataclass(slots=True)
class _Trace:
    calls: dict[str, int] = field(default_factory=dict)
    """Module path -> number of its first call."""
    flops: dict[str, int] = field(default_factory=dict)
    output_bytes: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, list[Tensor]] = field(default_factory=dict)
    outputs: dict[str, list[Tensor]] = field(default_factory=dict)

    def was_called(self, path: str) -> bool:
        return self.position(path) < inf

    def position(self, path: str) -> float:
        """First call of the module or, for a mere container, of anything in it; infinite when never called."""
        if path in self.calls:
            return self.calls[path]
        return min((at for name, at in self.calls.items() if name.startswith(f"{path}.")), default=inf)

    def is_chain(self, paths: Sequence[str]) -> bool:
        """Whether every module is fed what the one before it gave."""
        given = [set(map(id, self.outputs.get(path, ()))) for path in paths]
        taken = [set(map(id, self.inputs.get(path, ()))) for path in paths]
        return all(before & after for before, after in zip(given[:-1], taken[1:], strict=True))


def _trace(model: nn.Module, example: Example) -> _Trace:
    trace = _Trace()
    handles = []
    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(_note_call(trace, path), with_kwargs=True))
        handles.append(module.register_forward_hook(_note_output(trace, path)))
    try:
        with evaluating(model), torch.no_grad(), flop_counter() as counter:
            call(model, example)
    finally:
        for handle in handles:
            handle.remove()
    root = type(model).__name__
    for path, counts in counter.get_flop_counts().items():
        trace.flops[path.removeprefix(f"{root}.")] = sum(counts.values())
    return trace


def _note_call(trace: _Trace, path: str) -> Any:
    def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
        trace.calls.setdefault(path, len(trace.calls))
        # The tensors are kept, not their ids: an id is free again when its tensor dies.
        trace.inputs.setdefault(path, list(tensors_in((args, kwargs))))

    return hook


def _note_output(trace: _Trace, path: str) -> Any:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        trace.outputs.setdefault(path, list(tensors_in(output)))
        trace.output_bytes[path] = sum(t.numel() * t.element_size() for t in trace.outputs[path])

    return hook


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Tensors in nested tuples, lists and mappings, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
