"""Parameter groups for any torch optimizer, and an optimizer kept in step with a freeze that changes.

Parameters are compared by identity, never by value: two layer norms that were just made hold equal numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from frostline.core.errors import PlanError
from frostline.core.records import Block
from frostline.plan.blocks import is_norm
from frostline.plan.wrapped import unwrapped

Group = dict[str, Any]


class GroupOptions(TypedDict, total=False):
    """What `param_groups` takes beside the model."""

    lr: float
    weight_decay: float
    layer_decay: float
    head_lr: float | None
    blocks: Sequence[Block] | None


@dataclass(frozen=True, slots=True)
class OptimizerChange:
    """What `sync_optimizer` did, by parameter name."""

    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def param_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float = 0.01,
    layer_decay: float = 1.0,
    head_lr: float | None = None,
    blocks: Sequence[Block] | None = None,
) -> list[Group]:
    """Groups for any torch optimizer: what trains and nothing else, each parameter once, tied weights too.

    Biases and norms do not decay. A group whose parameters are all frozen is there, empty: `sync_optimizer`
    fills it when they are unfrozen, so the number of groups stays and with it every learning rate scheduler.

    Args:
        model: Any module, frozen in part.
        lr: Learning rate of the last block, and of all of them when `layer_decay` is 1.
        weight_decay: Of everything but biases and norms.
        layer_decay: Factor from each block to the one before it, in (0, 1]; asks for `blocks`.
        head_lr: Learning rate of the head instead; asks for `blocks`.
        blocks: What `blocks` found in this model, in execution order.

    Returns:
        One dict a group, with its `name` and, as `members`, the names of all parameters that belong there
        whenever they train.

    Raises:
        PlanError: An option is out of range or asks for blocks, the blocks are another model's, or nothing trains.

    Source of layer decay: Howard and Ruder (2018), Universal language model fine-tuning for text
        classification, ACL, section 3.2 (discriminative fine-tuning).

    >>> from frostline.plan.apply import freeze
    >>> net = freeze(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1)), "0")
    >>> [(group["name"], group["members"]) for group in param_groups(net, lr=0.1)]
    [('all/decay', ('0.weight', '2.weight')), ('all/no-decay', ('0.bias', '1.weight', '1.bias', '2.bias'))]
    >>> [len(group["params"]) for group in param_groups(net, lr=0.1)]
    [1, 3]
    """
    _check_range(lr=lr, weight_decay=weight_decay, layer_decay=layer_decay, head_lr=head_lr)
    inner = unwrapped(model)
    if blocks is None:
        if layer_decay != 1 or head_lr is not None:
            raise PlanError(
                f"{'layer_decay' if layer_decay != 1 else 'head_lr'} was given without the model's blocks, so which "
                "parameters it means is not known. Add blocks=frostline.blocks(model, example)."
            )
        groups = grouped(inner, lambda parameter: ("all", lr), weight_decay)
    else:
        places = [_place(blocks, number, lr, layer_decay, head_lr) for number in range(len(blocks))]
        block_of = _block_numbers(inner, blocks, head_lr)
        groups = grouped(inner, lambda parameter: places[block_of[id(parameter)]], weight_decay)
    if not any(group["params"] for group in groups):
        raise PlanError(f"Every parameter of {type(inner).__name__} is frozen, so there is nothing to optimize.")
    return groups


def grouped(model: nn.Module, place: Callable[[nn.Parameter], tuple[str, float]], weight_decay: float) -> list[Group]:
    """Groups by what `place` says of each parameter, a name and a learning rate, and by whether it decays."""
    norms = {id(p) for m in model.modules() if is_norm(m) for p in m.parameters(recurse=False)}
    groups: dict[str, Group] = {}
    for name, parameter in model.named_parameters():
        label, rate = place(parameter)
        decays = parameter.dim() > 1 and id(parameter) not in norms
        key = f"{label}/decay" if decays else f"{label}/no-decay"
        empty: Group = {"name": key, "lr": rate, "weight_decay": weight_decay if decays else 0.0}
        group = groups.setdefault(key, {"params": [], **empty, "members": ()})
        group["members"] += (name,)
        if parameter.requires_grad:
            group["params"].append(parameter)
    return list(groups.values())


def sync_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, **options: Unpack[GroupOptions]
) -> OptimizerChange:
    """Bring an optimizer in step with what is frozen now; call it after `freeze` or `unfreeze`.

    What is frozen leaves, with its state and gradient; what trains enters; the rest keeps its state. A
    parameter goes back to the group it belongs to, with that group's present learning rate, so learning
    rate schedulers go on as they were. Only a parameter that no group was made for opens new groups, by the
    rules of `param_groups`; a scheduler made before then refuses its next step, and must be made anew.

    One optimizer is taken to train the whole model: of several, give each the part that it trains.
    Optimizers whose state spans parameters (LBFGS) or is made when they are built (Adagrad) cannot follow.

    Args:
        optimizer: Any other torch optimizer; best made from `param_groups`.
        model: The same model.
        options: Those of `param_groups`, for new groups. Rate and decay are otherwise the optimizer's defaults.

    Returns:
        What was added and dropped.

    Raises:
        PlanError: As `param_groups`.

    >>> from frostline.plan.apply import freeze, unfreeze
    >>> net = freeze(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), "0")
    >>> optimizer = torch.optim.AdamW(param_groups(net, lr=0.1))
    >>> sync_optimizer(optimizer, unfreeze(net, "0.bias"))
    OptimizerChange(added=('0.bias',), dropped=())
    """
    inner = unwrapped(model)
    named = dict(inner.named_parameters())
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    homes = _homes(optimizer, named)
    if any(parameter.requires_grad and name not in homes for name, parameter in named.items()):
        homes |= _new_homes(optimizer, inner, named, homes, options)
    for number, group in enumerate(optimizer.param_groups):
        _refill(group, {name: p for name, p in named.items() if homes.get(name) == number})
    dropped = {name: p for name, p in named.items() if id(p) in held and not p.requires_grad}
    for parameter in dropped.values():
        optimizer.state.pop(parameter, None)
        parameter.grad = None
    added = (name for name, p in named.items() if id(p) not in held and p.requires_grad)
    return OptimizerChange(added=tuple(added), dropped=tuple(dropped))


# ---------------------------------------------------------------- which rate a block has


def _place(
    blocks: Sequence[Block], number: int, lr: float, layer_decay: float, head_lr: float | None
) -> tuple[str, float]:
    """Name and learning rate of one block's groups."""
    block = blocks[number]
    head_rate = head_lr if block.head else None
    rate = lr * layer_decay ** (len(blocks) - 1 - number) if head_rate is None else head_rate
    if layer_decay != 1:
        return block.name, rate
    if head_lr is None:
        return "all", rate
    return ("backbone" if head_rate is None else "head"), rate


