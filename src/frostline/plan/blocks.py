"""Blocks of any network, in the order in which a forward pass runs them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from frostline.core.errors import ModelError
from frostline.core.records import Block
from frostline.models.tensors import tensors_in
from frostline.plan.apply import evaluating
from frostline.plan.flops import flop_counter

# Weight and spectral norm also end in "Norm", but reparametrise a weight; torch names them with an underscore.
_NORM_NAME = re.compile(r"(?!_).*Norm(ali[sz]ation)?(\dd)?$")

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
    prefix = _backbone_prefix(model)
    trace = _trace(model, example, backbone=prefix.removesuffix("."))
    in_order = _in_order(list(_units(model, trace)), trace)
    units = _each_parameter_once(in_order)
    if not units:
        raise ModelError(f"{type(model).__name__} has no parameters, so there is nothing to freeze or to train.")
    # Sought before tied weights are merged: a head tied to the embeddings is no block, and no other block is one.
    last = next((unit.path for unit in reversed(in_order) if trace.was_called(unit.owner)), None)
    places = _places_of_shared(model)
    return tuple(
        Block(
            name=unit.path.removeprefix(prefix),
            path=unit.path,
            parameters=sum(p.numel() for p in unit.parameters),
            buffers=sum(b.numel() for b in unit.buffers),
            forward_flops=trace.forward_flops(unit.path),
            output_bytes=trace.output_bytes(unit.path),
            head=unit.path == last and not unit.in_stack,
            tied=_tied(unit.path, places),
            norms=_norms(model, unit.path),
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
    if member:
        divides = _holds_chain_of_layers(module, path, trace)
    else:
        divides = path == trace.backbone or any(map(_is_stack, module.modules()))
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


def _in_order(units: Sequence[_Unit], trace: _Trace) -> list[_Unit]:
    """By first call. A module whose weights are used without calling it goes before the block that uses them:
    as long as it trains, so does what runs there."""
    called = {trace.position(unit.owner) for unit in units if unit.owner == unit.path}
    at_home = {id(p) for unit in units if trace.was_called(unit.owner) for p in unit.parameters}
    foreign = {key: numbers for key, numbers in trace.uses.items() if key not in at_home}

    def place(unit: _Unit) -> float:
        at = trace.position(unit.owner)
        uses = [foreign[id(p)] for p in unit.parameters if id(p) in foreign]
        if at < inf or not uses:
            return at
        *running, begun = min(uses, key=lambda numbers: numbers[-1])
        return next((number for number in running if number in called), begun) - 0.5

    return sorted(units, key=place)


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


def _places_of_shared(model: nn.Module) -> list[tuple[str, ...]]:
    """For every parameter that stands in several places: all its names."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [tuple(places) for places in names.values() if len(places) > 1]


def _tied(path: str, places: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Names outside a block of parameters that stand inside it too."""
    shared = [names for names in places if any(_is_in(name, path) for name in names)]
    return tuple(name for names in shared for name in names if not _is_in(name, path))


def _norms(model: nn.Module, path: str) -> tuple[str, ...]:
    return tuple(name for name, module in model.named_modules() if _is_in(name, path) and is_norm(module))


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm layer: one of torch's, or a custom leaf that is named like one.

    >>> [is_norm(module) for module in (nn.BatchNorm1d(2), nn.RMSNorm(2), nn.Linear(2, 2))]
    [True, True, False]
    """
    if isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm | nn.RMSNorm):
        return True
    return next(module.children(), None) is None and _NORM_NAME.match(type(module).__name__) is not None


def _is_in(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}.")


def _backbone_prefix(model: nn.Module) -> str:
    """What is left out of block names: the attribute under which a task model keeps its backbone."""
    name = getattr(model, "base_model_prefix", "")
    return f"{name}." if isinstance(name, str) and isinstance(getattr(model, name or "-", None), nn.Module) else ""


# ---------------------------------------------------------------- one traced forward pass


