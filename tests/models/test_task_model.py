"""Claims about pooling and heads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from frostline.core.errors import ModelError
from frostline.models.task_model import TaskModel, last_linear, mean_pool
from networks import LstmClassifier, NormedCnn


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    filler=st.floats(-1e6, 1e6, width=32),
    seed=st.integers(0, 1000),
)
def test_padding_never_changes_the_mean(lengths: list[int], filler: float, seed: int) -> None:
    """Whatever stands behind a text's end, its mean is that of the text alone, bit for bit."""
    hidden_BTD = torch.randn(len(lengths), 8, 3, generator=torch.Generator().manual_seed(seed))
    mask_BT = (torch.arange(8) < torch.tensor(lengths)[:, None]).long()
    filled_BTD = torch.where(mask_BT[..., None] == 1, hidden_BTD, torch.tensor(filler))

    assert torch.equal(mean_pool(hidden_BTD, mask_BT), mean_pool(filled_BTD, mask_BT))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(mean_pool(filled_BTD, mask_BT)[row], hidden_BTD[row, :length].mean(dim=0))


def test_an_ordinary_mean_is_changed_by_padding() -> None:
    """The planted fault: without its mask the same text has another mean."""
    hidden_BTD = torch.tensor([[[1.0], [3.0], [100.0]]])

    assert mean_pool(hidden_BTD).item() != mean_pool(hidden_BTD, torch.tensor([[1, 1, 0]])).item()


@pytest.mark.parametrize(
    ("shape", "axes"), [((2, 5), ()), ((2, 7, 5), (1,)), ((2, 5, 3, 4), (2, 3))], ids=["pooled", "tokens", "map"]
)
def test_every_form_is_pooled_to_one_vector_an_example(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """Vectors stay, sequences and maps are averaged over positions."""
    hidden = torch.randn(shape)
    expected = hidden.mean(dim=axes) if axes else hidden

    torch.testing.assert_close(mean_pool(hidden), expected)
    assert mean_pool(hidden).shape == (2, 5)


def test_a_mask_of_another_length_is_no_mask() -> None:
    """Patches plus class token against a token mask: the plain mean."""
    hidden = torch.randn(2, 5, 3)

    assert torch.equal(mean_pool(hidden, torch.ones(2, 4)), hidden.mean(dim=1))


def test_the_last_linear_layer_is_the_head_when_its_size_fits() -> None:
    """In order of attributes, only with one output a class."""
    net = LstmClassifier(classes=4)

    assert last_linear(net, 4) is net.head
    assert last_linear(net, 3) is None
    assert last_linear(nn.Conv2d(3, 3, 1), 3) is None
    assert last_linear(NormedCnn(), 3) is not None


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (torch.zeros(2, 1), r"outputs of shape \(B, 1\)"),
        (torch.zeros(2, 3, 5), r"outputs of shape \(B, 3, 5\)"),
        ((torch.zeros(2, 3),), "tuple without logits"),
    ],
    ids=["one output", "a map", "a tuple"],
)
def test_outputs_that_are_not_one_logit_per_class_are_refused(output: object, found: str) -> None:
    """Logits pass, bare or by name; whatever else a network returns is named instead of failing in the loss."""
    model = TaskModel(
        module=nn.Identity(), kind="table", classes=3, head=None, source="Net from nets:net", learning_rate=1
    )
    logits_BC = torch.zeros(2, 3)

    assert model.logits_in(logits_BC) is logits_BC
    assert model.logits_in(SimpleNamespace(logits=logits_BC)) is logits_BC
    with pytest.raises(ModelError, match=f"Net from nets:net returned {found}.* shape .B, 3. are needed"):
        model.logits_in(output)


def test_outputs_of_an_original_head_are_taken_as_they_are() -> None:
    """Where that head is, is asked elsewhere: its network may answer in a shape of its own."""
    model = TaskModel(
        module=nn.Identity(), kind="table", classes=3, head=None, source="Net", learning_rate=1, original=True
    )

    assert model.logits_in(torch.zeros(2, 7)).shape == (2, 7)
