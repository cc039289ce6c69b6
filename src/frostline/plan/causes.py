"""What changed in a frozen part, and what probably changed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from frostline.plan.leaks import WHOLE, Frozen, Leak
from frostline.plan.proof import tensor_sha256
from frostline.plan.watch import Watch

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """Contents of everything frozen when the proof began."""

    frozen: Frozen
    tensors: Mapping[str, Tensor]
    hashes: Mapping[str, str]
    forms: Mapping[str, str]
    """Shape and type by name: a tensor that was cast or resized is told as such."""

    @classmethod
    def of(cls, frozen: Frozen) -> Sealed:
        tensors = frozen.tensors()
        hashes = {name: tensor_sha256(tensor) for name, tensor in tensors.items()}
        return cls(frozen, tensors, hashes, {name: _form(tensor) for name, tensor in tensors.items()})

    def leaks(self, model: nn.Module, watch: Watch) -> Iterator[Leak]:
        """What tensors, modes and gradients tell when the block is over."""
        now = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
        for name, value in self.hashes.items():
            tensor = now.get(name)
            if tensor is None or tensor_sha256(tensor) != value:
                yield Leak("changed", name, self._why_changed(name, tensor, model, watch))
        for path, count in watch.batch_statistics.items():
            why = "in training mode" if watch.trained[path] else "without running statistics"
            yield Leak(
                "batch-dependent",
                path or WHOLE,
                f"It normalised by the statistics of the batch in {count} of {watch.calls[path]} calls: it ran {why}.",
            )
        for path, count in watch.dropping.items():
            yield Leak(
                "random", path or WHOLE, f"It dropped at random in {count} of {watch.calls[path]} calls: {_TRAINING}"
            )
        yield from self._parameters_awake(watch)

    def held_by(self, optimizer: torch.optim.Optimizer) -> Iterator[Leak]:
        """Frozen parameters that an optimizer lists or keeps state of."""
        listed = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        with_state = {id(parameter): state for parameter, state in optimizer.state.items() if state}
        for name, parameter in self.frozen.parameters.items():
            if id(parameter) in listed or id(parameter) in with_state:
                keeps = ", ".join(with_state.get(id(parameter), ()))
                yield Leak(
                    "optimizer",
                    name,
                    f"{type(optimizer).__name__} {'lists it' if id(parameter) in listed else 'does not list it'}"
                    f"{f' and keeps its {keeps}' if keeps else ''}. {_LET_GO}",
                )

    def _parameters_awake(self, watch: Watch) -> Iterator[Leak]:
        for name, parameter in self.frozen.parameters.items():
            if parameter.requires_grad or name in watch.woken:
                yield Leak("unfrozen", name, _MISSED if name in self.frozen.expected else _WOKEN)
            elif parameter.grad is not None:
                kind = "of zeros" if not parameter.grad.count_nonzero() else "from before it was frozen"
                yield Leak("grad", name, f"A gradient {kind} was left: {_STEPS} Set .grad to None when freezing.")

    def _why_changed(self, name: str, now: Tensor | None, model: nn.Module, watch: Watch) -> str:
        before = self.tensors[name]
        if now is None:
            return "The model has no tensor of that name any more: the module was replaced or taken out."
        if _form(now) != self.forms[name]:
            return f"It was {self.forms[name]} and is {_form(now)}: it was cast or resized."
        if isinstance(before, nn.Parameter):
            return self._why_parameter_changed(name, before, now, model, watch)
        path, _, leaf = name.rpartition(".")
        if leaf in _STATISTICS and watch.trained[path]:
            return f"Norm statistics were updated in {watch.trained[path]} of {watch.calls[path]} calls: {_TRAINING}"
        if leaf in _STATISTICS and not watch.calls[path] and model.get_submodule(path).training:
            return f"Norm statistics were updated in calls that could not be seen: {_TRAINING}"
        return "Code wrote to this buffer, or put another one in its place."

    def _why_parameter_changed(
        self, name: str, before: nn.Parameter, now: Tensor, model: nn.Module, watch: Watch
    ) -> str:
        moved = watch.moved.get(id(before))
        if now is not before:
            return "Another tensor was put in its place: look for an assignment, or for weights that were tied anew."
        if moved and before._backward_hooks:
            return f"{moved}. A gradient hook masks the gradient only; momentum and decay still move what it masks."
        if before.requires_grad or name in watch.woken:
            return _MISSED if name in self.frozen.expected else _WOKEN
        if moved:
            return f"{moved}. {_LET_GO}"
        tied = _sharing(before, name, model)
        if tied:
            return f"It shares its memory with {tied!r}, which trains: tied weights are frozen together or not at all."
        return "No optimizer step moved it, so code wrote to it directly: copy_, .data or load_state_dict."


_TRAINING = (
    "the module was in training mode. requires_grad does not stop that; eval() before every call, or fl.freeze, does."
)
_STEPS = "an optimizer that holds the parameter would still step, with momentum and weight decay."
_LET_GO = "Take it out with fl.freeze(..., optimizer=optimizer), or build the optimizer from what trains."
_WOKEN = (
    "Something set requires_grad to True in this block, such as requires_grad_(True) on a parent or the whole model."
)
_MISSED = "It was expected to be frozen and requires gradients: the freeze missed it, or something undid it."


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _sharing(frozen: nn.Parameter, name: str, model: nn.Module) -> str | None:
    """A trainable parameter that lies in the same memory."""
    memory = frozen.untyped_storage().data_ptr()
    others = ((n, p) for n, p in model.named_parameters() if p.requires_grad and p is not frozen)
    return next((n for n, p in others if p.untyped_storage().data_ptr() == memory), None)
