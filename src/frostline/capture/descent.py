"""What descends from what in one forward pass: followed through every operation, whatever the numbers are.

Running a model on a few examples cannot show that something never happens. Marks can: they are put on what trains, on
what is drawn at random, on what frozen modules give, and every operation hands them on from its arguments to its
results. A mark says that something may depend on its source; never that it does.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from frostline.capture.outputs import tensors_of
from frostline.capture.rounding import evenness

Mark = Hashable
Marks = frozenset[Mark]

TRAINING = "what trains"
CHANCE = "chance"
ROWS = "a number of rows that depends on the data"
"""A product with one row is rounded otherwise than one with many, so the last bits depend on the rest of the batch."""
LOOK = "a look at numbers that cannot be followed"
EXAMPLES = "examples"
SMALL = "rounding by the number of examples, in small batches"
SIZE = "rounding by the number of examples, in batches of any size"

NONE: Marks = frozenset()

_GROUPED = frozenset({"_grouped_mm", "_scaled_grouped_mm", "grouped_mm_fallback", "_pack_padded_sequence"})
"""Compute for as many rows as the numbers in another tensor say."""

_FRESH = frozenset({"zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like"})
"""Take no numbers over from their argument; so do all that begin with "new_"."""


class Descent(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
    """Follows marks through one pass. They lie on memory: a view has those of all that it is a view of.

    >>> descent, x, weight = Descent(), torch.ones(2), torch.ones(2)
    >>> descent.mark(weight, TRAINING)
    >>> with descent:
    ...     gated = torch.where(weight > 5, weight, x)
    ...     alone = x + 1
    >>> descent.of(gated), descent.of(alone)
    (frozenset({'what trains'}), frozenset())
    """

    def __init__(self, examples: int = 0) -> None:
        """With a number of examples, products that are rounded by it are marked."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._examples = examples
        self._marks: dict[int, Marks] = {}
        self._memory: dict[int, StorageWeakRef] = {}
        self.read: set[Mark] = set()
        """Marks of what the model's code looked at, or counted the rows of, to go one way or another."""
        self.choosing: set[Mark] = set()
        """Marks of real numbers from which whole ones or truth values were made: such numbers choose among others."""
        self.held: set[Mark] = set()
        """Marks on what was still held when numbers were looked at: other ways may take it up."""
        self.looks = 0
        """At numbers, in whatever way."""
        self.counted = False
        """Whether a number of rows came from the data."""
        self.generators: list[tuple[torch.Generator, Tensor]] = []
        """Random generators other than torch's own, each with its state before a draw, in order."""

    def mark(self, value: Any, *marks: Mark) -> None:
        for tensor in tensors_of(value):
            self._add(tensor, frozenset(marks))

    def of(self, value: Any) -> Marks:
        """All marks on the tensors in a nested value."""
        return NONE.union(*(self._marks.get(key, NONE) for key in map(_memory_of, tensors_of(value)) if key))

    def alive(self) -> Marks:
        """Marks on memory that something still holds."""
        return NONE.union(*(self._marks[key] for key, memory in self._memory.items() if not memory.expired()))  # type: ignore[no-untyped-call]

    def _add(self, tensor: Tensor, marks: Marks) -> None:
        key = _memory_of(tensor)
        if key is not None and marks:
            self._marks[key] = self._marks.get(key, NONE) | marks
            # A weak reference keeps the address from being given to another tensor, and holds no data.
            self._memory.setdefault(key, StorageWeakRef(tensor.untyped_storage()))  # type: ignore[no-untyped-call]

    def _rounding(self, func: Any, args: Any, kwargs: Any) -> Marks:
        even = evenness(func, args, kwargs, self._examples, lambda tensor: EXAMPLES in self.of(tensor))
        return NONE if even == "always" else frozenset([SMALL] if even == "in large batches" else [SMALL, SIZE])

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.__name__.partition(".")[0]
        before = _random_state(func, kwargs)
        result = func(*args, **kwargs)
        given = self.of((args, kwargs))
        drawn = before is not None and before != _state_of(kwargs)
        rows = is_uneven(func, args)
        foreign = kwargs.get("generator")
        if before is not None and foreign is not None:
            self.generators.append((foreign, torch.frombuffer(bytearray(before), dtype=torch.uint8)))
        if torch.Tag.data_dependent_output in func.tags:
            self.looks += 1
            self.read |= given
            self.held |= self.alive()
        if rows:
            self.counted = True
            self.read |= given
            self.held |= self.alive()
        marks = NONE if name in _FRESH or name.startswith("new_") else given
        marks |= frozenset([CHANCE] if drawn else []) | frozenset([ROWS] if rows else [])
        if self._examples and TRAINING not in given:
            marks |= self._rounding(func, args, kwargs)
        if marks:
            if name != "native_dropout" and _chooses(args, result):
                self.choosing |= marks
            for tensor in (*tensors_of(result), *_written(func, args, kwargs)):
                self._add(tensor, marks)
        return result


def is_uneven(func: Any, args: Any) -> bool:
    """Whether an operation gives or computes a number of rows that depends on the numbers in its arguments."""
    name = func.__name__.partition(".")[0]
    if name in _GROUPED:
        return True
    if torch.Tag.dynamic_output_shape not in func.tags:
        return False
    # Indexing is tagged whatever the index is; only one of truth values gives an unknown number of rows.
    if name.startswith("index"):
        return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return True


def _chooses(args: Any, result: Any) -> bool:
    return any(tensor.is_floating_point() for tensor in tensors_of(args)) and any(
        not (tensor.is_floating_point() or tensor.is_complex()) for tensor in tensors_of(result)
    )


def _written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Arguments that the operation writes to."""
    schema = func._schema.arguments
    places = [argument for argument in schema if argument.alias_info is not None and argument.alias_info.is_write]
    positions = {argument.name: n for n, argument in enumerate(schema)}
    given = [
        args[positions[place.name]] if positions[place.name] < len(args) else kwargs.get(place.name) for place in places
    ]
    return tensors_of(given)


def _random_state(func: Any, kwargs: Any) -> bytes | None:
    return _state_of(kwargs) if torch.Tag.nondeterministic_seeded in func.tags else None


def _state_of(kwargs: Any) -> bytes:
    generator = kwargs.get("generator")
    if generator is not None:
        return bytes(generator.get_state().numpy())
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states += torch.cuda.get_rng_state_all()
    # As bytes: no operation of torch compares them, which other modes would notice.
    return b"".join(bytes(state.numpy()) for state in states)


def _memory_of(tensor: Tensor) -> int | None:
    try:
        address: int = tensor.untyped_storage()._cdata
        return address
    except (NotImplementedError, RuntimeError):  # sparse and other tensors without one memory
        return None
