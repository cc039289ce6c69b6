"""Claims about batches: what makes two calls alike, what an example's content is, and what cannot be told apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from frostline.capture.batches import Batch
from frostline.capture.outputs import same_bits, same_values
from frostline.capture.replay import batch_of

# Shape letters: B examples, T tokens.


def batch(size: int = 4, tokens: int = 3, **more: Any) -> Batch:
    ids_BT = torch.arange(size * tokens).reshape(size, tokens)
    return Batch((ids_BT,), {"mask": torch.ones(size, tokens), **more}, size)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_picking_picks_every_argument(rows: list[int]) -> None:
    """By position and by keyword, nested too; what belongs to all examples stays whole."""
    table = torch.randn(7, 2)
    picked = batch(nested={"label": [torch.arange(4)]}, table=table, scale=2.0).pick(rows)

    assert picked.examples == len(rows)
    assert same_bits(picked.args[0], torch.arange(12).reshape(4, 3)[rows])
    assert picked.kwargs["nested"]["label"][0].tolist() == rows
    assert same_bits(picked.kwargs["table"], table) and picked.kwargs["scale"] == 2.0


def test_picked_arguments_are_copies() -> None:
    """A model that writes to its arguments writes to none of the user's."""
    table = torch.zeros(7)
    one = batch(table=table)
    picked = one.pick(range(4))
    for tensor in (picked.args[0], picked.kwargs["mask"], picked.kwargs["table"]):
        tensor.add_(1)

    assert same_values(one.args, batch().args) and not table.any()


@given(st.permutations(range(4)))
def test_content_ids_follow_their_examples(order: list[int]) -> None:
    """In whatever order, beside whatever others; equal examples have equal ids."""
    one = batch()
    assert one.pick(order).ids() == tuple(one.ids()[n] for n in order)
    assert one.pick([1, 1]).ids()[0] == one.pick([3, 1]).ids()[1]
    assert len(set(one.ids())) == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int8, torch.complex64])
def test_one_number_makes_another_id(dtype: torch.dtype) -> None:
    """In any argument, of any type, however it lies in memory."""
    x = torch.zeros(3, 2, dtype=dtype)
    other = x.clone()
    other[1, 1] = 1
    ids, others = (Batch((t.t().contiguous().t(),), {}, 3).ids() for t in (x, other))

    assert [a == b for a, b in zip(ids, others, strict=True)] == [True, False, True]
    assert Batch((x[:, 0],), {}, 3).ids()[0] == Batch((x[:, 0],), {}, 3).ids()[1]


def test_the_shape_is_all_but_the_examples() -> None:
    """Their number and content make no difference; lengths, types, options, structure and precision do."""
    one = batch()
    assert one.shape() == one.pick([2, 0, 1]).shape() == batch(9).shape()

    others = [
        batch(tokens=5),
        batch(flag=True),
        batch(flag=False),
        batch(scale=torch.ones(7)),
        batch(scale=torch.zeros(7)),
        Batch((one.args[0].int(),), one.kwargs, 4),
        Batch(one.args, {"other": one.kwargs["mask"]}, 4),
        Batch((*one.args, one.kwargs["mask"]), {}, 4),
    ]
    shapes = [one.shape(), *(other.shape() for other in others)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        shapes.append(one.shape())
    with torch.autocast("cpu", dtype=torch.float16):
        shapes.append(one.shape())
    assert len(set(shapes)) == len(shapes)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: Batch((torch.ones(3, 2),), {}, 4), "no argument of the model has 4 entries in its first dimension"),
        (lambda: Batch((torch.ones(4, 2).requires_grad_(),), {}, 4), "an argument of the model requires gradients"),
        (lambda: batch(cache=object()), "the model takes an object of class object"),
        (lambda: batch(flag=True, name="text", nothing=None, dtype=torch.float32), ""),
    ],
)
def test_what_cannot_be_told_apart(made: Any, why: str) -> None:
    """Each reason is a sentence's end; plain values are fine."""
    assert made().unusable() == why


def test_examples_are_counted_by_the_first_tensor_or_by_the_ids() -> None:
    """A tensor without dimensions counts nothing; ids decide where they are given."""
    x: Tensor = torch.ones(5, 2)

    assert batch_of((torch.tensor(1.0), x), {}, None).examples == 5
    assert batch_of((), {"flag": True, "x": x}, None).examples == 5
    assert batch_of((torch.ones(2, 5), x), {}, list("abcde")).examples == 5
    assert batch_of((3,), {}, None).examples == 0
