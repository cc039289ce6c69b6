"""Prove that frozen stayed frozen, around any training code, whoever did the freezing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from frostline.core.errors import FrozenPartChanged
from frostline.plan.blocks import Example
from frostline.plan.causes import Sealed
from frostline.plan.leaks import DID, WHOLE, Frozen, Leak, attributes_that_freeze_nothing
from frostline.plan.probe import NotProbed, called_on_copies, probe, undisturbed
from frostline.plan.watch import Watch
from frostline.plan.wrapped import unwrapped

log = logging.getLogger("frostline")

SHOWN = 3
"""Names told for one cause; the record holds all of them."""

_NOISE = (
    "Two calls on the same input differ with dropout layers off: dropout by function, or other noise, in its forward."
)
_BATCH = "With other batch-mates an example's output moves by {:.2g} of the largest: its forward reads the whole batch."


@dataclass(slots=True)
class FreezeProof:
    """What a block of code did to what was frozen. Filled when the block is over."""

    frozen_tensors: int
    """Frozen parameters and buffers that were compared."""
    leaks: tuple[Leak, ...] = ()
    probed: tuple[str, ...] = ()
    """Frozen modules that were called again on what they had met: under two random states, and with other batch-mates
    unless `not_probed` says why not."""
    not_probed: Mapping[str, str] = field(default_factory=dict)
    """Frozen modules for which a question could not be put, and why."""
    finished: bool = False
    """Whether the block ended without an exception."""

    @property
    def holds(self) -> bool | None:
        """Whether nothing leaked; None while the block runs, or when it ended in an exception."""
        return not self.leaks if self.finished else None

    def __repr__(self) -> str:
        return "\n".join([self._sentence(), *_told(self.leaks), *_untold(self.not_probed)])

    def _sentence(self) -> str:
        tensors = _counted(self.frozen_tensors, "frozen tensor")
        if not self.finished:
            return f"The code under proof has not ended well; {tensors} under watch."
        if self.leaks:
            return f"The freeze leaks: {_counted(len(self.leaks), 'finding')} about {tensors} and their modules."
        if not self.frozen_tensors:
            return "Nothing is frozen, so nothing was proven."
        asked = f" {_counted(len(self.probed), 'part')} called again gave the same output." if self.probed else ""
        return f"The freeze held: {tensors} unchanged.{asked}"


@contextmanager
def prove_frozen(
    model: nn.Module,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    example: Example | None = None,
    expect: str | Sequence[str] | None = None,
    report: bool = False,
) -> Iterator[FreezeProof]:
    """Run any code and prove that what is frozen did not move, read the batch or roll dice.

    Frozen is what requires no gradient when the block begins, by whatever means, with the buffers, norm layers
    and dropout of the modules that are wholly frozen. Inside, module calls and optimizer steps are noted; at the
    end contents are compared by hash, and the frozen modules that ran are called again on a few of their inputs.
    The model, its gradients and every random state are left as the block left them; forward hooks of yours see
    the extra calls. What runs inside a compiled graph is compared by hash only.

    Args:
        model: Any module.
        optimizer: Asked whether it holds frozen parameters or state of them.
        example: What one call of the model takes; used when the block itself calls nothing that is frozen.
        expect: Patterns of what should be frozen; what the freeze missed is a leak.
        report: Never raise `FrozenPartChanged`; read the findings off the proof.

    Yields:
        The proof, which is filled when the block ends. An exception of the block's own passes through.

    Raises:
        FrozenPartChanged: Something leaked. Names the first tensor or module and the likely cause.
        PlanError: A pattern of `expect` matches nothing.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    >>> _ = net[:2].requires_grad_(False)
    >>> with prove_frozen(net, report=True) as proof:
    ...     _ = net(torch.rand(4, 2))
    >>> proof.leaks[0].name, proof.holds
    ('1.running_mean', False)
    """
    model = unwrapped(model)
    frozen = Frozen.of(model, (expect,) if isinstance(expect, str) else expect or ())
    sealed = Sealed.of(frozen)
    proof = FreezeProof(len(sealed.hashes))
    watch = Watch(model, frozen)
    with watch:
        yield proof
    if example is not None and not watch.captured:
        with undisturbed(model), watch:
            args, kwargs = _arguments(example)
            called_on_copies(model, args, kwargs)
    leaks = [*sealed.leaks(model, watch), *attributes_that_freeze_nothing(model)]
    if optimizer is not None:
        leaks += sealed.held_by(optimizer)
    leaks += _probe_all(frozen, watch, proof)
    proof.leaks = tuple(sorted(leaks, key=lambda leak: list(DID).index(leak.kind)))
    proof.finished = True
    if not proof.frozen_tensors and not leaks:
        log.warning("Nothing of %s is frozen, so there was nothing to prove.", type(model).__name__)
    if leaks and not report:
        raise _error(proof.leaks)


def _arguments(example: Example) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example, Mapping):
        return (), dict(example)
    return (example,) if isinstance(example, Tensor) else example, {}


def _probe_all(frozen: Frozen, watch: Watch, proof: FreezeProof) -> list[Leak]:
    """Call every captured module again, and say on the proof which questions were put."""
    leaks: list[Leak] = []
    probed, refused = [], {}
    for path, captured in watch.captured.items():
        name = path or WHOLE
        try:
            finding = probe(frozen.modules[path], captured)
        except NotProbed as reason:
            refused[name] = str(reason)
            continue
        probed.append(name)
        if finding.unanswered:
            refused[name] = f"batch-mates: {finding.unanswered}"
        if finding.random:
            leaks.append(Leak("random", name, _NOISE))
        if finding.batch_gap is not None and not _any_within(path, watch.batch_statistics):
            leaks.append(Leak("batch-dependent", name, _BATCH.format(finding.batch_gap)))
    for path in frozen.outermost():
        if not _any_within(path, watch.calls):
            refused[path or WHOLE] = "no call of it was seen in this block; inside a compiled graph none can be"
    proof.probed, proof.not_probed = tuple(probed), refused
    return leaks


def _any_within(path: str, noted: Mapping[str, int]) -> bool:
    return any(noted[name] and (not path or name == path or name.startswith(f"{path}.")) for name in noted)


def _error(leaks: Sequence[Leak]) -> FrozenPartChanged:
    first = leaks[0]
    names = list(dict.fromkeys(leak.name for leak in leaks))
    return FrozenPartChanged(names, "this block", did=DID[first.kind], cause=first.cause, evidence=leaks)


# ---------------------------------------------------------------- in words


def _told(leaks: Sequence[Leak]) -> Iterator[str]:
    """One entry for each cause, with the first names that share it."""
    alike: dict[tuple[str, str], list[str]] = {}
    for leak in leaks:
        alike.setdefault((leak.kind, leak.cause), []).append(leak.name)
    for (kind, cause), names in alike.items():
        yield f"  {kind}: {_listed(names)}\n    {cause}"


def _untold(reasons: Mapping[str, str]) -> Iterator[str]:
    alike: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        alike.setdefault(reason, []).append(name)
    for reason, names in alike.items():
        yield f"  not probed: {_listed(names)}\n    {reason[0].upper()}{reason[1:]}."


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
