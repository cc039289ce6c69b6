"""Claims about training loops: however a loop uses the model, replaying changes no bit of what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import BertForSequenceClassification

from frostline.capture.outputs import same_bits, same_values
from frostline.capture.replay import Replay
from frostline.plan.apply import freeze, unfreeze
from frostline.plan.blocks import Example
from networks import NETWORKS, bert_config
from odd_networks import TwoInputs, Wired, part, sequences, wired
from replaying import (
    BATCH,
    assert_equal,
    frozen_to,
    images,
    padded,
    shuffled,
    texts,
    train,
    train_twice,
)


def bert(depth: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return frozen_to(BertForSequenceClassification(bert_config()), texts()[0], depth)


def straight(**parts: nn.Module) -> Wired:
    return wired(lambda net, x: net.answer(net.c(net.b(net.a(x)))), frozen=("a", "b"), **parts)


# ---------------------------------------------------------------- precision and memory


@pytest.mark.parametrize("name", ["cnn", "vit", "bert classifier"])
def test_under_autocast(name: str) -> None:
    """In bfloat16: equal to ordinary training under the same autocast."""
    torch.manual_seed(0)
    batches = texts() if "bert" in name else shuffled(images() if name == "cnn" else {"pixel_values": images()})
    net = frozen_to(NETWORKS[name][0](), batches[0], 2 if "bert" in name else 1)
    ran = train_twice(net, batches, autocast=torch.bfloat16)

    assert ran.replayed >= 8, ran.replay.sentence


def test_autocast_on_and_off_are_kept_apart() -> None:
    """The same examples with and without autocast, in turns: neither gets the other's rows."""
    net, batches = straight(), shuffled(sequences())

    def ask(net: nn.Module, x: Example) -> Any:
        ask.calls += 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bool(ask.calls % 2)):
            return net(x)

    ask.calls = 0
    ran = train_twice(net, batches, ask=ask)

    assert ran.replayed == len(batches), ran.replay.sentence


@pytest.mark.parametrize("depth", [2, 3])
def test_with_transformers_own_checkpointing(depth: int) -> None:
    """Gradient checkpointing as transformers switches it on; what is frozen is never computed again."""
    net = bert(depth)
    # Renamed within version 5 of transformers.
    enable = getattr(net, "activation_checkpointing_enable", None) or net.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    ran = train_twice(net, texts())

    assert ran.replayed >= 8, ran.replay.sentence


@pytest.mark.parametrize("reentrant", [False, True])
def test_with_checkpointed_segments_of_what_trains(reentrant: bool) -> None:
    """A segment behind the frozen part is computed again in the backward pass, from the stored rows."""

    def wiring(net: Wired, x: Tensor) -> Tensor:
        h = net.b(net.a(x)).requires_grad_(reentrant and torch.is_grad_enabled())
        return net.answer(checkpoint(net.c, h, use_reentrant=reentrant))

    ran = train_twice(wired(wiring, frozen=("a", "b")), shuffled(sequences()))

    assert ran.replayed == 12, ran.replay.sentence


def test_with_checkpointed_segments_that_are_frozen_in_part() -> None:
    """The frozen part of a segment is computed again in the backward pass: what it is fed has to be there."""

    def wiring(net: Wired, x: Tensor) -> Tensor:
        return net.answer(checkpoint(lambda h: net.c(net.b(h)), net.a(x), use_reentrant=False))

    ran = train_twice(wired(wiring, frozen=("a", "b")), shuffled(sequences()))

    assert ran.replayed == 12, ran.replay.sentence
    (plan,) = ran.replay._plans.values()
    assert {kept.name for kept in plan.kept} == {"a:0.0", "b:0.0"}


# ---------------------------------------------------------------- how the model is called


