"""What a forward pass leaves behind in the modules besides its result: attributes that it sets, buffers that it writes.

A module that is stood in for leaves nothing behind, so one that does has to be computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from frostline.capture.batches import Batch
from frostline.capture.descent import Descent
from frostline.capture.guard import undisturbed
from frostline.capture.outputs import PLAIN, same_bits, same_values
from frostline.plan.apply import is_inert

_OWN = frozenset({"forward", "training", "_parameters", "_buffers", "_modules", "_frostline_held"})


@dataclass(slots=True)
class Leftovers:
    """What changes from one pass to the next."""

    refusal: str = ""
    """Why nothing can be replayed."""
    keepers: dict[str, str] = field(default_factory=dict)
    """Modules that keep something of the batch on themselves: by path, the attribute."""


def leftovers(model: nn.Module, forward: Callable[..., Any], batch: Batch) -> Leftovers:
    """Run the model twice, in its modes of the moment, on two examples and on the same ones the other way round.

    What is merely built at the first call is the same after the second one.
    """
    with undisturbed(model):
        start, descent, two = _Snapshot(model), Descent(), batch.pick((0, 1))
        with descent:
            two(forward)
        first = _Snapshot(model)
        with descent:
            batch.pick((1, 0))(forward)
        found = first.compare(model)
        start.put_back()
    fresh = batch.pick((0, 1))
    if not same_values((two.args, two.kwargs), (fresh.args, fresh.kwargs)):
        found.refusal = "the model writes to its own arguments"
    if descent.generators:
        found.refusal = "the model draws from a random generator of its own, whose numbers every pass uses up"
    for generator, state in reversed(descent.generators):
        generator.set_state(state)
    return found


class _Snapshot:
    """All attributes, and the buffers of what is frozen: other ones are put back after every pass of ours."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = dict(model.named_modules())
        self._attributes = {path: dict(attributes(module)) for path, module in self._modules.items()}
        self._buffers = {
            f"{path}.{name}".lstrip("."): (buffer, buffer._version, buffer.clone())
            for path, module in self._modules.items()
            if is_inert(module)
            for name, buffer in module.named_buffers(recurse=False)
        }

    def compare(self, model: nn.Module) -> Leftovers:
        found = Leftovers()
        for name, (buffer, version, _) in self._buffers.items():
            if buffer._version != version:
                found.refusal = f"the forward pass writes to {name!r}, which is frozen"
        for path, module in model.named_modules():
            before, now = self._attributes[path], dict(attributes(module))
            for name in (name for name in now if not _is_same(before.get(name), now[name])):
                if isinstance(now[name], int | float):
                    found.refusal = f"{f'{path}.{name}'.lstrip('.')!r} is another number after every forward pass"
                else:
                    found.keepers[path] = name
        return found

    def put_back(self) -> None:
        for buffer, version, held in self._buffers.values():
            if buffer._version != version:
                buffer.detach().copy_(held)
        for path, before in self._attributes.items():
            now = self._modules[path].__dict__
            now.update({n: v for n, v in before.items() if isinstance(v, int | float) and not isinstance(v, bool)})


def attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Attributes that a forward pass may set, lists and dictionaries as tuples of what they hold now."""
    for name, value in module.__dict__.items():
        if name in _OWN or "_hooks" in name:
            continue
        if isinstance(value, dict):
            yield name, tuple(value.items())
        else:
            yield name, tuple(value) if isinstance(value, list) else value


def _is_same(before: Any, now: Any) -> bool:
    if before is now:
        return True
    if isinstance(before, Tensor) and isinstance(now, Tensor):
        return same_bits(before, now)
    if isinstance(before, tuple) and isinstance(now, tuple):
        return len(before) == len(now) and all(map(_is_same, before, now))
    return isinstance(now, PLAIN) and type(before) is type(now) and bool(before == now)
