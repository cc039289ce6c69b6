"""Watching and standing in for calls of frozen modules, without asking anything of the model's code.

For the time of one forward pass the `forward` of each chosen module is replaced on the instance, so that
hooks, autocast, checkpointing and the user's own forward work as ever. A call is named by its
module's path and its number among that module's calls that no other chosen module made.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from frostline.capture.descent import is_uneven
from frostline.capture.outputs import tensors_of

READS = frozenset(
    {"__bool__", "__int__", "__float__", "__index__", "__contains__", "__array__"}
    | {"item", "tolist", "numpy", "equal", "allclose", "is_nonzero"}
)
"""Functions by which Python code looks at a tensor's numbers, and may go another way because of them."""

UNSEEN = frozenset({"__array__", "tolist", "numpy"})
"""Those of them that no operation of torch goes with."""

PLACES = frozenset({"__getitem__", "__setitem__"})

Read = tuple[str, object]
"""A function of `READS` and what it answered."""


class CallName(NamedTuple):
    """One call of one module in a forward pass."""

    path: str
    number: int


class Handle(Protocol):
    """Answers one call of a chosen module."""

    def __call__(self, name: CallName, total: int, compute: Callable[[], Any], inputs: Any) -> Any:
        """What the call gives: `compute()` or something else.

        Args:
            name: Numbered among the module's outermost calls.
            total: Its number among all calls of the module, also those inside other chosen modules.
            compute: Does what the module would do.
            inputs: Positional and keyword arguments.
        """


@dataclass(slots=True)
class Flow:
    """What of one forward pass is steered by the data's numbers."""

    reads: list[Read] = field(default_factory=list)
    """In order, outside chosen modules."""
    steered: dict[str, str] = field(default_factory=dict)
    """Chosen modules in which something depends on the batch's numbers, and what."""
    running: list[str] = field(default_factory=list)
    """The outermost chosen module that is running now, if any."""

    def has_hidden(self, looks: int) -> bool:
        """Whether torch looked at numbers more often than can be seen from the functions that Python code called."""
        return looks > sum(what not in UNSEEN for what, _ in self.reads)

    def note(self, what: str, answer: object) -> None:
        if self.running:
            self.steered.setdefault(self.running[0], what)
        else:
            self.reads.append((what, answer))


@contextmanager
def standing_in(modules: Mapping[str, nn.Module], handle: Handle, flow: Flow, *, inner: bool = False) -> Iterator[None]:
    """Let `handle` answer the calls of these modules meanwhile: the outermost ones or, with `inner`, all."""
    counts: Counter[str] = Counter()
    totals: Counter[str] = Counter()

    def answer(path: str, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        total = totals[path]
        totals[path] += 1
        if flow.running:
            return original(*args, **kwargs)
        name = CallName(path, total if inner else counts[path])
        counts[path] += 1
        compute = partial(original, *args, **kwargs)
        return handle(name, total, compute if inner else partial(_running, flow, path, compute), (args, kwargs))

    own = {path: module.__dict__.get("forward") for path, module in modules.items()}
    for path, module in modules.items():
        module.__dict__["forward"] = partial(answer, path, module.forward)
    try:
        yield
    finally:
        for path, module in modules.items():
            if own[path] is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = own[path]


def _running(flow: Flow, path: str, compute: Callable[[], Any]) -> Any:
    flow.running.append(path)
    try:
        return compute()
    finally:
        flow.running.pop()


def need_gradients(inputs: Any) -> bool:
    """Whether a call's inputs depend on what is trained, as autograd sees it."""
    return any(tensor.requires_grad for tensor in tensors_of(inputs))


class Reading(TorchFunctionMode):
    """Notes every look at a tensor's numbers; `after` is called after each one outside chosen modules."""

    def __init__(self, flow: Flow, after: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._flow, self._after = flow, after

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        answers = [_answer_of(result)] if name in READS else list(_places(args[1])) if name in PLACES else []
        for answer in answers:
            self._flow.note(name, answer)
        if answers and self._after is not None and not self._flow.running:
            self._after()
        return result


def _places(index: Any) -> Iterator[int]:
    """Whole numbers in a subscript that are tensors: torch looks at them by itself."""
    for one in tensors_of(index):
        if not one.dim() and not one.is_floating_point() and one.dtype != torch.bool:
            yield int(one)


def _answer_of(result: Any) -> object:
    """An answer in full: the text of an array shows a part of a large one, and rounds."""
    if isinstance(result, bool | int | float):
        return result
    return hashlib.sha256(result.tobytes()).hexdigest() if isinstance(result, np.ndarray) else repr(result)


class Unevenness(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
    """Notes chosen modules that look at numbers, or compute for a number of rows that depends on the data.

    The last bits of what such a module gives depend on the other examples of the batch: a product with one
    row is rounded otherwise than one with many.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._flow = flow
        self.looks = 0
        """At numbers, outside chosen modules."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        looked = torch.Tag.data_dependent_output in func.tags
        if looked and not self._flow.running:
            self.looks += 1
        if self._flow.running and (looked or is_uneven(func, args)):
            self._flow.note(func.__name__.partition(".")[0], None)
        return func(*args, **(kwargs or {}))


@contextmanager
def noting_packed(model: nn.Module, flow: Flow) -> Iterator[None]:
    """Note chosen modules in which a recurrent layer is fed a packed sequence: its last steps have fewer rows."""

    def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], PackedSequence) and flow.running:
            flow.note("a packed sequence", None)

    handles = [m.register_forward_pre_hook(hook) for m in model.modules() if isinstance(m, nn.RNNBase)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