def test_with_positional_and_keyword_arguments() -> None:
    """In turns by position and by keyword."""
    torch.manual_seed(0)
    data = {"picture_B3HW": images(), "words_BT": torch.randint(40, (24, 6))}
    net = freeze(TwoInputs(), "pictures", "words")
    ran = train_twice(net, shuffled(data), ask=lambda net, x: net(x["picture_B3HW"], words_BT=x["words_BT"]))

    assert ran.replayed == 12, ran.replay.sentence


def test_with_labels_given_to_the_model() -> None:
    """A model that computes its loss inside, as those of transformers do."""
    batches = [batch | {"labels": batch["input_ids"][:, 0] % 2} for batch in texts()]
    ran = train_twice(bert(), batches, loss=lambda output: output.loss)

    assert ran.replayed >= 8, ran.replay.sentence


def test_with_several_calls_before_one_backward_pass() -> None:
    """Pairs of texts of different lengths: finding out about the second does not spoil the graph of the first."""

    def loss(outputs: Any) -> Tensor:
        one, other = (output.logits for output in outputs)
        return (one * other).sum(dim=1).square().mean()

    batches = [{"one": one, "other": other} for one, other in zip(texts(), texts(lengths=(5, 7)), strict=True)]
    ran = train_twice(bert(1), batches, ask=lambda net, b: [net(**b["one"]), net(**b["other"])], loss=loss)

    assert ran.replayed >= 16, ran.replay.sentence


def test_with_gradient_accumulation_and_smaller_batches() -> None:
    """Micro-batches of four, one step for four of them."""

    def ask(net: nn.Module, x: Example) -> Any:
        return [net(x[n : n + 4]) for n in range(0, BATCH, 4)]

    ran = train_twice(straight(), shuffled(sequences()), ask=ask)

    assert ran.replayed == 48, ran.replay.sentence


def test_a_batch_of_one_is_computed_and_a_small_last_batch_is_replayed() -> None:
    """One row is rounded otherwise than many; two are not, where every example has rows of its own."""
    data = sequences(19)
    batches = [data[:16], data[16:], data[:1], data[3:19], data[1:3], data[18:]] * 2
    ran = train_twice(straight(), batches)

    assert (ran.replayed, ran.replay.counts["ordinary batches"]) == (8, 4)


def test_where_rows_are_pooled_small_batches_are_computed() -> None:
    """A product with as many rows as examples: replayed from sixteen on, in batches of any size from there."""
    net = wired(lambda net, x: net.head(net.drop(net.c(net.b(net.a(x)).mean(dim=1)))), frozen=("a", "b"))
    pooled = wired(lambda net, x: net.head(net.drop(net.c(net.b(net.a(x[:, 0]))))), frozen=("a", "b"), a=part(8, 64))
    pooled.b = freeze(part(64, 8), "*")
    data = sequences(40)
    batches = [data[n : n + size] for n, size in ((0, 16), (3, 17), (0, 40), (20, 7), (5, 23), (9, 19), (1, 30))]

    assert train_twice(net, batches).replayed == 7
    ran = train_twice(pooled, batches)
    assert ran.replayed == 6, ran.replay.sentence


def test_with_frozen_modules_called_twice() -> None:
    """A shared module keeps its calls apart, and so do two paths to it."""

    def wiring(net: Wired, x: Tensor) -> Tensor:
        return net.answer(net.c(net.b(net.a(x)) + net.a(x.flip(1))) + net.again(x))

    net = wired(wiring)
    net.again = net.a
    ran = train_twice(net, shuffled(sequences()))

    assert ran.replayed == 12, ran.replay.sentence


def test_with_duplicates_in_a_batch() -> None:
    """The same example several times in one batch, some already stored."""
    data = sequences(6)
    batches = [data[list(rows)] for rows in ((0, 1, 0, 2), (3, 3, 1, 0), (4, 5, 4, 4), (5, 5, 5, 5))]

    assert train_twice(straight(), batches).replayed == 4


# ---------------------------------------------------------------- what happens between steps


