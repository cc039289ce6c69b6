"""Freeze some rows of a weight: the old tokens of an embedding, the old classes of a head.

An optimizer moves whole tensors: zeroing the gradient of some rows does not keep weight decay off them. So
frozen rows are taken out of the parameter. What is left is the same parameter still, under the same name, in
the same optimizer and wherever it is tied to; reading `module.weight` joins both. docs/design/0004-row-freeze.md
says why.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache, partial
from operator import index
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from frostline.core.errors import PlanError

Kind = TypeVar("Kind")
Change = Callable[[Tensor], Tensor]


class FrozenRows(nn.Module):
    """The frozen rows of one parameter, as buffers: no optimizer knows them and no decay reaches them."""

    values: Tensor
    """What they hold."""
    rows: Tensor
    """Their numbers in the whole weight."""
    trained_rows: Tensor
    """Numbers of the rows that the parameter still holds."""

    def __init__(self, weight: Tensor, rows: Iterable[int]) -> None:
        super().__init__()
        is_frozen = torch.zeros(len(weight), dtype=torch.bool, device=weight.device)
        is_frozen[list(rows)] = True
        self.register_buffer("rows", is_frozen.nonzero().flatten())
        self.register_buffer("trained_rows", (~is_frozen).nonzero().flatten())
        self.register_buffer("values", weight.detach()[self.rows])

    def joined(self, trained: Tensor) -> Tensor:
        """The whole weight; gradients reach the trained rows alone."""
        return self.spread(trained, self.values.to(trained.dtype))

    def without(self, whole: Tensor) -> Tensor:
        """The rows of a whole weight that are not frozen."""
        return whole[self.trained_rows]

    def spread(self, trained: Tensor, frozen: Tensor | float) -> Tensor:
        """A tensor shaped like the whole weight, with these rows in place."""
        whole = trained.new_empty((len(self.rows) + len(self.trained_rows), *trained.shape[1:]))
        # The frozen rows first, while no gradient is recorded: one copy less in the backward pass.
        whole[self.rows] = frozen
        whole[self.trained_rows] = trained
        return whole


def freeze_rows(
    module: nn.Embedding | nn.Linear, rows: Iterable[int] | slice, *, optimizer: Optimizer | None = None
) -> None:
    """Freeze rows of an embedding or a linear layer, in place: no gradient, momentum or decay moves them.

    A row of a linear layer is one output, so its bias is frozen with it. Weights tied to the layer's are
    frozen with it wherever they stand. Rows that were frozen before stay frozen.

    In the state dict `weight` then holds the trained rows, and `frozen_weight.values`, `.rows` and
    `.trained_rows` the rest: a copy with the same rows frozen loads it. Write to the rows through
    `load_state_dict` or after `unfreeze_rows`: `module.weight` is a joined copy.

    Args:
        module: Its class becomes a subclass that joins the rows; `isinstance`, copies and pickles work as before.
        rows: Row numbers from 0, or a slice of them.
        optimizer: Given when it has stepped already: the state of the rows that still train is kept.

    Raises:
        PlanError: No such rows, or all of them; a layer that computes or rewrites its weight, or has sparse
            gradients; an optimizer that holds state for the weight and was not given, or whose state
            cannot be divided.

    >>> embedding = nn.Embedding(5, 2)
    >>> freeze_rows(embedding, slice(3))
    >>> [(name, tuple(parameter.shape)) for name, parameter in embedding.named_parameters()]
    [('weight', (2, 2))]
    >>> tuple(embedding.weight.shape)
    (5, 2)
    """
    chosen = {*_numbers(module, rows), *_frozen_rows(module)}
    if len(chosen) == _height(module):
        raise PlanError(
            f"Asked to freeze all {len(chosen)} rows of {_said(module)}. Freeze the layer itself with frostline.freeze."
        )
    if isinstance(module, _RowFrozen):
        unfreeze_rows(module, optimizer=optimizer)
    parameters = {name: p for name, p in module.named_parameters(recurse=False) if name in ("weight", "bias")}
    _check_states(parameters.values(), optimizer)
    for parameter, owners in _owners(parameters.values()):
        frozen = FrozenRows(parameter, chosen)
        for owner, name in owners:
            owner.add_module(f"frozen_{name}", frozen)
            _join(owner, {*_joined_names(owner), name})
        _reshape(parameter, frozen.without(parameter.detach()), optimizer, frozen.without)


def unfreeze_rows(module: nn.Module, *, optimizer: Optimizer | None = None) -> None:
    """Let all rows of a layer train again, in place, and those of what is tied to it.

    Args:
        module: A layer that `freeze_rows` changed.
        optimizer: Given when it has stepped already: rows that were frozen enter with a state of zero.

    Raises:
        PlanError: The layer has no frozen rows, or the optimizer's state is in the way as in `freeze_rows`.

    >>> embedding = nn.Embedding(5, 2)
    >>> freeze_rows(embedding, [0])
    >>> unfreeze_rows(embedding)
    >>> type(embedding).__name__, tuple(dict(embedding.named_parameters())["weight"].shape)
    ('Embedding', (5, 2))
    """
    names = _joined_names(module)
    if not names:
        raise PlanError(f"Asked to unfreeze rows of {_said(module)}, but none are frozen. Leave the call out.")
    parameters = {name: p for name, p in module.named_parameters(recurse=False) if name in names}
    _check_states(parameters.values(), optimizer)
    for parameter, owners in _owners(parameters.values()):
        frozen: FrozenRows = getattr(owners[0][0], f"frozen_{owners[0][1]}")
        for owner, name in owners:
            delattr(owner, f"frozen_{name}")
            _join(owner, _joined_names(owner) - {name})
        _reshape(parameter, frozen.joined(parameter.detach()), optimizer, partial(frozen.spread, frozen=0.0))


# ---------------------------------------------------------------- which rows


def _numbers(module: nn.Module, rows: Iterable[int] | slice) -> set[int]:
    if not isinstance(module, nn.Embedding | nn.Linear):
        raise PlanError(
            f"Asked to freeze rows of {_said(module)}, which is neither an Embedding nor a Linear layer. "
            "Give the layer itself, such as model.get_input_embeddings()."
        )
    if module._parameters.get("weight") is None:
        raise PlanError(
            f"Asked to freeze rows of {_said(module)}, whose weight is computed from other parameters. "
            "Take the parametrization off first (torch.nn.utils.parametrize.remove_parametrizations)."
        )
    if isinstance(module, nn.Embedding) and (module.sparse or module.max_norm is not None):
        option = "sparse=True" if module.sparse else "max_norm"
        raise PlanError(
            f"Asked to freeze rows of {_said(module)}, which was built with {option}: that writes to rows past any "
            "freeze. Build it without."
        )
    height = _height(module)
    wanted = range(*rows.indices(height)) if isinstance(rows, slice) else rows
    numbers = {_number(row) for row in wanted}
    for number in sorted(numbers):
        if not 0 <= number < height:
            raise PlanError(
                f"Asked to freeze row {number} of {_said(module)}, which has rows 0 to {height - 1}. Name one of them."
            )
    if not numbers:
        raise PlanError(f"Asked to freeze no row of {_said(module)}. Name at least one.")
    return numbers


def _number(row: Any) -> int:
    plain = row.item() if isinstance(row, Tensor) else row
    if isinstance(plain, bool) or not hasattr(plain, "__index__"):
        raise PlanError(
            f"Rows are named by their numbers, got {plain!r}. Turn a mask into numbers with mask.nonzero().flatten()."
        )
    return index(plain)


def _height(module: nn.Embedding | nn.Linear) -> int:
    return module.num_embeddings if isinstance(module, nn.Embedding) else module.out_features


def _frozen_rows(module: nn.Module) -> list[int]:
    frozen = getattr(module, "frozen_weight", None)
    return frozen.rows.tolist() if isinstance(frozen, FrozenRows) else []


def _said(module: nn.Module) -> str:
    return f"{type(module).__name__}({module.extra_repr()})"


# ---------------------------------------------------------------- a class that joins


class _RowFrozen(nn.Module):
    """Marks the classes that `_row_frozen` makes, and takes their instances through copy and pickle."""

    plain_class: type[nn.Module]
    joined_names: frozenset[str]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        how: Any = super().__reduce_ex__(protocol)
        return _blank, (self.plain_class, self.joined_names), *how[2:]


@cache
def _row_frozen(plain: type[Any], names: frozenset[str]) -> type[nn.Module]:
    """A subclass of a layer's class in which some parameters read as joined with their frozen rows."""
    members = {"plain_class": plain, "joined_names": names} | {name: property(_reader(name)) for name in names}
    return type(f"RowFrozen{plain.__name__}", (_RowFrozen, plain), members)


