"""Claims about blocks: every network is cut into named units, each parameter once, in execution order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from frostline.core.errors import ModelError
from frostline.core.records import Block
from frostline.plan.apply import freeze
from frostline.plan.blocks import blocks
from frostline.plan.freeze_plan import FreezePlan
from networks import NETWORKS

EXPECTED = {
    "bert": "embeddings encoder.layer.0 encoder.layer.1 pooler",
    "bert classifier": "embeddings encoder.layer.0 encoder.layer.1 pooler classifier",
    "distilbert": "embeddings transformer.layer.0 transformer.layer.1 pre_classifier classifier",
    "gpt2, tied head": "wte wpe h.0 h.1 ln_f",
    "t5 encoder": "encoder.embed_tokens encoder.block.0 encoder.block.1 encoder.final_layer_norm",
    "mixtral": "embed_tokens layers.0 layers.1 norm lm_head",
    "vit": "embeddings layers.0 layers.1 layernorm classifier",
    "resnet": "embedder encoder.stages.0.layers.0 encoder.stages.0.layers.1 "
    "encoder.stages.1.layers.0 encoder.stages.1.layers.1 classifier",
    "convnext": "embeddings encoder.stages.0.layers.0 encoder.stages.0.layers.1 encoder.stages.1.downsampling_layer "
    "encoder.stages.1.layers.0 encoder.stages.1.layers.1 layernorm classifier",
    "swin": "embeddings encoder.layers.0.blocks.0 encoder.layers.0.blocks.1 encoder.layers.0.downsample "
    "encoder.layers.1.blocks.0 encoder.layers.1.blocks.1 layernorm classifier",
    "cnn": "first second fc",
    "lstm": "embedding lstm head",
    "root token": "token patches layers.0 layers.1 layers.2 head",
    "mixture of experts": "embedding layers.0 layers.1 head",
    "bag of tokens": "embedding first second head",
}
HEADS = {
    "bert classifier": "classifier",
    "distilbert": "classifier",
    "gpt2, tied head": None,
    "mixtral": "lm_head",
    "vit": "classifier",
    "resnet": "classifier",
    "convnext": "classifier",
    "swin": "classifier",
    "cnn": "fc",
    "lstm": "head",
    "root token": "head",
    "mixture of experts": "head",
    "bag of tokens": "head",
}
every_network = pytest.mark.parametrize("name", NETWORKS)


@every_network
def test_blocks_stand_in_execution_order(name: str) -> None:
    """Stacks are split into their members, what stands around them is a block each, all as they run."""
    make, example = NETWORKS[name]

    assert [block.name for block in blocks(make(), example())] == EXPECTED[name].split()


@every_network
def test_every_parameter_is_in_exactly_one_block(name: str) -> None:
    """Freezing the blocks one by one freezes every parameter, each with one block only (tied ones the first)."""
    make, example = NETWORKS[name]
    net = make()
    newly = [(block.parameters, _newly_frozen(net, block)) for block in blocks(net, example())]

    assert all(counted == frozen for counted, frozen in newly)
    assert not any(parameter.requires_grad for parameter in net.parameters())


@every_network
def test_freezing_by_name_freezes_what_the_block_counts(name: str) -> None:
    """A plan's name leads back to the very module or parameter: prefixes left out of it change nothing."""
    make, example = NETWORKS[name]
    found = blocks(make(), example())
    names = tuple(block.name for block in found)
    for block in found:
        net = freeze(make(), FreezePlan(blocks=names, frozen=frozenset({block.name})))
        frozen = sum(p.numel() for p in net.parameters() if not p.requires_grad)
        assert frozen == block.parameters, block.name


@pytest.mark.parametrize("name", HEADS)
def test_head_is_the_block_that_gives_the_answer(name: str) -> None:
    """The block that runs last is the head; a head tied to the embeddings is no block of its own."""
    make, example = NETWORKS[name]

    assert next((block.name for block in blocks(make(), example()) if block.head), None) == HEADS[name]


@every_network
def test_looking_changes_nothing(name: str) -> None:
    """Modes, hooks, weights and statistics are as before."""
    make, example = NETWORKS[name]
    net = make().train()
    next(iter(net.children())).eval()
    modes = [module.training for module in net.modules()]
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    blocks(net, example())

    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


def test_modes_and_hooks_are_restored_when_the_example_does_not_fit() -> None:
    """A call that raises leaves the network as it was."""
    net = nn.Sequential(nn.Linear(2, 3), nn.Dropout()).train()
    with pytest.raises(RuntimeError):
        blocks(net, torch.ones(1, 7))

    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


class _Renamed(nn.Module):
    """The same computation with its attributes in another order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.parts = {"a": nn.Linear(2, 3), "b": nn.Linear(3, 4), "c": nn.Linear(4, 2)}
        for name in names:
            self.add_module(name, self.parts[name])

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts.values():
            x = part(x)
        return x


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_order_of_attributes_does_not_matter(order: str) -> None:
    """Blocks follow the call, whatever `__init__` did first."""
    assert [block.name for block in blocks(_Renamed(tuple(order)), torch.ones(1, 2))] == ["a", "b", "c"]


def test_flops_and_output_bytes_are_those_of_the_example() -> None:
    """A linear layer costs two operations per weight and example, and gives four bytes per output."""
    first, second = blocks(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5)), torch.ones(7, 2))

    assert (first.forward_flops, second.forward_flops) == (7 * 2 * 2 * 3, 7 * 2 * 3 * 5)
    assert (first.output_bytes, second.output_bytes) == (7 * 3 * 4, 7 * 5 * 4)


def test_parts_that_never_run_come_last() -> None:
    """Every parameter is listed, even one that this example does not reach; it is never the head."""

    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spare, self.used = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            used: Tensor = self.used(x)
            return used

    assert [(b.name, b.head) for b in blocks(Spare(), torch.ones(1, 2))] == [("used", True), ("spare", False)]


def test_weights_used_without_calling_their_module_are_blocks_too() -> None:
    """A network that reads its children's weights by hand has blocks and no head that could be told."""

    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.fc.weight

    assert [(b.name, b.head) for b in blocks(ByHand(), torch.ones(1, 2))] == [("fc", False)]


def test_a_network_without_parameters_is_refused() -> None:
    """Nothing to freeze is said in a sentence."""
    with pytest.raises(ModelError, match="ReLU has no parameters"):
        blocks(nn.ReLU(), torch.ones(1))


def _newly_frozen(net: nn.Module, block: Block) -> int:
    fresh = [parameter for parameter in _parameters_at(net, block.path) if parameter.requires_grad]
    for parameter in fresh:
        parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in fresh)


def _parameters_at(net: nn.Module, path: str) -> Iterator[nn.Parameter]:
    modules = dict(net.named_modules(remove_duplicate=False))
    if path in modules:
        yield from modules[path].parameters()
    else:
        yield net.get_parameter(path)