@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_with_evaluation_between_epochs(without_gradients: Callable[[], AbstractContextManager[Any]]) -> None:
    """Replayed evaluation gives the ordinary model's results, and leaves training as it was."""
    net = straight()
    copy = deepcopy(net)
    replay = Replay(copy)
    held_out = sequences(10, seed=9)
    results: dict[bool, list[Tensor]] = {False: [], True: []}

    def evaluate(net: nn.Module, step: int, replay: Replay | None) -> None:
        if step % 4 == 1:
            net.eval()
            with without_gradients(), nullcontext() if replay is None else replay():
                results[replay is not None] += [net(held_out).clone(), net(held_out[:3]).clone()]

    batches = shuffled(sequences())
    evaluate(net, 1, None)
    evaluate(copy, 1, replay)
    expected = train(net, batches, after=evaluate)
    found = train(copy, batches, replay=replay, after=evaluate)

    assert_equal(expected, found)
    assert all(map(same_bits, results[False], results[True])) and len(results[True]) == 8
    assert replay.counts["replayed batches"] == 12 + 8


def test_with_more_unfrozen_on_the_way() -> None:
    """A frozen layer that starts to train is computed from then on; what is still frozen goes on being replayed."""
    net = wired(lambda net, x: net.answer(net.c(net.b(net.a(x)))))

    def after(net: nn.Module, step: int, replay: Replay | None) -> None:
        if step == 5:
            unfreeze(net, "b", "c")

    ran = train_twice(net, shuffled(sequences()), after=after)

    assert ran.replayed == 12, ran.replay.sentence
    assert ran.gradients[4]["b.0.weight"] is None and ran.gradients[7]["b.0.weight"] is not None


def test_with_more_frozen_on_the_way() -> None:
    """A layer that is frozen after it has trained is replayed as it is then."""
    net = wired(lambda net, x: net.answer(net.c(net.b(net.a(x)))), frozen=("a",))

    def after(net: nn.Module, step: int, replay: Replay | None) -> None:
        if step == 5:
            freeze(net, "b")

    ran = train_twice(net, shuffled(sequences()), after=after)

    assert ran.replayed == 12, ran.replay.sentence
    (plan,) = ran.replay._plans.values()
    assert {kept.name for kept in plan.kept} == {"b:0.0"}


def test_a_layer_frozen_again_after_it_trained_is_not_replayed_from_before() -> None:
    """Rows from before it trained are no longer right: replay ends, and training goes on the ordinary way."""
    net = wired(lambda net, x: net.answer(net.c(net.b(net.a(x)))))

    def after(net: nn.Module, step: int, replay: Replay | None) -> None:
        if step == 2:
            unfreeze(net, "b", "c")
        if step == 7:
            freeze(net, "b")

    ran = train_twice(net, shuffled(sequences()), after=after)

    assert ran.refused == "'b.0.weight' is not what it was when rows were stored"
    assert ran.replayed == 8


def test_within_another_one() -> None:
    """`with replay()` inside `with replay()`: an evaluation function that replays by itself, say."""
    net = straight()
    replay, x = Replay(net), sequences()
    with torch.no_grad():
        expected = net.eval()(x)
        with replay(), replay():
            found = net(x)

    assert same_bits(expected, found) and "forward" not in net.__dict__


# ---------------------------------------------------------------- what is done to frozen outputs


def plus_one(h: Tensor) -> Tensor:
    h += 1
    return h


@pytest.mark.parametrize(
    "change", [plus_one, nn.ReLU(inplace=True), functional.relu_, lambda h: h.t_().t_() if h.dim() == 2 else h.mul_(2)]
)
def test_with_changes_in_place_of_what_frozen_modules_give(change: Callable[[Tensor], Tensor]) -> None:
    """Writing to a replayed tensor does not write to the store."""
    net = wired(lambda net, x: net.answer(net.c(change(net.b(net.a(x))))), frozen=("a", "b"))
    data = sequences(16)
    ran = train_twice(net, [data, data, data[range(15, -1, -1)], data])

    assert ran.replayed == 4, ran.replay.sentence


