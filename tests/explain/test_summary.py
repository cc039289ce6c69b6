"""Claims about the summary: what it measures is what a step costs, what it says is why, and it changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from frostline.core.errors import ModelError, PlanError
from frostline.explain.step_cost import OUTSIDE, step_costs
from frostline.explain.summary import Summary, summary
from frostline.models.tensors import tensors_in
from frostline.plan.apply import freeze
from frostline.plan.blocks import blocks, call
from frostline.plan.flops import flop_counter
from networks import NETWORKS, BagOfTokens, NormedCnn, RootToken

EXAMPLES, WIDTH = 8, 16
PRODUCT = 2 * EXAMPLES * WIDTH * WIDTH
"""FLOPs of a batch times one square weight: the forward pass of a layer, or either half of its backward."""


def stack(depth: int = 4) -> nn.Sequential:
    """Square layers of equal cost, each behind a tanh that keeps its output."""
    layers = [nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()) for _ in range(depth)]
    return nn.Sequential(*layers)


def batch() -> Tensor:
    return torch.randn(EXAMPLES, WIDTH, generator=torch.Generator().manual_seed(0))


def said(shown: Summary) -> str:
    return " ".join(shown.answers)


# ---------------------------------------------------------------- what is measured


def test_a_leading_freeze_saves_the_whole_backward_below_and_one_input_gradient() -> None:
    """Four equal layers cost 4 + 8 - 1 products; with two frozen, 4 + 4 - 1 are left: by hand and measured."""
    shown = summary(freeze(stack(), "0", "1"), batch())

    assert shown.saving is not None
    assert shown.saving.saved_share == pytest.approx(4 / 11)
    assert shown.saving.below_share == pytest.approx(4 / 11)
    assert shown.saving.weight_gradient_share == 0
    assert shown.saving.forward_share == pytest.approx(4 / 11)
    assert shown.saving.replayable_share == pytest.approx(2 / 11)


def test_a_freeze_above_a_trainable_block_saves_weight_gradients_only() -> None:
    """The first of four layers trains, the next two are frozen: two products less, none of them below."""
    shown = summary(freeze(stack(), "1", "2"), batch())

    assert shown.saving is not None
    assert (shown.saving.below_share, shown.saving.weight_gradient_share) == (0, pytest.approx(2 / 11))
    assert shown.saving.frozen_above == ("1", "2")
    assert "down to '0', the lowest that trains, through '1' and 1 more, frozen above it" in said(shown)


def test_each_block_is_billed_its_own_work() -> None:
    """Forward one product each; backward two, one for a frozen block on the way, none below."""
    frozen, full = step_costs(freeze(stack(), "0", "2"), batch(), ["0", "1", "2", "3"])

    assert [frozen[path].forward_flops for path in "0123"] == [PRODUCT] * 4
    assert [frozen[path].backward_flops for path in "0123"] == [0, PRODUCT, PRODUCT, 2 * PRODUCT]
    assert [full[path].backward_flops for path in "0123"] == [PRODUCT, 2 * PRODUCT, 2 * PRODUCT, 2 * PRODUCT]


def test_activation_bytes_are_what_the_graph_keeps() -> None:
    """Tanh keeps its output; a linear layer keeps its input only for a weight gradient; below the cut, nothing."""
    frozen, full = step_costs(freeze(stack(), "0", "2"), batch(), ["0", "1", "2", "3"])
    one = EXAMPLES * WIDTH * 4

    # Layer 1 keeps its input, which layer 0 made, and its tanh; layer 2 its tanh; layer 3 shares layer 2's output.
    assert [frozen[path].activation_bytes for path in "0123"] == [0, 2 * one, one, one]
    assert sum(cost.activation_bytes for cost in full.values()) == 5 * one


@pytest.mark.parametrize("name", NETWORKS)
def test_bills_add_up_to_the_whole_step(name: str) -> None:
    """For every network: blocks and the rest together cost what a plain counter counts around one step."""
    make, example = NETWORKS[name]
    net = make().train()
    first, *_ = found = blocks(net, example())
    freeze(net, first.path)
    costs, _ = step_costs(net, example(), [block.path for block in found])
    copy = deepcopy(net)
    with flop_counter() as counter:
        parts = [t.sum() for t in tensors_in(call(copy, example())) if t.requires_grad]
        forward = counter.get_total_flops()
        torch.stack(parts).sum().backward()

    assert sum(cost.forward_flops for cost in costs.values()) == forward
    assert sum(cost.backward_flops for cost in costs.values()) == counter.get_total_flops() - forward
    assert costs[first.path].backward_flops == 0


@pytest.mark.parametrize("name", ["bert classifier", "gpt2, tied head", "swin", "mixture of experts", "root token"])
def test_full_fine_tuning_bills_every_block_twice_its_forward(name: str) -> None:
    """Oracle: a layer's backward is two products for each of its forward; only the first has no input gradient."""
    make, example = NETWORKS[name]
    net = make()
    paths = [block.path for block in blocks(net, example())]
    _, full = step_costs(net, example(), paths)
    heavy = [path for path in paths if full[path].forward_flops][1:]

    for path in heavy:
        assert 2.0 <= full[path].backward_flops / full[path].forward_flops <= 2.6, path
    assert OUTSIDE in full


