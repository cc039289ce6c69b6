"""What is frozen, what trains, and what the freeze really saves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile

import torch
from torch import Tensor, nn

from frostline.core.errors import PlanError
from frostline.explain.answers import Held, Saving, answers, recurrent
from frostline.explain.replayable import replay_answers
from frostline.explain.step_cost import OUTSIDE, Costs, measuring, step_costs
from frostline.explain.summary_text import as_html, as_text
from frostline.plan.apply import is_inert
from frostline.plan.blocks import Example, blocks
from frostline.plan.wrapped import unwrapped


@dataclass(frozen=True, slots=True)
class RowCost:
    """What one block costs in one training step, as it is frozen now.

    Shares are of the FLOPs of one whole step of full fine-tuning; None when that step has no FLOPs to count.
    """

    forward_share: float | None
    backward_share: float | None
    activation_bytes: int
    """Kept from the forward pass for the backward pass."""
    optimizer_bytes: int | None
    """State that the optimizer holds; None when no optimizer was given or it made no step yet."""


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One block or, without an example, the largest part of the model that is all frozen or all trainable."""

    name: str
    parameters: int
    trainable: int
    """How many of the parameters train."""
    inert: bool
    """Held in evaluation mode: its dropout is off and its norm statistics stay."""
    cost: RowCost | None = None
    """None without an example."""

    @property
    def frozen(self) -> bool:
        return self.trainable == 0


