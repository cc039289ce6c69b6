"""Claims about planted faults: what would make replay wrong is caught, training ends as ordinary training, and the
same loop without the fault is quiet.

What catches what: frozen weights, buffers and hooks are watched at every step; files are checked by their hashes when
they are first read; everything else shows when the first two batches are compared with the ordinary model, results and
gradients. So a row in memory that is spoilt later than that, or an id that begins to lie later, is not caught.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frostline.capture.origin import Origin, watched_tensors
from frostline.capture.replay import Replay
from frostline.capture.store import ActivationStore
from frostline.plan.apply import freeze
from networks import NormedCnn
from odd_networks import Wired, part, sequences, wired
from replaying import BATCH, EXAMPLES, Ran, assert_equal, images, shuffled, train

PLENTY = 2**30


def network() -> Wired:
    return wired(lambda net, x: net.answer(net.c(net.b(net.a(x)))), frozen=("a", "b"))


def batches() -> list[Tensor]:
    return shuffled(sequences())


def twice(replay: Replay, net: nn.Module, data: Sequence[Any] | None = None, **options: Any) -> Ran:
    """Ordinary training of a copy, then replayed training of the network; equal, whatever was planted."""
    data = batches() if data is None else data
    expected = train(deepcopy(net), data, **{name: o for name, o in options.items() if name != "ids"})
    found = train(net, data, replay=replay, **options)
    assert_equal(expected, found)
    return found


def is_loud(caplog: pytest.LogCaptureFixture, ran: Ran, *words: str) -> bool:
    """Refused, with these words, and said in one warning."""
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == [f"Replay is off because {ran.refused}. Training goes on the ordinary way."], said
    assert all(word in ran.refused for word in words), ran.refused
    return True


def is_quiet(caplog: pytest.LogCaptureFixture, ran: Ran) -> bool:
    return not caplog.records and not ran.refused and ran.replayed == len(batches())


# ---------------------------------------------------------------- rows that are not what they should be


class Tampered(ActivationStore):
    """Gives one row that was never stored."""

    fault: Callable[[Tensor], None] | None = None

    def get(self, shelf: str, leaf: str, ids: Sequence[str]) -> Tensor:
        rows = super().get(shelf, leaf, ids)
        if self.fault is not None and "5" in ids:
            self.fault(rows[list(ids).index("5")])
        return rows


def named_batches() -> tuple[list[Tensor], list[list[str]]]:
    """Batches of named examples; the one named 5 is in the first two."""
    generator = torch.Generator().manual_seed(3)
    orders = [torch.randperm(EXAMPLES, generator=generator)[:BATCH].tolist() for _ in range(12)]
    for order in orders[:2]:
        order[order.index(5) if 5 in order else 7] = 5
    return [sequences()[order] for order in orders], [[str(n) for n in order] for order in orders]


def filled(net: nn.Module) -> Tampered:
    """A store with rows of all examples."""
    store = Tampered.in_memory(budget_bytes=PLENTY)
    with Replay(net, store)([str(n) for n in range(EXAMPLES)]):
        net.train()(sequences())
    return store


def one_bit(row: Tensor) -> None:
    row.view(torch.int32)[0, 3] ^= 1


def wrong_row(row: Tensor) -> None:
    row.mul_(1.5)


@pytest.mark.parametrize("fault", [None, one_bit, wrong_row])
def test_a_stale_row(fault: Callable[[Tensor], None] | None, caplog: pytest.LogCaptureFixture) -> None:
    """The store gives another row than was captured, by one bit of one number: verifying finds it."""
    net = network()
    store = filled(net)
    store.fault = fault
    data, ids = named_batches()
    caplog.clear()
    ran = twice(Replay(net, store), net, data, ids=ids)

    if fault is None:
        assert is_quiet(caplog, ran)
    else:
        assert is_loud(caplog, ran, "replaying was tried and its result is not that of the ordinary model")
        assert ran.replayed == 0


def test_it_is_verifying_that_finds_a_stale_row() -> None:
    """Without it the same fault goes through, into every loss."""
    net = network()
    store = filled(net)
    store.fault = wrong_row
    data, ids = named_batches()
    with pytest.raises(AssertionError, match="loss of step 0"):
        twice(Replay(net, store, verify=False), net, data, ids=ids)


@pytest.mark.parametrize("lying", [False, True])
def test_ids_that_lie(lying: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Ids by the place in the batch instead of by the example: the second batch is given rows of the first."""
    net = network()
    data, ids = named_batches()
    ran = twice(Replay(net), net, data, ids=[[str(n) for n in range(BATCH)]] * len(ids) if lying else ids)

    if lying:
        assert is_loud(caplog, ran, "replaying was tried")
        assert ran.replayed == 1
    else:
        assert is_quiet(caplog, ran)


