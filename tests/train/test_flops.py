"""Claims about measured work: remembered counts equal counted ones, and the bound of a sweep is a hand's sum."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from frostline.core.records import Block
from frostline.plan.apply import freeze
from frostline.plan.flops import flop_counter
from frostline.train.cost import sweep_bound_flops
from frostline.train.evaluate import shape_of
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import shuffled_batches
from frostline.train.optim import make_optimizer
from frostline.train.recipe import Recipe
from networks import bag_material, bag_model


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8))
@settings(max_examples=20)
def test_the_meter_adds_up_what_the_counter_counts(sizes: list[int]) -> None:
    """For any order of shapes, new or seen, the total is that of counting every call."""
    meter, counted = FlopsMeter(), 0
    for size in sizes:
        with flop_counter() as counter:
            torch.ones(size, 3) @ torch.ones(3, 2)
        counted += counter.get_total_flops()
        meter.count(size, lambda size=size: torch.ones(size, 3) @ torch.ones(3, 2))

        assert meter.total == counted


def test_the_meter_returns_what_the_work_gave_and_does_it_once() -> None:
    """Whether counted or remembered, the work is done exactly once a call."""
    calls: list[int] = []
    meter = FlopsMeter()
    answers = [meter.count("key", lambda: calls.append(1) or len(calls)) for _ in range(3)]

    assert answers == [1, 2, 3]


def test_work_that_is_like_no_other_is_measured_every_time() -> None:
    """`measure` adds what this very work costs, and neither remembers it nor looks at what is remembered."""
    meter = FlopsMeter()
    meter.count("key", lambda: torch.ones(4, 4) @ torch.ones(4, 4))
    given = [meter.measure(lambda size=size: torch.ones(size, 4) @ torch.ones(4, 4)) for size in (1, 2)]
    meter.count("key", lambda: torch.ones(4, 4) @ torch.ones(4, 4))

    assert [tuple(tensor.shape) for tensor in given] == [(1, 4), (2, 4)]
    assert meter.total == 2 * 4 * 4 * (4 + 1 + 2 + 4)


@pytest.mark.parametrize("frozen", [(), ("embedding", "first")])
def test_training_steps_are_counted_like_the_first_of_their_shape(frozen: tuple[str, ...]) -> None:
    """Later steps of a shape cost what the first one did: counting every step gives the meter's total."""
    model, material = bag_model(), bag_material(16)
    if frozen:
        freeze(model.module, *frozen)
    optimizer = make_optimizer(model.module, model.head, Recipe(), 0.01)
    meter, counted = FlopsMeter(), 0

    def step(rows: object) -> None:
        batch = material.inputs.batch(rows)  # type: ignore[arg-type]
        truth_B = torch.as_tensor(material.labels[rows])  # type: ignore[index]
        functional.cross_entropy(model.logits(batch), truth_B).backward()
        optimizer.step()
        optimizer.zero_grad()

    for seed in range(2):
        for rows in shuffled_batches(material.inputs, material.train, 4, seed):
            with flop_counter() as counter:
                step(rows)
            counted += counter.get_total_flops()
            meter.count(shape_of(material.inputs.batch(rows)), lambda rows=rows: step(rows))

    assert meter.total == counted > 0


# ---------------------------------------------------------------- the bound

THIRDS = [Block(name=name, path=name, parameters=1, forward_flops=10) for name in "abc"]


def test_the_bound_of_a_full_fine_tuning_alone() -> None:
    """Depth 0 for one epoch: forward, and backward twice that, but for the first block's input; then evaluation."""
    # In passes: 1 + V of nothing, and (3 + 0.5) * 1 - 1/3.
    assert sweep_bound_flops(THIRDS, {0: 1}, forward_flops=300, evaluated_share=0.5) == round(300 * (3.5 - 1 / 3))


def test_the_bound_of_a_sweep_by_hand() -> None:
    """Depths 0, 1 and 2 for 2, 3 and 4 epochs without evaluation: the prefix once, then what trains."""
    passes = 2 / 3 + 2 * (3 - 1 / 3) + 3 * (3 * 2 / 3 - 1 / 3) + 4 * (3 * 1 / 3 - 1 / 3)

    assert sweep_bound_flops(THIRDS, {0: 2, 1: 3, 2: 4}, forward_flops=900, evaluated_share=0) == round(900 * passes)


@given(
    st.dictionaries(st.integers(0, 2), st.integers(1, 9), min_size=1),
    st.floats(0, 2),
)
def test_the_bound_grows_with_epochs_and_falls_with_depth(epochs: dict[int, int], share: float) -> None:
    """More epochs never cost less, and a deeper plan for the same epochs costs no more."""
    options = {"forward_flops": 10**9, "evaluated_share": share}
    bound = sweep_bound_flops(THIRDS, epochs, **options)
    more = sweep_bound_flops(THIRDS, {depth: count + 1 for depth, count in epochs.items()}, **options)

    assert 0 < bound < more
    by_depth = [sweep_bound_flops(THIRDS, {depth: 5}, **options) for depth in (0, 1, 2)]
    assert by_depth == sorted(by_depth, reverse=True)