def test_checkpointed_blocks_pay_their_forward_twice() -> None:
    """What gradient checkpointing computes again in the backward pass is billed to the block it belongs to."""

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = stack(2), nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.head(checkpoint(self.body, x, use_reentrant=False))
            return answer

    costs, _ = step_costs(Checkpointed(), batch(), ["body", "head"])

    assert (costs["body"].forward_flops, costs["head"].backward_flops) == (2 * PRODUCT, 2 * PRODUCT)
    # Two layers need three products backward; torch stops recomputing at the last tensor it needs, the second tanh.
    assert costs["body"].backward_flops == 3 * PRODUCT + 2 * PRODUCT
    assert costs["body"].activation_bytes <= EXAMPLES * WIDTH * 4


def test_optimizer_state_is_counted_by_block() -> None:
    """AdamW keeps two moments and a step count per tensor; before its first step there is nothing to count."""
    net = freeze(stack(2), "0")
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad])
    before = summary(net, batch(), optimizer=optimizer)
    net(batch()).sum().backward()
    optimizer.step()
    after = summary(net, batch(), optimizer=optimizer)

    assert [row.cost.optimizer_bytes for row in before.rows if row.cost] == [None, None]
    moments = 2 * 4 * (WIDTH * WIDTH + WIDTH)
    assert [row.cost.optimizer_bytes for row in after.rows if row.cost] == [0, moments + 2 * 4]


def test_a_partly_frozen_block_is_neither() -> None:
    """Frozen biases leave a block that trains in part."""
    shown = summary(freeze(stack(2), "*.bias"), batch())

    assert [(row.frozen, row.trainable) for row in shown.rows] == [(False, WIDTH * WIDTH)] * 2
    assert "partly" in repr(shown)


# ---------------------------------------------------------------- it changes nothing


def state_of(net: nn.Module) -> Iterator[object]:
    yield {name: tensor.clone() for name, tensor in net.state_dict().items()}
    yield {name: None if p.grad is None else p.grad.clone() for name, p in net.named_parameters()}
    yield {name: p.requires_grad for name, p in net.named_parameters()}
    yield {name: m.training for name, m in net.named_modules()}
    yield {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in net.named_modules()}
    yield {"": torch.get_rng_state()}


def unchanged(before: list[object], after: list[object]) -> bool:
    def same(one: object, other: object) -> bool:
        return torch.equal(one, other) if isinstance(one, Tensor) and isinstance(other, Tensor) else one == other

    return all(a.keys() == b.keys() and all(same(a[k], b[k]) for k in a) for a, b in zip(before, after, strict=True))  # type: ignore[attr-defined]


FIRST = {"cnn": "first", "bag of tokens": "embedding", "bert classifier": "embeddings", "root token": "token"}


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("training", [True, False])
def test_looking_leaves_no_trace(name: str, training: bool) -> None:
    """Weights, statistics, gradients, modes, hooks and the random state are as before, in either mode."""
    make, example = NETWORKS[name]
    net = freeze(make().train(training), FIRST[name])
    sum(t.sum() for t in tensors_in(call(net, example())) if t.requires_grad).backward()  # type: ignore[union-attr]
    before = list(state_of(net))
    summary(net, example())

    assert unchanged(before, list(state_of(net)))


def test_hooks_of_an_optimizer_do_not_fire() -> None:
    """An optimizer that steps as soon as a gradient is there does not step because of a summary."""
    net, fired = stack(2), []
    for parameter in net.parameters():
        parameter.register_post_accumulate_grad_hook(fired.append)
    summary(net, batch())

    assert not fired


# ---------------------------------------------------------------- what it says


def test_nothing_frozen_and_nothing_trained_are_said() -> None:
    """Both ends of the scale have a sentence of their own."""
    assert "costs 100.0% of full fine-tuning's FLOPs: the freeze spares no compute" in said(summary(stack(), batch()))
    assert "Nothing trains" in said(summary(freeze(stack(), "*"), batch()))