@pytest.mark.parametrize("with_origin", [False, True])
@pytest.mark.parametrize("other", [False, True])
def test_a_store_that_was_filled_by_another_model(
    other: bool, with_origin: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is built alike, with other weights: by its origin where that is given, else by verifying."""
    net, filler = network(), network()
    if other:
        with torch.no_grad():
            filler.a[0].bias.add_(0.01)
    store = filled(filler)
    origin = Origin.of(filler, watched_tensors(filler)) if with_origin else None
    data, ids = named_batches()
    caplog.clear()
    ran = twice(Replay(net, store, origin), net, data, ids=ids)

    if other:
        assert is_loud(caplog, ran, "'a.0.bias' is not what it was" if with_origin else "replaying was tried")
        assert ran.replayed == 0
    else:
        assert is_quiet(caplog, ran)


def test_a_folder_tells_models_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On disk rows lie under a key of weights and code: another model neither sees nor loses them."""
    for change in (0.0, 0.01, 0.0):
        net = network()
        with torch.no_grad():
            net.a[0].bias.add_(change)
        origin = Origin.of(net, watched_tensors(net))
        store = ActivationStore.at(tmp_path, origin.key(), budget_bytes=PLENTY)
        assert is_quiet(caplog, twice(Replay(net, store, origin), net))
        store.flush()
    assert len(list(tmp_path.iterdir())) == 2


# ---------------------------------------------------------------- files that were damaged


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("what", ["*.rows", "*.json"])
@pytest.mark.parametrize("damage", [None, cut_short, altered, Path.unlink])
def test_a_torn_file(
    damage: Callable[[Path], None] | None, what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows of a file that was cut short, altered by one bit, or lost are computed again; replay goes on."""
    first = ActivationStore.at(tmp_path, {"model": "one"}, budget_bytes=PLENTY)
    net = network()
    twice(Replay(net, first), net)
    first.flush()
    (damaged,) = tmp_path.rglob(what)
    if damage is not None:
        damage(damaged)

    net = network()
    store = ActivationStore.at(tmp_path, {"model": "one"}, budget_bytes=PLENTY)
    replay = Replay(net, store)
    assert is_quiet(caplog, twice(replay, net))
    assert (replay.capturing_s > 0) == (damage is not None)
    if damage is not None and damage is not Path.unlink:
        assert any("the rows are computed again" in note for note in store.notes)


# ---------------------------------------------------------------- a frozen part that is not frozen


def added_to(net: nn.Module) -> None:
    with torch.no_grad():
        net.a[0].weight.add_(0.01)


def written_to_data(net: nn.Module) -> None:
    net.a[0].weight.data.mul_(1.01)


def replaced(net: nn.Module) -> None:
    net.a[0].weight = nn.Parameter(net.a[0].weight * 1.01, requires_grad=False)


def data_replaced(net: nn.Module) -> None:
    net.a[0].weight.data = net.a[0].weight.data * 1.01


def loaded(net: nn.Module) -> None:
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state["b.0.bias"] += 1
    net.load_state_dict(state)


def loaded_the_same(net: nn.Module) -> None:
    net.load_state_dict({name: tensor.clone() for name, tensor in net.state_dict().items()})


def trained_part_changed(net: nn.Module) -> None:
    with torch.no_grad():
        net.c[0].weight.add_(1)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (added_to, "a.0.weight"),
        (written_to_data, "a.0.weight"),
        (replaced, "a.0.weight"),
        (data_replaced, "a.0.weight"),
        (loaded, "b.0.bias"),
        (loaded_the_same, ""),
        (trained_part_changed, ""),
    ],
)
def test_a_frozen_weight_that_changes_between_epochs(
    change: Callable[[nn.Module], None], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By whatever means: noticed before the next batch. Loading the same weights, or changing others, is no fault."""
    net = network()

    def after(net: nn.Module, step: int, replay: Replay | None) -> None:
        if step == 5:
            change(net)

    ran = twice(Replay(net), net, after=after)

    if name:
        assert is_loud(caplog, ran, f"{name!r} is not what it was when rows were stored")
        assert ran.replayed == 6
    else:
        assert is_quiet(caplog, ran)


@pytest.mark.parametrize("kind", ["buffer of the root", "statistics of a frozen norm", "hook"])
def test_what_else_frozen_outputs_depend_on(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A buffer of the model that frozen modules are fed with, a frozen norm's statistics, a hook on a frozen module."""

    def wiring(net: Wired, x: Tensor) -> Tensor:
        return net.answer(net.c(net.b(net.a(x + net.shift).transpose(1, 2)).transpose(1, 2)))

    net = wired(wiring, frozen=("a", "b"), b=nn.BatchNorm1d(8), c=part())
    net.register_buffer("shift", torch.zeros(8))
    clean = deepcopy(net)

    def after(net: nn.Module, step: int, replay: Replay | None) -> None:
        if step == 5 and kind == "buffer of the root":
            net.shift.add_(0.5)
        elif step == 5 and kind == "hook":
            net.a[1].register_forward_hook(lambda module, args, output: output * 2)
        elif step == 5:
            net.b.running_mean.add_(0.5)

    assert is_quiet(caplog, twice(Replay(clean), clean))
    ran = twice(Replay(net), net, after=after)
    words = {
        "buffer of the root": "'shift'",
        "hook": "a hook of 'a.1'",
        "statistics of a frozen norm": "'b.running_mean'",
    }
    assert is_loud(caplog, ran, words[kind])
    assert ran.replayed == 6


@pytest.mark.parametrize("awake", [False, True])
def test_a_dropout_that_is_left_on(awake: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody takes the hold from a frozen dropout: what it drops is computed, at every step anew."""
    torch.manual_seed(0)
    net = freeze(NormedCnn(), "first")
    if awake:
        net.first[3]._forward_pre_hooks.clear()
    data = shuffled(images())
    ran = twice(Replay(net), net, data)

    (plan,) = ran.replay._plans.values()
    assert is_quiet(caplog, ran)
    assert "first" in {name.path for name in plan.calls} if not awake else "first.3" not in {n.path for n in plan.calls}


def test_one_that_is_woken_on_the_way(caplog: pytest.LogCaptureFixture) -> None:
    """A dropout that begins to drop between epochs is found by its mode: from then on everything is computed."""
    torch.manual_seed(0)
    net = freeze(NormedCnn(), "first")

    def after(net: nn.Module, step: int, replay: Replay | None) -> None:
        if step == 5:
            net.first[3]._forward_pre_hooks.clear()

    ran = twice(Replay(net), net, shuffled(images()), after=after)

    assert ran.replayed == 6 and not ran.refused and not caplog.records


def test_pictures_that_are_augmented_are_other_examples(caplog: pytest.LogCaptureFixture) -> None:
    """Ids are hashes of the content by default: a changed example is a new one, and is captured as such."""
    net = network()
    data = batches()
    data = [batch + step * 0.001 for step, batch in enumerate(data)]
    store = ActivationStore.in_memory(budget_bytes=PLENTY)

    assert is_quiet(caplog, twice(Replay(net, store), net, data))
    assert store.kept_bytes == sum(len(batch) for batch in data) * 8 * 8 * 4
