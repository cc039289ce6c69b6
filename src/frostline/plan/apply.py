"""Freeze and unfreeze: parameters fixed, modules held in evaluation mode, optimizers kept out.

A frozen part is held by a forward pre-hook: before every call it puts its module back into evaluation
mode and its parameters back to not requiring gradients. So neither `model.train()` nor a parent's
`requires_grad_(True)` wakes it; only `unfreeze` does. The hook is a module-level function: it survives
`deepcopy`, `pickle`, `.to()` and `load_state_dict`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from frostline.core.errors import PlanError
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.patterns import select
from frostline.plan.rows import FrozenRows
from frostline.plan.wrapped import forget_compiled_graphs, refuse_data_parallel

Selector = str | FreezePlan | Callable[[str], bool]

log = logging.getLogger("frostline")

# The last part of a name: bias, in_proj_bias (attention), bias_ih_l0 (recurrent layers). No table of position biases.
_BIAS = re.compile(r"(^|[._])bias(_[kv]|_[ih]h_l\d+(_reverse)?)?$")


@dataclass(frozen=True, slots=True)
class _Held:
    """What is held frozen of one module, its children aside."""

    inert: bool = False
    """In evaluation mode."""
    parameters: frozenset[str] = frozenset()
    """Own parameters, by name."""


def freeze(
    model: nn.Module,
    *selectors: Selector,
    train_only: str | Sequence[str] = (),
    optimizer: torch.optim.Optimizer | None = None,
) -> nn.Module:
    """Freeze parts of a model, in place, until `unfreeze`.

    What is frozen gets no gradient, no optimizer state and no decay; its norm layers use and keep their
    statistics, its dropout is off. When a parameter is tied, it is one parameter: the log names the other places.

    Args:
        model: Any module. Freeze before wrapping it for several processes.
        selectors: Globs, slices or names of modules and parameters (`encoder.layer[:4]`, `*.bias`),
            a `FreezePlan`, or a callable that is asked about every parameter name.
        train_only: The other way round: everything is frozen but these patterns.
        optimizer: Taken along: it forgets the frozen parameters and their state. Without it they still do
            not move, since their gradient is dropped, but their state stays in memory.

    Returns:
        The model itself.

    Raises:
        PlanError: A selector matches nothing, none was given, or the model is wrapped for several processes.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Dropout(), nn.Linear(3, 1))
    >>> _ = freeze(net, "0")
    >>> [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    ['2.weight', '2.bias']
    >>> _ = freeze(net, train_only="2.bias")
    >>> [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    ['2.bias']
    """
    refuse_data_parallel(model, "freeze")
    if not selectors and not train_only:
        raise PlanError("Nothing was named to freeze. Give a pattern such as 'encoder.layer[:4]', or a FreezePlan.")
    kept = (train_only,) if isinstance(train_only, str) else tuple(train_only)
    modules, parameters = _selected(model, (*selectors, "*") if kept else selectors)
    plans = [plan for plan in selectors if isinstance(plan, FreezePlan) and plan.spared]
    by_plans = {key for plan in plans for key in _spared_by(model, plan)}
    spared = by_plans.union(map(id, _selected(model, kept)[1]))
    frozen = {id(p): p for p in parameters if id(p) not in spared}
    for parameter in frozen.values():
        parameter.requires_grad_(False)
        parameter.grad = None
    _hold_owners(model, frozen.keys())
    whole = [module for module in modules if not spared.intersection(map(id, module.parameters()))]
    for module in [*whole, *_wholly_frozen(model)]:
        for part in module.modules():
            _hold_inert(part)
    for part in [part for plan in plans for module in _selected(model, [plan])[0] for part in module.modules()]:
        # Only a norm layer that trains stays awake: its statistics follow the data.
        if not (_is_norm(part) and by_plans.intersection(map(id, part.parameters()))):
            _hold_inert(part)
    if kept:
        unfreeze(model, *kept)
    if optimizer is not None:
        forget_frozen(optimizer)
    forget_compiled_graphs()
    _say_what_surprises(model, frozen.keys())
    return model


def unfreeze(model: nn.Module, *selectors: Selector) -> nn.Module:
    """Let frozen parts train again, in place. Without selectors: the whole model.

    Parameters that were unfrozen must enter your optimizer, which does not know them yet:
    `sync_optimizer` does that.

    Raises:
        PlanError: A selector matches nothing, or the model is wrapped for several processes.
    """
    refuse_data_parallel(model, "unfreeze")
    modules, parameters = _selected(model, selectors or ("*",))
    freed = set(map(id, parameters))
    for parameter in parameters:
        parameter.requires_grad_(True)
    awake = {id(part) for module in modules for part in module.modules()}
    awake |= {id(m) for m in model.modules() if freed.intersection(map(id, m.parameters()))}
    for module in model.modules():
        held = _held(module)
        kept = frozenset(name for name in held.parameters if id(module._parameters.get(name)) not in freed)
        _hold(module, _Held(inert=held.inert and id(module) not in awake, parameters=kept))
        if held.inert and id(module) in awake:
            module.training = model.training
    forget_compiled_graphs()
    return model


def forget_frozen(optimizer: torch.optim.Optimizer) -> None:
    """Take parameters that require no gradient out of an optimizer, with their state. Compares by identity."""
    for group in optimizer.param_groups:
        keeps = [parameter.requires_grad for parameter in group["params"]]
        for key in {"params", "param_names"} & group.keys():
            group[key] = list(compress(group[key], keeps))
    known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for parameter in [parameter for parameter in optimizer.state if id(parameter) not in known]:
        del optimizer.state[parameter]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every module is given back the mode it had.

    >>> net = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    >>> with evaluating(net):
    ...     modes = [module.training for module in net]
    >>> modes, [module.training for module in net]
    ([False, False], [True, False])
    """
    modes = {module: module.training for module in model.modules()}
    if any(modes.values()):
        model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            if module.training is not training:
                module.training = training


def is_inert(module: nn.Module) -> bool:
    """Whether a module is held in evaluation mode: marked so, and the hook still in place."""
    return _held(module).inert and _keep_frozen in module._forward_pre_hooks.values()


def frozen_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every frozen parameter, every buffer of an inert module and every frozen row, by name."""
    tensors: dict[str, Tensor] = {n: p for n, p in model.named_parameters() if not p.requires_grad}
    for path, module in model.named_modules():
        if is_inert(module) or isinstance(module, FrozenRows):
            prefix = f"{path}." if path else ""
            tensors |= {f"{prefix}{name}": buffer for name, buffer in module.named_buffers(recurse=False)}
    return tensors


def _selected(model: nn.Module, selectors: Iterable[Selector]) -> tuple[list[nn.Module], list[nn.Parameter]]:
    named_modules = {name: module for name, module in model.named_modules() if name}
    named_parameters = dict(model.named_parameters())
    modules: list[nn.Module] = []
    parameters: list[nn.Parameter] = []
    for name in _names(selectors, list(named_modules), list(named_parameters)):
        if name in named_modules:
            modules.append(named_modules[name])
            parameters += named_modules[name].parameters()
        else:
            parameters.append(named_parameters[name])
    return modules, parameters


def _names(selectors: Iterable[Selector], modules: list[str], parameters: list[str]) -> list[str]:
    names: list[str] = []
    for selector in selectors:
        if isinstance(selector, FreezePlan):
            # An empty plan is full fine-tuning: nothing to select, and no error.
            names += [found for name in selector.frozen_in_order for found in _block(name, modules, parameters)]
        elif callable(selector):
            chosen = [name for name in parameters if selector(name)]
            if not chosen:
                raise PlanError(f"The callable {selector!r} chose none of the model's {len(parameters)} parameters.")
            names += chosen
        else:
            names += select(selector, [*modules, *parameters])
    return names


def _block(name: str, modules: list[str], parameters: list[str]) -> list[str]:
    """The one module or parameter a block name stands for: the shortest path that ends in it."""
    return [min(select(name, [*modules, *parameters]), key=len)]


def _spared_by(model: nn.Module, plan: FreezePlan) -> set[int]:
    """Parameters, by id, that a plan lets train inside the blocks it freezes."""
    modules, parameters = _selected(model, [plan])
    if plan.spared == "norms":
        norms = [part for module in modules for part in module.modules() if _is_norm(part)]
        found = {id(parameter) for norm in norms for parameter in norm.parameters()}
    else:
        inside = set(map(id, parameters))
        found = {id(p) for name, p in model.named_parameters() if id(p) in inside and _BIAS.search(name)}
    if not found:
        what = "norm layer with a scale or shift" if plan.spared == "norms" else "bias"
        raise PlanError(
            f"The plan is to {plan.sentence}, but the blocks it freezes have no {what}. "
            "Leave this plan out, or name the blocks to freeze instead."
        )
    return found


def _is_norm(module: nn.Module) -> bool:
    from frostline.plan.blocks import is_norm  # here, since finding blocks needs `evaluating`

    return is_norm(module)


def _wholly_frozen(model: nn.Module) -> Iterable[nn.Module]:
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            yield module


# ---------------------------------------------------------------- what holds a part frozen


def _keep_frozen(module: nn.Module, args: Any) -> None:
    """The forward pre-hook of everything that is frozen."""
    held = _held(module)
    if held.inert and module.training:
        module.training = False
    for name in held.parameters:
        parameter = module._parameters.get(name)
        if parameter is not None and parameter.requires_grad:
            parameter.requires_grad_(False)
            parameter.grad = None
            log.warning(
                "%r of %s was frozen and something set requires_grad to True (a parent's requires_grad_(True)?). "
                "It is frozen again; call frostline.unfreeze to train it.",
                name,
                type(module).__name__,
            )


def _held(module: nn.Module) -> _Held:
    held: _Held = module.__dict__.get("_frostline_held", _Held())
    return held


def _hold(module: nn.Module, held: _Held) -> None:
    hooks = [key for key, hook in module._forward_pre_hooks.items() if hook is _keep_frozen]
    if held == _Held():
        module.__dict__.pop("_frostline_held", None)
        for key in hooks:
            del module._forward_pre_hooks[key]
        return
    module.__dict__["_frostline_held"] = held
    if not hooks:
        module.register_forward_pre_hook(_keep_frozen)


def _hold_inert(module: nn.Module) -> None:
    module.training = False
    _hold(module, _Held(inert=True, parameters=_held(module).parameters))


def _hold_owners(model: nn.Module, frozen: Iterable[int]) -> None:
    ids = set(frozen)
    for module in model.modules():
        names = {name for name, p in module.named_parameters(recurse=False) if id(p) in ids}
        if names:
            held = _held(module)
            _hold(module, _Held(inert=held.inert, parameters=held.parameters | names))


# ---------------------------------------------------------------- what a user should hear


def _say_what_surprises(model: nn.Module, frozen: Iterable[int]) -> None:
    ids = set(frozen)
    places: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in ids:
            places.setdefault(id(parameter), []).append(name)
    for names in places.values():
        if len(names) > 1:
            log.warning(
                "Tied weights: %s are one parameter, so all of them are frozen.", " and ".join(map(repr, names))
            )
    for path, module in model.named_modules():
        if is_inert(module) and isinstance(module, _BatchNorm) and module.running_mean is None:
            log.warning(
                "%r is frozen but keeps no running statistics, so its output still depends on the other examples of "
                "the batch. Build it with track_running_stats=True.",
                path,
            )
