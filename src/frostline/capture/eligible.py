"""Which frozen modules may be replayed, as far as that can be told without running them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.jit import ScriptModule
from torch.nn.modules.batchnorm import _NormBase

from frostline.plan.apply import is_inert
from frostline.plan.leaks import chance_of_dropping


@dataclass(frozen=True, slots=True)
class Eligible:
    """The outermost modules in which nothing trains and nothing is left to chance."""

    modules: Mapping[str, nn.Module]
    reasons: tuple[str, ...]
    """Why frozen parts are left out, one sentence a part."""


def eligible(model: nn.Module, split: frozenset[str] = frozenset()) -> Eligible:
    """Look at a model as it is now.

    Modules without parameters count as well: what a frozen layer gives to a pooling or an activation need
    not be kept when only that one's output matters.

    Args:
        model: Any module.
        split: Paths that cannot be replayed as a whole; their parts may be.

    >>> net = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Dropout(), nn.Linear(2, 1))
    >>> list(eligible(net).modules)
    ['0']
    """
    reasons: list[str] = []
    modules = dict(_outermost(model, "", split, reasons, set()))
    return Eligible(modules, tuple(reasons))


def _outermost(
    module: nn.Module, path: str, split: frozenset[str], reasons: list[str], seen: set[int]
) -> Iterator[tuple[str, nn.Module]]:
    if id(module) in seen:  # a shared module is met once, under its first path
        return
    seen.add(id(module))
    trains = any(parameter.requires_grad for parameter in module.parameters())
    obstacle = None if trains else _obstacle(module, path)
    if not path or trains or obstacle or path in split or isinstance(module, nn.ModuleList | nn.ModuleDict):
        if obstacle and _is_frozen(module) and not any(_is_frozen(child) for child in module.children()):
            reasons.append(obstacle)
        for name, child in module.named_children():
            yield from _outermost(child, f"{path}.{name}".lstrip("."), split, reasons, seen)
    else:
        yield path, module


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _obstacle(module: nn.Module, path: str) -> str | None:
    """Why a module in which nothing trains cannot be replayed as a whole, in a sentence."""
    for inner, part in module.named_modules():
        name = f"{path}.{inner}".strip(".")
        # What is held inert may still bear the flag that model.train() set: it is put back at its next call.
        training = part.training and not is_inert(part)
        if training and chance_of_dropping(part) > 0:
            return f"{name!r} drops out at random: freeze it with frostline.freeze, which holds it in evaluation mode."
        if isinstance(part, _NormBase) and training and _uses_batch(part):
            return (
                f"the norm statistics of {name!r} are in training mode, so an example's output depends on its "
                "batch-mates: freeze it with frostline.freeze."
            )
        if foreign_hooks(part):
            return f"{name!r} has a hook of its own, which has to see what the module computes."
        if isinstance(part, ScriptModule):
            return f"{name!r} is compiled by TorchScript, whose calls cannot be stood in for."
    return None


def foreign_hooks(module: nn.Module) -> list[Any]:
    """Forward hooks that somebody else put on a module: they may look at whatever it takes and gives."""
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    return [hook for hook in hooks if _home(hook) not in _KNOWN_HOOKS]


_KNOWN_HOOKS = frozenset({"frostline", "torch", "transformers"})
"""Packages whose hooks do no more than what shows in the result of the model."""


def _home(hook: Any) -> str:
    name = getattr(hook, "__module__", None) or type(hook).__module__
    return str(name).partition(".")[0]


def _uses_batch(norm: nn.Module) -> bool:
    # Instance norm without running statistics looks at one example only.
    return "BatchNorm" in type(norm).__name__ or getattr(norm, "running_mean", None) is not None
