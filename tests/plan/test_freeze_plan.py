"""Claims about freeze plans: values over named blocks, checked when they are built."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.errors import PlanError
from frostline.core.records import Block
from frostline.plan.apply import freeze, unfreeze
from frostline.plan.blocks import Example, blocks
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.proof import Seal
from networks import NETWORKS, NormedCnn

NAMES = ("stem", "layer.0", "layer.1", "layer.2", "head")
BLOCKS = tuple(Block(name=name, path=name, parameters=100, head=name == "head") for name in NAMES)


def test_plans_are_values() -> None:
    """Two plans over the same blocks are equal, hash alike and cannot be changed."""
    plan = FreezePlan(blocks=NAMES, frozen=frozenset({"stem"}))

    assert plan == FreezePlan.upto(BLOCKS, "stem")
    assert len({plan, FreezePlan.matching(BLOCKS, "stem")}) == 1
    with pytest.raises(AttributeError):
        plan.frozen = frozenset()  # type: ignore[misc]


def test_upto_freezes_both_ends() -> None:
    """`upto` takes the first block, the named one and all between."""
    assert FreezePlan.upto(BLOCKS, "layer.1").frozen_in_order == ("stem", "layer.0", "layer.1")


def test_upto_reads_patterns_to_their_last_block() -> None:
    """`upto` a stack means its last member."""
    assert FreezePlan.upto(BLOCKS, "layer[:2]") == FreezePlan.upto(BLOCKS, "layer.1")


def test_matching_joins_its_patterns() -> None:
    """Several patterns freeze what any of them means; order is that of the blocks."""
    assert FreezePlan.matching(BLOCKS, "layer[-1]", "stem").frozen_in_order == ("stem", "layer.2")


def test_unknown_block_is_refused_with_a_suggestion() -> None:
    """A plan that names a block the model lacks cannot be built."""
    with pytest.raises(PlanError, match=r"no block of that name\. Did you mean 'stem'\?"):
        FreezePlan(blocks=NAMES, frozen=frozenset({"stern"}))


def test_freezing_every_block_is_refused() -> None:
    """A plan that leaves nothing to train cannot be built."""
    with pytest.raises(PlanError, match="nothing is left to train"):
        FreezePlan.upto(BLOCKS, "head")


def test_depth_ends_at_the_first_hole() -> None:
    """Blocks frozen behind a trainable one do not count as depth."""
    plan = FreezePlan.matching(BLOCKS, "stem", "layer.1", "layer.2")

    assert plan.freeze_depth == 1
    assert plan.sentence == "freeze stem, layer.1, layer.2 (3 of 5 blocks)"


@given(st.sets(st.sampled_from(NAMES), max_size=4))
def test_depth_is_the_longest_frozen_prefix(frozen: set[str]) -> None:
    """All blocks before the depth are frozen, the one at it is not."""
    plan = FreezePlan(blocks=NAMES, frozen=frozenset(frozen))
    depth = plan.freeze_depth

    assert frozen.issuperset(NAMES[:depth])
    assert NAMES[depth] not in frozen


@pytest.mark.parametrize(
    ("spared", "words"),
    [("norms", "train only the norm layers and head"), ("biases", "train only the biases and head")],
)
def test_a_plan_that_spares_a_part_of_its_blocks_says_so(spared: Any, words: str) -> None:
    """It is told by what trains; its depth is zero, since no block is wholly frozen."""
    plan = FreezePlan(blocks=NAMES, frozen=frozenset(NAMES[:-1]), spared=spared)

    assert plan.sentence == f"{words} (freeze the rest of 4 of 5 blocks)"
    assert plan.freeze_depth == 0
    assert plan != FreezePlan.upto(BLOCKS, "layer.2")


def test_every_block_may_be_frozen_when_something_is_spared() -> None:
    """A network without a head still trains its norm layers."""
    plan = FreezePlan(blocks=NAMES, frozen=frozenset(NAMES), spared="norms")

    assert plan.sentence == "train only the norm layers (freeze the rest of 5 of 5 blocks)"


def test_sparing_needs_frozen_blocks_and_a_known_part() -> None:
    """What would mean nothing cannot be built."""
    with pytest.raises(PlanError, match="freezes no block"):
        FreezePlan(blocks=NAMES, spared="norms")
    with pytest.raises(PlanError, match="Did you mean 'norms'"):
        FreezePlan(blocks=NAMES, frozen=frozenset({"stem"}), spared="norm")  # type: ignore[arg-type]


# ---------------------------------------------------------------- plans that spare, applied


def images(seed: int = 0) -> Tensor:
    return torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


def sparing(net: nn.Module, example: Example, spared: Any) -> FreezePlan:
    found = blocks(net, example)
    body = frozenset(block.name for block in found if not block.head)
    return FreezePlan(blocks=tuple(block.name for block in found), frozen=body, spared=spared)


def trained(net: nn.Module) -> set[str]:
    return {name for name, parameter in net.named_parameters() if parameter.requires_grad}


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
CNN_TRAINS = {
    "norms": {"first.1.weight", "first.1.bias", "second.1.weight", "second.1.bias", "fc.weight", "fc.bias"},
    "biases": {"first.0.bias", "first.1.bias", "second.0.bias", "second.1.bias", "fc.weight", "fc.bias"},
}


@pytest.mark.parametrize("spared", ["norms", "biases"])
def test_what_is_spared_trains_and_all_else_stays_bit_identical(spared: str) -> None:
    """Five steps move what is spared, the head, and the statistics of norm layers that train; nothing else."""
    net = NormedCnn()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
    freeze(net, sparing(net, images(), spared), optimizer=optimizer)
    seal, before = Seal.of(net), {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for step in range(5):
        net.train().requires_grad_(True)  # what loops do, and what must not wake it
        functional.cross_entropy(net(images(step)), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    statistics = {f"{norm}.{name}" for norm in ("first.1", "second.1") for name in STATISTICS}

    proof = seal.compare(net, optimizer)
    assert (proof.changed, proof.optimizer_holds, proof.training_mode) == ((), (), ())
    assert moved == CNN_TRAINS[spared] | statistics
    assert [part.training for part in net.first] == [False, True, False, False]


def test_the_seal_sees_a_frozen_weight_that_moves() -> None:
    """The planted fault: one convolution's weight written to beside its bias that trains."""
    net = NormedCnn()
    freeze(net, sparing(net, images(), "biases"))
    seal = Seal.of(net)
    with torch.no_grad():
        net.first[0].weight.add_(1)

    assert seal.compare(net).changed == ("first.0.weight",)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_trains_what_an_independent_count_finds(name: str) -> None:
    """Norm layers by the name of their class; biases by the name of the parameter; and the head."""
    make, example = NETWORKS[name]
    norms, biases = make(), make()
    head = {n for b in blocks(norms, example()) if b.head for n, _ in norms.named_parameters() if n.startswith(b.path)}
    if normed := {f"{p}.{n}" for p, m in norms.named_modules() if "Norm" in type(m).__name__ for n in m._parameters}:
        freeze(norms, sparing(norms, example(), "norms"))
        assert trained(norms) == head | {n for n in normed if n in dict(norms.named_parameters())}
    named = {n for n, _ in biases.named_parameters() if "bias" in n.split(".")[-1] and not n.endswith("table")}
    if named:
        freeze(biases, sparing(biases, example(), "biases"))
        assert trained(biases) == head | named


def test_dropout_beside_norm_layers_that_train_is_off() -> None:
    """In training mode a transformer layer answers the same twice, its attention's own dropout included."""
    make, example = NETWORKS["bert classifier"]
    net = make()
    freeze(net, sparing(net, example(), "norms")).train()

    assert torch.equal(net.bert(**example())[0], net.bert(**example())[0])
    assert not torch.equal(make().train().bert(**example())[0], make().train().bert(**example())[0])


@pytest.mark.parametrize(("spared", "lacks"), [("norms", "no norm layer"), ("biases", "no bias")])
def test_sparing_what_the_blocks_lack_is_refused(spared: str, lacks: str) -> None:
    """Nothing would train but the head; the network is left as it was."""
    net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2))
    with pytest.raises(PlanError, match=lacks):
        freeze(net, sparing(net, torch.ones(1, 2), spared))

    assert len(trained(net)) == 3


def test_unfreeze_ends_it() -> None:
    """Everything trains again and is awake."""
    net = NormedCnn()
    unfreeze(freeze(net, sparing(net, images(), "norms")).train())

    assert trained(net) == {name for name, _ in net.named_parameters()}
    assert all(part.training for part in net.modules())