@dataclass(frozen=True, slots=True, repr=False)
class Summary:
    """The table and the answers; shows itself as text, and as HTML in a notebook."""

    model: str
    rows: tuple[SummaryRow, ...]
    saving: Saving | None = None
    """None without an example."""
    answers: tuple[str, ...] = ()
    """Why it is no faster and no smaller, one sentence each."""

    @property
    def trainable(self) -> int:
        return sum(row.trainable for row in self.rows)

    @property
    def total(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def sentence(self) -> str:
        share = self.trainable / self.total if self.total else 0.0
        return f"{self.model}: {self.trainable:,} of {self.total:,} parameters train ({share:.1%})."

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def summary(
    model: nn.Module,
    example: Example | None = None,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    loader_share: float | None = None,
) -> Summary:
    """What is frozen, what trains and, with an example, what the freeze saves.

    Without an example each row is the largest part of the model that is all frozen or all trainable. With
    one, each row is a block in execution order, and its costs are measured in one training step as the model is
    frozen now and one with everything trainable, both on a copy: the model itself is left as it is.

    Args:
        model: Any module.
        example: What one call needs, as for `blocks`; with batch norm, of two examples or more.
        optimizer: Yours, to see what state it holds and whether it still holds frozen parameters.
        loader_share: Share of a full fine-tuning step's time that is spent waiting for data, in [0, 1].

    Raises:
        ModelError: The model does not run on the example in training mode, or cannot be copied.
        PlanError: The loader's share is no share.

    >>> from frostline.plan.apply import freeze
    >>> freeze(net := nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), "0") and summary(net)
    part  state        parameters  mode
    0     frozen                9  inert
    1     trainable             4
    Sequential: 4 of 13 parameters train (30.8%).
    """
    if loader_share is not None and not 0 <= loader_share <= 1:
        raise PlanError(f"loader_share is {loader_share}, but a share of a step's time is a fraction from 0 to 1.")
    model = unwrapped(model)
    held = Held.of(model, optimizer)
    if example is None:
        rows, saving = tuple(_parts(model, "", set())), None
    else:
        rows, saving = _measured(model, example, optimizer)
    said = list(answers(model, held, saving, loader_share))
    said += replay_answers(model, example) if example is not None else ()
    return Summary(type(model).__name__, rows, saving, tuple(said))


def _parts(module: nn.Module, path: str, seen: set[int]) -> list[SummaryRow]:
    fresh = [p for p in module.parameters() if id(p) not in seen]
    states = {parameter.requires_grad for parameter in fresh}
    is_stack = isinstance(module, nn.ModuleList)
    if not fresh:
        return []
    if len(states) == 1 and path and not is_stack:
        seen.update(map(id, fresh))
        return [_row(path, fresh, is_inert(module))]
    rows = []
    for name, parameter in module.named_parameters(recurse=False):
        if id(parameter) not in seen:
            seen.add(id(parameter))
            rows.append(_row(f"{path}.{name}".lstrip("."), [parameter], False))
    for name, child in module.named_children():
        rows += _parts(child, f"{path}.{name}".lstrip("."), seen)
    return rows


def _row(name: str, parameters: Sequence[Tensor], inert: bool, cost: RowCost | None = None) -> SummaryRow:
    trainable = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    return SummaryRow(name, sum(parameter.numel() for parameter in parameters), trainable, inert, cost)


# ---------------------------------------------------------------- with an example: measured


def _measured(
    model: nn.Module, example: Example, optimizer: torch.optim.Optimizer | None
) -> tuple[tuple[SummaryRow, ...], Saving]:
    with measuring(model):
        found = blocks(model, example)
        frozen, full = step_costs(model, example, [block.path for block in found])
    total = _step_flops(model, full)
    seen: set[int] = set()
    rows = []
    for block in found:
        parameters = [p for p in _parameters_at(model, block.path) if id(p) not in seen]
        seen.update(map(id, parameters))
        cost = RowCost(
            forward_share=_share(frozen[block.path].forward_flops, total),
            backward_share=_share(frozen[block.path].backward_flops, total),
            activation_bytes=frozen[block.path].activation_bytes,
            optimizer_bytes=_state_bytes(parameters, optimizer) if optimizer and optimizer.state else None,
        )
        rows.append(_row(block.name, parameters, _is_inert_at(model, block.path), cost))
    return tuple(rows), _saving(rows, [block.path for block in found], frozen, full, total)


def _step_flops(model: nn.Module, full: Costs) -> int | None:
    """FLOPs of a step of full fine-tuning; None when they cannot be told."""
    # On an accelerator a recurrent layer runs as one fused kernel, which counts as nothing.
    if any(not cost.forward_flops and path and recurrent(model, path) for path, cost in full.items()):
        return None
    return sum(cost.forward_flops + cost.backward_flops for cost in full.values()) or None


def _saving(rows: Sequence[SummaryRow], paths: Sequence[str], frozen: Costs, full: Costs, total: int | None) -> Saving:
    """Where the FLOPs of full fine-tuning went: below the lowest trainable block, above it, or nowhere."""
    spared = {path: full[path].backward_flops - frozen[path].backward_flops for path in (*paths, OUTSIDE)}
    leading = list(takewhile(lambda row: row.frozen, rows))
    above = [row.name for row in dropwhile(lambda row: row.frozen, rows) if row.frozen]
    path_of = dict(zip((row.name for row in rows), paths, strict=True))
    weight_gradients = sum(spared[path_of[name]] for name in above)
    return Saving(
        below_share=_share(sum(spared.values()) - weight_gradients, total),
        weight_gradient_share=_share(weight_gradients, total),
        forward_share=_share(sum(cost.forward_flops for cost in frozen.values()), total),
        replayable_share=_share(sum(frozen[path_of[row.name]].forward_flops for row in leading), total),
        activation_bytes=sum(cost.activation_bytes for cost in frozen.values()),
        full_activation_bytes=sum(cost.activation_bytes for cost in full.values()),
        lowest_trainable=rows[len(leading)].name if len(leading) < len(rows) else None,
        frozen_above=tuple(above),
    )


def _share(part: int, total: int | None) -> float | None:
    return part / total if total else None


def _parameters_at(model: nn.Module, path: str) -> Iterable[nn.Parameter]:
    modules = dict(model.named_modules(remove_duplicate=False))
    return modules[path].parameters() if path in modules else [model.get_parameter(path)]


def _is_inert_at(model: nn.Module, path: str) -> bool:
    return any(name == path and is_inert(module) for name, module in model.named_modules(remove_duplicate=False))


def _state_bytes(parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    values = (value for p in parameters for value in optimizer.state.get(p, {}).values())
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor))
