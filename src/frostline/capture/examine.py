"""Finding out what can be replayed: the model is run a few times on two examples, and every run must agree.

Recorded are a pass in the modes of the moment, one with another seed, one with what trains moved, one in
evaluation mode, and one there with other batch-mates. A call is replayed when it gives the same
bits each time; which of its tensors must be stored is found by spoiling them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from frostline.capture.batches import Batch
from frostline.capture.calls import CallName
from frostline.capture.descent import CHANCE, EXAMPLES, LOOK, NONE, ROWS, SIZE, SMALL, TRAINING, Descent
from frostline.capture.eligible import eligible
from frostline.capture.guard import other_weights, undisturbed
from frostline.capture.leftovers import leftovers
from frostline.capture.outputs import PLAIN, Layout, alike, are_close, find_layout, flatten, same_bits
from frostline.capture.recording import Leaf, Recorded, Recording, record
from frostline.plan.apply import evaluating, is_inert
from frostline.plan.chance import seed_everything

PICKED = (1, 0, 1, 1, 0)
"""Of the two examples, the ones of a pass with other batch-mates: another number, order and company."""

MANY = (1, 0) * 8
"""The same for a pass as large as a training batch: a product with few rows is rounded otherwise than with many."""

MORE = (*(1, 0, 1) * 6, 1)
"""A large pass with another number of rows, no multiple of four: a product with one column is rounded by fours."""

ALONE = ((0, 0, 0), (1, 1, 1))
"""Passes with one example only: the largest value of a batch, say, is the same in all batches that hold both."""


@dataclass(slots=True)
class Learnt:
    """What was found for one shape of batch and holds for the others: asked once, since it takes many passes."""

    split: frozenset[str] = frozenset()
    """Modules that cannot be replayed as a whole; their parts may be."""
    excluded: frozenset[CallName] = frozenset()
    """Calls that are rounded otherwise in a batch of another size, and hardly worth replaying."""
    least: int = 2
    """Fewest examples of a batch that is replayed."""
    live: tuple[Leaf, ...] | None = None
    """Tensors on which the result depends."""
    layouts: Mapping[CallName, tuple[Layout | None, ...]] | None = None
    """Of the calls that agreed in all passes."""
    modes: set[tuple[bool, ...]] = field(default_factory=set)
    """Modes in which all passes were made."""
    refusal: str = ""
    """Why nothing can be replayed."""
    reasons: tuple[str, ...] = ()
    """Why some modules are split, in sentences."""

    def divide(self, paths: Collection[str]) -> None:
        """Split further modules, and forget what was found of the whole ones."""
        self.split |= frozenset(paths)
        self.layouts = self.live = None


@dataclass(frozen=True, slots=True)
class Examined:
    """The calls that give the same bits whatever is random, trained, or beside them in the batch."""

    modules: Mapping[str, nn.Module]
    calls: Mapping[CallName, Recorded]
    layouts: Mapping[CallName, tuple[Layout | None, ...]]
    """Of every leaf; None for what is no tensor."""
    now: Recording
    """The pass in the modes of the moment, on two examples."""
    flops: Mapping[CallName, int]
    """Of one example."""
    forward_flops: int
    steered: bool
    reasons: tuple[str, ...]
    buffers: tuple[str, ...] = ()
    """Buffers outside what is frozen on which some of the calls depend."""
    cautions: tuple[str, ...] = ()
    """What must not be used of a replayed pass, in sentences."""


def examine(model: nn.Module, forward: Callable[..., Any], batch: Batch, learnt: Learnt) -> Examined | str:
    """Run the model on the first two examples of a batch in all the ways that must agree.

    Once that is done, another shape of batch takes two passes, and so does evaluation mode.

    Args:
        model: In the modes in which it is about to run; found again as it was.
        forward: Its own forward.
        batch: Two examples or more.
        learnt: From batches of other shapes; added to.

    Returns:
        What agreed, or the reason why nothing can be replayed.
    """
    modes = tuple(module.training and not is_inert(module) for module in model.modules())
    if learnt.layouts is not None and (modes in learnt.modes or not any(modes)):
        again = _again(model, forward, batch, learnt.layouts, learnt.excluded) if learnt.least == 2 else None
        if again is not None:
            return again
    learnt.modes.add(modes)
    with undisturbed(model):
        if learnt.layouts is None:
            _look_for_leftovers(model, forward, batch, learnt)
            if learnt.refusal:
                return learnt.refusal
            _split(model, forward, batch, learnt)
        found = eligible(model, learnt.split)
        if not found.modules:
            return _nothing(model, found.reasons)
        passes = _passes(model, forward, batch, found.modules, learnt)
    now, evaluated, beside = passes["now"], passes["in evaluation mode"], passes["beside other examples"]
    if not now.flow.steered.keys() <= learnt.split:  # they look at numbers in training only
        learnt.divide(now.flow.steered.keys())
        return examine(model, forward, batch, learnt)
    if now.foreign_chance:
        return "the model draws random numbers of Python or NumPy, by which it may go another way"
    if now.way != passes["each time"].way:
        return "which way the model takes is left to chance"
    if now.way != evaluated.way:
        return "the model takes another way in training than in evaluation, by numbers it reads out of tensors"
    judged = {name: _judge(name, passes, learnt) for name in now.calls}
    known = judged if learnt.layouts is None else learnt.layouts
    agreed = {name: layouts for name, layouts in judged.items() if not isinstance(layouts, str) and name in known}
    learnt.layouts = agreed
    reasons = [why for name, why in judged.items() if isinstance(why, str) and _has_weights(found.modules, name)]
    if not agreed:
        return _nothing(model, (*found.reasons, *learnt.reasons, *reasons))
    return Examined(
        modules={name.path: found.modules[name.path] for name in agreed},
        calls={name: now.calls[name] for name in agreed},
        layouts=agreed,
        now=now,
        flops={name: evaluated.calls[name].flops // 2 for name in agreed},
        forward_flops=evaluated.flops // 2,
        steered=bool(now.way or beside.way),
        reasons=(*found.reasons, *learnt.reasons, *dict.fromkeys(reasons)),
        buffers=_buffers(now, agreed),
        cautions=tuple(_objects(now)),
    )


def _again(
    model: nn.Module,
    forward: Callable[..., Any],
    batch: Batch,
    known: Mapping[CallName, tuple[Layout | None, ...]],
    uneven: Collection[CallName],
) -> Examined | None:
    """What agreed on another shape of batch or in other modes, seen on this one; None when it is called otherwise."""
    modules = dict(model.named_modules())
    chosen = {name.path: modules[name.path] for name in known}
    with undisturbed(model):
        seed_everything(1)
        two = batch.pick((0, 1))
        now = record(model, forward, chosen, two, descent=_marked(model, two), uneven=uneven)
        with evaluating(model), torch.no_grad():
            beside = record(model, forward, chosen, batch.pick(PICKED))
    layouts = {}
    for name, before in known.items():
        call = now.calls.get(name)
        if call is None or call.follows_training or name.path in now.flow.steered or _unfit(name, call, 2):
            return None
        # Rounding depends on the number of rows, and so on the length of the examples.
        found = _layouts(name, now, beside, (0, 1), PICKED)
        if isinstance(found, str) or [a and a.dimension for a in found] != [b and b.dimension for b in before]:
            return None
        layouts[name] = found
    return Examined(
        modules=chosen,
        calls={name: now.calls[name] for name in known},
        layouts=layouts,
        now=now,
        flops={name: now.calls[name].flops // 2 for name in known},
        forward_flops=now.flops // 2,
        steered=bool(now.way or beside.way),
        reasons=(),
        buffers=_buffers(now, known),
    )


def _passes(
    model: nn.Module, forward: Callable[..., Any], batch: Batch, modules: Mapping[str, nn.Module], learnt: Learnt
) -> dict[str, Recording]:
    """The passes that must agree, by what sets them apart."""

    def passing(part: Batch, seed: int = 1, descent: Descent | None = None) -> Recording:
        seed_everything(seed)
        with undisturbed(model):
            return record(model, forward, modules, part, descent=descent, uneven=learnt.excluded)

    two = batch.pick((0, 1))
    passes = {"now": passing(two, descent=_marked(model, two)), "each time": passing(two, seed=2)}
    with other_weights(model):
        passes["on other weights"] = passing(two)
    with evaluating(model), torch.no_grad():
        passes["in evaluation mode"] = passing(two)
        passes["beside other examples"] = passing(batch.pick(PICKED))
        for n, picked in enumerate(ALONE):
            passes[f"alone {n}"] = passing(batch.pick(picked * (8 if learnt.least > 2 else 1)))
        if learnt.least > 2:
            passes["many"], passes["more"] = passing(batch.pick(MANY)), passing(batch.pick(MORE))
    return passes


def _marked(model: nn.Module, batch: Batch) -> Descent:
    """Marks on all that a replayed call must not depend on, or only as far as it is known."""
    descent = Descent(examples=2)
    descent.mark([parameter for parameter in model.parameters() if parameter.requires_grad], TRAINING)
    for path, module in model.named_modules():
        if not is_inert(module):
            for name, buffer in module.named_buffers(recurse=False):
                descent.mark(buffer, BufferMark(f"{path}.{name}".lstrip(".")))
    descent.mark(batch.per_example(), EXAMPLES)
    return descent


def _buffers(now: Recording, calls: Collection[CallName]) -> tuple[str, ...]:
    marks = NONE.union(*(marks for name in calls for marks in now.calls[name].marks))
    return tuple(sorted(mark.name for mark in marks if isinstance(mark, BufferMark)))


def _look_for_leftovers(model: nn.Module, forward: Callable[..., Any], batch: Batch, learnt: Learnt) -> None:
    """Split modules that keep something on themselves, with all that they stand in."""
    found = leftovers(model, forward, batch)
    learnt.refusal = found.refusal
    for path, name in found.keepers.items():
        if path and not any(parameter.requires_grad for parameter in model.get_submodule(path).parameters()):
            learnt.reasons += (f"{path!r} keeps {name!r} of every batch on itself.",)
            steps = path.split(".")
            learnt.split |= {".".join(steps[: n + 1]) for n in range(len(steps))}


def _split(model: nn.Module, forward: Callable[..., Any], batch: Batch, learnt: Learnt) -> None:
    """Find modules that look at the data's numbers inside, or whose rounding depends on the size of the batch.

    They are split into their parts. A part that has none is left out when little is lost by it; when much
    would be, only batches of many examples are replayed, whose rounding is the same.
    """
    with evaluating(model), torch.no_grad():
        while True:
            modules = eligible(model, learnt.split).modules
            pair = batch.pick((0, 1))
            two = record(model, forward, modules, pair, descent=_marked(model, pair))
            three, many = (record(model, forward, modules, batch.pick(p)) for p in (PICKED, MANY))
            uneven = {name for name in two.calls if not _is_even(name, two, three, many)}
            steered = two.flow.steered.keys() | many.flow.steered.keys()
            divisible = {name.path for name in uneven if any(True for _ in modules[name.path].children())}
            if not (steered | divisible) - learnt.split:
                break
            whole = [path for path in sorted(steered - learnt.split) if not any(True for _ in modules[path].children())]
            learnt.reasons += tuple(
                f"{path!r} looks at numbers of the batch."
                for path in whole
                if any(True for _ in modules[path].parameters())
            )
            learnt.split |= steered | divisible
    lost = sum(two.calls[name].flops for name in uneven)
    if lost > sum(call.flops for call in two.calls.values()) / 2:
        learnt.least = len(MANY)
    else:
        learnt.excluded = frozenset(uneven)


def _is_even(name: CallName, two: Recording, three: Recording, many: Recording) -> bool:
    """Whether a call gives an example the same bits in batches of different sizes, as far as rounding goes."""
    first = two.calls[name]
    marks = NONE.union(*first.marks)
    if CHANCE in marks or TRAINING in marks:
        return True
    if SMALL in marks:
        return False
    others = [(recording.calls.get(name), picked) for recording, picked in ((three, PICKED), (many, MANY))]
    for other, picked in others:
        if other is None or other.structure != first.structure:
            return True  # another matter, judged later
        if not alike(first.leaves, other.leaves, picked):
            return False
    return True


def _judge(name: CallName, passes: Mapping[str, Recording], learnt: Learnt) -> tuple[Layout | None, ...] | str:
    """Layouts of the call's leaves when all passes agree, or why they do not."""
    first = passes["now"].calls[name]
    if name.path in passes["now"].flow.steered:
        return f"{name.path!r} looks at numbers of the batch"
    if first.follows_training:
        return f"{name.path!r} works on what trains"
    if name in learnt.excluded:
        return f"{name.path!r} is rounded otherwise in batches of another size"
    unfit = _unfit(name, first, learnt.least)
    if unfit:
        return unfit
    for what in ("each time", "on other weights", "in evaluation mode"):
        second = passes[what].calls.get(name)
        if second is None or second.structure != first.structure:
            return f"{name.path!r} is not called alike {what}"
        for one, other in zip(first.leaves, second.leaves, strict=True):
            if not same_bits(one, other):
                close = isinstance(one, Tensor) and isinstance(other, Tensor) and are_close(one, other)
                return f"{name.path!r} {'is rounded otherwise' if close else 'gives something else'} {what}"
    one, order, times = ("in evaluation mode", (0, 1), 1) if learnt.least == 2 else ("many", MANY, 8)
    companies: list[tuple[str, tuple[int, ...]]] = [
        ("beside other examples", PICKED) if learnt.least == 2 else ("more", MORE)
    ]
    companies += [(f"alone {n}", picked * times) for n, picked in enumerate(ALONE)]
    layouts: tuple[Layout | None, ...] = ()
    for other, picked in companies[::-1]:
        found = _layouts(name, passes[one], passes[other], order, picked)
        if isinstance(found, str):
            return found
        layouts = found
    constant = [layout is not None and layout.dimension is None for layout in layouts]
    if any(is_constant and EXAMPLES in marks for is_constant, marks in zip(constant, first.marks, strict=True)):
        return f"{name.path!r} gives something made of all examples of the batch"
    return layouts


