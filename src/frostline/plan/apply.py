"""Freeze and unfreeze: parameters fixed, modules held in evaluation mode, optimizers kept out.

A frozen module is inert: a forward pre-hook puts it back into evaluation mode before every call, so
`model.train()` cannot wake its dropout or its batch statistics. The hook is a module-level function:
it survives `deepcopy`, `pickle`, `.to()` and `load_state_dict`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from frostline.core.errors import PlanError
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.patterns import select

Selector = str | FreezePlan | Callable[[str], bool]


def freeze(model: nn.Module, *selectors: Selector) -> nn.Module:
    """Freeze parts of a model, in place.

    Args:
        model: Any module.
        selectors: Globs, slices or names of modules and parameters (`encoder.layer[:4]`, `*.bias`),
            a `FreezePlan`, or a callable that is asked about every parameter name.

    Returns:
        The model itself.

    Raises:
        PlanError: A selector matches nothing, or none was given.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Dropout(), nn.Linear(3, 1))
    >>> _ = freeze(net, "0")
    >>> [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    ['2.weight', '2.bias']
    """
    modules, parameters = _selected(model, selectors)
    for parameter in parameters:
        parameter.requires_grad_(False)
        parameter.grad = None
    for module in [*modules, *_wholly_frozen(model)]:
        for part in module.modules():
            _make_inert(part)
    return model


def unfreeze(model: nn.Module, *selectors: Selector) -> nn.Module:
    """Let frozen parts train again, in place. Without selectors: the whole model.

    Parameters that were unfrozen must enter your optimizer: it does not know them yet.

    Raises:
        PlanError: A selector matches nothing.
    """
    modules, parameters = _selected(model, selectors or ("*",))
    for parameter in parameters:
        parameter.requires_grad_(True)
    trainable = set(map(id, parameters))
    awake = [part for module in modules for part in module.modules()]
    awake += [m for m in model.modules() if trainable.intersection(map(id, m.parameters()))]
    for module in awake:
        if is_inert(module):
            _wake(module)
            module.training = model.training
    return model


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
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def is_inert(module: nn.Module) -> bool:
    """Whether a module is held in evaluation mode."""
    return any(hook is _hold_in_evaluation for hook in module._forward_pre_hooks.values())


def frozen_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every frozen parameter and every buffer of an inert module, by name."""
    tensors: dict[str, Tensor] = {n: p for n, p in model.named_parameters() if not p.requires_grad}
    for path, module in model.named_modules():
        if is_inert(module):
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
    given = False
    for selector in selectors:
        given = True
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
    if not given:
        raise PlanError("Nothing was named to freeze. Give a pattern such as 'encoder.layer[:4]', or a FreezePlan.")
    return names


def _block(name: str, modules: list[str], parameters: list[str]) -> list[str]:
    """The one module or parameter a block name stands for: the shortest path that ends in it."""
    return [min(select(name, [*modules, *parameters]), key=len)]


def _wholly_frozen(model: nn.Module) -> Iterable[nn.Module]:
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            yield module


def _hold_in_evaluation(module: nn.Module, args: Any) -> None:
    if module.training:
        module.training = False


def _make_inert(module: nn.Module) -> None:
    module.training = False
    if not is_inert(module):
        module.register_forward_pre_hook(_hold_in_evaluation)


def _wake(module: nn.Module) -> None:
    for key, hook in list(module._forward_pre_hooks.items()):
        if hook is _hold_in_evaluation:
            del module._forward_pre_hooks[key]
