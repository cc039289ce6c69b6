"""Claims about outputs: what a module gives goes into rows and comes back bit for bit, lying in memory as before."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from frostline.capture.outputs import (
    Layout,
    alike,
    are_close,
    each_tensor,
    find_layout,
    flatten,
    same_bits,
    same_values,
    tensors_of,
    unflatten,
)

# Shape letters: B examples.

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.bool]


def numbers(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3
    return drawn > 0 if dtype == torch.bool else drawn.to(dtype)


@st.composite
def leaves(draw: st.DrawFn) -> tuple[Tensor, int, int]:
    """A tensor of some examples in any memory order, the dimension that counts them, and how many there are."""
    dims = draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(1, 4), min_size=dims, max_size=dims))
    dimension = draw(st.integers(0, dims - 1))
    examples = draw(st.sampled_from([2, 3, 5]))
    sizes[dimension] *= examples
    order = draw(st.permutations(range(dims)))
    back = sorted(range(dims), key=order.__getitem__)
    leaf = numbers(tuple(sizes[d] for d in order), draw(st.sampled_from(DTYPES))).permute(back)
    return leaf, dimension, examples


def laid_out(leaf: Tensor, dimension: int | None, examples: int) -> Layout:
    strides = leaf.stride()
    order = tuple(sorted(range(leaf.dim()), key=lambda d: (-strides[d], d)))
    shape = tuple(n // examples if d == dimension else n for d, n in enumerate(leaf.shape))
    return Layout(shape, leaf.dtype, order, dimension)


def strides_that_count(leaf: Tensor) -> list[tuple[int, int]]:
    """Of dimensions with more than one entry: others have no place in memory."""
    return [(size, stride) for size, stride in zip(leaf.shape, leaf.stride(), strict=True) if size > 1]


# ---------------------------------------------------------------- rows


@given(leaves())
def test_rows_and_back(case: tuple[Tensor, int, int]) -> None:
    """The same bits and the same strides: contiguous, transposed, channels last, with examples in any dimension."""
    leaf, dimension, examples = case
    layout = laid_out(leaf, dimension, examples)
    rows_B = layout.rows(leaf)
    found = layout.leaf(rows_B.contiguous())

    assert len(rows_B) == examples
    assert same_bits(found, leaf) and found.shape == leaf.shape
    assert strides_that_count(found) == strides_that_count(leaf)
    assert layout.full_shape(examples) == tuple(leaf.shape)
    assert layout.row_bytes * examples == leaf.numel() * leaf.element_size()


@given(leaves(), st.data())
def test_rows_of_some_examples_are_those_of_a_batch_of_them(case: tuple[Tensor, int, int], data: st.DataObject) -> None:
    """Rows are picked and put together in any order, once or several times, as the examples themselves are."""
    leaf, dimension, examples = case
    picked = data.draw(st.lists(st.integers(0, examples - 1), min_size=1, max_size=6))
    each = leaf.movedim(dimension, 0).reshape(examples, -1, *leaf.movedim(dimension, 0).shape[1:])
    expected = each[picked].flatten(0, 1).movedim(0, dimension)
    layout = laid_out(leaf, dimension, examples)

    assert same_bits(layout.leaf(layout.rows(leaf)[picked]), expected)


def test_channels_last_comes_back_as_such() -> None:
    """Convolutions choose their kernels by it."""
    leaf = numbers((2, 3, 4, 5)).contiguous(memory_format=torch.channels_last)
    layout = laid_out(leaf, 0, 2)

    assert layout.leaf(layout.rows(leaf).contiguous()).is_contiguous(memory_format=torch.channels_last)


@given(leaves())
def test_a_constant_is_one_row(case: tuple[Tensor, int, int]) -> None:
    """Whatever the batch, it comes back as it was."""
    leaf, _, examples = case
    layout = laid_out(leaf, None, examples)
    found = layout.leaf(layout.rows(leaf).contiguous())

    assert len(layout.rows(leaf)) == 1
    assert same_bits(found, leaf) and strides_that_count(found) == strides_that_count(leaf)
    assert layout.stand_in(7, torch.device("cpu")).shape == leaf.shape


@given(leaves(), st.data())
def test_a_slice_is_kept_and_shown_everywhere(case: tuple[Tensor, int, int], data: st.DataObject) -> None:
    """Of a narrowed leaf that one slice is right, the shape is right, and the row is as small as the slice."""
    leaf, dimension, examples = case
    others = [d for d in range(leaf.dim()) if d != dimension]
    if not others:
        return
    along = data.draw(st.sampled_from(others))
    index = data.draw(st.sampled_from([0, -1]))
    whole = laid_out(leaf, dimension, examples)
    layout = whole.narrowed(along, index)
    found = layout.leaf(layout.rows(leaf).contiguous())

    assert found.shape == leaf.shape
    assert same_bits(found.select(along, index), leaf.select(along, index))
    assert layout.row_bytes == whole.row_bytes // leaf.shape[along]


def test_what_nobody_reads_takes_no_memory() -> None:
    """Zeros of the right shape and type, all in one place."""
    layout = laid_out(numbers((6, 4), torch.float64), 0, 2)
    zeros = layout.stand_in(5, torch.device("cpu"))

    assert zeros.shape == (15, 4) and zeros.dtype == torch.float64 and not zeros.any()
    assert zeros.stride() == (0, 0)


# ---------------------------------------------------------------- finding the examples


@given(leaves(), st.sampled_from([(1, 0, 1), (1, 0, 1, 1, 0), (0, 0, 0)]))
def test_examples_are_found_in_any_dimension(case: tuple[Tensor, int, int], picked: tuple[int, ...]) -> None:
    """From two examples and a batch of another size picked among them, whatever the memory order."""
    leaf, dimension, examples = case
    two = leaf.narrow(dimension, 0, 2 * leaf.shape[dimension] // examples)
    layout = laid_out(two, dimension, 2)
    other = layout.leaf(layout.rows(two)[list(picked)])
    found = find_layout(two, other, picked)

    assert found is not None and found.dimension is not None
    assert same_bits(found.leaf(found.rows(two).contiguous()), two)
    assert same_bits(found.rows(two)[list(picked)], found.rows(other))


@given(leaves())
def test_what_depends_on_the_other_examples_is_not_found(case: tuple[Tensor, int, int]) -> None:
    """A number that is off in one example of the other batch is enough."""
    leaf, dimension, examples = case
    layout = laid_out(leaf, dimension, examples)
    two = layout.rows(leaf)[:2].contiguous()
    other = two[[1, 0, 1]].clone()
    spoilt = other.view(-1)
    spoilt[-1] = ~spoilt[-1] if leaf.dtype == torch.bool else spoilt[-1] + 1
    if same_bits(other, two[[1, 0, 1]]):  # too large for one more to show in this precision
        return

    assert find_layout(layout.leaf(two), layout.leaf(other), (1, 0, 1)) is None


def test_a_statistic_of_the_batch_is_not_found() -> None:
    """Neither a mean of all, nor what is scaled by it, nor a length that does not grow with the batch."""
    x = numbers((2, 4))
    other = x[[1, 0, 1]]

    assert find_layout(x.mean(0), other.mean(0), (1, 0, 1)) is None
    assert find_layout(x / x.sum(), other / other.sum(), (1, 0, 1)) is None
    assert find_layout(x[:, :3], other[:, :2], (1, 0, 1)) is None
    assert find_layout(x, other.flatten(), (1, 0, 1)) is None
    assert find_layout(x, other.double(), (1, 0, 1)) is None


def test_what_is_the_same_for_every_batch_is_a_constant() -> None:
    """Found when shape and bits agree; same shape and other bits is no layout at all."""
    table = numbers((3, 4))
    constant = find_layout(table, table.clone(), (1, 0, 1))

    assert constant is not None and constant.dimension is None
    assert find_layout(table, table + 1, (1, 0, 1)) is None


def test_many_entries_an_example() -> None:
    """Windows of a picture, folded into the first dimension: several entries belong to one example."""
    two = numbers((2 * 4, 3))
    other = torch.cat([two[4:], two[:4], two[4:]])
    layout = find_layout(two, other, (1, 0, 1))

    assert layout is not None and layout.shape == (4, 3) and layout.dimension == 0
    assert alike([two, "text"], [other, "text"], (1, 0, 1))
    assert not alike([two], [other.flip(0)], (1, 0, 1))


# ---------------------------------------------------------------- bits


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64])
def test_bits_are_compared_not_numbers(dtype: torch.dtype) -> None:
    """Not-a-number equals itself, zero does not equal minus zero, one bit is enough to differ."""
    nan, zero = torch.tensor([float("nan")], dtype=dtype), torch.zeros(1, dtype=dtype)

    assert same_bits(nan, nan.clone())
    assert not same_bits(zero, -zero)
    assert not same_bits(zero, zero.reshape(1, 1)) and not same_bits(zero, torch.zeros(1, dtype=torch.int32))


def test_other_values_are_compared_by_what_they_are() -> None:
    """Plain values by value and type; objects by their type only."""
    assert same_bits(None, None) and same_bits("a", "a") and not same_bits(1, 1.0) and not same_bits(True, 1)
    assert same_bits(object(), object()) and not same_bits(object(), None)
    assert same_values({"a": [1, torch.ones(2)]}, {"a": [1, torch.ones(2)]})
    assert not same_values({"a": [1]}, {"a": (1,)})
    assert not same_values([torch.ones(2)], [torch.zeros(2)])


def test_nested_values_come_apart_and_together() -> None:
    """Tensors are found and changed wherever they are."""
    value: dict[str, Any] = {"a": [torch.ones(2), 3], "b": (None, {"c": torch.zeros(1)})}
    parts, structure = flatten(value)

    assert same_values(unflatten(parts, structure), value)
    assert len(tensors_of(value)) == 2
    assert each_tensor(value, lambda tensor: tensor + 1)["b"][1]["c"].item() == 1


def test_rounding_is_told_from_another_value() -> None:
    """For the sentence that says why a call is not replayed."""
    x = torch.ones(3)

    assert are_close(x, x + 1e-6) and not are_close(x, x + 1) and not are_close(x, torch.ones(2))
    assert not are_close(torch.tensor([1]), torch.tensor([1]))
