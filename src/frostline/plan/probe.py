"""Two questions put to a frozen module: does its output depend on batch-mates, and does it depend on chance?

The module is called again on a few examples of its first real input, in the modes in which it ran. It works
on copies of its buffers, without gradients, and finds every mode and random state as it left them.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frostline.plan.chance import gpus_in_use, seed_everything
from frostline.plan.leaks import chance_of_dropping

EXAMPLES = 4
"""Most examples that are kept of a call."""

TOLERANCE = {torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Rounding between batch sizes, as a share of the largest output. Batch statistics move it by far more."""

Modes = Mapping[nn.Module, bool]


class NotProbed(Exception):
    """The question cannot be put; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a frozen module, kept small."""

    args: Any
    kwargs: Any
    modes: Modes
    autocast: Mapping[str, torch.dtype]
    """Lower precision that was switched on, by device type."""
    dimension: int = 0
    """The one that probably counts examples."""
    examples: int = 0
    refused: str = ""
    """Why it cannot be made again; then nothing of it was kept."""

    @classmethod
    def of(cls, module: nn.Module, args: Any, kwargs: Any, known: Call | None) -> Call | None:
        """What to keep of a call, or None when the one already known tells as much."""
        modes = {part: part.training for part in module.modules()}
        dimension = _likely_dimension(module)
        examples = _count(args, kwargs, dimension)
        if known is not None and not known._is_outdone_by(modes, examples):
            return None
        few = torch.arange(min(examples, EXAMPLES))
        precision = {
            kind: torch.get_autocast_dtype(kind) for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)
        }
        try:
            kept_args, kept_kwargs = _each_tensor(
                (args, kwargs), lambda t: _take(t, few, dimension, examples).detach().clone()
            )
        except NotProbed as reason:
            return cls((), {}, modes, precision, refused=str(reason))
        return cls(kept_args, kept_kwargs, modes, precision, dimension, len(few))

    def _is_outdone_by(self, modes: Modes, examples: int) -> bool:
        """A call in training mode tells more than one in evaluation mode, several examples more than one."""
        return (any(modes.values()), examples > 1) > (any(self.modes.values()), self.examples > 1)


@dataclass(frozen=True, slots=True)
class Finding:
    """The answers for one module."""

    random: bool
    """Whether two calls differ although dropout layers are off."""
    batch_gap: float | None
    """Largest change of an output when an example's batch-mates change, as a share of the largest output.
    None when it does not depend on them."""
    unanswered: str = ""
    """Why the question about batch-mates could not be put."""