@dataclass(slots=True)
class _Trace:
    backbone: str
    """Attribute of the backbone, which is always split into its children; empty when there is none."""
    calls: dict[str, int] = field(default_factory=dict)
    """Module path -> number of its first call."""
    flops: dict[str, int] = field(default_factory=dict)
    uses: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Parameter by id -> at its first use, the calls that were running, outermost first, and how many were begun."""
    running: list[int] = field(default_factory=list)
    inputs: dict[str, list[Tensor]] = field(default_factory=dict)
    outputs: dict[str, list[Tensor]] = field(default_factory=dict)

    def was_called(self, path: str) -> bool:
        return self.position(path) < inf

    def position(self, path: str) -> float:
        """First call of the module or, for a mere container, of anything in it; infinite when never called."""
        if path in self.calls:
            return self.calls[path]
        return min((at for name, at in self.calls.items() if name.startswith(f"{path}.")), default=inf)

    def forward_flops(self, path: str) -> int:
        return sum(self.flops.get(called, 0) for called in self._outermost_called(path))

    def output_bytes(self, path: str) -> int:
        """Of what a module gives or, for a mere container, of what its parts give that no other part takes."""
        parts = self._outermost_called(path)
        taken = {id(tensor) for part in parts for tensor in self.inputs[part]}
        given = {id(t): t for part in parts for t in self.outputs.get(part, ())}
        left = [t for key, t in given.items() if len(parts) == 1 or key not in taken]
        return sum(tensor.numel() * tensor.element_size() for tensor in left)

    def _outermost_called(self, path: str) -> list[str]:
        """The module itself or, when it is never called, the modules in it that are, without those inside these."""
        if path in self.calls:
            return [path]
        inside = [name for name in self.calls if name.startswith(f"{path}.")]
        return [name for name in inside if not any(name.startswith(f"{other}.") for other in inside)]

    def is_chain(self, paths: Sequence[str]) -> bool:
        """Whether every module is fed what the one before it gave."""
        given = [set(map(id, self.outputs.get(path, ()))) for path in paths]
        taken = [set(map(id, self.inputs.get(path, ()))) for path in paths]
        return all(before & after for before, after in zip(given[:-1], taken[1:], strict=True))


def _trace(model: nn.Module, example: Example, *, backbone: str) -> _Trace:
    trace = _Trace(backbone)
    handles = []
    try:
        with evaluating(model), torch.no_grad(), flop_counter() as counter, _Watch(trace):
            for path, module in model.named_modules():
                begun: list[int] = []
                before, after = _note_call(trace, path, counter, begun), _note_output(trace, path, counter, begun)
                handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
                handles.append(module.register_forward_hook(after))
            call(model, example)
    finally:
        for handle in handles:
            handle.remove()
    return trace


def _note_call(trace: _Trace, path: str, counter: FlopCounterMode, begun: list[int]) -> Any:
    def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
        begun.append(counter.get_total_flops())
        trace.running.append(trace.calls.setdefault(path, len(trace.calls)))
        # The tensors are kept, not their ids: an id is free again when its tensor dies.
        trace.inputs.setdefault(path, list(tensors_in((args, kwargs))))

    return hook


def _note_output(trace: _Trace, path: str, counter: FlopCounterMode, begun: list[int]) -> Any:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        trace.flops[path] = trace.flops.get(path, 0) + counter.get_total_flops() - begun.pop()
        trace.running.pop()
        trace.outputs.setdefault(path, list(tensors_in(output)))

    return hook


class _Watch(TorchFunctionMode):
    """Notes which parameters any function of torch is given, and when."""

    def __init__(self, trace: _Trace) -> None:
        super().__init__()
        self._trace = trace

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        for tensor in tensors_in((args, kwargs)):
            # Looking at an attribute, such as the data type, is no use.
            if isinstance(tensor, nn.Parameter) and func.__name__ != "__get__":
                self._trace.uses.setdefault(id(tensor), (*self._trace.running, len(self._trace.calls)))
        return func(*args, **kwargs)