def test_with_changes_in_place_within_what_is_frozen() -> None:
    """ReLU in place behind a frozen convolution or norm, as vision models have it."""
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        nn.Conv2d(4, 4, 3),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.LazyLinear(2),
    )
    net(images(2))
    ran = train_twice(freeze(net, "0", "1"), shuffled(images()))

    assert ran.replayed == 12, ran.replay.sentence


# ---------------------------------------------------------------- hooks


def test_with_hooks_that_change_what_frozen_modules_give() -> None:
    """On a frozen module, inside one and before one: the hooks' changes are in what is replayed behind them."""
    net = wired(lambda net, x: net.answer(net.c(net.b(net.a(x)))))
    net.a[0].register_forward_hook(lambda module, args, output: output + 1)
    net.b.register_forward_hook(lambda module, args, output: output * 2)
    net.c.register_forward_pre_hook(lambda module, args: (args[0].abs(),))
    ran = train_twice(net, shuffled(sequences()))

    assert ran.replayed == 12, ran.replay.sentence
    assert "'a.0' has a hook of its own" in " ".join(ran.replay.reasons)


def test_with_hooks_that_look() -> None:
    """Whoever collects features by hooks gets all of them at every step, though they may not matter to the result."""
    seen: dict[int, list[Tensor]] = {}

    def watched() -> Wired:
        net = wired(lambda net, x: net.answer(net.c(net.b(net.a(x)))))
        for module in (net.a[1], net.b):
            module.register_forward_hook(lambda m, args, out: seen.setdefault(id(net), []).extend((args[0], out)))
        return net

    # Two networks made alike: a copy would share its hooks with the original.
    net, other = watched(), watched()
    batches, replay = shuffled(sequences()), Replay(other)
    expected, found = train(net, batches), train(other, batches, replay=replay)

    assert_equal(expected, found)
    # Passes that find out and verify are seen as well; they end with the second batch.
    late = slice(-4 * (len(batches) - 2), None)
    assert same_values(seen[id(net)][late], seen[id(other)][late])
    assert replay.counts["replayed batches"] == 12


def test_with_features_collected_by_transformers() -> None:
    """`output_hidden_states=True`: all of them come out of replay as well."""
    batches = [batch | {"output_hidden_states": True} for batch in texts()]
    net = bert(3)
    copy = deepcopy(net)
    replay = Replay(copy)
    for batch in batches:
        expected = net.eval()(**batch).hidden_states
        with replay():
            found = copy.eval()(**batch).hidden_states
        assert same_values(list(expected), list(found))

    assert replay.counts["replayed batches"] >= 8, replay.sentence


@pytest.mark.slow
def test_with_texts_given_as_they_come() -> None:
    """Ragged batches: every length from one token on, batches of every size, in any order of both."""
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(1, 40, (24, 9), generator=generator)

    def batches() -> Iterator[dict[str, Tensor]]:
        for length in (8, 7, 1, 2, 3, 5, 9):
            for size in (16, 2, 3, 5, 7, 11, 24):
                rows = torch.randperm(24, generator=generator)[:size]
                yield padded(list(tokens[rows, :length]))

    ran = train_twice(bert(3), list(batches()))
    assert ran.replayed >= 35, ran.replay.sentence


def test_a_column_of_scores_is_rounded_by_fours() -> None:
    """A product with one column is rounded otherwise at almost every number of rows: found at every length anew."""
    net = wired(
        lambda net, x: net.answer(net.c(net.a(x) * net.scores(net.a(x)).softmax(dim=1))),
        frozen=("a", "scores"),
        a=part(8, 64),
        c=part(64, 8),
        scores=nn.Linear(64, 1),
    )
    generator = torch.Generator().manual_seed(5)
    data = sequences(24, 9)
    batches = [
        data[torch.randperm(24, generator=generator)[:size], :length]
        for length in (8, 7, 4, 5, 9)
        for size in (16, 7, 19, 24, 5)
    ]
    ran = train_twice(net, batches)

    assert ran.replayed >= 10, ran.replay.sentence