def _reader(name: str) -> Callable[[nn.Module], Tensor]:
    def read(module: nn.Module) -> Tensor:
        frozen: Any = module._modules[f"frozen_{name}"]
        joined: Tensor = frozen.joined(module._parameters[name])
        return joined

    return read


def _blank(plain: Any, names: frozenset[str]) -> nn.Module:
    cls = _row_frozen(plain, names)
    return cls.__new__(cls)


def _joined_names(module: nn.Module) -> frozenset[str]:
    return module.joined_names if isinstance(module, _RowFrozen) else frozenset()


def _join(module: nn.Module, names: Iterable[str]) -> None:
    plain: Any = module.plain_class if isinstance(module, _RowFrozen) else type(module)
    module.__class__ = _row_frozen(plain, frozenset(names)) if names else plain


# ---------------------------------------------------------------- who else holds the parameter


def _alive(kind: type[Kind]) -> list[Kind]:
    # By type, not isinstance: some objects answer for their class by importing it.
    return [found for found in gc.get_objects() if issubclass(type(found), kind)]


def _owners(parameters: Iterable[nn.Parameter]) -> list[tuple[nn.Parameter, list[tuple[nn.Module, str]]]]:
    """For each parameter, every module that holds it, and under which name.

    A layer does not know what it is tied to, and a tie that is missed would train the frozen rows there:
    so all modules of the process are asked.
    """
    places = [
        (parameter, module, name)
        for module in _alive(nn.Module)
        for name, parameter in module.__dict__.get("_parameters", {}).items()
    ]
    return [(wanted, [(module, name) for p, module, name in places if p is wanted]) for wanted in parameters]


