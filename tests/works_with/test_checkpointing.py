"""Claims about gradient checkpointing over a frozen bottom: the top gets the gradients it would get without."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import BertForSequenceClassification

from frostline.plan.apply import freeze
from frostline.plan.proof import Seal
from networks import bert_config

Run = Callable[[nn.Module, Tensor], Tensor]


def network() -> nn.Sequential:
    """A bottom with norm and dropout, a middle that is checkpointed with it, and a head."""
    torch.manual_seed(0)
    bottom = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
    return nn.Sequential(nn.Sequential(bottom, nn.Linear(6, 6), nn.Tanh()), nn.Linear(6, 2))


def plainly(part: nn.Module, x: Tensor) -> Tensor:
    output: Tensor = part(x)
    return output


def reentrant(part: nn.Module, x: Tensor) -> Tensor:
    output: Tensor = checkpoint(part, x, use_reentrant=True)
    return output


def non_reentrant(part: nn.Module, x: Tensor) -> Tensor:
    output: Tensor = checkpoint(part, x, use_reentrant=False)
    return output


def gradients(run: Run, *, input_requires_grad: bool = False) -> dict[str, Tensor | None]:
    net = freeze(network(), "0.0").train()
    seal = Seal.of(net)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)).requires_grad_(input_requires_grad)
    net[1](run(net[0], x)).square().sum().backward()  # type: ignore[index]
    assert seal.compare(net).holds
    return {name: parameter.grad for name, parameter in net.named_parameters()}


@pytest.mark.parametrize("inputs", [False, True])
def test_without_reentrance_nothing_more_is_needed(inputs: bool) -> None:
    """`use_reentrant=False`: the same gradients as without checkpointing, bit for bit, and none for the frozen part."""
    expected = gradients(plainly)
    found = gradients(non_reentrant, input_requires_grad=inputs)
    trained = ["0.1.weight", "0.1.bias", "1.weight", "1.bias"]

    assert [name for name, gradient in found.items() if gradient is not None] == trained
    assert all(torch.equal(found[name], expected[name]) for name in trained)  # type: ignore[arg-type]


def test_reentrant_checkpointing_needs_an_input_that_requires_a_gradient() -> None:
    """`use_reentrant=True`: without one the checkpointed layers silently get no gradient; with one, all of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of just this
        without = gradients(reentrant)
    found, expected = gradients(reentrant, input_requires_grad=True), gradients(plainly)

    assert without["0.1.weight"] is None and without["1.weight"] is not None
    assert all((found[n] is None) == (expected[n] is None) for n in expected)
    assert torch.equal(found["0.1.weight"], expected["0.1.weight"])  # type: ignore[arg-type]


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_transformers_checkpoints_over_frozen_embeddings(use_reentrant: bool) -> None:
    """Its own switch works over frozen embeddings; the reentrant kind needs `enable_input_require_grads()`."""
    torch.manual_seed(0)
    net = BertForSequenceClassification(bert_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    freeze(net, "embeddings", "encoder.layer.0").train()
    # Renamed within version 5 of transformers.
    enable = getattr(net, "activation_checkpointing_enable", None) or net.gradient_checkpointing_enable
    enable({"use_reentrant": use_reentrant})
    if use_reentrant:
        net.enable_input_require_grads()
    seal = Seal.of(net)
    ids = torch.arange(16).reshape(2, 8)
    net(input_ids=ids, labels=torch.tensor([0, 1])).loss.backward()

    assert all((p.grad is not None) == p.requires_grad for p in net.parameters())
    assert seal.compare(net).holds
