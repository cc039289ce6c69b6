"""Claims about one update: the loss is torch's, parts add up to the whole, short memory is met with more parts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.errors import BadInputError
from frostline.models.task_model import Batch, TaskModel
from frostline.train.optim import make_optimizer
from frostline.train.recipe import Recipe
from frostline.train.update import FEWEST, RARE, TooBig, Update, autocast_for, class_weights
from networks import bag_model

CLASSES = 3
WEIGHTS_C = torch.tensor([0.4, 1.0, 3.0], dtype=torch.float64)


class Smooth(nn.Module):
    """A network without batch norm or dropout, that has room for so many examples at a time."""

    def __init__(self, room: int, failure: Callable[[], RuntimeError]) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(5, 7), nn.Linear(7, CLASSES)
        self.room, self.failure, self.seen = room, failure, list[int]()

    def forward(self, features_BF: Tensor) -> Tensor:
        self.seen.append(len(features_BF))
        if len(features_BF) > self.room:
            raise self.failure()
        logits_BC: Tensor = self.head(self.body(features_BF).tanh())
        return logits_BC


def out_of_memory() -> RuntimeError:
    return torch.OutOfMemoryError("CUDA out of memory.")


def smooth(room: int = 1000, failure: Callable[[], RuntimeError] = out_of_memory) -> tuple[TaskModel, Smooth]:
    """The same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Smooth(room, failure)
    return TaskModel(
        module=net,
        kind="table",
        classes=CLASSES,
        head=net.head,
        source="a test",
        learning_rate=0.01,
        by_keyword=False,
    ), net


def some(examples: int = 32, seed: int = 0) -> tuple[Batch, Tensor]:
    """A batch and its truth."""
    generator = torch.Generator().manual_seed(seed)
    features_BF = torch.randn(examples, 5, generator=generator)
    return {"features": features_BF}, torch.randint(0, CLASSES, (examples,), generator=generator)


def sgd(net: nn.Module) -> torch.optim.Optimizer:
    """Of rate 1: what a parameter moves by is its gradient."""
    return torch.optim.SGD(net.parameters(), lr=1.0)