def test_shares_are_undefined_where_the_work_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An LSTM whose kernel counts as nothing, as on accelerators: no share is made up."""
    monkeypatch.setattr("frostline.plan.flops._recurrent_forward", lambda *shapes, **options: 0)
    make, example = NETWORKS["lstm"]
    shown = summary(freeze(make(), "embedding"), example())

    assert all(row.cost is not None and row.cost.forward_share is None for row in shown.rows)
    assert shown.saving is not None and shown.saving.saved_share is None
    assert "the recurrent layer 'lstm' runs fused" in said(shown)


def test_the_loader_bounds_what_a_freeze_can_give() -> None:
    """Half the time waiting: the other half shrinks by what is saved."""
    shown = summary(freeze(stack(), "0", "1"), batch(), loader_share=0.5)

    assert f"at best, if time goes by FLOPs, a step takes {0.5 + 0.5 * 7 / 11:.1%} of its time" in said(shown)
    assert said(summary(stack(), loader_share=0.25)) == (
        "Waiting for data takes 25.0% of a full fine-tuning step, which no freeze shortens."
    )


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_loader_share_is_a_fraction(share: float) -> None:
    """Percentages and nonsense are refused."""
    with pytest.raises(PlanError, match="fraction from 0 to 1"):
        summary(stack(), loader_share=share)


def test_an_optimizer_that_still_holds_frozen_parameters_is_named() -> None:
    """Late freeze: the optimizer made before it keeps the parameters and their state; a new one holds neither."""
    net = stack(2)
    late = torch.optim.AdamW(net.parameters())
    net(batch()).sum().backward()
    late.step()
    freeze(net, "0")
    clean = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad])
    state = 2 * 4 * (WIDTH * WIDTH + WIDTH) + 2 * 4

    assert f"still holds '0.0.weight' and 1 more, frozen, with {state / 1000:.2f} kB of state" in said(
        summary(net, optimizer=late)
    )
    assert not summary(net, optimizer=clean).answers


def test_norms_that_still_move_are_named() -> None:
    """Frozen by `requires_grad` alone, batch norm moves on: said. Frozen by `freeze`, it is held: silence."""
    leaky, sound = NormedCnn(), freeze(NormedCnn(), "first")
    leaky.first.requires_grad_(False)
    bare = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False)).requires_grad_(False)

    assert "still move: 'first.1' is not held" in said(summary(leaky))
    assert "still move: '1' is not held" in said(summary(bare))
    assert not summary(sound).answers


def test_an_example_that_does_not_fit_is_a_sentence() -> None:
    """A batch of one under batch norm, or a wrong shape: what was asked and what to give, no traceback."""
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with pytest.raises(ModelError, match=r"A training step of Sequential .*\. Give an example .* two rows or more"):
        summary(net, torch.ones(1, 2))
    with pytest.raises(ModelError, match="Sequential"):
        summary(net, torch.ones(4, 7))


# ---------------------------------------------------------------- how it looks


class Long(nn.Module):
    """Names longer than any page is wide, with characters that HTML would take for tags."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("<b>" + 40 * "very_" + "long", stack(3))

    def forward(self, x: Tensor) -> Tensor:
        for child in self.children():
            x = child(x)
        return x


@pytest.mark.parametrize("make", [Long, RootToken, BagOfTokens])
def test_text_fits_100_columns(make: type[nn.Module]) -> None:
    """However long the names are; the end of a name is kept."""
    example = {Long: batch(), RootToken: torch.ones(2, 3, 4), BagOfTokens: (torch.ones(2, 3, dtype=torch.long),) * 2}
    net = make()
    for shown in (summary(net), summary(net, example[make], loader_share=0.1)):
        assert max(map(len, repr(shown).splitlines())) <= 100
        assert all(row.name[-8:] in repr(shown) for row in shown.rows)


def test_html_escapes_names_and_says_what_the_text_says() -> None:
    """A module named like a tag stays text; every answer is an item."""
    shown = summary(freeze(Long(), "*.0"), batch())
    html = shown._repr_html_()

    assert "<b>" not in html and "&lt;b&gt;" in html
    assert html.count("<li>") == len(shown.answers) > 0
    assert html.count("<tr>") == len(shown.rows) + 1
    assert re.findall(r"<th scope=col>(\w+)</th>", html)[:3] == ["block", "state", "parameters"]


def test_summary_counts_what_trains() -> None:
    """Rows are the largest parts in one state, and every parameter is counted once."""
    shown = summary(freeze(RootToken(), "patches", "layers[:2]"))

    assert [(row.name, row.frozen) for row in shown.rows] == [
        ("token", False),
        ("patches", True),
        ("layers.0", True),
        ("layers.1", True),
        ("layers.2", False),
        ("head", False),
    ]
    assert shown.total == sum(parameter.numel() for parameter in RootToken().parameters())
    assert "<th scope=col>part</th>" in shown._repr_html_()
