"""Claims about rounding: what is called even gives an example the same bits in every batch, at every place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from frostline.capture.outputs import same_bits
from frostline.capture.rounding import Even, evenness

aten = torch.ops.aten
Operation = Callable[[Tensor], tuple[Any, tuple[Any, ...]]]
SIZES = (2, 3, 4, 5, 7, 9, 16, 17, 18, 21, 24)


def product(rows: int, inner: int, columns: int, *, bias: bool) -> tuple[tuple[int, ...], Operation]:
    generator = torch.Generator().manual_seed(2)
    weight, added = torch.randn(columns, inner, generator=generator), torch.randn(columns, generator=generator)

    def operation(x: Tensor) -> tuple[Any, tuple[Any, ...]]:
        flat = x.flatten(0, 1)
        return (aten.addmm.default, (added, flat, weight.t())) if bias else (aten.mm.default, (flat, weight.t()))

    return (rows, inner), operation


def said(shape: tuple[int, ...], operation: Operation) -> Even:
    x = torch.randn(2, *shape)
    func, args = operation(x)
    of_examples = {arg.data_ptr() for arg in args if isinstance(arg, Tensor) and arg.data_ptr() == x.data_ptr()}
    return evenness(func, args, {}, 2, lambda tensor: tensor.data_ptr() in of_examples)


def sizes_that_differ(shape: tuple[int, ...], operation: Operation) -> set[int]:
    """Found by brute force: batches in which some example, at some place, has other bits than in a large one."""
    examples = torch.randn(64, *shape, generator=torch.Generator().manual_seed(5))

    def result(x: Tensor) -> Tensor:
        func, args = operation(x)
        return func(*args).reshape(len(x), -1)

    expected_B = result(examples)
    return {
        size
        for size in SIZES
        for at in (0, 1, 3, 8, 22)
        if not same_bits(result(examples[at : at + size].clone()), expected_B[at : at + size])
    }


def holds(even: Even, differing: set[int]) -> bool:
    return even == "never" or not {size for size in differing if even == "always" or size >= 16}


@pytest.mark.slow
@settings(max_examples=25)
@given(
    rows=st.integers(1, 16),
    inner=st.sampled_from([3, 7, 8, 10, 16, 33, 64]),
    columns=st.sampled_from([1, 2, 5, 16, 48]),
    bias=st.booleans(),
)
def test_products(rows: int, inner: int, columns: int, bias: bool) -> None:
    """Of one row an example or many, aligned in memory or not, of one column or many."""
    case = product(rows, inner, columns, bias=bias)
    assert holds(said(*case), sizes_that_differ(*case))


@pytest.mark.slow
@settings(max_examples=25)
@given(
    size=st.integers(1, 80),
    name=st.sampled_from(["silu", "gelu", "sigmoid", "tanh", "softplus", "elu", "exp", "mish", "pow"]),
)
def test_functions_of_single_numbers(size: int, name: str) -> None:
    """Numbers are taken by eights or sixteens, and what is left over at the end of the batch in another way."""

    def operation(x: Tensor) -> tuple[Any, tuple[Any, ...]]:
        if name == "pow":
            return aten.pow.Tensor_Scalar, (x, 1.7)
        return getattr(aten, name).default, (x,)

    case = (size,), operation
    assert holds(said(*case), sizes_that_differ(*case))


@pytest.mark.slow
@settings(max_examples=8)
@given(tokens=st.integers(1, 9), width=st.sampled_from([2, 5, 8, 16]))
def test_attention(tokens: int, width: int) -> None:
    """Of two heads, of any width and length."""

    def operation(x: Tensor) -> tuple[Any, tuple[Any, ...]]:
        return aten._scaled_dot_product_flash_attention_for_cpu.default, (x, x, x)

    def result(x: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(x, x, x)

    shape = (2, tokens, width)
    x = torch.randn(2, *shape)
    even = evenness(*operation(x), {}, 2, lambda tensor: True)
    examples = torch.randn(64, *shape, generator=torch.Generator().manual_seed(5))
    expected = result(examples)
    differing = {
        n
        for n in SIZES
        for at in (0, 1, 3)
        if not torch.equal(result(examples[at : at + n].clone()), expected[at : at + n])
    }
    assert holds(even, differing)


@pytest.mark.slow
@pytest.mark.parametrize(("edge", "channels", "out"), [(1, 8, 4), (1, 16, 1), (5, 3, 16)])
def test_convolutions(edge: int, channels: int, out: int) -> None:
    """Of one pixel, as squeeze-and-excitation has them, or of many."""
    weight = torch.randn(out, channels, 1, 1, generator=torch.Generator().manual_seed(2))

    def operation(x: Tensor) -> tuple[Any, tuple[Any, ...]]:
        return aten.convolution.default, (x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)

    case = (channels, edge, edge), operation
    assert holds(said(*case), sizes_that_differ(*case))


def test_it_fires_and_it_is_silent() -> None:
    """On this machine: one column of odd rows is uneven; wide rows, exact operations and shared tensors are not."""
    narrow, wide = product(7, 10, 1, bias=True), product(16, 64, 64, bias=True)
    x = torch.randn(2, 8)

    assert said(*narrow) == "never" and sizes_that_differ(*narrow)
    assert said(*wide) == "always" and not sizes_that_differ(*wide)
    assert evenness(aten.mul.Tensor, (x, x), {}, 2, lambda tensor: True) == "always"
    assert evenness(aten.silu.default, (x,), {}, 2, lambda tensor: False) == "always"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_measuring_leaves_no_trace(dtype: torch.dtype) -> None:
    """No random number is used up, not even by an operation that draws; the user's autocast is as it was."""
    before = torch.get_rng_state()
    x = torch.randn(2, 3, 5, dtype=dtype, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attention = aten._scaled_dot_product_flash_attention_for_cpu.default
        evenness(attention, (x[None], x[None], x[None], 0.5), {}, 1, lambda tensor: True)
        evenness(aten.mm.default, (x[0], x[0].t()), {}, 1, lambda tensor: True)
        assert torch.is_autocast_enabled("cpu")
    assert torch.equal(torch.get_rng_state(), before)