def _block_numbers(model: nn.Module, blocks: Sequence[Block], head_lr: float | None) -> dict[int, int]:
    """Parameter id -> number of its block; a tied weight belongs to the block that runs first."""
    if head_lr is not None and not any(block.head for block in blocks):
        raise PlanError("head_lr was given, but none of the blocks is a head of its own. Leave head_lr out.")
    numbers: dict[int, int] = {}
    places = list(model.named_parameters(remove_duplicate=False))
    for number, block in enumerate(blocks):
        for name, parameter in places:
            if name == block.path or name.startswith(f"{block.path}."):
                numbers.setdefault(id(parameter), number)
    for name, parameter in places:
        if id(parameter) not in numbers:
            raise PlanError(
                f"The parameter {name!r} of {type(model).__name__} is in none of the {len(blocks)} blocks given. "
                "Give what frostline.blocks finds in this very model."
            )
    return numbers


def _check_range(*, lr: float, weight_decay: float, layer_decay: float, head_lr: float | None) -> None:
    given = {"lr": lr, "weight_decay": weight_decay} | ({} if head_lr is None else {"head_lr": head_lr})
    for name, value in given.items():
        if not (isfinite(value) and value >= 0):
            raise PlanError(f"{name} is {value}; it must be a finite number of at least 0.")
    if not 0 < layer_decay <= 1:
        raise PlanError(f"layer_decay is {layer_decay}; it must be above 0 and at most 1, where 1 is no decay.")


# ---------------------------------------------------------------- where a parameter belongs


def _homes(optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter]) -> dict[str, int]:
    """Parameter name -> number of the group that holds it, or that was made for it."""
    names = {id(parameter): name for name, parameter in named.items()}
    homes: dict[str, int] = {}
    for number, group in enumerate(optimizer.param_groups):
        for name in group.get("members", ()):
            homes.setdefault(name, number)
    for number, group in enumerate(optimizer.param_groups):
        homes |= {names[id(p)]: number for p in group["params"] if id(p) in names}
    return homes


def _new_homes(
    optimizer: torch.optim.Optimizer,
    model: nn.Module,
    named: Mapping[str, nn.Parameter],
    known: Iterable[str],
    options: GroupOptions,
) -> dict[str, int]:
    """Make groups for the parameters that have none, or use those of the same name."""
    defaults: GroupOptions = {
        "lr": optimizer.defaults["lr"],
        "weight_decay": optimizer.defaults.get("weight_decay", 0.0),
    }
    numbers = {group["name"]: n for n, group in enumerate(optimizer.param_groups) if "name" in group}
    # An optimizer that was given names wants them in every group.
    names: Group = {"param_names": []} if "param_names" in optimizer.param_groups[0] else {}
    homes: dict[str, int] = {}
    for group in param_groups(model, **(defaults | options)):
        members = set(group["members"]).difference(known)
        if any(named[name].requires_grad for name in members):
            if group["name"] not in numbers:
                numbers[group["name"]] = len(optimizer.param_groups)
                optimizer.add_param_group({**group, **names, "params": [], "members": ()})
            homes |= dict.fromkeys(members, numbers[group["name"]])
    return homes


def _refill(group: Group, members: Mapping[str, nn.Parameter]) -> None:
    """Put into a group those of its members that train, in the model's order.

    That order, not the order of unfreezing, is what lets a fresh optimizer load the state of this one.
    """
    own = set(map(id, members.values()))
    trainable = {name: parameter for name, parameter in members.items() if parameter.requires_grad}
    if "param_names" in group:
        pairs = zip(group["params"], group["param_names"], strict=False)
        group["param_names"] = [name for p, name in pairs if id(p) not in own] + list(trainable)
    group["params"][:] = [p for p in group["params"] if id(p) not in own] + list(trainable.values())
    group["members"] = tuple(dict.fromkeys([*group.get("members", ()), *members]))
