"""Schedules: freezing that changes over time, as a value that can be read, written and asked about any step.

What is frozen at a step follows from the schedule and the step alone, never from what ran before, so a run
that is resumed in the middle freezes what it would have frozen.
"""

from __future__ import annotations

import json
import logging
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from math import isfinite
from typing import Any

import torch
from torch import nn

from frostline.core.errors import PlanError, suggestion
from frostline.core.records import Block
from frostline.plan.apply import freeze, is_inert, unfreeze
from frostline.plan.groups import OptimizerChange, sync_optimizer
from frostline.plan.patterns import select

log = logging.getLogger("frostline")

_LINE = 100
"""Characters of a list beyond which its patterns stand on lines of their own."""

_HEADER = "# A freeze schedule: from each step on, what stands under `frozen` is frozen and the rest of it trains."


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of steps in which the same parts are frozen."""

    from_step: int
    """First optimizer step, counted from 0. The phase lasts until the next one begins."""
    frozen: tuple[str, ...] = ()
    """Patterns as `freeze` takes them. What another phase names and this one does not, trains."""
    lr_factor: float = 1.0
    """What every learning rate is multiplied by during the phase."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Phases in order, the first of them from step 0.

    What no phase names is left as it is.

    Raises:
        PlanError: The phases are empty, out of order or hold what they cannot.

    >>> schedule = Schedule((Phase(from_step=0, frozen=("encoder",)), Phase(from_step=100, lr_factor=0.1)))
    >>> schedule.at(99).frozen, schedule.at(100).lr_factor
    (('encoder',), 0.1)
    """

    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        for number, phase in enumerate(self.phases, start=1):
            _check(phase, f"Phase {number} of the schedule")
        starts = [phase.from_step for phase in self.phases]
        if starts[:1] != [0]:
            found = f"its first phase begins at step {starts[0]}" if starts else "it has no phase"
            raise PlanError(f"A schedule says what is frozen from step 0 on, but {found}. Begin with from_step = 0.")
        for before, after in pairwise(starts):
            if after <= before:
                raise PlanError(f"A phase from step {after} stands behind one from step {before}. Put them in order.")

    def at(self, step: int) -> Phase:
        """The phase that a step belongs to.

        Raises:
            PlanError: The step is negative.
        """
        if step < 0:
            raise PlanError(f"Asked for the phase of step {step}; steps count from 0.")
        return self.phases[bisect_right([phase.from_step for phase in self.phases], step) - 1]

    @property
    def patterns(self) -> tuple[str, ...]:
        """Every pattern that some phase freezes, once."""
        return tuple(dict.fromkeys(pattern for phase in self.phases for pattern in phase.frozen))

    def to_toml(self) -> str:
        """The schedule as a file that people read and edit.

        >>> print(Schedule((Phase(from_step=0, frozen=("encoder.layer[:4]", "*.bias")),)).to_toml().split("[[")[1])
        phase]]
        from_step = 0
        frozen = ["encoder.layer[:4]", "*.bias"]
        lr_factor = 1.0
        <BLANKLINE>
        """
        tables = [
            "\n".join(["[[phase]]", *(f"{name} = {_toml(value)}" for name, value in asdict(phase).items())])
            for phase in self.phases
        ]
        return "\n\n".join([_HEADER, *tables]) + "\n"

    @classmethod
    def from_toml(cls, text: str) -> Schedule:
        """The schedule that `to_toml` wrote, or a person; `frozen` and `lr_factor` may be left out.

        Raises:
            PlanError: The text is no TOML, or no schedule.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise PlanError(f"The schedule is not valid TOML ({error}). Correct that line.") from error
        for name in document:
            if name != "phase":
                raise PlanError(f"The schedule has an entry {name!r}, but phases are all it holds, under [[phase]].")
        tables = document.get("phase", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise PlanError("The schedule's phase is no list of tables. Head every phase with [[phase]].")
        return cls(tuple(_read(table, number) for number, table in enumerate(tables, start=1)))


# ---------------------------------------------------------------- the schedules of the literature


def gradual_unfreezing(blocks: Sequence[Block], *, every: int) -> Schedule:
    """The last block alone, then one more from the top every so many steps, until all train.

    Source: Howard and Ruder (2018), Universal language model fine-tuning for text classification, ACL,
        section 3.3.

    Args:
        blocks: In execution order, as `frostline.blocks` gives them.
        every: Steps from one phase to the next.

    Raises:
        PlanError: There are no blocks, or `every` is below 1.

    >>> stack = [Block(name=n, path=n, parameters=1) for n in ("stem", "layer", "head")]
    >>> [(phase.from_step, phase.frozen) for phase in gradual_unfreezing(stack, every=50).phases]
    [(0, ('stem', 'layer')), (50, ('stem',)), (100, ())]
    """
    paths = _paths(blocks, every=every)
    return _stepwise([paths[:depth] for depth in reversed(range(len(paths)))], every)


def freeze_as_you_go(blocks: Sequence[Block], *, every: int) -> Schedule:
    """Everything, then one block less from the bottom every so many steps, until the last trains alone.

    Source: Brock, Lim, Ritchie and Weston (2017), FreezeOut: accelerate training by progressively
        freezing layers, arXiv 1706.04983.

    Args:
        blocks: In execution order, as `frostline.blocks` gives them.
        every: Steps from one phase to the next.

    Raises:
        PlanError: There are no blocks, or `every` is below 1.

    >>> stack = [Block(name=n, path=n, parameters=1) for n in ("stem", "layer", "head")]
    >>> [phase.frozen for phase in freeze_as_you_go(stack, every=50).phases]
    [(), ('stem',), ('stem', 'layer')]
    """
    paths = _paths(blocks, every=every)
    return _stepwise([paths[:depth] for depth in range(len(paths))], every)


def lp_ft(blocks: Sequence[Block], probe_steps: int, *, lr_factor: float = 1.0) -> Schedule:
    """Linear probing, then fine-tuning: the head alone first, everything afterwards.

    Source: Kumar, Raghunathan, Jones, Ma and Liang (2022), Fine-tuning can distort pretrained features and
        underperform out-of-distribution, ICLR.

    Args:
        blocks: In execution order, as `frostline.blocks` gives them.
        probe_steps: Steps in which only the head trains.
        lr_factor: Of the fine-tuning; a head bears higher rates than pretrained weights.

    Raises:
        PlanError: No block is a head, `probe_steps` is below 1, or the factor is not above 0.

    >>> stack = [Block(name=n, path=n, parameters=1, head=n == "head") for n in ("stem", "layer", "head")]
    >>> [(phase.from_step, phase.frozen) for phase in lp_ft(stack, 100).phases]
    [(0, ('stem', 'layer')), (100, ())]
    """
    _paths(blocks, probe_steps=probe_steps)
    if not any(block.head for block in blocks):
        raise PlanError(
            f"None of the {len(blocks)} blocks is a head of its own, so there is nothing to probe with. "
            "Write the phases yourself with frostline.Schedule."
        )
    backbone = tuple(block.path for block in blocks if not block.head)
    return Schedule((Phase(from_step=0, frozen=backbone), Phase(from_step=probe_steps, lr_factor=lr_factor)))


def _paths(blocks: Sequence[Block], **steps: int) -> tuple[str, ...]:
    for name, value in steps.items():
        if value < 1:
            raise PlanError(f"{name} is {value}; a phase lasts at least 1 step.")
    if not blocks:
        raise PlanError("A schedule was asked for no blocks at all. Give what frostline.blocks finds in the model.")
    # Paths, not names: a name leaves out the backbone's attribute and may then fit another part too.
    return tuple(block.path for block in blocks)


def _stepwise(frozen: Sequence[tuple[str, ...]], every: int) -> Schedule:
    return Schedule(tuple(Phase(from_step=n * every, frozen=names) for n, names in enumerate(frozen)))


# ---------------------------------------------------------------- what a phase may hold


def _read(table: Mapping[str, Any], number: int) -> Phase:
    known = [field.name for field in fields(Phase)]
    for name in table:
        if name not in known:
            raise PlanError(f"Phase {number} of the schedule has an entry {name!r}. {suggestion(name, known)}")
    if "from_step" not in table:
        raise PlanError(f"Phase {number} of the schedule does not say when it begins. Add from_step = STEP.")
    lists = {name: tuple(value) for name, value in table.items() if isinstance(value, list)}
    return Phase(**{**table, **lists})


def _check(phase: Phase, where: str) -> None:
    step, frozen, factor = phase.from_step, phase.frozen, phase.lr_factor
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise PlanError(f"{where} has from_step = {step!r}. Give a whole number of at least 0.")
    if not isinstance(frozen, tuple) or not all(isinstance(pattern, str) and pattern for pattern in frozen):
        raise PlanError(f"{where} has frozen = {frozen!r}. Give a list of patterns such as 'encoder.layer[:4]'.")
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not (isfinite(factor) and factor > 0):
        raise PlanError(f"{where} has lr_factor = {factor!r}. Give a finite number above 0.")


def _toml(value: object) -> str:
    # A JSON string or list is a TOML one, but for DEL, which TOML wants escaped.
    line = json.dumps(value, ensure_ascii=False)
    fits = len(line) <= _LINE
    return (line if fits else json.dumps(value, ensure_ascii=False, indent=2)).replace("\x7f", "\\u007f")


# ---------------------------------------------------------------- a schedule at work


def apply_schedule(
    model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule, step: int
) -> OptimizerChange:
    """Freeze and unfreeze what the phase of a step asks for, and bring the optimizer in step.

    Call it before every step: it changes nothing while the phase stays. To resume, call it on the fresh
    model and optimizer with the step at hand, then load both state dicts.

    The phase's factor multiplies the learning rates, unless a scheduler of torch sets them: then it is left
    to the scheduler, as in `LambdaLR(optimizer, lambda step: schedule.at(step).lr_factor)`, and the log says so.

    Args:
        model: Any module. What no phase names stays as it is.
        optimizer: Best made from `param_groups`, so that it loads and schedulers go on.
        schedule: What to freeze when.
        step: Optimizer step that comes next, counted from 0.

    Returns:
        What entered and left the optimizer.

    Raises:
        PlanError: A pattern of any phase matches nothing, or the phase leaves nothing to train.
    """
    phase = schedule.at(step)
    parts = _Parts(model, schedule)
    wanted = parts.parameters(phase.frozen)
    governed = parts.parameters(schedule.patterns)
    if all(id(p) in wanted or not (p.requires_grad or id(p) in governed) for p in model.parameters()):
        raise PlanError(f"The phase from step {phase.from_step} freezes all that trains. Leave out at least the head.")
    is_applied = all(p.requires_grad == (key not in wanted) for key, p in governed.items())
    if not (is_applied and all(map(is_inert, parts.modules(phase.frozen)))):
        freed = sorted(parts.names(schedule.patterns) - parts.names(phase.frozen))
        if freed:
            unfreeze(model, *freed)
        if phase.frozen:
            freeze(model, *phase.frozen)
    change = sync_optimizer(optimizer, model)
    _scale(optimizer, phase.lr_factor)
    return change


class _Parts:
    """What the patterns of a schedule mean in one model."""

    def __init__(self, model: nn.Module, schedule: Schedule) -> None:
        self._modules = {name: module for name, module in model.named_modules() if name}
        self._parameters = dict(model.named_parameters())
        known = [*self._modules, *self._parameters]
        self._names = {pattern: select(pattern, known) for pattern in schedule.patterns}

    def names(self, patterns: Sequence[str]) -> set[str]:
        return {name for pattern in patterns for name in self._names[pattern]}

    def modules(self, patterns: Sequence[str]) -> list[nn.Module]:
        found = [self._modules[name] for name in self.names(patterns) if name in self._modules]
        return [part for module in found for part in module.modules()]

    def parameters(self, patterns: Sequence[str]) -> dict[int, nn.Parameter]:
        alone = [self._parameters[name] for name in self.names(patterns) if name in self._parameters]
        held = [p for module in self.modules(patterns) for p in module.parameters(recurse=False)]
        return {id(parameter): parameter for parameter in [*alone, *held]}


def _scale(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Multiply every learning rate by the factor of a phase, in place of the one before it."""
    changed = [group for group in optimizer.param_groups if group.get("lr_factor", 1.0) != factor]
    # torch's schedulers leave this mark on the groups whose rates they set.
    if any("initial_lr" in group for group in changed):
        log.warning(
            "A learning rate scheduler sets the rates, so the phase's lr_factor of %s is left to it. "
            "Let it multiply by schedule.at(step).lr_factor.",
            factor,
        )
    for group in changed:
        if "initial_lr" not in group:
            group["lr"] = group["lr"] / group.get("lr_factor", 1.0) * factor
        group["lr_factor"] = factor