def _check_states(parameters: Collection[nn.Parameter], optimizer: Optimizer | None) -> None:
    """Refuse when state would be left that no longer fits: a fused optimizer would read past its end."""
    states = {} if optimizer is None else optimizer.state
    for parameter in parameters:
        for name, value in _sized(states.get(parameter, {})).items():
            if value.shape != parameter.shape:
                raise PlanError(
                    f"{type(optimizer).__name__} keeps {name!r} in another shape than the weight's, so it cannot be "
                    "divided into rows. Change the rows before its first step, or make the optimizer anew."
                )
    if _another_holds_state(parameters, optimizer):
        gc.collect()  # it may be one that was given up but stands in a cycle with its scheduler
        if _another_holds_state(parameters, optimizer):
            raise PlanError(
                "An optimizer holds state for the weight whose rows change, and was not given. "
                "Add optimizer=..., so that the state changes with it."
            )


def _another_holds_state(parameters: Iterable[nn.Parameter], optimizer: Optimizer | None) -> bool:
    # Wrappers of an optimizer show the state of the one inside.
    own = None if optimizer is None else optimizer.state
    states = [other.__dict__.get("state", {}) for other in _alive(Optimizer)]
    return any(_sized(state[p]) for state in states if state is not own for p in parameters if p in state)


def _sized(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The part of a parameter's state that has a shape: momentum has one, a step count has none."""
    return {name: value for name, value in state.items() if isinstance(value, Tensor) and value.dim()}


def _reshape(parameter: nn.Parameter, values: Tensor, optimizer: Optimizer | None, change: Change) -> None:
    """Give a parameter other rows, and its optimizer state with it; who holds the parameter still holds it."""
    if optimizer is not None and parameter in optimizer.state:
        state = optimizer.state[parameter]
        state |= {name: change(value) for name, value in _sized(state).items()}
    parameter.grad = None
    # An old graph that is still alive keeps a gradient accumulator of the old shape; another type drops it.
    other = torch.float32 if values.dtype == torch.float64 else torch.float64
    parameter.data = torch.empty(0, dtype=other, device=values.device)
    parameter.data = values
