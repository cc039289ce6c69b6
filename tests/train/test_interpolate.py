"""Claims about interpolation: exact at its ends, straight between them, and still where nothing was trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from frostline.plan.apply import freeze
from frostline.train.interpolate import SHARES, interpolated
from networks import BagOfTokens

shares = st.floats(0, 1)
numbers = st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), min_size=1, max_size=20).map(
    lambda pairs: torch.tensor(pairs, dtype=torch.float32).T
)


def trained_pair() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A network with batch norm before and after a few steps, its embedding frozen."""
    torch.manual_seed(0)
    net = freeze(BagOfTokens(), "embedding")
    start = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        ids_BT = torch.randint(0, 40, (8, 5))
        net(ids_BT, torch.ones_like(ids_BT)).square().sum().backward()
        optimizer.step()
    return start, {name: tensor.clone() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("share", [0, 0.0, 1, 1.0])
def test_the_ends_are_bit_for_bit_those_given(share: float) -> None:
    """All tensors, counters included, and none of them shared with what was given."""
    start, tuned = trained_pair()
    end, made = (tuned if share else start), interpolated(start, tuned, share)

    assert made.keys() == end.keys()
    for name, tensor in made.items():
        assert tensor.numpy().tobytes() == end[name].numpy().tobytes()
        assert tensor.data_ptr() != end[name].data_ptr()


@given(numbers, shares)
def test_it_is_the_formula_of_the_paper(pair: Tensor, share: float) -> None:
    """Numpy in double precision gives the same numbers, up to one rounding of the larger end."""
    start, tuned = pair
    made = interpolated({"w": start}, {"w": tuned}, share)["w"]
    expected = (1 - share) * start.numpy().astype(np.float64) + share * tuned.numpy().astype(np.float64)

    np.testing.assert_allclose(made.numpy(), expected, atol=3e-7 * float(pair.abs().max()) + 1e-37)


@given(numbers, shares)
def test_seen_from_the_other_end_it_is_the_same_point(pair: Tensor, share: float) -> None:
    """Swapping the ends mirrors the share."""
    start, tuned = {"w": pair[0]}, {"w": pair[1]}
    here, there = interpolated(start, tuned, share)["w"], interpolated(tuned, start, 1 - share)["w"]

    np.testing.assert_allclose(here.numpy(), there.numpy(), atol=5e-7 * float(pair.abs().max()) + 1e-37)


@pytest.mark.parametrize("share", SHARES)
def test_what_was_frozen_stays_bit_for_bit(share: float) -> None:
    """A frozen embedding is the same at every share; the rest moves between the ends."""
    start, tuned = trained_pair()
    made = interpolated(start, tuned, share)

    assert torch.equal(made["embedding.weight"], start["embedding.weight"])
    assert torch.equal(made["head.weight"], start["head.weight"]) == (share == 0)


@given(st.floats(-(2.0**100), 2.0**100, width=32), shares)
def test_equal_numbers_are_never_rounded(number: float, share: float) -> None:
    """Law: a weight that both ends share is that weight at every share."""
    weight = torch.tensor([number])

    assert torch.equal(interpolated({"w": weight}, {"w": weight.clone()}, share)["w"], weight)


def test_infinite_masks_stay_infinite() -> None:
    """A buffer of minus infinities, as attention masks have it, does not become not-a-number."""
    mask = torch.tensor([0.0, -torch.inf])

    assert interpolated({"mask": mask}, {"mask": mask}, 0.5)["mask"].tolist() == [0, -torch.inf]


def test_running_statistics_move_and_counters_are_the_tuned_ones() -> None:
    """Half-way the running mean is the mean of both; batches cannot be counted in halves."""
    start, tuned = trained_pair()
    made = interpolated(start, tuned, 0.5)

    assert not torch.equal(start["first.1.running_mean"], tuned["first.1.running_mean"])
    torch.testing.assert_close(
        made["first.1.running_mean"], (start["first.1.running_mean"] + tuned["first.1.running_mean"]) / 2
    )
    assert int(start["first.1.num_batches_tracked"]) == 0
    assert int(made["first.1.num_batches_tracked"]) == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_is_kept(dtype: torch.dtype) -> None:
    """Half precision goes in and comes out."""
    made = interpolated({"w": torch.zeros(2, dtype=dtype)}, {"w": torch.ones(2, dtype=dtype)}, 0.75)["w"]

    assert (made.dtype, made.tolist()) == (dtype, [0.75, 0.75])


@pytest.mark.parametrize(
    ("tuned", "said"),
    [
        ({}, "'w' stands in one only"),
        ({"w": torch.zeros(2), "lora": torch.zeros(1)}, "'lora' stands in one only"),
        ({"w": torch.zeros(1)}, "'w' has two shapes or types"),
        ({"w": torch.zeros(2, dtype=torch.float64)}, "'w' has two shapes or types"),
    ],
)
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_ends_that_do_not_match_are_refused(tuned: dict[str, Tensor], said: str, share: float) -> None:
    """At every share: a tensor missing on one side, or of another shape (which could be broadcast) or type."""
    with pytest.raises(ValueError, match=said):
        interpolated({"w": torch.zeros(2)}, tuned, share)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_outside_the_line_is_refused(share: float) -> None:
    """Beyond the ends nothing was measured by anyone."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        interpolated({}, {}, share)
