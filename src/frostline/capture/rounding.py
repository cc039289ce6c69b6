"""Whether an operation rounds an example alike in batches of every size: asked of the machine, not of the model.

Kernels take several rows, or several numbers, at a time and what is left over in another way; some read rows that begin
at odd places in memory otherwise. So the last bits of an example can depend on how many others there are, and on its
place among them. On the few examples of one model that may not show, and then does on others.

Shape letters: B examples in a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from frostline.capture.outputs import flatten, same_bits, tensors_of, unflatten

Even = Literal["always", "in large batches", "never"]

_PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm", "convolution", "_scaled_dot_product_flash_attention_for_cpu"})
_EXACT = frozenset(
    {"add", "sub", "rsub", "mul", "div", "neg", "abs", "relu", "threshold", "sqrt", "square", "clamp", "clamp_min"}
    | {"clamp_max", "maximum", "minimum", "where", "masked_fill", "copy", "_to_copy", "fill", "zero", "clone", "sign"}
    | {
        "floor",
        "ceil",
        "round",
        "trunc",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "logical_and",
        "logical_or",
        "logical_not",
    }
)
"""Of one number each, and rounded as IEEE 754 says, or not at all."""

_SMALL_SIZES, _LARGE_SIZES = (2, 3, 5), (16, 19)
_FEW, _MANY, _SHARE = 24, 64, 256
"""Examples that others are compared with: many of them where each has fewer numbers than a share, so that whole chunks
come together."""
_COMPARED, _TRIES = 4096, 40
_ROWS, _COLUMNS, _ALIGNED_BYTES, _CHUNK = 12, 4, 64, 64
"""From here on, in rows of a multiple of these bytes, all products were rounded alike wherever it was measured; and so
were a multiple of so many numbers, taken one by one."""


class _Given(NamedTuple):
    """What stands for a tensor: each example's share of it is one of these, or it is the same for all."""

    shape: tuple[int, ...]
    order: tuple[int, ...]
    dtype: torch.dtype
    is_per_example: bool


def evenness(func: Any, args: Any, kwargs: Any, examples: int, is_per_example: Callable[[Tensor], bool]) -> Even:
    """In which batches an operation rounds alike, as measured on random numbers.

    Args:
        examples: In the tensors at hand.
        is_per_example: Whether a tensor holds something of each of them, in its first dimension.

    >>> mm, weight = torch.ops.aten.mm.default, torch.ones(64, 1)
    >>> evenness(mm, (torch.ones(2, 64), weight), {}, 2, lambda tensor: tensor is not weight) in ("always", "never")
    True
    """
    name = func.__name__.partition(".")[0].rstrip("_")
    is_product = name in _PRODUCTS
    if not is_product and (torch.Tag.pointwise not in func.tags or name in _EXACT):
        return "always"
    leaves, structure = flatten((args, kwargs))
    if name.startswith("_scaled") and is_per_example(args[0]):
        # Its mask may be repeated for every example without being made of them.
        batch = len(args[0])
        given = tuple(_given(leaf, examples, lambda tensor: len(tensor) == batch) for leaf in leaves)
    else:
        given = tuple(_given(leaf, examples, is_per_example) for leaf in leaves)
    shares = [one for one in given if isinstance(one, _Given) and one.is_per_example]
    if not shares or any(tensor.device.type != "cpu" for tensor in tensors_of(leaves)):
        return "always"
    if _is_large(name, shares[0], given) if is_product else _is_unbroken(shares):
        return "always"
    # A draw would be missed later, and the user's precision is in the dtypes already.
    state = torch.get_rng_state()
    try:
        with _disable_current_modes(), torch.no_grad(), torch.autocast("cpu", enabled=False):
            even = _measured(func, given, structure)
    except RuntimeError:  # the shapes of its arguments hang together in another way: a matter for other checks
        return "always"
    finally:
        torch.set_rng_state(state)
    # What is left over of numbers taken one by one depends on how many there are in all, however many that is.
    return even if is_product or even == "always" else "never"


