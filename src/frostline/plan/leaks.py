"""What counts as frozen in any model, whoever froze it, and what a leak is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from frostline.plan.apply import is_inert
from frostline.plan.patterns import select
from frostline.plan.rows import FrozenRows

LeakKind = Literal["changed", "batch-dependent", "random", "optimizer", "grad", "unfrozen"]

WHOLE = "the whole model"
"""Stands for the name of the root, which has none."""

_NEVER_CALLED = (nn.ModuleList, nn.ModuleDict, FrozenRows)

DID: Mapping[LeakKind, str] = {
    "changed": "changed",
    "batch-dependent": "let the rest of the batch into its output",
    "random": "ran with chance in its output",
    "optimizer": "is still held by the optimizer",
    "grad": "keeps a gradient",
    "unfrozen": "was free to train",
}
"""What a frozen part did, by kind of leak; the kinds stand in the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One way in which one frozen tensor or module was not frozen."""

    kind: LeakKind
    name: str
    """Of the tensor or the module, as the model names it."""
    cause: str
    """The likely cause and the way out, in sentences."""

    def __str__(self) -> str:
        return f"{self.name!r} {DID[self.kind]}. {self.cause}"


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """What is frozen of a model, or was expected to be.

    A module is frozen when it is inert, when all its parameters are frozen, or when it stands in such a
    module: a dropout layer has no parameters, and belongs to the part that it stands in. So are frozen rows.

    >>> net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), nn.Linear(2, 1))
    >>> _ = net[0].requires_grad_(False)
    >>> frozen = Frozen.of(net)
    >>> list(frozen.parameters), list(frozen.modules)
    (['0.0.weight', '0.0.bias', '0.1.weight', '0.1.bias'], ['0', '0.0', '0.1'])
    """

    parameters: Mapping[str, nn.Parameter]
    modules: Mapping[str, nn.Module]
    expected: frozenset[str] = frozenset()
    """Parameters that should have been frozen and required gradients when the proof began."""

    @classmethod
    def of(cls, model: nn.Module, expect: Iterable[str] = ()) -> Frozen:
        """Look at a model.

        Args:
            model: Any module, frozen by any means.
            expect: Patterns of what should be frozen, whether it is or not.

        Raises:
            PlanError: A pattern matches nothing.
        """
        modules = dict(model.named_modules())
        known = [*filter(None, modules), *dict(model.named_parameters())]
        wanted = {name for pattern in expect for name in select(pattern, known)}
        demanded = {id(p) for path in wanted & modules.keys() for p in modules[path].parameters()}
        demanded |= {id(p) for name, p in model.named_parameters() if name in wanted}
        frozen = {n: p for n, p in model.named_parameters() if not p.requires_grad or id(p) in demanded}
        ids = set(map(id, frozen.values()))
        roots = [module for path, module in modules.items() if path in wanted or _is_within(module, ids)]
        roots += [module for module in modules.values() if isinstance(module, FrozenRows)]
        inside = {id(part) for root in roots for part in root.modules()}
        return cls(
            parameters=frozen,
            modules={path: m for path, m in modules.items() if id(m) in inside or is_inert(m)},
            expected=frozenset(name for name, p in frozen.items() if p.requires_grad),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Frozen parameters and the buffers of frozen modules, by name."""
        tensors: dict[str, Tensor] = dict(self.parameters)
        for path, module in self.modules.items():
            tensors |= {f"{path}.{name}".lstrip("."): b for name, b in module.named_buffers(recurse=False)}
        return tensors

    def outermost(self) -> Iterator[str]:
        """Frozen modules that stand in no other one, containers that are never called left out."""
        skipped = {path for path, module in self.modules.items() if isinstance(module, _NEVER_CALLED)}
        called = self.modules.keys() - skipped
        return (path for path in self.modules if path in called and not any(map(called.__contains__, _above(path))))


def chance_of_dropping(module: nn.Module) -> float:
    """The probability with which a dropout-like layer drops in training mode; 0 for all other modules.

    >>> chance_of_dropping(nn.Dropout(0.1)), chance_of_dropping(nn.LSTM(2, 2, dropout=0)), chance_of_dropping(nn.ReLU())
    (0.1, 0.0, 0.0)
    """
    if isinstance(module, nn.RNNBase):
        return float(module.dropout if module.num_layers > 1 else 0.0)
    if isinstance(module, nn.MultiheadAttention):
        return float(module.dropout)
    if any(word in type(module).__name__ for word in ("Dropout", "DropPath", "StochasticDepth")):
        given = [getattr(module, name) for name in ("p", "drop_prob") if hasattr(module, name)]
        return float(given[0] or 0.0) if given else 1.0
    return 0.0


def attributes_that_freeze_nothing(model: nn.Module) -> Iterator[Leak]:
    """Modules on which `requires_grad = False` was set, which Python takes without a word."""
    for path, module in model.named_modules():
        if vars(module).get("requires_grad") is False and any(p.requires_grad for p in module.parameters()):
            yield Leak(
                "unfrozen",
                path or WHOLE,
                "`requires_grad = False` was set on the module, which makes an attribute and freezes nothing: "
                "call requires_grad_(False), or frostline.freeze.",
            )


def _is_within(module: nn.Module, frozen: set[int]) -> bool:
    ids = set(map(id, module.parameters()))
    return bool(ids) and ids <= frozen


def _above(path: str) -> Iterator[str]:
    """Paths of the modules that a module stands in, the root's included."""
    while path:
        path = path.rpartition(".")[0]
        yield path
