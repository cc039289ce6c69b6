"""Claims about what a study keeps of frozen computation: once for all plans, where there is room, found again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from frostline.capture.cost import Room, Speeds
from frostline.capture.store import ActivationStore
from frostline.core.progress import Silent
from frostline.models.task_model import TaskModel
from frostline.plan.blocks import blocks
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.activations import Activations
from frostline.train.evaluate import BATCH
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import plain_batches
from frostline.train.loop import Material
from frostline.train.probes import features_by_depth
from frostline.train.recipe import Keeping
from networks import NormedCnn
from stores import small_segments
from sweeps import (
    CASES,
    FAST_TO_READ,
    RECIPE,
    Said,
    activations_of,
    assert_same_run,
    begin_again,
    capture_all,
    first_token_model,
    image_model,
    images,
    outcome,
    plans_of,
    texts,
    train,
    weights,
)

# Shape letters: B images in a batch, H rows, W columns.

IN_MEMORY, ON_DISK = Keeping(place="memory"), Keeping(place="disk")
FIRST_ROW = 4 * 10 * 10 * 4
"""Bytes of what the first block of `NormedCnn` gives for one image."""


@pytest.fixture(autouse=True)
def speeds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Speeds]]:
    """What is measured of this machine; a test may change it."""
    measured = [FAST_TO_READ]
    monkeypatch.setattr("frostline.train.activations.measure_speeds", lambda forward, folder: measured[0])
    yield measured


COMPUTED: dict[str, list[int]] = {"first": [], "second": []}
"""Examples of every call of a block that was computed."""


class Counted(nn.Module):
    """A block that notes how many examples it is asked to compute."""

    def __init__(self, name: str, block: nn.Module) -> None:
        super().__init__()
        self.name, self.block = name, block

    def forward(self, images_BCHW: Tensor) -> Tensor:
        COMPUTED[self.name].append(len(images_BCHW))
        given_BCHW: Tensor = self.block(images_BCHW)
        return given_BCHW


class CountedCnn(NormedCnn):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Counted("first", self.first), Counted("second", self.second)  # type: ignore[assignment]


def forget_what_was_computed() -> None:
    for calls in COMPUTED.values():
        calls.clear()


def depths(model: TaskModel, material: Material) -> dict[str, FreezePlan]:
    """The plans that freeze something."""
    return {id: plan for id, plan in plans_of(model, material).items() if plan.frozen}


def store_of(activations: Activations) -> ActivationStore:
    return activations._rows.store


def assert_trains_as_ever(
    model: TaskModel, material: Material, activations: Activations, folder: Path, make: type[nn.Module] = NormedCnn
) -> None:
    """Train every plan replayed and the ordinary way: the same runs."""
    beginning = weights(model)
    for candidate, plan in depths(model, material).items():
        twin = image_model(make)
        begin_again(model, beginning)
        replaying = activations.replaying(candidate)
        assert replaying is not None
        ended = train(candidate, plan, model, material, folder / candidate, replaying=replaying)
        assert_same_run(ended, train(candidate, plan, twin, material, folder / f"{candidate} ordinary"))
    begin_again(model, beginning)


# ---------------------------------------------------------------- once for all plans


def test_one_pass_serves_all_plans(tmp_path: Path) -> None:
    """Each block computes each example once, however many plans replay it; training finds every row."""
    model, material = image_model(CountedCnn), images()
    plans = depths(model, material)
    activations = activations_of(model, material, plans, tmp_path, IN_MEMORY)
    examples = len(material.train) + len(material.stop)
    forget_what_was_computed()
    capture_all(activations, material)

    assert {name: sum(calls) for name, calls in COMPUTED.items()} == {"first": examples, "second": examples}
    assert_trains_as_ever(model, material, activations, tmp_path / "runs", CountedCnn)
    for candidate in plans:
        replaying = activations.replaying(candidate)
        assert replaying is not None and replaying.replay.capturing_s == 0
        assert replaying.replay.counts["ordinary batches"] == 0


def test_a_plan_alone_needs_as_many_passes(tmp_path: Path) -> None:
    """What two plans share is kept once: together they take what the union of their rows takes."""
    model, material = image_model(), images()
    plans = depths(model, material)
    alone = [
        activations_of(model, material, {id: plan}, tmp_path / id, IN_MEMORY).predicted_bytes
        for id, plan in plans.items()
    ]
    together = activations_of(model, material, plans | {"again": plans["depth-1"]}, tmp_path, IN_MEMORY)

    assert together.predicted_bytes == sum(alone)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("case", ["bag of tokens", "images with batch norm"])
def test_what_is_kept_was_predicted_to_the_byte(case: str, half: bool, tmp_path: Path) -> None:
    """Before the pass it is known what the rows of all plans take, whatever the padded lengths."""
    model, material = CASES[case][0](), CASES[case][1]()
    keeping = Keeping(place="memory", half=half)
    activations = activations_of(model, material, depths(model, material), tmp_path, keeping)
    capture_all(activations, material)
    summary = activations.summary()

    assert summary.predicted_bytes == activations.predicted_bytes == summary.kept_bytes > 0
    assert summary.refused_rows == 0


def test_the_pass_gives_what_the_model_gives() -> None:
    """Probes see the features of the ordinary pass, also where a slice of a tensor is kept and found to be enough."""
    model, material = first_token_model(), texts(48)
    example = material.inputs.batch(material.train[:2])
    found = blocks(model.module, example)
    plans = {"depth-3": depths(model, material)["depth-3"]}
    activations = activations_of(model, material, plans, Path("/nowhere"), IN_MEMORY)
    ordinary, captured = (
        features_by_depth(model, found, material.inputs, material.train, FlopsMeter(), Silent(), ask)
        for ask in (None, activations.capture)
    )
    activations.finish()
    replaying = activations.replaying("depth-3")

    assert replaying is not None
    assert any(plan.narrowed for plan in replaying.replay._plans.values() if hasattr(plan, "narrowed"))
    assert ordinary.keys() == captured.keys()
    assert all(np.array_equal(ordinary[depth], captured[depth]) for depth in ordinary)


# ---------------------------------------------------------------- where there is room


@pytest.mark.parametrize(
    ("asked", "memory_bytes", "place"),
    [("auto", 10**9, "memory"), ("auto", 10, "disk"), ("memory", 10, "memory"), ("disk", 10**9, "disk")],
)
def test_rows_go_where_there_is_room_or_where_was_asked(
    asked: str, memory_bytes: int, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory when they fit into its share, else on disk; said aloud, and written down."""
    room = Room(memory_bytes=memory_bytes, disk_bytes=10**9)
    monkeypatch.setattr(Room, "here", classmethod(lambda cls, folder: room))
    model, material, said = image_model(), images(), Said()
    keeping = Keeping(place=asked)  # type: ignore[arg-type]
    activations = activations_of(model, material, depths(model, material), tmp_path, keeping, said)
    capture_all(activations, material)

    assert activations.place == activations.summary().place == place
    assert any(path.suffix == ".rows" for path in tmp_path.rglob("*")) == (place == "disk")
    expected = f"48 examples for 2 of 2 freeze plans: {activations.predicted_bytes / 1000:.0f} kB, kept "
    assert [s for s in said.sentences if expected + ("in memory" if place == "memory" else "on disk") in s]
    # What was asked for in memory is bounded by what is free there.
    assert (activations.summary().refused_rows > 0) == (asked == "memory")


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_what_the_budget_refuses_is_computed_each_time(place: str, tmp_path: Path) -> None:
    """A third of the rows fit: the others are counted, computed for every batch, and training is as ever."""
    model, material = image_model(), images()
    plans = depths(model, material)
    wanted = activations_of(model, material, plans, tmp_path / "all", IN_MEMORY).predicted_bytes
    keeping = Keeping(place=place, budget_bytes=wanted // 3)  # type: ignore[arg-type]
    activations = activations_of(model, material, plans, tmp_path / "some", keeping)
    capture_all(activations, material)
    summary = activations.summary()

    assert 0 < summary.kept_bytes <= wanted // 3 < summary.predicted_bytes == wanted
    assert summary.refused_rows > 0
    assert_trains_as_ever(model, material, activations, tmp_path / "runs")
    deep = activations.replaying("depth-2")
    assert deep is not None and deep.replay.capturing_s > 0
    assert {run.replayed_share for run in activations.summary().runs} == {1.0}


def test_rows_that_were_refused_are_computed_once_a_batch(tmp_path: Path) -> None:
    """Not once when the batch is made ready and again when it is run."""
    model, material = image_model(CountedCnn), images()
    plan = depths(model, material)["depth-1"]
    no_room = Keeping(place="memory", budget_bytes=1)
    activations = activations_of(model, material, {"depth-1": plan}, tmp_path, no_room)
    replaying = activations.replaying("depth-1")
    assert replaying is not None
    train("depth-1", plan, model, material, tmp_path / "verified", replaying=replaying)
    begin_again(model, weights(model))
    forget_what_was_computed()
    train("depth-1", plan, model, material, tmp_path / "run", replaying=replaying)
    # Before training, in every epoch, and a look back at as many as the stop split holds.
    ordinary = RECIPE.epochs * (len(material.train) + len(material.stop)) + 2 * len(material.stop)

    assert sum(COMPUTED["first"]) == ordinary


# ---------------------------------------------------------------- at half the size


def test_rows_at_half_the_size_are_close(tmp_path: Path) -> None:
    """By choice only: losses are close and not the same, and the largest error is told; exact rows tell none."""
    model, material = image_model(), images()
    plans = depths(model, material)
    beginning, runs, errors = weights(model), {}, {}
    for half in (False, True):
        keeping = Keeping(place="memory", half=half)
        activations = activations_of(model, material, plans, tmp_path / str(half), keeping)
        capture_all(activations, material)
        begin_again(model, beginning)
        replaying = activations.replaying("depth-1")
        assert replaying is not None, activations.summary()
        runs[half] = train("c", plans["depth-1"], model, material, tmp_path / f"{half} run", replaying=replaying).run
        begin_again(model, beginning)
        errors[half] = activations.summary().half_error
    exact, halved = ([epoch.stop_loss for epoch in runs[half].epochs] for half in (False, True))

    assert runs[True].spared_train_flops == runs[False].spared_train_flops > 0
    assert halved == pytest.approx(exact, rel=1e-2)
    assert halved[1:] != exact[1:]
    assert errors[False] is None
    assert errors[True] is not None and 0 < errors[True] < 2**-11
    assert outcome(runs[True])["train_flops"] == outcome(runs[False])["train_flops"]


# ---------------------------------------------------------------- what is not worth it, or cannot be


def test_a_plan_that_is_cheaper_to_compute_is_not_replayed(tmp_path: Path, speeds: list[Speeds]) -> None:
    """Reading the first block's feature maps takes longer than computing them, reading what follows does not."""
    model, material, said = image_model(), images(), Said()
    plans = depths(model, material)
    examples = len(material.train) + len(material.stop)
    computing = 2 * 10 * 10 * 9 * 3 * 4 * examples  # FLOPs of the first block
    # So that this takes 2 s, and reading what it gives 3 s.
    speeds[0] = Speeds(computing / 2, FIRST_ROW * examples / 3, 1e12)
    activations = activations_of(model, material, plans, tmp_path, IN_MEMORY, said)
    because = "reading its frozen part takes 3 s a pass, computing it 2 s"

    assert activations.replaying("depth-1") is None
    assert activations.replaying("depth-2") is not None
    assert f"depth-1: replay is off because {because}" in said.sentences
    first, second = activations.summary().runs
    assert (first.candidate, first.off_because, second.off_because) == ("depth-1", because, "")
    assert (first.predicted_compute_s, first.predicted_read_s) == (2.0, 3.0)
    assert first.replayed_share is None and first.measured_read_s is None
    assert second.predicted_read_s is not None and second.predicted_compute_s is not None
    assert second.predicted_read_s < second.predicted_compute_s


def test_what_nobody_replays_is_not_kept(tmp_path: Path, speeds: list[Speeds]) -> None:
    """When every plan is cheaper to compute, the pass keeps nothing."""
    speeds[0] = Speeds(1e18, 1.0, 1.0)
    model, material = image_model(), images()
    activations = activations_of(model, material, depths(model, material), tmp_path, IN_MEMORY)
    capture_all(activations, material)

    assert activations.predicted_bytes == activations.summary().kept_bytes == 0
    assert [activations.replaying(id) for id in ("depth-1", "depth-2")] == [None, None]


def test_a_plan_that_cannot_be_replayed_says_why_and_predicts_nothing(tmp_path: Path) -> None:
    """Behind a block that trains nothing can be kept: there is a reason, and no seconds, rather than none of them."""
    model, material, said = image_model(), images(), Said()
    hole = FreezePlan(blocks=("first", "second", "fc"), frozen=frozenset({"second"}))
    plans = {"hole": hole, "depth-1": depths(model, material)["depth-1"]}
    activations = activations_of(model, material, plans, tmp_path, IN_MEMORY, said)
    run, beside = activations.summary().runs

    assert activations.replaying("hole") is None
    assert beside.predicted_compute_s and not beside.off_because
    assert run.off_because and f"hole: replay is off because {run.off_because}" in said.sentences
    assert (run.predicted_compute_s, run.predicted_read_s, run.measured_read_s) == (None, None, None)


def test_examples_that_share_no_length_are_computed(tmp_path: Path) -> None:
    """With no two examples alike there is nothing to try replay on, and training goes on."""
    material = texts(3)
    model = CASES["bag of tokens"][0]()
    few = Material(inputs=material.inputs, labels=material.labels, train=np.array([0, 1]), stop=np.array([2]))
    activations = activations_of(model, few, depths(model, few), tmp_path, IN_MEMORY)

    assert len(set(material.inputs.padded_N.tolist())) == 3
    assert activations.predicted_bytes == 0


# ---------------------------------------------------------------- found again


def test_rows_on_disk_are_found_again_and_not_computed(tmp_path: Path) -> None:
    """A study that goes on in another process replays what the first one stored, bit for bit."""
    model, material = image_model(CountedCnn), images()
    plans = depths(model, material)
    first = activations_of(model, material, plans, tmp_path / "activations", ON_DISK)
    capture_all(first, material)
    other = image_model(CountedCnn)
    again = activations_of(other, material, plans, tmp_path / "activations", ON_DISK)

    assert again.summary().kept_bytes == first.summary().kept_bytes > 0
    assert_trains_as_ever(other, material, again, tmp_path / "runs", CountedCnn)
    replays = [again.replaying(id) for id in plans]
    assert [replaying is not None and replaying.replay.capturing_s for replaying in replays] == [0, 0]


def test_rows_of_other_weights_are_not_seen(tmp_path: Path) -> None:
    """One bit of one frozen weight, and nothing that was stored is found; with the old weights all of it is."""
    model, material = image_model(), images()
    plans = depths(model, material)
    first = activations_of(model, material, plans, tmp_path, ON_DISK)
    capture_all(first, material)
    changed = image_model()
    with torch.no_grad():
        weight = changed.module.get_parameter("first.0.weight")
        weight[0, 0, 0, 0] = torch.nextafter(weight[0, 0, 0, 0], torch.tensor(9.0))
    other = activations_of(changed, material, plans, tmp_path, ON_DISK)

    assert store_of(other).kept_bytes == 0
    assert store_of(activations_of(image_model(), material, plans, tmp_path, ON_DISK)).kept_bytes > 0


def test_another_head_sees_the_same_rows(tmp_path: Path) -> None:
    """The head is fitted after the pass, so rows do not hang on it."""
    model, material = image_model(), images()
    plans = depths(model, material)
    first = activations_of(model, material, plans, tmp_path, ON_DISK)
    capture_all(first, material)
    refitted = image_model()
    nn.init.zeros_(refitted.module.get_parameter("fc.weight"))
    other = activations_of(refitted, material, plans, tmp_path, ON_DISK)

    assert store_of(other).kept_bytes == first.summary().kept_bytes


def test_a_pass_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    """What was durable when the process ended is found, the rest is computed, and training is as ever."""
    model, material = image_model(CountedCnn), images()
    plans = depths(model, material)
    with small_segments(8 * FIRST_ROW):
        first = activations_of(model, material, plans, tmp_path / "activations", ON_DISK)
        with torch.no_grad():
            for rows in plain_batches(material.inputs, material.train, BATCH)[:1]:
                first.capture(rows[:20], material.inputs.batch(rows[:20]))
        del first  # neither finished nor flushed
        other = image_model(CountedCnn)
        second = activations_of(other, material, plans, tmp_path / "activations", ON_DISK)
        found = store_of(second).kept_bytes
        assert_trains_as_ever(other, material, second, tmp_path / "runs", CountedCnn)

    assert 0 < found < second.predicted_bytes == second.summary().kept_bytes


def test_discarding_frees_what_was_kept(tmp_path: Path) -> None:
    """The bytes that are freed are said, and every row is computed anew afterwards."""
    model, material = image_model(), images()
    activations = activations_of(model, material, depths(model, material), tmp_path, ON_DISK)
    capture_all(activations, material)

    assert activations.discard() >= activations.predicted_bytes
    assert activations.summary().kept_bytes == 0
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".rows", ".json")]
