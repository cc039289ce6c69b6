"""Claims about fused heads: each is what it would be alone, none notices another, and what fails is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import isnan
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from frostline.core.errors import BadInputError, DataError
from frostline.core.seeding import derive
from frostline.train import heads
from frostline.train.heads import TrainedHead, batch_order, train_heads
from frostline.train.inputs import TextInputs, shuffled_batches
from frostline.train.optim import set_rate

# Shape letters: N examples, B examples in a batch, F features, C classes, G features and the bias.

torch.set_num_threads(1)

RATES, SEEDS = (1e-3, 0.03, 0.5), (0, 7)


@dataclass(frozen=True, slots=True)
class Task:
    """Features and labels of a train and a stop split, by position as `train_heads` takes them."""

    train_NF: Tensor
    labels_N: Tensor
    stop_NF: Tensor
    stop_labels_N: Tensor
    classes: int

    def train(
        self, *, rates: Sequence[float] = RATES, seeds: Sequence[int] = SEEDS, **options: Any
    ) -> list[TrainedHead]:
        splits = self.train_NF, self.labels_N, self.stop_NF, self.stop_labels_N
        options = {"classes": self.classes, "epochs": 4, "batch_size": 16} | options
        return list(train_heads(*splits, learning_rates=rates, seeds=seeds, **options))


def task(
    classes: int = 3, dtype: torch.dtype = torch.float64, *, train: int = 75, stop: int = 40, features: int = 6
) -> Task:
    """Classes that overlap, on features of different scales: heads learn, and over-fit at high rates."""
    generator = torch.Generator().manual_seed(0)
    labels_N = torch.randint(classes, (train + stop,), generator=generator)
    centres_CF, noise_NF = (torch.randn(n, features, generator=generator, dtype=dtype) for n in (classes, train + stop))
    inputs_NF = (centres_CF[labels_N] + 1.5 * noise_NF) * torch.logspace(-1, 1, features, dtype=dtype)
    return Task(inputs_NF[:train], labels_N[:train], inputs_NF[train:], labels_N[train:], classes)


def alone(
    task: Task,
    rate: float,
    seed: int,
    *,
    epochs: int = 4,
    batch_size: int = 16,
    weight_decay: float = 0.01,
    clip_norm: float | None = 1.0,
    warmup_share: float = 0.1,
    order_seed: int = 0,
    start: tuple[Tensor, Tensor] | None = None,
) -> TrainedHead:
    """One head in an ordinary loop of PyTorch's own parts."""
    head = fresh(task, seed)
    if start is not None:
        head.load_state_dict(dict(zip(("weight", "bias"), start, strict=True)))
    groups = [{"params": [head.weight], "weight_decay": weight_decay}, {"params": [head.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([{**group, "peak": rate} for group in groups], lr=rate)
    losses, accuracies, states = [], [], []
    parts = -(-len(task.train_NF) // batch_size)
    for epoch in range(epochs + 1):
        order = batch_order(len(task.train_NF), batch_size, order_seed, epoch) if epoch else []
        for position, rows in enumerate(order):
            set_rate(optimizer, (epoch - 1) * parts + position, epochs * parts, warmup_share)
            optimizer.zero_grad()
            functional.cross_entropy(head(task.train_NF[rows]), task.labels_N[rows]).backward()  # type: ignore[no-untyped-call]
            if clip_norm is not None:
                clip_grad_norm_(head.parameters(), clip_norm)
            optimizer.step()
        with torch.no_grad():
            logits_NC = head(task.stop_NF)
            losses.append(float(functional.cross_entropy(logits_NC, task.stop_labels_N)))
            accuracies.append(float((logits_NC.argmax(dim=1) == task.stop_labels_N).double().mean()))
        states.append((head.weight.detach().clone(), head.bias.detach().clone()))
    best = int(np.argmin(losses))
    return TrainedHead(rate, seed, *states[best], best, tuple(losses), tuple(accuracies))


def fresh(task: Task, seed: int) -> nn.Linear:
    """A head as `nn.Linear` draws it."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "head"))
        return nn.Linear(task.train_NF.shape[1], task.classes, dtype=task.train_NF.dtype)


def assert_same(found: Sequence[TrainedHead], wanted: Sequence[TrainedHead], tolerance: float) -> None:
    """Equal within rounding."""
    for one, other in zip(found, wanted, strict=True):
        assert (one.learning_rate, one.seed, one.best_epoch) == (other.learning_rate, other.seed, other.best_epoch)
        assert one.stop_losses == pytest.approx(other.stop_losses, rel=tolerance)
        assert one.stop_accuracies == pytest.approx(other.stop_accuracies)
        torch.testing.assert_close(one.weight_CF, other.weight_CF, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(one.bias_C, other.bias_C, rtol=tolerance, atol=tolerance)


def assert_identical(found: Sequence[TrainedHead], wanted: Sequence[TrainedHead]) -> None:
    """Equal bit by bit."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.stop_losses == other.stop_losses
        assert torch.equal(one.weight_CF, other.weight_CF)
        assert torch.equal(one.bias_C, other.bias_C)


# ---------------------------------------------------------------- each is what it would be alone


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("clip_norm", [None, 0.3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_a_fused_head_is_the_head_trained_alone(
    classes: int, clip_norm: float | None, dtype: torch.dtype, tolerance: float
) -> None:
    """Losses, accuracies, best epoch and weights are those of AdamW and clip_grad_norm_, head by head."""
    given = task(classes, dtype)
    options: dict[str, Any] = {"clip_norm": clip_norm, "weight_decay": 0.2, "warmup_share": 0.3, "order_seed": 5}
    wanted = [alone(given, rate, seed, **options) for rate, seed in product(RATES, SEEDS)]

    assert_same(given.train(**options), wanted, tolerance)


@settings(max_examples=40)
@given(
    sizes=st.tuples(*[st.integers(1, 40)] * 3, st.integers(1, 6), st.integers(2, 4)),
    rates=st.lists(st.sampled_from([1e-4, 0.01, 0.2]), min_size=1, max_size=3),
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3),
)
def test_any_shape_gives_the_heads_alone(
    sizes: tuple[int, int, int, int, int], rates: list[float], seeds: list[int]
) -> None:
    """Whatever the sizes of splits, batches and heads, even when rates or seeds repeat."""
    train, stop, batch_size, features, classes = sizes
    given = task(classes, train=train, stop=stop, features=features)
    found = given.train(rates=rates, seeds=seeds, epochs=2, batch_size=batch_size)

    assert [head.weight_CF.shape for head in found] == [(classes, features)] * (len(rates) * len(seeds))
    wanted = [alone(given, rate, seed, epochs=2, batch_size=batch_size) for rate, seed in product(rates, seeds)]
    assert_same(found, wanted, 1e-8)


def test_heads_start_from_given_weights() -> None:
    """All start there, so that seeds make no difference but rounding; the tensors given are left alone."""
    given = task()
    start = torch.ones(3, 6, dtype=torch.float64) / 7, torch.arange(3, dtype=torch.float64)
    before = [part.clone() for part in start]
    found = given.train(rates=[0.03], seeds=[1, 2], start=start)

    assert_same(found, [alone(given, 0.03, seed, start=start) for seed in (1, 2)], 1e-10)
    assert found[0].stop_losses == pytest.approx(found[1].stop_losses)
    assert all(torch.equal(*pair) for pair in zip(start, before, strict=True))


def test_each_head_is_clipped_by_its_own_norm() -> None:
    """Clipping changes what is learned, and a limit that no gradient reaches changes nothing."""
    given = task()
    free, wide, narrow = (given.train(clip_norm=clip_norm) for clip_norm in (None, 1e9, 0.1))

    assert_identical(wide, free)
    assert all(one.stop_losses[1:] != other.stop_losses[1:] for one, other in zip(narrow, free, strict=True))


@given(examples=st.integers(1, 80), size=st.integers(1, 90), seed=st.integers(0, 99), epoch=st.integers(1, 9))
def test_batches_are_those_of_the_training_loop(examples: int, size: int, seed: int, epoch: int) -> None:
    """With inputs of one length, a head sees the batches that a candidate of that seed sees."""
    inputs = TextInputs.of([[1]] * examples, 0)
    wanted = shuffled_batches(inputs, np.arange(examples), size, derive(seed, "order", epoch))
    found = batch_order(examples, size, seed, epoch)

    assert [rows.tolist() for rows in found] == [rows.tolist() for rows in wanted]


def test_training_draws_nothing_from_the_global_generator() -> None:
    """Seeds are local: what is drawn after training is what would have been drawn."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    task().train()

    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------- the best epoch


def test_kept_weights_are_those_of_the_lowest_stop_loss() -> None:
    """Asked again, they give that loss and accuracy; some best epoch is the first, some the last, some between."""
    given = task(train=30)
    found = given.train(rates=[1e-3, 0.3, 3.0], seeds=range(3), epochs=8, weight_decay=0)
    for head in found:
        logits_NC = given.stop_NF @ head.weight_CF.T + head.bias_C
        loss = float(functional.cross_entropy(logits_NC, given.stop_labels_N))
        accuracy = float((logits_NC.argmax(dim=1) == given.stop_labels_N).double().mean())
        assert head.stop_losses[head.best_epoch] == pytest.approx(loss)
        assert head.stop_accuracies[head.best_epoch] == pytest.approx(accuracy)
        assert head.stop_losses[head.best_epoch] == min(loss for loss in head.stop_losses if loss is not None)
    kinds = {"first" if h.best_epoch == 0 else "last" if h.best_epoch == 8 else "between" for h in found}

    assert kinds == {"first", "last", "between"}


def test_of_equal_losses_the_earliest_is_kept() -> None:
    """A rate too small to move a weight gives the same loss every epoch: the head before training is as good."""
    (head,) = task(dtype=torch.float32).train(rates=[1e-30], seeds=[0])

    assert len(set(head.stop_losses)) == 1
    assert head.best_epoch == 0


def test_the_stop_split_is_evaluated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many rows go into one product changes no loss."""
    whole = task().train()
    monkeypatch.setattr(heads, "ROWS_AT_ONCE", 7)

    assert_same(task().train(), whole, 1e-12)


# ---------------------------------------------------------------- none notices another


def test_dropping_a_head_changes_no_other() -> None:
    """What is left of the list is trained to the same heads."""
    whole = task().train()
    fewer = task().train(rates=(RATES[0], RATES[2]))

    assert_same(fewer, whole[:2] + whole[4:], 1e-10)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_diverging_head_leaves_the_others_untouched(clip_norm: float | None) -> None:
    """Beside a head that overflows they are bit by bit what they are beside one that learns; it alone has failed."""
    given = task(dtype=torch.float32)
    sound = given.train(rates=(0.01, 0.02, 0.1), seeds=[0], clip_norm=clip_norm)
    found = given.train(rates=(0.01, 1e38, 0.1), seeds=[0], clip_norm=clip_norm)

    assert_identical([found[0], found[2]], [sound[0], sound[2]])
    assert all(None not in head.stop_losses for head in sound)
    assert found[1].stop_losses == (sound[1].stop_losses[0], None, None, None, None)
    assert [isnan(accuracy) for accuracy in found[1].stop_accuracies] == [False, True, True, True, True]
    assert found[1].best_epoch == 0
    assert torch.equal(found[1].weight_CF, fresh(given, 0).weight)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_planted_value_stays_in_its_head(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight of one head that is not finite: that head has failed from epoch 0, the others are as without it."""
    given = task()
    clean = given.train()
    draw = heads._initial

    def plant(seed: int, *rest: Any) -> Tensor:
        weight_CG = draw(seed, *rest)
        weight_CG[1, 2] = value if seed == SEEDS[0] else weight_CG[1, 2]
        return weight_CG

    monkeypatch.setattr(heads, "_initial", plant)
    found = given.train()

    assert_identical(found[1::2], clean[1::2])
    assert all(head.stop_losses == (None,) * 5 and head.best_epoch == 0 for head in found[::2])


LOUD, QUIET = (torch.tensor([[size], [-size]]) for size in (3e38, 3.0))
"""Finite weights. With features of 1, the two logits of the first are further apart than float32 can say."""


def scaled(train: float, stop: float) -> Task:
    """One feature, constant in each split, and labels that it cannot tell."""
    labels_N = torch.tensor([0, 1, 0, 1])
    return Task(torch.full((4, 1), train), labels_N, torch.full((4, 1), stop), labels_N, 2)


def test_a_training_loss_that_was_infinite_once_fails_the_head() -> None:
    """The stop split would not tell: its loss stays finite throughout."""
    failed, sound = (
        scaled(1.0, 1e-38).train(rates=[1e-3], seeds=[0], weight_decay=0.0, start=(weight_CF, torch.zeros(2)))[0]
        for weight_CF in (LOUD, QUIET)
    )

    assert failed.stop_losses[0] is not None
    assert failed.stop_losses[1:] == (None,) * 4
    assert None not in sound.stop_losses


def test_a_stop_loss_that_was_infinite_once_fails_the_head() -> None:
    """Decay brings the weights back to where the loss is finite, but a head that failed is not chosen again."""
    failed, sound = (
        scaled(1e-38, 1.0).train(rates=[1e-3], seeds=[0], weight_decay=500.0, start=(weight_CF, torch.zeros(2)))[0]
        for weight_CF in (LOUD, QUIET)
    )

    assert failed.stop_losses == (None,) * 5
    assert all(map(isnan, failed.stop_accuracies))
    assert failed.best_epoch == 0
    assert torch.equal(failed.weight_CF, LOUD)
    assert sound.best_epoch > 0


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rates": []}, "without a learning rate"),
        ({"seeds": []}, "without a learning rate or without a seed. Give one or more"),
        ({"rates": [0.1, -1.0]}, r"learning rates of \[-1.0, 0.1\]. Give positive"),
        ({"rates": [float("nan")]}, "Give positive numbers"),
        ({"epochs": 0}, "for 0 epochs. Give 1"),
        ({"batch_size": 0}, "batches of 0. Give 1"),
        ({"weight_decay": -0.1}, "weight decay of -0.1. Give 0 or more"),
        ({"clip_norm": 0.0}, "clip norm of 0.0. Give a positive number, or None"),
        ({"warmup_share": 1.0}, "warm-up share of 1.0. Give a fraction"),
        (
            {"start": (torch.zeros(3, 5), torch.zeros(3))},
            r"shapes \(\(3, 5\), \(3,\)\). Give finite ones of .*\(3, 6\)",
        ),
        ({"start": (torch.full((3, 6), float("inf")), torch.zeros(3))}, "Give finite ones"),
    ],
)
def test_a_setting_that_cannot_be_used_is_said(options: dict[str, Any], sentence: str) -> None:
    """One sentence: what was asked, what to give."""
    with pytest.raises(BadInputError, match=sentence):
        task().train(**options)


@pytest.mark.parametrize("split", ["train", "stop"])
@pytest.mark.parametrize(
    ("features_NF", "labels_N", "sentence"),
    [
        (torch.zeros(4, 6), torch.tensor([0, 1, 2, 3]), "labels go from 0 to 3. Give numbers below the 3 classes"),
        (torch.zeros(4, 6), torch.tensor([0, 1, -1, 2]), "labels go from -1 to 2"),
        (torch.zeros(4, 6), torch.zeros(3, dtype=torch.long), r"shape \(3,\), the features have 4 rows"),
        (torch.zeros(4, 6), torch.zeros(4), "labels are torch.float32"),
        (torch.zeros(0, 6), torch.zeros(0, dtype=torch.long), r"shape \(0, 6\)"),
        (torch.zeros(4), torch.zeros(4, dtype=torch.long), r"shape \(4,\)"),
        (torch.zeros(4, 6, dtype=torch.half), torch.zeros(4, dtype=torch.long), "float16 .* Give rows of float32"),
        (
            torch.tensor([[0.0], [float("nan")]]).repeat(2, 6),
            torch.zeros(4, dtype=torch.long),
            "2 of 4 rows .* row 1 first",
        ),
        (torch.tensor([[0.0], [float("-inf")]]).repeat(1, 6), torch.zeros(2, dtype=torch.long), "1 of 2 rows"),
    ],
)
def test_a_split_that_cannot_be_used_is_said(split: str, features_NF: Tensor, labels_N: Tensor, sentence: str) -> None:
    """The sentence names the split, in either place."""
    good, bad = (torch.zeros(4, 6), torch.tensor([0, 1, 2, 0])), (features_NF, labels_N)
    given = Task(*bad, *good, 3) if split == "train" else Task(*good, *bad, 3)

    with pytest.raises(DataError, match=sentence) as caught:
        given.train()
    assert f"the {split} " in str(caught.value).lower()
    assert len(Task(*good, *good, 3).train(epochs=1)) == 6


@pytest.mark.parametrize("stop_NF", [torch.zeros(4, 5), torch.zeros(4, 6, dtype=torch.float64)])
def test_splits_of_two_kinds_are_said(stop_NF: Tensor) -> None:
    """Features of another number or precision cannot be scored by the same head."""
    labels_N = torch.tensor([0, 1, 2, 0])
    with pytest.raises(DataError, match=r"The stop split has . features .* Give both alike"):
        Task(torch.zeros(4, 6), labels_N, stop_NF, labels_N, 3).train()
