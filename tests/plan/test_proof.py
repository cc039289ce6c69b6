"""Claims about the proof: it finds every way in which a freeze can break, and is silent when none did."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from frostline.plan.apply import freeze, unfreeze
from frostline.plan.proof import Seal, model_sha256, tensor_sha256
from networks import NormedCnn


def sealed() -> tuple[nn.Module, Seal]:
    net = freeze(NormedCnn(), "first")
    return net, Seal.of(net)


def stepped(net: nn.Module, parameters: list[nn.Parameter] | None = None) -> torch.optim.Optimizer:
    """One training step over the parameters given, else over those that train."""
    optimizer = torch.optim.AdamW(parameters or [p for p in net.parameters() if p.requires_grad])
    net.train()
    net(torch.ones(2, 3, 6, 6)).sum().backward()
    optimizer.step()
    return optimizer


def test_a_clean_run_is_proven() -> None:
    """Training what is not frozen leaves the seal whole."""
    net, seal = sealed()
    proof = seal.compare(net, stepped(net))

    assert proof.holds
    assert proof.sha256_before == proof.sha256_after
    assert proof.frozen_tensors == 7  # weight and bias of both layers, and three statistics


def test_full_fine_tuning_has_nothing_to_prove() -> None:
    """Without anything frozen the proof holds and says that it covers no tensor."""
    net = NormedCnn()
    proof = Seal.of(net).compare(net, stepped(net))

    assert (proof.holds, proof.frozen_tensors) == (True, 0)


@pytest.mark.parametrize("name", ["first.0.weight", "first.1.running_var", "first.1.num_batches_tracked"])
def test_a_changed_tensor_is_named(name: str) -> None:
    """One element of a frozen parameter or buffer, changed by one unit in the last place, breaks the seal."""
    net, seal = sealed()
    tensor = net.state_dict()[name]
    flat = tensor.view(-1)
    flat[:1] = flat[:1] + 1 if name.endswith("tracked") else torch.nextafter(flat[:1], torch.tensor(9.0))
    proof = seal.compare(net)

    assert proof.changed == (name,)
    assert not proof.holds
    assert proof.sha256_before != proof.sha256_after


def test_a_tensor_that_was_unfrozen_counts_as_changed() -> None:
    """What was free to move is no evidence, even when it did not move."""
    net, seal = sealed()
    unfreeze(net, "first.0.bias")

    assert "first.0.bias" in seal.compare(net).changed


def test_a_frozen_parameter_in_the_optimizer_is_named() -> None:
    """An optimizer that holds a frozen parameter could decay it."""
    net, seal = sealed()
    proof = seal.compare(net, stepped(net, list(net.parameters())))

    assert set(proof.optimizer_holds) == {"first.0.weight", "first.0.bias", "first.1.weight", "first.1.bias"}
    assert not proof.holds


def test_a_frozen_module_that_lost_its_hold_is_named() -> None:
    """Dropout has no tensor that could change: that it is free to run in training mode is caught all the same."""
    net, seal = sealed()
    net.first[3]._forward_pre_hooks.clear()
    proof = seal.compare(net, stepped(net))

    assert proof.training_mode == ("first.3",)
    assert not proof.changed
    assert not proof.holds


def test_evaluating_between_steps_does_not_look_like_a_broken_freeze() -> None:
    """`eval()` and `train()` around a step change modes but not the hold: the proof stays silent."""
    net, seal = sealed()
    optimizer = stepped(net)
    net.eval()
    net.train()

    assert seal.compare(net, optimizer).holds


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3, 2)])
def test_every_type_and_shape_hashes(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """Half precision, scalars and empty tensors are hashed by content."""
    tensor = torch.zeros(shape, dtype=dtype)

    assert tensor_sha256(tensor) == tensor_sha256(tensor.clone())
    if tensor.numel():
        assert tensor_sha256(tensor) != tensor_sha256(torch.ones(shape, dtype=dtype))


def test_hash_knows_shape_and_type() -> None:
    """The same bytes in another shape or type are another tensor."""
    zeros = torch.zeros(4, dtype=torch.int32)
    hashes = {tensor_sha256(t) for t in (zeros, zeros.view(2, 2), zeros.float(), zeros[:3])}

    assert len(hashes) == 4


@given(st.permutations(range(3)))
def test_hash_reads_content_not_memory(order: list[int]) -> None:
    """A tensor that lies otherwise in memory but holds the same hashes the same."""
    tensor: Tensor = torch.arange(24.0).reshape(2, 3, 4).permute(order)

    assert tensor_sha256(tensor) == tensor_sha256(tensor.contiguous())


def test_model_hash_changes_with_any_weight() -> None:
    """Two copies hash alike until one number differs."""
    net, other = NormedCnn(), NormedCnn()
    other.load_state_dict(net.state_dict())
    assert model_sha256(net) == model_sha256(other)

    other.fc.bias.data[0] += 1
    assert model_sha256(net) != model_sha256(other)
