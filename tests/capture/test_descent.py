"""Claims about marks: whatever a tensor is made of, in whatever way, shows on it; what it is not made of does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from frostline.capture.descent import CHANCE, EXAMPLES, ROWS, SIZE, SMALL, TRAINING, Descent

MARK = "the source"


def marks_of(operation: Callable[[Tensor, Tensor], Any]) -> frozenset[Any]:
    """On what an operation makes of a marked tensor and another one."""
    descent = Descent()
    marked, other = torch.tensor([[1.0, -2.0], [3.0, 0.5]]), torch.ones(2, 2)
    descent.mark(marked, MARK)
    with descent:
        result = operation(marked, other)
    return descent.of(result)


def written(x: Tensor, y: Tensor) -> Tensor:
    y[0] = x[1]
    return y


def added_in_place(x: Tensor, y: Tensor) -> Tensor:
    return y.add_(x)


def into_an_output(x: Tensor, y: Tensor) -> Tensor:
    out = torch.empty(2, 2)
    torch.add(x, y, out=out)
    return out


def by_a_view(x: Tensor, y: Tensor) -> Tensor:
    view = y.t()[0]
    view.copy_(x[0])
    return y


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, y: x + y,
        lambda x, y: (y, {"nested": [x]}),
        lambda x, y: x[0].reshape(1, 2).t().detach(),
        lambda x, y: torch.where(y > 5, x, y),
        lambda x, y: torch.where(x > 5, y, y),
        lambda x, y: y[x.argmax(dim=1)],
        lambda x, y: y.gather(1, (x > 0).long()),
        lambda x, y: 0 * x,
        lambda x, y: x.long().bool(),
        lambda x, y: functional.linear(y, x),
        lambda x, y: functional.scaled_dot_product_attention(y, x, y),
        lambda x, y: functional.layer_norm(y, (2,), x[0], x[1]),
        lambda x, y: nn.utils.rnn.pack_padded_sequence(x[:, None], torch.tensor([2])).data,
        lambda x, y: checkpoint(torch.tanh, x, use_reentrant=False),
        written,
        added_in_place,
        into_an_output,
        by_a_view,
    ],
)
def test_marks_go_on(operation: Callable[[Tensor, Tensor], Any]) -> None:
    """Through arithmetic, views, choices, indices, writing in place; even where the number cannot change anything."""
    assert MARK in marks_of(operation)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, y: y + 1,
        lambda x, y: torch.zeros_like(x),
        lambda x, y: x.new_ones(3),
        lambda x, y: torch.arange(x.shape[1]),
        lambda x, y: torch.full((2,), float(len(x))),
    ],
)
def test_shapes_carry_no_marks(operation: Callable[[Tensor, Tensor], Any]) -> None:
    """What is made of a tensor's shape and type alone is not made of its numbers."""
    assert not marks_of(operation)


def test_marks_go_back_with_gradients() -> None:
    """A backward pass hands them on as well."""
    descent, x = Descent(), torch.ones(2)
    weight = torch.ones(2, requires_grad=True)
    descent.mark(x, MARK)
    with descent:
        (gradient,) = torch.autograd.grad((weight * x).sum(), weight)
    assert MARK in descent.of(gradient)


# ---------------------------------------------------------------- where marks come from


@pytest.mark.parametrize(
    ("operation", "drawn"),
    [
        (lambda x: functional.dropout(x, 0.5), True),
        (lambda x: x * torch.rand(()), True),
        (lambda x: torch.bernoulli(x.abs().clamp(0, 1)), True),
        (lambda x: x[torch.randperm(2)], True),
        (lambda x: functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5), True),
        (lambda x: functional.dropout(x, 0.5, training=False), False),
        (lambda x: functional.dropout(x, 0.0), False),
        (lambda x: functional.scaled_dot_product_attention(x, x, x), False),
        (lambda x: x.softmax(1), False),
    ],
)
def test_chance(operation: Callable[[Tensor], Any], drawn: bool) -> None:
    """Marked is what a random number was really drawn for."""
    descent, x = Descent(), torch.ones(2, 2)
    with descent:
        result = operation(x)
    assert (CHANCE in descent.of(result)) == drawn


def test_numbers_of_rows() -> None:
    """A number of rows that came from the data: marked, counted, and its source was looked at."""
    descent, x = Descent(), torch.ones(2, 2)
    descent.mark(x, MARK)
    with descent:
        plain = x[torch.tensor([0])]
        assert not descent.counted and MARK not in descent.read
        chosen = x[x > 0]
        following = chosen + 1
    assert ROWS in descent.of(following) and ROWS not in descent.of(plain)
    assert descent.counted and MARK in descent.read


def test_looks() -> None:
    """What Python code looks at is known by its marks."""
    descent, x, y = Descent(), torch.ones(2), torch.ones(2)
    descent.mark(x, MARK)
    descent.mark(y, TRAINING)
    with descent:
        bool((x + 1).sum() > 0)
        assert descent.read == {MARK}
        torch.ones(3)[y.long().sum() - 1]
    assert descent.read == {MARK, TRAINING}


def test_what_chooses() -> None:
    """Real numbers of which whole ones or truth values are made decide which other numbers count; products do not."""
    for operation, chooses in (
        (lambda x: x.argmax(), True),
        (lambda x: x > 0, True),
        (lambda x: x.topk(1), True),
        (lambda x: x.long(), True),
        (lambda x: x.softmax(0) * x, False),
        (lambda x: functional.dropout(x, 0.5), False),
        (lambda x: torch.zeros_like(x, dtype=torch.long), False),
    ):
        descent, x = Descent(), torch.ones(2)
        descent.mark(x, MARK)
        with descent:
            operation(x)
        assert (MARK in descent.choosing) == chooses


def test_generators_of_somebody_else() -> None:
    """Known, in the order of the draws, each with its state before; torch's own is not among them."""
    source = torch.Generator().manual_seed(3)
    before = source.get_state()
    descent = Descent()
    with descent:
        torch.rand(2)
        torch.rand(2, generator=source)
        torch.rand(2, generator=source)
    for generator, state in reversed(descent.generators):
        generator.set_state(state)

    assert len(descent.generators) == 2 and torch.equal(source.get_state(), before)


def test_memory_is_known_by_what_holds_it() -> None:
    """A mark ends with its memory: what is put there afterwards has none. What is held is known to be."""
    descent = Descent()
    for _ in range(200):
        x = torch.ones(64)
        assert not descent.of(x)
        descent.mark(x, MARK)
        assert descent.alive() == {MARK}
        del x
    assert descent.alive() == frozenset()
    view = torch.ones(4)
    descent.mark(view, MARK)
    view = view[:2]
    assert descent.alive() == {MARK}


def test_rounding_by_the_number_of_examples() -> None:
    """Products that a kernel rounds by their number of rows are marked where the number of examples is known."""
    weight, x = torch.ones(64, 1), torch.ones(2, 64)
    for examples, found in ((2, {SMALL, SIZE}), (0, set())):
        descent = Descent(examples)
        descent.mark(x, EXAMPLES)
        with descent:
            result = x @ weight
        assert descent.of(result) - {EXAMPLES} in (found, frozenset())
