"""Watching all that stored rows depend on: frozen weights, buffers, hooks. Cheap enough for every step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from frostline.capture.eligible import foreign_hooks
from frostline.capture.origin import Origin, watched_tensors


class Watch:
    """Says when a model is not the one any more from which rows were stored.

    Args:
        origin: What the rows in the store were computed from; by default the model as it is when it is first looked at.

    >>> net = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 1))
    >>> watch = Watch(net, None)
    >>> watch.has_other_parts(), watch.has_other_parts(), watch.complaint()
    (True, False, '')
    >>> _ = net[0].weight.data.add_(1)
    >>> watch.complaint()
    "'0.weight' is not what it was when rows were stored"
    """

    def __init__(self, model: nn.Module, origin: Origin | None) -> None:
        self._model = model
        self._is_own = origin is None
        self._origin = origin or Origin.of(model, {})
        self._parts: tuple[Any, ...] = ()
        self._tensors: dict[str, Tensor] = {}
        self._samples: list[list[Tensor]] = []
        self._mark: tuple[Any, ...] = ()
        self._complaint = ""

    def has_other_parts(self) -> bool:
        """Whether other parameters are frozen, or other hooks stand on modules, than when this was last asked."""
        parts = tuple((id(p), p.requires_grad) for p in self._model.parameters()), tuple(_hooks(self._model))
        if parts == self._parts:
            return False
        if self._parts:
            changed = sorted(path for path, _, trains in set(parts[1]) ^ set(self._parts[1]) if not trains)
            if changed:
                self._complaint = f"a hook of {changed[0]!r} came or went since rows were stored"
        self._parts = parts
        self._look_after(watched_tensors(self._model))
        return True

    def add(self, buffers: Sequence[str]) -> None:
        """Watch buffers as well that are not frozen, but that replayed modules depend on."""
        self._look_after(self._tensors | {name: self._model.get_buffer(name) for name in buffers})

    def complaint(self) -> str:
        """Why rows are not what the model would compute; empty while they are."""
        mark = _fingerprint(self._tensors.values()), [torch.stack(samples).tolist() for samples in self._samples]
        if mark != self._mark:
            changed = self._origin.differing(self._tensors)
            if changed:
                self._complaint = f"{changed!r} is not what it was when rows were stored"
            self._mark = mark
        return self._complaint

    def _look_after(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors
        if self._is_own:
            self._origin = self._origin.including(tensors)
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors.values():
            by_type.setdefault(tensor.dtype, []).extend(_sampled(tensor))
        self._samples = [samples for samples in by_type.values() if samples]


def _fingerprint(tensors: Iterable[Tensor]) -> tuple[tuple[int, int], ...]:
    """Changes whenever a tensor was written to or replaced, `.data` aside."""
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)


def _sampled(tensor: Tensor) -> Iterator[Tensor]:
    """The first and the last number, sharing memory: writing to `.data` leaves no other trace than in the numbers."""
    # Elsewhere than on the CPU a look would make it wait at every step.
    if tensor.numel() and tensor.device.type == "cpu" and not tensor.is_complex():
        for index in (0, -1):
            yield tensor.detach()[(index,) * tensor.dim()]


def _hooks(model: nn.Module) -> Iterator[tuple[str, int, bool]]:
    """Hooks that somebody put on modules: path, identity, whether something trains in the module."""
    for path, module in model.named_modules():
        found = foreign_hooks(module) if path else []
        if found:
            trains = any(parameter.requires_grad for parameter in module.parameters())
            yield from ((path, id(hook), trains) for hook in found)
