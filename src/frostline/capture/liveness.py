"""From what agreed to what is stored: tensors on which the result depends, and slices of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from frostline.capture.batches import Batch
from frostline.capture.calls import CallName, Read
from frostline.capture.descent import TRAINING
from frostline.capture.examine import Examined, Learnt
from frostline.capture.guard import undisturbed
from frostline.capture.outputs import PLAIN, Layout
from frostline.capture.plans import CallPlan, Dead, Divide, Kept, Part, ReplayPlan, Same
from frostline.capture.recording import Leaf, record
from frostline.capture.spoiling import Fault, Reached, Spoiling, noise_like
from frostline.plan.chance import seed_everything

NOT_ITS_OWN = "replaying its calls does not give the model's own result"

CHEAP = 0.02
"""Share of the forward pass up to which what is left of it counts as next to nothing."""


def make_plan(
    model: nn.Module,
    forward: Callable[..., Any],
    batch: Batch,
    examined: Examined,
    learnt: Learnt,
    *,
    slices: bool = True,
) -> ReplayPlan | Divide | str:
    """Find the tensors that matter.

    Args:
        learnt: The tensors that mattered for other shapes of batch are tried first, at the price of one question.
        slices: Whether a slice of a tensor may be kept where that is enough.

    Returns:
        The plan, or which modules are too large for one, or why replaying does not give the model's result.
    """
    first = learnt.live is None
    spoiling = Spoiling(model, forward, batch.pick((0, 1)), examined)
    reached = spoiling.reached()
    if reached is None:
        # What matters happens inside: a hook collects attention weights there, say.
        return _divided(examined, examined.modules) or NOT_ITS_OWN
    live = _live(spoiling, reached, learnt)
    if first and (leaner := _without_needless_boundaries(spoiling, examined, live)) is not None:
        learnt.layouts = {name: examined.layouts[name] for name in leaner.calls}
        return make_plan(model, forward, batch, leaner, learnt, slices=slices)
    unstorable = {leaf.name for leaf in live if not isinstance(examined.calls[leaf.name].leaves[leaf.position], Tensor)}
    divided = _divided(examined, {name.path for name in unstorable})
    if divided:
        return divided
    if unstorable:  # an object that matters: its call is made, so that what feeds it matters too
        rest = {name: call for name, call in examined.calls.items() if name not in unstorable}
        learnt.live = None
        return make_plan(model, forward, batch, replace(examined, calls=rest), learnt, slices=slices)
    spared = sum(examined.flops[name] for name in examined.calls)
    cheap = examined.forward_flops > 0 and spared >= (1 - CHEAP) * examined.forward_flops
    # Where numbers that move decide what counts, a slice may be enough today and not tomorrow.
    sliceable = [] if TRAINING in reached.choosing else sorted(reached.only_result - reached.choosing)
    only = _slices(spoiling, examined, sliceable) if cheap and slices else {}
    calls = {name: _call_plan(examined, name, live, only) for name in examined.calls}
    if not any(any(call.kept) for call in calls.values()):
        return "no frozen part runs before what trains"
    return ReplayPlan(
        modules={name.path: examined.modules[name.path] for name in calls},
        calls=calls,
        steered=examined.steered,
        least=learnt.least,
        flows={examined.now.way},
        forward_flops=examined.forward_flops,
        narrowed=bool(only),
    )


def _without_needless_boundaries(spoiling: Spoiling, examined: Examined, live: Sequence[Leaf]) -> Examined | None:
    """The same without modules that have no parameters, when less has to be stored then.

    A pooling layer is worth replaying. The identity of a shortcut is not: it gives again what it was given.
    """
    idle = {leaf.name for leaf in live if next(examined.modules[leaf.name.path].parameters(), None) is None}
    rest = replace(examined, calls={name: call for name, call in examined.calls.items() if name not in idle})
    if not idle or not rest.calls:
        return None
    fewer = spoiling.with_calls_of(rest)
    reached = fewer.reached()
    if reached is None:
        return None
    needed = [leaf for leaf in fewer.spoilable() if leaf in reached.leaves]
    return rest if _row_bytes(rest, needed) < _row_bytes(examined, live) else None


def _row_bytes(examined: Examined, leaves: Sequence[Leaf]) -> int:
    layouts = (examined.layouts[leaf.name][leaf.position] for leaf in leaves)
    return sum(layout.row_bytes for layout in layouts if layout is not None and layout.dimension is not None)


def _divided(examined: Examined, paths: Collection[str]) -> Divide | None:
    large = {path for path in paths if any(True for _ in examined.modules[path].children())}
    return Divide(frozenset(large)) if large else None


def _live(spoiling: Spoiling, reached: Reached, learnt: Learnt) -> list[Leaf]:
    """The leaves that matter: those that reach the result, and those that do so on ways that nobody could follow."""
    leaves = list(spoiling.spoilable())
    live = [leaf for leaf in leaves if leaf in reached.leaves or leaf in (learnt.live or ())]
    dead = [leaf for leaf in leaves if leaf not in live]
    asked = spoiling.matters if learnt.live is None else spoiling.noise_matters
    if dead and asked(dead):
        live += spoiling.those_that_matter(dead)
        if spoiling.matters([leaf for leaf in leaves if leaf not in live]):
            live = leaves  # none of the others matters alone, but together they do
    learnt.live = tuple(live)
    return live


def _call_plan(examined: Examined, name: CallName, live: Sequence[Leaf], only: dict[Leaf, tuple[int, int]]) -> CallPlan:
    call = examined.calls[name]
    parts: list[Part] = []
    for position, (leaf, layout) in enumerate(zip(call.leaves, examined.layouts[name], strict=True)):
        at = Leaf(name, position)
        if layout is None:
            parts.append(Same(leaf if isinstance(leaf, PLAIN) else None))
        elif at in live or not (leaf.is_floating_point() or leaf.is_complex()):
            kept = _kept(name.path, call.total, position, layout, only.get(at))
            parts.append(replace(kept, requires_grad=call.requires_grad[position]))
        else:
            parts.append(Dead(layout))
    return CallPlan(call.structure, tuple(parts), call.total, examined.flops[name])


def _kept(path: str, total: int, position: int, layout: Layout, only: tuple[int, int] | None) -> Kept:
    name = f"{path}:{total}.{position}"
    return Kept(name, layout) if only is None else Kept(f"{name}[{only[0]}={only[1]}]", layout.narrowed(*only))


def another_way(
    model: nn.Module, forward: Callable[..., Any], batch: Batch, plan: ReplayPlan
) -> tuple[Read, ...] | None:
    """The way the model takes for this batch, when the tensors that the plan keeps are all that matter on it, too."""
    batch = batch.pick(range(batch.examples))
    with undisturbed(model):
        seed_everything(1)
        now = record(model, forward, plan.modules, batch)
    if now.flow.steered or any(
        name not in now.calls or now.calls[name].structure != call.structure for name, call in plan.calls.items()
    ):
        return None
    layouts = {name: tuple(getattr(part, "layout", None) for part in call.parts) for name, call in plan.calls.items()}
    examined = Examined(
        modules=plan.modules,
        calls={name: now.calls[name] for name in plan.calls},
        layouts=layouts,
        now=now,
        flops={},
        forward_flops=0,
        steered=True,
        reasons=(),
    )
    spoiling = Spoiling(model, forward, batch, examined)
    reached = spoiling.reached()
    kept = {Leaf(name, n) for name, call in plan.calls.items() for n, p in enumerate(call.parts) if isinstance(p, Kept)}
    dead = [leaf for leaf in spoiling.spoilable() if leaf not in kept]
    if reached is None or reached.leaves.intersection(dead) or (dead and spoiling.matters(dead)):
        return None
    return now.way


# ---------------------------------------------------------------- slices


def _slices(spoiling: Spoiling, examined: Examined, live: Sequence[Leaf]) -> dict[Leaf, tuple[int, int]]:
    """Leaves of which one slice is enough: the first token, say."""
    found = {}
    for leaf in live:
        layout = examined.layouts[leaf.name][leaf.position]
        if layout is None or layout.dimension is None or examined.calls[leaf.name].requires_grad[leaf.position]:
            continue
        if not spoiling.matters([leaf]):
            continue  # nothing of it matters for these two examples, which says nothing of others
        sizes = [(size, d) for d, size in enumerate(layout.shape) if d != layout.dimension and size > 1]
        tries = [(dimension, index) for _, dimension in sorted(sizes, reverse=True) for index in (0, -1)]
        only = next((t for t in tries if _is_enough(spoiling, leaf, *t)), None)
        if only is not None:
            found[leaf] = only
    return found


def _is_enough(spoiling: Spoiling, leaf: Leaf, dimension: int, index: int) -> bool:
    """Whether neither the result nor a gradient notices what becomes of the other slices."""
    nan, *others = _all_but(dimension, index)
    # Not NaN for gradients: nothing times NaN is NaN, and what nobody passes on has a gradient of nothing.
    return not (spoiling.matters([leaf], [nan]) or spoiling.matters([leaf], others, gradients=True))


def _all_but(dimension: int, index: int) -> tuple[Fault, ...]:
    """Faults that spare one slice."""

    def sparing(spoil: Callable[[Tensor], Tensor]) -> Fault:
        def fault(leaf: Any, layout: Layout | None, examples: int) -> Any:
            spoilt = spoil(leaf)
            spoilt.select(dimension, index).copy_(leaf.select(dimension, index))
            return spoilt

        return fault

    def as_replayed(leaf: Any, layout: Layout | None, examples: int) -> Any:
        assert layout is not None
        narrow = layout.narrowed(dimension, index)
        return narrow.leaf(narrow.rows(leaf))

    nan = sparing(lambda leaf: torch.full_like(leaf, float("nan")))
    noise = sparing(noise_like)
    return nan, noise, as_replayed
