"""What is frozen and what trains, as a table for people."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from torch import nn

from frostline.plan.apply import is_inert


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One module that is wholly frozen or wholly trainable, or one parameter."""

    name: str
    frozen: bool
    parameters: int
    inert: bool
    """Held in evaluation mode: its dropout is off and its norm statistics stay."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The table; shows itself as text, and as HTML in a notebook."""

    model: str
    rows: tuple[SummaryRow, ...]

    @property
    def trainable(self) -> int:
        return sum(row.parameters for row in self.rows if not row.frozen)

    @property
    def total(self) -> int:
        return sum(row.parameters for row in self.rows)

    def __repr__(self) -> str:
        width = max([4, *(len(row.name) for row in self.rows)])
        lines = [f"{'part':<{width}}  {'state':<9}  {'parameters':>12}  mode"]
        lines += [f"{r.name:<{width}}  {_state(r):<9}  {r.parameters:>12,}  {_mode(r)}".rstrip() for r in self.rows]
        return "\n".join([*lines, self._sentence()])

    def _repr_html_(self) -> str:
        rows = ([r.name, _state(r), f"{r.parameters:,}", _mode(r)] for r in self.rows)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        head = "".join(f"<th scope=col>{name}</th>" for name in ("part", "state", "parameters", "mode"))
        caption = f"<caption>{escape(self._sentence())}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _sentence(self) -> str:
        share = self.trainable / self.total if self.total else 0.0
        return f"{self.model}: {self.trainable:,} of {self.total:,} parameters train ({share:.1%})."


def summary(model: nn.Module) -> Summary:
    """What is frozen and what trains.

    Each row is the largest part of the model that is all frozen or all trainable.

    >>> from frostline.plan.apply import freeze
    >>> freeze(net := nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), "0") and summary(net)
    part  state        parameters  mode
    0     frozen                9  inert
    1     trainable             4
    Sequential: 4 of 13 parameters train (30.8%).
    """
    seen: set[int] = set()
    return Summary(type(model).__name__, tuple(_rows(model, "", seen)))


def _rows(module: nn.Module, path: str, seen: set[int]) -> list[SummaryRow]:
    fresh = [p for p in module.parameters() if id(p) not in seen]
    states = {parameter.requires_grad for parameter in fresh}
    is_stack = isinstance(module, nn.ModuleList)
    if not fresh:
        return []
    if len(states) == 1 and path and not is_stack:
        seen.update(map(id, fresh))
        return [SummaryRow(path, not states.pop(), sum(p.numel() for p in fresh), is_inert(module))]
    rows = []
    for name, parameter in module.named_parameters(recurse=False):
        if id(parameter) not in seen:
            seen.add(id(parameter))
            rows.append(SummaryRow(f"{path}.{name}".lstrip("."), not parameter.requires_grad, parameter.numel(), False))
    for name, child in module.named_children():
        rows += _rows(child, f"{path}.{name}".lstrip("."), seen)
    return rows


def _state(row: SummaryRow) -> str:
    return "frozen" if row.frozen else "trainable"


def _mode(row: SummaryRow) -> str:
    return "inert" if row.inert else ""