def probe(module: nn.Module, call: Call) -> Finding:
    """Call a module again and compare.

    Raises:
        NotProbed: It cannot be called again.

    >>> norm = nn.BatchNorm1d(2)
    >>> call = Call.of(norm, (torch.tensor([[1.0, 2.0], [3.0, 5.0]]),), {}, None)
    >>> finding = probe(norm, call)
    >>> finding.random, finding.batch_gap, norm.num_batches_tracked.item()
    (False, 1.0, 0)
    """
    if call.refused:
        raise NotProbed(call.refused)
    # Dropout masks go by position in the batch: they would look like dependence on it. Whether such layers
    # dropped in the real calls is known from their modes.
    quiet = {part: mode and not chance_of_dropping(part) for part, mode in call.modes.items()}
    again = _Again(module, call)
    with undisturbed(module):
        if _gap(again(quiet, seed=1), again(quiet, seed=2)) is not None:
            return Finding(random=True, batch_gap=None, unanswered="its output is random even with dropout layers off")
        try:
            return Finding(random=False, batch_gap=_batch_gap(again, call, quiet))
        except NotProbed as reason:
            return Finding(random=False, batch_gap=None, unanswered=str(reason))


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """A place to call a module without gradients; modes and random states come back afterwards."""
    modes = {part: part.training for part in module.modules()}
    python, numbers = random.getstate(), np.random.get_state()  # the state that modules draw from
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=range(gpus_in_use())))
        stack.enter_context(torch.no_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            _set(modes)
            random.setstate(python)
            np.random.set_state(numbers)


def called_on_copies(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call a module while copies of its buffers stand in for them.

    Copies rather than a repair afterwards: a loss that waits for its backward pass may need the buffers untouched.
    """
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return torch.func.functional_call(module, buffers, args, dict(kwargs))


# ---------------------------------------------------------------- batch-mates


def _batch_gap(again: _Again, call: Call, quiet: Modes) -> float | None:
    if call.examples < 2:
        raise NotProbed("it was called with one example at a time")
    dimension, examples = _dimension(again, call)
    beside_itself = torch.zeros(2, dtype=torch.long)
    return _gap_when_picked(again, quiet, beside_itself, dimension, examples)


def _dimension(again: _Again, call: Call) -> tuple[int, int]:
    """The dimension that counts examples: reordering it reorders the output and does nothing else.

    That is asked in evaluation mode, where nothing but the module's own design ties examples together.
    """
    evaluating = dict.fromkeys(call.modes, False)
    for dimension in dict.fromkeys((call.dimension, 0)):
        examples = _count(call.args, call.kwargs, dimension)
        reversed_order = torch.arange(examples).flip(0)
        if examples > 1 and _gap_when_picked(again, evaluating, reversed_order, dimension, examples) is None:
            return dimension, examples
    raise NotProbed("none of the first dimensions of its input and output is clearly the one that counts examples")


def _gap_when_picked(again: _Again, modes: Modes, order: Tensor, dimension: int, examples: int) -> float | None:
    """How far picking examples of the input is from picking them of the output; None when it is the same."""
    whole, picked = again(modes), again(modes, pick=(order, dimension, examples))
    pairs = [
        (a.index_select(dimension, order.to(a.device)), b)
        for a, b in zip(whole, picked, strict=True)
        if a.dim() > dimension and a.shape[dimension] == examples
    ]
    return _gap([a for a, _ in pairs], [b for _, b in pairs]) if pairs else 1.0


def _likely_dimension(module: nn.Module) -> int:
    return int(any(getattr(part, "batch_first", True) is False for part in module.modules()))


# ---------------------------------------------------------------- calling again


@dataclass(frozen=True, slots=True)
class _Again:
    """The kept call, made again with other modes, seeds and examples."""

    module: nn.Module
    call: Call

    def __call__(self, modes: Modes, *, seed: int = 1, pick: tuple[Tensor, int, int] | None = None) -> list[Tensor]:
        change: Callable[[Tensor], Tensor] = (lambda t: _take(t, *pick).clone()) if pick else Tensor.clone
        _set(modes)
        seed_everything(seed)
        with ExitStack() as stack:
            for kind, dtype in self.call.autocast.items():
                stack.enter_context(torch.autocast(kind, dtype=dtype))
            args, kwargs = _each_tensor((self.call.args, self.call.kwargs), change)
            try:
                return list(_tensors(called_on_copies(self.module, args, kwargs)))
            except Exception as error:
                raise NotProbed(f"it could not be called again ({type(error).__name__}: {error})") from error


def _set(modes: Modes) -> None:
    for module, training in modes.items():
        module.training = training


def _gap(one: list[Tensor], other: list[Tensor]) -> float | None:
    """Largest difference as a share of the largest value; None when it is rounding."""
    largest = 0.0
    for a, b in zip(one, other, strict=True):
        if a.shape != b.shape:
            return 1.0
        if a.numel():
            size = max(float(a.double().nan_to_num().abs().max()), 1e-12)
            difference = float((a.double() - b.double()).nan_to_num().abs().max()) / size
            largest = max(largest, difference if difference > TOLERANCE.get(a.dtype, 1e-4) else 0.0)
    return largest or None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _each_tensor(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same value with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(_each_tensor(item, change) for item in value)
    if type(value) is dict:
        return {key: _each_tensor(item, change) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str | torch.dtype | torch.device):
        return value
    if type(value).__name__.endswith("Cache"):
        return None  # of keys and values: empty in training, and a second call would write to it
    raise NotProbed(f"it takes an object of class {type(value).__name__}, which a second call might write to")


def _take(tensor: Tensor, order: Tensor, dimension: int, examples: int) -> Tensor:
    if tensor.dim() <= dimension or tensor.shape[dimension] != examples:
        return tensor
    return tensor.index_select(dimension, order.to(tensor.device))


def _count(args: Any, kwargs: Any, dimension: int) -> int:
    sizes = (t.shape[dimension] for t in _tensors((args, kwargs)) if t.dim() > dimension)
    return next(sizes, 0)
