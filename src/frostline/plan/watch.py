"""Notes taken while other people's code runs: modes of frozen modules, their calls, and optimizer steps.

The hooks are PyTorch's process-wide ones. Nothing is attached to the model, so that it can be copied,
pickled and compiled meanwhile and takes the same code paths as without.
"""

from __future__ import annotations

import warnings
from collections import Counter
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from frostline.plan.leaks import Frozen, chance_of_dropping
from frostline.plan.probe import Call


class Watch:
    """A context manager; what it noted is read afterwards."""

    def __init__(self, model: nn.Module, frozen: Frozen) -> None:
        self.calls: Counter[str] = Counter()
        """Calls of frozen modules."""
        self.trained: Counter[str] = Counter()
        """Those of them in training mode."""
        self.batch_statistics: Counter[str] = Counter()
        """Calls of frozen batch norms that normalised by the statistics of the batch."""
        self.dropping: Counter[str] = Counter()
        """Calls of frozen dropout-like layers that dropped."""
        self.woken: set[str] = set()
        """Frozen parameters that required gradients in a call of the module that holds them."""
        self.moved: dict[int, str] = {}
        """What moved a parameter, by its id: the first optimizer step that did."""
        self.captured: dict[str, Call] = {}
        """The most telling call of each outermost frozen module."""
        self._paths = {id(module): path for path, module in frozen.modules.items()}
        self._frozen = set(map(id, frozen.parameters.values()))
        names = {id(parameter): name for name, parameter in frozen.parameters.items()}
        self._owned = {
            id(module): [(names[id(p)], p) for p in module.parameters(recurse=False) if id(p) in names]
            for module in model.modules()
        }
        self._outermost: nn.Module | None = None
        self._before_step: list[tuple[nn.Parameter, Tensor]] = []
        self._open = ExitStack()
        self._with_kwargs: list[int] = []

    def __enter__(self) -> Watch:
        self._open.enter_context(warnings.catch_warnings())
        # A call of a compiled model would warn that it meets hooks: they do nothing there.
        warnings.filterwarnings("ignore", message=".*when there are global hooks on modules")
        leaving = register_module_forward_hook(self._leave_call, with_kwargs=True)
        self._with_kwargs.append(leaving.id)
        for handle in (
            leaving,
            register_module_forward_pre_hook(self._enter_call),
            register_optimizer_step_pre_hook(self._before),
            register_optimizer_step_post_hook(self._after),
        ):
            self._open.callback(handle.remove)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        for number in self._with_kwargs:
            # torch 2.13 takes back the hook but not this mark of it, and then takes every model for a hooked one.
            getattr(module_hooks, "_global_forward_hooks_with_kwargs", {}).pop(number, None)

    # ------------------------------------------------------------ module calls

    def _enter_call(self, module: nn.Module, args: Any) -> None:
        # A call that ended in an exception is left by its next one.
        if self._outermost is None and id(module) in self._paths and not torch.compiler.is_compiling():
            self._outermost = module

    def _leave_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if torch.is_grad_enabled():
            self.woken.update(name for name, p in self._owned.get(id(module), ()) if p.requires_grad)
        path = self._paths.get(id(module))
        if path is None:
            return
        self._note_modes(path, module)
        if module is self._outermost:
            self._outermost = None
            call = Call.of(module, args, kwargs, known=self.captured.get(path))
            if call is not None:
                self.captured[path] = call

    def _note_modes(self, path: str, module: nn.Module) -> None:
        # Read after the call: hooks of the module itself may have set its mode just before it.
        self.calls[path] += 1
        self.trained[path] += module.training
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            self.batch_statistics[path] += 1
        if module.training and chance_of_dropping(module) > 0:
            self.dropping[path] += 1

    # ------------------------------------------------------------ optimizer steps

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        # A parameter without gradient is skipped by every optimizer, so only few are ever copied here.
        held = [p for group in optimizer.param_groups for p in group["params"] if id(p) in self._frozen]
        at_risk = [p for p in held if p.grad is not None and id(p) not in self.moved]
        self._before_step = [(p, p.detach().clone()) for p in at_risk]

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for parameter, before in self._before_step:
            if not torch.equal(parameter, before):
                self.moved[id(parameter)] = what_moved(optimizer, parameter)
        self._before_step = []


def what_moved(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> str:
    """Why an optimizer's step moved a parameter, in words."""
    group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    state = optimizer.state.get(parameter, {})
    has_gradient = parameter.grad is not None and bool(parameter.grad.count_nonzero())
    momentum = [key for key in ("exp_avg", "momentum_buffer") if isinstance(state.get(key), Tensor)]
    forces = ["a gradient left on it"] if has_gradient else []
    forces += [f"its momentum ({key})" for key in momentum if not has_gradient and state[key].count_nonzero()]
    forces += [f"weight decay {group['weight_decay']:g}"] if group.get("weight_decay") else []
    return f"{type(optimizer).__name__} still holds it and moved it by {' and '.join(forces) or 'its step'}"
