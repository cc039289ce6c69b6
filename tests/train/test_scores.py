"""Claims about block scores: right by hand, nothing moved, and a spoilt block stands out."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.records import Block
from frostline.models.task_model import TaskModel
from frostline.plan.blocks import blocks
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.evaluate import fit, predict
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import plain_batches
from frostline.train.loop import Material
from frostline.train.scores import BlockScores, plan_score, rewind_losses, score_blocks
from networks import BagOfTokens, LstmClassifier, bag_material, bag_model

BODY = ("embedding", "first", "second")


def blocks_of(model: TaskModel, material: Material) -> tuple[Block, ...]:
    return blocks(model.module, tuple(material.inputs.batch(material.train[:2]).values()))


def scored(model: TaskModel, material: Material, meter: FlopsMeter | None = None, **options: int) -> BlockScores:
    found = blocks_of(model, material)
    return score_blocks(
        model, found, material.inputs, material.labels, material.train, meter or FlopsMeter(), **options
    )


def learned(material: Material, steps: int = 150) -> TaskModel:
    """A model trained on the train split by plain code."""
    model = bag_model()
    optimizer = torch.optim.Adam(model.module.parameters(), lr=0.02)
    batches = plain_batches(material.inputs, material.train, 32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for step in range(steps):
            rows = batches[step % len(batches)]
            logits_BC = model.module(*material.inputs.batch(rows).values())
            functional.cross_entropy(logits_BC, torch.from_numpy(material.labels[rows])).backward()
            optimizer.step()
            optimizer.zero_grad()
    return model


def state_of(module: nn.Module) -> dict[str, Any]:
    """Everything that scoring might move."""
    numbers: Any = np.random.get_state()
    return {
        "tensors": {n: (id(t), t.detach().clone()) for n, t in module.state_dict(keep_vars=True).items()},
        "modes": [part.training for part in module.modules()],
        "requires": [p.requires_grad for p in module.parameters()],
        "gradients": [None if p.grad is None else (id(p.grad), p.grad.clone()) for p in module.parameters()],
        "random": (torch.get_rng_state(), random.getstate(), numbers[1].tolist(), numbers[2]),
    }


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict | list | tuple):
        assert len(found) == len(expected)
        keys: Any = expected if isinstance(expected, dict) else range(len(expected))
        for key in keys:
            assert_same(found[key], expected[key])
    else:
        assert found == expected


def as_task(module: nn.Module) -> TaskModel:
    return TaskModel(module=module, kind="text", classes=2, head=None, source="", learning_rate=0.1, by_keyword=False)


class Restless(BagOfTokens):
    """Moves a buffer and draws numbers in evaluation mode, too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        self.calls += 1 + torch.rand(1) + np.random.rand() + random.random()
        return super().forward(ids_BT, mask_BT)