def _given(tensor: Any, examples: int, is_per_example: Callable[[Tensor], bool]) -> Any:
    if not isinstance(tensor, Tensor):
        return tensor
    strides = tensor.stride()
    order = tuple(sorted(range(tensor.dim()), key=lambda d: (-strides[d], d)))
    shape = tuple(tensor.shape)
    if tensor.is_floating_point() and tensor.dim() and shape[0] % examples == 0 and is_per_example(tensor):
        return _Given((shape[0] // examples, *shape[1:]), order, tensor.dtype, True)
    return _Given(shape, order, tensor.dtype, False)


def _is_large(name: str, left: _Given, given: tuple[Any, ...]) -> bool:
    """Large enough to be rounded alike, and costly to measure."""
    if name not in ("mm", "addmm"):
        return False
    (rows, inner), columns = left.shape, given[-1].shape[1] if name == "mm" else given[2].shape[1]
    return rows >= _ROWS and columns >= _COLUMNS and inner * left.dtype.itemsize % _ALIGNED_BYTES == 0


def _is_unbroken(shares: list[_Given]) -> bool:
    return torch.get_num_threads() == 1 and all(prod(one.shape) % _CHUNK == 0 for one in shares)


@cache
def _measured(func: Any, given: tuple[Any, ...], structure: Any) -> Even:
    """Small results are measured several times: of few numbers all may be rounded alike by luck."""
    sizes, seed = set(_LARGE_SIZES + _SMALL_SIZES), 0
    compared = 0
    while seed == 0 or (compared < _COMPARED and seed < _TRIES):
        sized = _Sized(func, given, structure, seed)
        if not sized.is_by_examples:
            return "always"  # a matter for other checks
        sizes = {size for size in sizes if sized.is_like(size)}
        if not sizes.issuperset(_LARGE_SIZES):
            return "never"
        compared, seed = compared + sized.expected_B.numel(), seed + 1
    return "always" if sizes.issuperset(_SMALL_SIZES) else "in large batches"


class _Sized:
    """An operation on random examples, in batches of any size."""

    def __init__(self, func: Any, given: tuple[Any, ...], structure: Any, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._func, self._given, self._structure = func, given, structure
        smallest = min(prod(one.shape) for one in given if isinstance(one, _Given) and one.is_per_example)
        self._all = _FEW if smallest >= _SHARE else _MANY
        self._whole = [_random(one, self._all, generator) if isinstance(one, _Given) else one for one in given]
        self.expected_B = self._result(0, self._all)

    @property
    def is_by_examples(self) -> bool:
        return bool(self.expected_B.dim()) and len(self.expected_B) % self._all == 0

    def is_like(self, size: int) -> bool:
        """Whether a batch of this size gives its examples the same bits as all together, at two places."""
        rows = len(self.expected_B) // self._all
        return all(same_bits(self._result(at, size), self.expected_B[at * rows : (at + size) * rows]) for at in (0, 1))

    def _result(self, at: int, size: int) -> Tensor:
        """Of examples from `at` on, in memory of their own as a batch of them would be."""
        some = [
            _laid_out(leaf[at * one.shape[0] : (at + size) * one.shape[0]], one.order)
            if isinstance(one, _Given) and one.is_per_example
            else leaf
            for leaf, one in zip(self._whole, self._given, strict=True)
        ]
        args, kwargs = unflatten(some, self._structure)
        return tensors_of(self._func(*args, **kwargs))[0]


def _random(one: _Given, examples: int, generator: torch.Generator) -> Tensor:
    shape = (one.shape[0] * examples, *one.shape[1:]) if one.is_per_example else one.shape
    if not one.dtype.is_floating_point:
        return torch.ones(shape, dtype=one.dtype)
    return _laid_out(torch.randn(shape, generator=generator).to(one.dtype), one.order)


def _laid_out(tensor: Tensor, order: tuple[int, ...]) -> Tensor:
    back = sorted(range(len(order)), key=order.__getitem__)
    return tensor.permute(order).clone(memory_format=torch.contiguous_format).permute(back)
