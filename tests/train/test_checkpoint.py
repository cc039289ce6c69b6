"""Claims about stored weights: only what trained, bound to its base model, refused when torn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from frostline.core.errors import StudyError
from frostline.plan.apply import freeze
from frostline.plan.blocks import call
from frostline.train.checkpoint import Checkpoints, load_chosen_weights, save_chosen, trained_tensors
from frostline.train.optim import make_optimizer
from frostline.train.recipe import Recipe
from networks import NETWORKS, bag_model

FROZEN = ("embedding", "first")


def trained(seed: int = 0) -> nn.Module:
    """A network whose free part was moved, statistics included."""
    net = freeze(bag_model(seed=seed).module, *FROZEN)
    with torch.no_grad():
        for tensor in trained_tensors(net).values():
            tensor.add_(1)
    return net


def test_only_what_trains_is_stored(tmp_path: Path) -> None:
    """Trained parameters and the norm statistics beside them; nothing of a frozen block."""
    save_chosen(tmp_path / "chosen.safetensors", trained())

    assert {name.split(".")[0] for name in load_file(tmp_path / "chosen.safetensors")} == {"second", "head"}
    assert "second.1.running_mean" in load_file(tmp_path / "chosen.safetensors")


def test_a_tied_weight_that_is_frozen_is_not_stored() -> None:
    """A head tied to frozen embeddings is frozen under both of its names."""
    net = freeze(NETWORKS["gpt2, tied head"][0](), "wte")

    assert not {"transformer.wte.weight", "lm_head.weight"} & set(trained_tensors(net))


def test_a_tied_weight_that_trains_comes_back_tied(tmp_path: Path) -> None:
    """Stored and loaded into a fresh copy, the network answers the same."""
    make, example = NETWORKS["gpt2, tied head"]
    torch.manual_seed(0)
    net = make().eval()
    freeze(net, "h[0]")
    torch.manual_seed(0)
    fresh = freeze(make().eval(), "h[0]")
    with torch.no_grad():
        net.transformer.wte.weight.add_(0.1)
    save_chosen(tmp_path / "chosen.safetensors", net)
    load_chosen_weights(tmp_path / "chosen.safetensors", fresh)
    with torch.no_grad():
        assert torch.equal(call(fresh, example()).logits, call(net, example()).logits)


def test_the_chosen_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    """Base model plus stored part is the trained model."""
    net = trained()
    save_chosen(tmp_path / "chosen.safetensors", net)
    fresh = freeze(bag_model().module, *FROZEN)
    load_chosen_weights(tmp_path / "chosen.safetensors", fresh)

    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in fresh.state_dict().items())


@pytest.mark.parametrize("frozen", [("embedding", "first"), ("embedding",)])
def test_another_base_model_is_refused(tmp_path: Path, frozen: tuple[str, ...]) -> None:
    """Weights trained on one body are not put on another body, nor on another plan."""
    save_chosen(tmp_path / "chosen.safetensors", trained())
    other = freeze(bag_model(seed=int(frozen == FROZEN)).module, *frozen)
    with pytest.raises(StudyError, match="belongs to another base model"):
        load_chosen_weights(tmp_path / "chosen.safetensors", other)


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    """Half a file is a sentence, for the chosen weights and for a checkpoint."""
    path = tmp_path / "chosen.safetensors"
    save_chosen(path, trained())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StudyError, match="cannot be read"):
        load_chosen_weights(path, trained())

    checkpoints = Checkpoints(tmp_path, "full-seed-0")
    with pytest.raises(StudyError, match=r"checkpoint .*epoch-3\.safetensors cannot be read"):
        checkpoints.load(checkpoints.path(3), trained())


def test_a_checkpoint_moves_nothing_frozen(tmp_path: Path) -> None:
    """Loading restores what trains, and leaves the frozen part to the model at hand."""
    net = trained()
    checkpoints = Checkpoints(tmp_path, "depth-2-seed-0")
    checkpoints.save(checkpoints.path(1), net, make_optimizer(net, None, Recipe(), 0.1))
    other = freeze(bag_model(seed=5).module, *FROZEN)
    embedding = other.get_parameter("embedding.weight").clone()
    checkpoints.load(checkpoints.path(1), other)

    assert torch.equal(other.get_parameter("head.weight"), net.get_parameter("head.weight"))
    assert torch.equal(other.get_parameter("embedding.weight"), embedding)