class TwoScales(nn.Module):
    """Logits (0, a b x): gradients that can be written down."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a = nn.Linear(1, 1, bias=False)
        self.b = nn.Linear(1, 1, bias=False)
        self.end = nn.Linear(1, 2)
        with torch.no_grad():
            self.a.weight.fill_(a)
            self.b.weight.fill_(b)
            self.end.weight.copy_(torch.tensor([[0.0], [1.0]]))
            self.end.bias.zero_()

    def forward(self, x_B1: Tensor) -> Tensor:
        logits_BC: Tensor = self.end(self.b(self.a(x_B1)))
        return logits_BC


class Numbers:
    """One number an example."""

    def __init__(self, x_N: NDArray[np.float32]) -> None:
        self.x_N = torch.from_numpy(x_N)
        self.padded_N = np.ones(len(x_N), dtype=np.int64)

    def batch(self, rows: Any, drawn: int | None = None) -> dict[str, Tensor]:
        return {"x": self.x_N[torch.from_numpy(rows)][:, None]}


def of_numbers(module: nn.Module, x_N: NDArray[np.float64], y_N: NDArray[np.int64], parts: int) -> BlockScores:
    model, inputs = as_task(module), Numbers(x_N.astype(np.float32))
    return score_blocks(
        model, blocks(module, torch.ones(1, 1)), inputs, y_N, np.arange(len(x_N)), FlopsMeter(), parts=parts
    )


# ---------------------------------------------------------------- oracles


def test_scores_of_two_numbers_as_written_down() -> None:
    """With logits (0, a b x), the gradient of a is (p - y) b x: mean, variance and squares follow by hand."""
    a, b, x_N, y_N = 0.5, -2.0, np.array([1.0, 2.0, -1.0, 0.5]), np.array([1, 0, 1, 0])
    found = of_numbers(TwoScales(a, b), x_N, y_N, parts=4)
    error_N = 1 / (1 + np.exp(-a * b * x_N)) - y_N
    for name, gradient_N, weight in (("a", error_N * b * x_N, a), ("b", error_N * a * x_N, b)):
        mean, variance = gradient_N.mean(), gradient_N.var(ddof=1)
        by_hand = (abs(mean / weight), mean**2 / variance, (gradient_N**2).mean())
        assert [values[name] for values in found.scores.values()] == pytest.approx(by_hand, rel=1e-5)
    # The head takes part in the step and gets no score.
    assert all(values.keys() == {"a", "b"} for values in found.scores.values())


def test_mean_gradient_is_that_of_one_large_batch() -> None:
    """However texts of several lengths fall into micro-batches of several sizes, all examples weigh the same."""
    model, material = bag_model(), bag_material(120)
    found = scored(model, material, most=1_000, parts=7)

    twin = deepcopy(model.module).eval()
    losses = []
    for row in material.train:
        logits_BC = twin(*material.inputs.batch(np.array([row])).values())
        losses.append(functional.cross_entropy(logits_BC, torch.tensor(material.labels[[row]])))
    torch.stack(losses).mean().backward()
    for name in BODY:
        own = list(twin.get_submodule(name).parameters())
        gradient, weights = (torch.cat([t.flatten() for t in side]) for side in ([p.grad for p in own], own))
        expected = float((gradient.norm() / weights.norm()).detach())
        assert found.scores["relative gradient norm"][name] == pytest.approx(expected, rel=1e-4)
    assert found.examples == 60 and found.parts >= 7


def test_step_is_priced_in_forward_passes() -> None:
    """Of three linear layers behind an embedding, each costs its forward pass twice more; the meter pays for all."""
    model, material, meter = bag_model(), bag_material(), FlopsMeter()
    found = scored(model, material, meter)
    one_example = 2 * (8 * 10 + 10 * 10 + 10 * 2)

    assert found.step_over_forward == 3
    assert meter.total == found.examples * 3 * one_example


# ---------------------------------------------------------------- laws


@pytest.mark.parametrize("make", [BagOfTokens, LstmClassifier, Restless])
def test_nothing_is_moved(make: Callable[[], nn.Module]) -> None:
    """Weights, buffers, modes, gradients and random states are bit-identical, whatever the module does."""
    model, material = as_task(make()), bag_material()
    first = next(model.module.parameters())
    first.grad = torch.ones_like(first)
    found = blocks_of(model, material)
    model.module.train()
    before = state_of(model.module)
    once, again = (
        score_blocks(model, found, material.inputs, material.labels, material.train, FlopsMeter()) for _ in range(2)
    )

    assert_same(state_of(model.module), before)
    assert once == again


def test_only_the_train_split_is_looked_at() -> None:
    """Labels of sealed rows are -1 and would be an error; a sample takes no more than it may."""
    assert scored(bag_model(), bag_material(), most=20).examples == 20


def test_frozen_blocks_get_no_scores() -> None:
    """A parameter that requires no gradient has none; where only the head trains, there is nothing to tell."""
    model, material = bag_model(), bag_material()
    model.module.first.requires_grad_(False)
    assert all(values.keys() == {"embedding", "second"} for values in scored(model, material).scores.values())

    model.module.requires_grad_(False)
    model.module.head.requires_grad_(True)
    assert not any(scored(model, material).scores.values())


def test_tied_weights_belong_to_the_first_block() -> None:
    """What two blocks share is scored and put back once, in the first."""
    model, material = bag_model(), bag_material()
    model.module.first[0] = nn.Linear(8, 10)
    model.module.second[0].bias = model.module.first[0].bias
    paths = [Block(name=n, path=n, parameters=1) for n in ("second", "second.0.bias", "first")]
    found = score_blocks(model, paths, material.inputs, material.labels, material.train, FlopsMeter())

    assert list(found.scores["Fisher information"]) == ["second", "first"]


def test_unused_block_scores_nothing_and_weights_of_zero_have_no_relative_norm() -> None:
    """0 is an answer, a division by 0 is none."""
    model, material = bag_model(), bag_material()
    model.module.idle = nn.Linear(3, 3)
    for part in model.module.first.parameters():
        nn.init.zeros_(part)
    paths = [Block(name=n, path=n, parameters=1) for n in ("idle", "first")]
    found = score_blocks(model, paths, material.inputs, material.labels, material.train, FlopsMeter())

    assert [values.get("idle") for values in found.scores.values()] == [0, 0, 0]
    assert "first" not in found.scores["relative gradient norm"]


# ---------------------------------------------------------------- planted faults


@pytest.mark.parametrize("spoilt", BODY)
def test_spoilt_block_stands_out(spoilt: str) -> None:
    """Of a model that has learned its task, the block whose weights are shrunk wants training most."""
    material = bag_material(300)
    model = learned(material)
    clean = scored(model, material).scores["relative gradient norm"]
    with torch.no_grad():
        for parameter in model.module.get_submodule(spoilt).parameters():
            parameter.mul_(0.05)
    found = scored(model, material).scores["relative gradient norm"]

    assert max(found, key=found.__getitem__) == spoilt
    assert found[spoilt] > 10 * clean[spoilt]


def test_noise_is_told_from_signal() -> None:
    """Labels that are drawn give about 1 / examples, as documented; labels that all pull one way far more."""
    generator = np.random.default_rng(0)
    x_N = generator.uniform(1, 2, 64)

    def signal(labels_N: NDArray[np.int64]) -> float:
        # Weights next to 0: the model is undecided, and gradients are those of the labels.
        return of_numbers(TwoScales(1e-3, 1e-3), x_N, labels_N, parts=32).scores["gradient signal to noise"]["a"]

    drawn = [signal(generator.integers(0, 2, 64)) for _ in range(200)]
    assert np.mean(drawn) == pytest.approx(1 / 64, rel=0.3)
    assert signal(np.zeros(64, dtype=np.int64)) > 1


def test_rewinding_the_one_block_that_was_trained_loses_the_most() -> None:
    """Others are put back to about what they were; the model is left tuned, to the bit."""
    material = bag_material(300)
    model = learned(material)
    tuned = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    pretrained = {name: tensor.clone() for name, tensor in tuned.items()}
    pretrained["second.0.weight"] = -tuned["second.0.weight"]
    found = blocks_of(model, material)

    def loss() -> float:
        asked = predict(model, material.inputs, material.stop, FlopsMeter())
        return float(fit(asked, material.labels[material.stop]).loss or 0)

    # The model's own state serves as the tuned one, too.
    for source in (tuned, model.module.state_dict()):
        losses = rewind_losses(model, found, pretrained, source, loss)
        assert losses["embedding"] == losses["first"] == loss() < 0.5 * losses["second"]
        assert losses.keys() == set(BODY)
        assert_same(dict(model.module.state_dict()), tuned)


def test_rewinding_restores_even_when_the_loss_cannot_be_had() -> None:
    """An error in the loss leaves the model tuned."""
    model, material = bag_model(), bag_material()
    tuned = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    pretrained = {name: torch.zeros_like(tensor) for name, tensor in tuned.items()}

    def fails() -> float:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        rewind_losses(model, blocks_of(model, material), pretrained, tuned, fails)
    assert_same(dict(model.module.state_dict()), tuned)


# ---------------------------------------------------------------- from blocks to plans


def plan_of(frozen: set[int], count: int) -> FreezePlan:
    names = tuple(f"block {n}" for n in range(count))
    return FreezePlan(blocks=(*names, "head"), frozen=frozenset(names[n] for n in frozen))


amounts = st.lists(st.floats(0, 1e6), min_size=1, max_size=6)


@given(amounts=amounts, frozen=st.sets(st.integers(0, 5)))
def test_a_plan_and_its_complement_cancel(amounts: list[float], frozen: set[int]) -> None:
    """What one trains beyond its share, the other lacks; training all or the head alone is worth 0."""
    count, scores = len(amounts), {f"block {n}": amount for n, amount in enumerate(amounts)}
    one, rest = frozen & set(range(count)), set(range(count)) - frozen

    def value(which: set[int]) -> float:
        return plan_score(plan_of(which, count), scores)

    assert value(one) == pytest.approx(-value(rest), abs=1e-9)
    assert value(set()) == pytest.approx(0) and value(set(range(count))) == pytest.approx(0)
    assert -1 < value(one) < 1


@given(amounts=amounts.filter(lambda a: sum(a) > 0.1))
def test_no_plan_beats_training_what_is_above_average(amounts: list[float]) -> None:
    """Neither a single block nor a depth wins by its size."""
    count, mean = len(amounts), sum(amounts) / len(amounts)
    scores = {f"block {n}": amount for n, amount in enumerate(amounts)}
    best = plan_score(plan_of({n for n in range(count) if amounts[n] <= mean}, count), scores)
    singles = [plan_of(set(range(count)) - {n}, count) for n in range(count)]
    depths = [plan_of(set(range(depth)), count) for depth in range(count + 1)]

    assert all(plan_score(plan, scores) <= best + 1e-9 for plan in [*singles, *depths])
