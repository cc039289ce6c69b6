"""Claims about calls: watched and stood in for without a trace, named alike at every pass; what steers is noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from frostline.capture.calls import CallName, Flow, Reading, Unevenness, need_gradients, noting_packed, standing_in


class Twice(nn.Module):
    """Calls its part twice, which calls the inner one."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Linear(2, 2), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.part(self.part(x)) + self.part[0](x)


def watched(net: nn.Module, paths: list[str], x: Tensor, *, inner: bool = False) -> list[tuple[CallName, int]]:
    seen: list[tuple[CallName, int]] = []

    def handle(name: CallName, total: int, compute: Callable[[], Any], inputs: Any) -> Any:
        seen.append((name, total))
        return compute()

    modules = dict(net.named_modules())
    with standing_in({path: modules[path] for path in paths}, handle, Flow(), inner=inner):
        net(x)
    return seen


def test_calls_are_numbered_by_module_among_the_outermost() -> None:
    """Those that another chosen module makes have no name of their own, but count in the total."""
    net, x = Twice(), torch.ones(1, 2)

    assert watched(net, ["part"], x) == [(CallName("part", 0), 0), (CallName("part", 1), 1)]
    assert watched(net, ["part", "part.0"], x) == [
        (CallName("part", 0), 0),
        (CallName("part", 1), 1),
        (CallName("part.0", 0), 2),
    ]
    names = [name for name, _ in watched(net, ["part", "part.0"], x, inner=True)]
    assert names == [
        *(CallName("part", 0), CallName("part.0", 0)),
        *(CallName("part", 1), CallName("part.0", 1), CallName("part.0", 2)),
    ]


def test_the_answer_stands_in_and_nothing_is_left() -> None:
    """What the handle gives is what the model goes on with; afterwards the instance is as it was, errors or not."""
    net, x = Twice(), torch.ones(1, 2)
    own = net.part.forward = lambda x: x * 3  # somebody's own forward on the instance
    before = dict(net.part[0].__dict__)
    with standing_in({"part": net.part, "part.0": net.part[0]}, lambda *_: x * 7, Flow()):
        assert torch.equal(net(x), x * 14)
    with pytest.raises(ZeroDivisionError), standing_in({"part": net.part}, lambda *_: 1 / 0, Flow()):
        net(x)

    assert net.part.__dict__["forward"] is own
    assert dict(net.part[0].__dict__) == before


def test_hooks_and_the_original_forward_still_work() -> None:
    """Hooks run around what stands in, and `compute` is the module's own forward."""
    net, x = Twice(), torch.ones(1, 2)
    expected = net(x)
    net.part.register_forward_hook(lambda module, args, output: output + 1)
    with standing_in({"part": net.part}, lambda name, total, compute, inputs: compute() - 1, Flow()):
        assert torch.allclose(net(x), expected, atol=1e-6)


def test_inputs_that_depend_on_what_trains() -> None:
    """As autograd sees it, in nested arguments too."""
    x = torch.ones(2)

    assert not need_gradients(((x,), {"y": [x]}))
    assert need_gradients(((x,), {"y": [x.clone().requires_grad_()]}))


# ---------------------------------------------------------------- what is looked at


@pytest.mark.parametrize(
    "look",
    [
        lambda x: bool(x.sum() > 0),
        lambda x: x.sum().item(),
        lambda x: int(x.sum()),
        lambda x: float(x.sum()),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: np.asarray(x),
        lambda x: torch.equal(x, x),
        lambda x: 1.0 in x,
        lambda x: torch.allclose(x, x),
        lambda x: torch.is_nonzero(x.sum()),
        lambda x: range(3)[x.sum().long() * 0],
        lambda x: x[x.argmax()],
        lambda x: x[None, ..., x.argmax()],
    ],
)
def test_looking_at_numbers_is_noted(look: Callable[[Tensor], Any]) -> None:
    """However Python code does it."""
    flow = Flow()
    with Reading(flow):
        look(torch.ones(2))
    assert len(flow.reads) >= 1


@pytest.mark.parametrize("quiet", [lambda x: x.shape[0], lambda x: x + 1, lambda x: x.dtype, lambda x: len(x)])
def test_looking_at_shapes_is_not(quiet: Callable[[Tensor], Any]) -> None:
    """A shape belongs to the batch."""
    flow = Flow()
    with Reading(flow):
        quiet(torch.ones(2))
    assert flow.reads == []


@pytest.mark.parametrize("look", [lambda x: x.numpy(), lambda x: x.tolist()])
def test_what_was_seen_is_noted_in_full(look: Callable[[Tensor], Any]) -> None:
    """Of a large array too, whose text shows a part only; and to the last bit."""
    answers = set()
    for place in (0, 1_000, 1_999):
        for change in (1.0, 1e-7):
            flow, x = Flow(), torch.ones(2_000)
            x[place] += change
            with Reading(flow):
                look(x)
            answers.add(flow.reads[0])
    assert len(answers) == 6


def test_looks_inside_chosen_modules_are_noted_of_them() -> None:
    """They have no place in the order of the others, and nobody is called back for them."""
    flow, called = Flow(), []
    with Reading(flow, lambda: called.append(len(flow.reads))):
        bool(torch.ones(()))
        flow.running.append("part")
        bool(torch.ones(()))
        flow.running.pop()
        bool(torch.zeros(()))

    assert [answer for _, answer in flow.reads] == [True, False]
    assert list(flow.steered) == ["part"] and called == [1, 2]


# ---------------------------------------------------------------- numbers of rows that depend on the data


@pytest.mark.parametrize(
    ("operation", "uneven"),
    [
        (lambda x: x[x > 0], True),
        (lambda x: x.nonzero(), True),
        (lambda x: torch.where(x > 0), True),
        (lambda x: x.masked_select(x > 0), True),
        (lambda x: x.long().unique(), True),
        (lambda x: x[torch.tensor([0, 1])], False),
        (lambda x: torch.where(x > 0, x, 0.0), False),
        (lambda x: x.masked_fill(x > 0, 0.0), False),
        (lambda x: x @ x, False),
    ],
)
def test_numbers_of_rows_that_depend_on_the_data(operation: Callable[[Tensor], Any], uneven: bool) -> None:
    """Noted of the chosen module that is running; of nobody outside."""
    x = torch.tensor([[1.0, -1.0], [0.5, 2.0]])
    flow, outside = Flow(running=["part"]), Flow()
    with Unevenness(flow):
        operation(x)
    with Unevenness(outside):
        operation(x)

    assert ("part" in flow.steered) == uneven
    assert not outside.steered


def test_packed_sequences_are_noted() -> None:
    """Their last steps have few rows; the hooks that find them are gone afterwards."""
    lstm, flow = nn.LSTM(2, 3), Flow(running=["lstm"])
    packed = nn.utils.rnn.pack_padded_sequence(torch.ones(4, 2, 2), torch.tensor([4, 2]))
    with noting_packed(lstm, flow):
        lstm(torch.ones(4, 2, 2))
        assert not flow.steered
        lstm(packed)

    assert flow.steered == {"lstm": "a packed sequence"}
    assert not lstm._forward_pre_hooks