class BufferMark(NamedTuple):
    """A mark on a buffer that is not frozen."""

    name: str


def _unfit(name: CallName, call: Recorded, least: int) -> str:
    """What a call descends from that is not the same at every step."""
    marks = NONE.union(*call.marks)
    if CHANCE in marks:
        return f"{name.path!r} is given what is left to chance"
    if (SMALL if least == 2 else SIZE) in marks:
        return f"{name.path!r} is rounded otherwise in batches of another size"
    if ROWS in marks:
        return f"{name.path!r} works on a number of rows that depends on the batch, by which results are rounded"
    if CHANCE in call.after:
        return f"{name.path!r} is called on a way that is left to chance"
    if LOOK in call.after:
        return f"{name.path!r} is called after the model looked at numbers in a way that cannot be followed"
    if ROWS in call.after:
        return f"{name.path!r} is called after the model counted something in the batch, by which it may go another way"
    return ""


def _layouts(
    name: CallName, one: Recording, other: Recording, order: Sequence[int], picked: Sequence[int]
) -> tuple[Layout | None, ...] | str:
    """Where the examples are in every leaf, or why an example's part depends on the others."""
    first, second = one.calls.get(name), other.calls.get(name)
    if first is None or second is None or first.structure != second.structure or first.total != second.total:
        return f"{name.path!r} is not called alike for every batch"
    layouts: list[Layout | None] = []
    for a, b in zip(first.leaves, second.leaves, strict=True):
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            layout = find_layout(a, b, [order.index(n) for n in picked], len(order))
            if layout is None:
                return f"{name.path!r} gives an example something else beside other examples"
            layouts.append(layout)
        elif isinstance(a, PLAIN) and not same_bits(a, b):
            return f"{name.path!r} gives {a!r}, which is not the same for every batch"
        else:
            layouts.append(None)
    return tuple(layouts)


def _objects(now: Recording) -> Iterator[str]:
    """Sentences on what the model gives besides tensors: nobody can tell whether that is complete."""
    for leaf in flatten(now.result)[0]:
        if not isinstance(leaf, (Tensor, *PLAIN)):
            yield f"The {type(leaf).__name__} that the model gives lacks what is replayed: use none of it."


def _has_weights(modules: Mapping[str, nn.Module], name: CallName) -> bool:
    return next(modules[name.path].parameters(), None) is not None


def _nothing(model: nn.Module, reasons: Sequence[str]) -> str:
    if all(parameter.requires_grad for parameter in model.parameters()):
        return "nothing is frozen"
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return "nothing trains"
    return reasons[0].rstrip(".") if reasons else "no frozen part runs before what trains"
