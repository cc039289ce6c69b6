"""Claims about what a block reports beside its size: shared weights, norm layers, work inside containers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from frostline.core.records import Block
from frostline.plan.apply import evaluating, freeze
from frostline.plan.blocks import blocks, call, is_norm
from frostline.plan.flops import flop_counter
from frostline.plan.freeze_plan import FreezePlan
from networks import NETWORKS, VOCABULARY


def found(name: str) -> dict[str, Block]:
    make, example = NETWORKS[name]
    return {block.name: block for block in blocks(make(), example())}


class Towers(nn.Module):
    """A container that is never called itself: its members run one after the other, or side by side."""

    def __init__(self, join: Callable[[nn.ModuleList, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem = nn.Linear(2, 4)
        self.towers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.head = nn.Linear(4, 1)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.join(self.towers, self.stem(x)))
        return answer


def test_a_tied_head_is_named_by_the_block_that_owns_it() -> None:
    """GPT-2's output layer shares the token embedding: freezing `wte` freezes it too, and the block says so."""
    assert found("gpt2, tied head")["wte"].tied == ("lm_head.weight",)
    assert found("gpt2, tied head")["h.0"].tied == ()


def test_both_sides_of_a_shared_weight_name_each_other() -> None:
    """A later block that shares one of its parameters says where else it stands."""
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    one, two = blocks(nn.Sequential(first, second), torch.ones(1, 3))

    assert (one.tied, two.tied) == (("1.weight",), ("0.weight",))
    assert (one.parameters, two.parameters) == (12, 3)


def test_norm_layers_are_listed_by_path() -> None:
    """Batch norm and layer norm alike, wherever they are inside the block."""
    assert found("cnn")["first"].norms == ("first.1",)
    assert found("cnn")["fc"].norms == ()
    assert found("root token")["layers.1"].norms == ("layers.1.norm1", "layers.1.norm2")
    assert found("mixtral")["norm"].norms == ("model.norm",)


def test_custom_norms_count_and_reparametrised_weights_do_not() -> None:
    """A leaf named like a norm is one; weight norm changes a weight and normalises nothing."""

    class ScaleRMSNorm(nn.Module):
        pass

    class NormedBlock(nn.Sequential):
        pass

    class NormalEmbedding(nn.Module):
        pass

    reparametrised = weight_norm(nn.Linear(2, 2))

    assert is_norm(ScaleRMSNorm())
    assert is_norm(nn.SyncBatchNorm(2)) and is_norm(nn.InstanceNorm1d(2)) and is_norm(nn.GroupNorm(1, 2))
    assert not is_norm(NormedBlock(nn.Linear(2, 2))) and not is_norm(NormalEmbedding())
    assert not any(map(is_norm, reparametrised.modules()))


@pytest.mark.parametrize(
    ("join", "outputs"),
    [
        (lambda towers, x: towers[1](towers[0](x)), 1),
        (lambda towers, x: towers[0](x) + towers[1](x), 2),
    ],
)
def test_a_container_costs_what_its_members_cost(join: Callable[..., Tensor], outputs: int) -> None:
    """FLOPs are the sum over its members; it gives out what no other member takes in."""
    _, towers, _ = blocks(Towers(join), torch.ones(5, 2))

    assert towers.name == "towers"
    assert towers.forward_flops == 2 * (5 * 2 * 4 * 4)
    assert towers.output_bytes == outputs * 5 * 4 * 4


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_cost_their_products(kind: type[nn.RNNBase]) -> None:
    """However torch runs them, fused or step by step: twice the weights for each step and example."""
    layer = kind(6, 8, num_layers=2)
    weights = sum(parameter.numel() for parameter in layer.parameters() if parameter.dim() > 1)
    (block,) = blocks(nn.Sequential(layer), torch.ones(5, 3, 6))

    assert block.forward_flops == 2 * 5 * 3 * weights


def test_a_parameter_handed_to_a_module_does_not_disturb_counting() -> None:
    """As some attention layers are given their position table: torch's own tracker of modules fails on it."""

    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.fc = nn.Parameter(torch.ones(3, 2)), nn.Linear(2, 4)

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = x + self.fc(self.table).sum()
            return answer

    assert [(b.name, b.forward_flops) for b in blocks(Given(), torch.ones(1))] == [("table", 0), ("fc", 2 * 3 * 2 * 4)]


class Tables(nn.Module):
    """Tables that are read without being called: by the second layer, by the network itself, and by nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.unread, self.between, self.inside = (nn.Embedding(4, 4) for _ in range(3))
        self.layers = nn.ModuleList(Reading() for _ in range(2))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers[0](x, torch.eye(4)) @ self.between.weight
        answer: Tensor = self.head(self.layers[1](x, self.inside.weight))
        return answer


class Reading(nn.Module):
    """A layer that is lent a table and multiplies by it half-way."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        answer: Tensor = self.down(self.up(x) @ table)
        return answer


def test_weights_read_without_a_call_stand_before_the_block_that_reads_them() -> None:
    """Freezing up to a block must freeze all that it uses; what nobody reads comes last."""
    net = Tables()
    found = blocks(net, torch.ones(1, 4))
    assert [block.name for block in found] == ["layers.0", "between", "inside", "layers.1", "head", "unread"]

    freeze(net, FreezePlan.upto(found, "layers.1"))
    net(torch.ones(1, 4)).sum().backward()
    assert {name for name, p in net.named_parameters() if p.grad is not None} == {"head.weight", "head.bias"}


def test_a_backbone_without_a_stack_is_split_into_its_parts() -> None:
    """ALBERT runs one shared layer over and over: embeddings, encoder and pooler are blocks all the same."""
    config = transformers.AlbertConfig(
        vocab_size=VOCABULARY, embedding_size=8, hidden_size=16, intermediate_size=32, num_attention_heads=2
    )
    net = transformers.AlbertForSequenceClassification(config)
    names = [block.name for block in blocks(net, {"input_ids": torch.arange(8).reshape(2, 4)})]

    assert names == ["embeddings", "encoder", "pooler", "classifier"]


@pytest.mark.parametrize("name", NETWORKS)
def test_no_work_is_counted_twice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks together never cost more than the whole forward pass."""
    # Without hooks torch would take a fused path for its own encoder layers, which no counter sees into.
    monkeypatch.setattr(torch.backends.mha, "_is_fastpath_enabled", False)
    make, example = NETWORKS[name]
    net = make()
    with evaluating(net), torch.no_grad(), flop_counter() as counter:
        call(net, example())

    assert 0 < sum(block.forward_flops for block in blocks(net, example())) <= counter.get_total_flops()