def moved(net: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


# ---------------------------------------------------------------- an ordinary step


def test_an_update_is_an_ordinary_step() -> None:
    """With the default recipe: cross entropy, clipping and AdamW as written by hand, bit for bit, three times."""
    ids_BT = torch.arange(48).reshape(6, 8) % 30
    batch, truth_B = {"ids": ids_BT, "mask": torch.ones_like(ids_BT)}, torch.tensor([0, 1, 0, 1, 1, 0])
    ours, hand = bag_model(), bag_model()
    recipe = Recipe()
    update = Update(ours, make_optimizer(ours.module, ours.head, recipe, 0.1), recipe)
    optimizer = make_optimizer(hand.module, hand.head, recipe, 0.1)
    for seed in range(3):
        torch.manual_seed(seed)
        loss, right = update(batch, truth_B)
        torch.manual_seed(seed)
        logits_BC = hand.module(*batch.values())
        by_hand = functional.cross_entropy(logits_BC, truth_B)
        torch.autograd.backward(by_hand)
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
        optimizer.step()
        optimizer.zero_grad()

        assert loss == by_hand.item()
        assert right == (logits_BC.argmax(1) == truth_B).sum()
    assert all(map(torch.equal, ours.module.state_dict().values(), hand.module.state_dict().values()))
    assert all(parameter.grad is None for parameter in ours.module.parameters())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights_C", [None, WEIGHTS_C])
def test_the_loss_is_the_one_asked_for(smoothing: float, weights_C: Tensor | None) -> None:
    """Smoothing and weights reach the loss as nn.CrossEntropyLoss defines them."""
    model, net = smooth()
    batch, truth_B = some()
    theirs = nn.CrossEntropyLoss(weights_C.float() if weights_C is not None else None, label_smoothing=smoothing)
    expected = theirs(net(batch["features"]), truth_B).item()
    loss, _ = Update(model, sgd(net), Recipe(label_smoothing=smoothing), weights_C)(batch, truth_B)

    assert loss == expected


def test_gradients_are_clipped_as_one() -> None:
    """The step of plain descent is no longer than the clip norm, and is when nothing clips."""
    lengths = []
    for clip in (1e-3, 1e9):
        model, net = smooth()
        before = moved(net)
        Update(model, sgd(net), Recipe(clip_norm=clip))(*some())
        lengths.append(float((moved(net) - before).norm()))

    assert lengths[0] == pytest.approx(1e-3, rel=1e-2)
    assert lengths[1] > 1e-2


def test_a_loss_that_is_not_finite_changes_nothing() -> None:
    """It is handed back, and neither weights, optimizer state nor gradients know of it."""
    model, net = smooth()
    optimizer = make_optimizer(net, net.head, Recipe(), 0.1)
    before = moved(net)
    batch, truth_B = some()
    batch["features"][3] = torch.inf
    loss, _ = Update(model, optimizer, Recipe())(batch, truth_B)

    assert not np.isfinite(loss)
    assert torch.equal(moved(net), before)
    assert not optimizer.state
    assert all(parameter.grad is None for parameter in net.parameters())


# ---------------------------------------------------------------- parts add up to the whole


@given(
    examples=st.integers(2, 20),
    parts=st.integers(1, 12),
    smoothing=st.sampled_from([0.0, 0.3]),
    weighted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_parts_add_up_to_the_whole(examples: int, parts: int, smoothing: float, weighted: bool, seed: int) -> None:
    """Loss, right answers and step are those of the undivided batch, weights and smoothing included."""
    results = []
    for accumulate in (1, parts):
        model, net = smooth()
        recipe = Recipe(accumulate=accumulate, label_smoothing=smoothing, clip_norm=0.5)
        update = Update(model, sgd(net), recipe, WEIGHTS_C if weighted else None)
        loss, right = update(*some(examples, seed))
        results.append((loss, right, moved(net)))
        assert min(net.seen) >= FEWEST
        assert len(net.seen) == max(1, min(accumulate, examples // FEWEST))
    (loss, right, whole), (other_loss, other_right, summed) = results

    assert other_loss == pytest.approx(loss, rel=1e-5)
    assert other_right == right
    torch.testing.assert_close(summed, whole, rtol=1e-5, atol=1e-6)


def test_equal_shares_would_be_noticed() -> None:
    """The planted fault: parts that count by their number, not by what they weigh, give another step."""
    steps = []
    for fault in (False, True):
        model, net = smooth()
        update = Update(model, sgd(net), Recipe(accumulate=3, clip_norm=1e9), WEIGHTS_C)
        if fault:
            update._mass = len  # type: ignore[method-assign, assignment]
        update(*some(8))
        steps.append(moved(net))

    assert float((steps[0] - steps[1]).abs().max()) > 1e-3


# ---------------------------------------------------------------- short memory


def test_out_of_memory_is_met_with_more_parts() -> None:
    """The batch is done again in twice as many parts until it fits, later batches at once, and each is said once."""
    model, net = smooth(room=8)
    free, twin = smooth()
    update, undivided = (Update(m, sgd(n), Recipe()) for m, n in ((model, net), (free, twin)))
    for seed in range(2):
        assert update(*some(32, seed))[0] == pytest.approx(undivided(*some(32, seed))[0], rel=1e-5)

    assert net.seen == [32, 16, *[8] * 4, *[8] * 4]
    assert update.parts == 4
    assert update.notes == [
        "Out of memory with 32 examples at a time: gradients are accumulated over 2 parts of 16; "
        "the effective batch stays 32.",
        "Out of memory with 16 examples at a time: gradients are accumulated over 4 parts of 8; "
        "the effective batch stays 32.",
    ]
    torch.testing.assert_close(moved(net), moved(twin), rtol=1e-5, atol=1e-6)


def test_memory_that_runs_out_in_a_later_part_counts_no_part_twice() -> None:
    """Gradients of the parts that did fit are dropped before the batch is done again."""
    model, net = smooth()
    free, twin = smooth()
    failures = iter([False, True])

    def backward(gradient: Tensor) -> None:
        if next(failures, False):
            raise out_of_memory()

    net.head.bias.register_hook(backward)  # type: ignore[no-untyped-call]
    Update(model, sgd(net), Recipe(accumulate=2, clip_norm=1e9))(*some())
    Update(free, sgd(twin), Recipe(clip_norm=1e9))(*some())

    assert len(net.seen) == 2 + 4
    torch.testing.assert_close(moved(net), moved(twin), rtol=1e-5, atol=1e-6)


def test_memory_of_the_cpu_counts_as_memory() -> None:
    """What the CPU's allocator raises is no torch.OutOfMemoryError, and is known all the same."""
    with pytest.raises(RuntimeError) as found:
        torch.empty(2**55)
    model, net = smooth(room=16, failure=lambda: RuntimeError(str(found.value)))
    Update(model, sgd(net), Recipe())(*some())

    assert net.seen == [32, 16, 16]


def test_another_error_is_no_lack_of_memory() -> None:
    """A network's own mistake comes through as it is, at the first attempt."""
    model, net = smooth(room=0, failure=lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Update(model, sgd(net), Recipe())(*some())

    assert net.seen == [32]


@pytest.mark.parametrize(("examples", "seen"), [(3, [3]), (10, [10, 5, 3, 2])])
def test_memory_for_nothing_is_an_error(examples: int, seen: list[int]) -> None:
    """A batch is split while every part keeps two examples; then a sentence says what to do."""
    model, net = smooth(room=1)
    with pytest.raises(BadInputError, match=f"out of memory with {seen[-1]} examples at a time.*--batch-size"):
        Update(model, sgd(net), Recipe())(*some(examples))

    assert net.seen == seen


def test_a_batch_that_must_stay_whole_is_too_big() -> None:
    """Nothing is split behind a replay's back; once it is off, the same update goes on in parts."""
    model, net = smooth(room=16)
    update = Update(model, sgd(net), Recipe(accumulate=2), whole_only=True)
    with pytest.raises(TooBig):
        update(*some())
    update.whole_only = False
    update(*some())

    assert net.seen == [32, 16, 16]
    assert update.notes == []


# ---------------------------------------------------------------- weights of classes


@given(counts=st.lists(st.integers(1, 50), min_size=2, max_size=6))
def test_balanced_weights_are_those_of_sklearn(counts: list[int]) -> None:
    """The formula is compute_class_weight's."""
    labels = np.repeat(np.arange(len(counts)), counts)
    weights_C, note = class_weights(counts, list("abcdef"), "balanced")

    assert weights_C == pytest.approx(compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels))
    assert note


@given(counts=st.lists(st.integers(1, 1000), min_size=2, max_size=6))
def test_balanced_weights_give_every_class_the_same_say(counts: list[int]) -> None:
    """Count times weight is the same for all, and all together are the examples."""
    weights_C, _ = class_weights(counts, list("abcdef"), "balanced")

    assert weights_C is not None
    assert weights_C * counts == pytest.approx(np.full(len(counts), sum(counts) / len(counts)))


@pytest.mark.parametrize(("rare", "weighted"), [(4, True), (5, False), (50, False)])
def test_auto_weighs_only_for_a_rare_class(rare: int, weighted: bool) -> None:
    """Below 5 % of the training examples, not at 5 %; what is done is said with the way out."""
    weights_C, note = class_weights([100 - rare, rare], ["no", "yes"], "auto")
    says = f"The rarest class 'yes' holds {rare} % of the training examples"

    assert (weights_C is not None) == weighted == (rare / 100 < RARE)
    assert note.startswith(says) == ("--class-weights off" in note) == weighted


def test_many_classes_of_one_size_need_no_weights() -> None:
    """Each is below 5 %, and none is rarer than another."""
    assert class_weights([7] * 30, [str(n) for n in range(30)], "auto") == (None, "")


def test_off_is_off() -> None:
    """However rare a class is."""
    assert class_weights([999, 1], ["no", "yes"], "off") == (None, "")


@pytest.mark.parametrize("how", ["auto", "balanced"])
def test_a_class_without_an_example_weighs_nothing(how: str) -> None:
    """It changes nothing for the others, and is not the rarest one."""
    with_gap, note = class_weights([97, 0, 3], ["a", "b", "c"], how)  # type: ignore[arg-type]
    without, other_note = class_weights([97, 3], ["a", "c"], how)  # type: ignore[arg-type]

    assert with_gap is not None
    assert without is not None
    assert with_gap.tolist() == [without[0], 0, without[1]]
    assert note == other_note


# ---------------------------------------------------------------- precision


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_results_stay_exact_off_cuda(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the CPU nor MPS computes in half precision, whatever CUDA could do."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)

    assert isinstance(autocast_for(torch.device(device), Recipe()), nullcontext)


@pytest.mark.parametrize(
    ("precision", "supported", "half"), [("auto", True, True), ("auto", False, False), ("float32", True, False)]
)
def test_cuda_computes_in_bfloat16_where_it_can(
    precision: str, supported: bool, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only when the device has it and the recipe lets it."""
    asked: list[tuple[str, torch.dtype]] = []

    def autocast(device: str, dtype: torch.dtype) -> nullcontext[None]:
        asked.append((device, dtype))
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)
    monkeypatch.setattr(torch, "autocast", autocast)
    autocast_for(torch.device("cuda"), Recipe.model_validate({"precision": precision}))

    assert asked == [("cuda", torch.bfloat16)] * half


def test_weights_and_parts_hold_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 the weighted loss of all parts is still the whole one's, but for that precision."""
    monkeypatch.setattr(
        "frostline.train.update.autocast_for", lambda device, recipe: torch.autocast("cpu", dtype=torch.bfloat16)
    )
    losses = []
    for accumulate in (1, 4):
        model, net = smooth()
        losses.append(Update(model, sgd(net), Recipe(accumulate=accumulate), WEIGHTS_C)(*some())[0])
        assert all(parameter.dtype == torch.float32 for parameter in net.parameters())

    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
