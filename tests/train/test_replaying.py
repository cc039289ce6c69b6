"""Claims about runs that are replayed: the ordinary run to the last bit, its FLOPs done or spared to the last one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline.capture.replay import Replay
from frostline.capture.store import ActivationStore
from frostline.models.task_model import TaskModel
from frostline.plan.apply import freeze
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.loop import Material
from frostline.train.replaying import Replaying, content_ids
from networks import bag_model
from sweeps import (
    CASES,
    FAST_TO_READ,
    RECIPE,
    activations_of,
    assert_same_run,
    begin_again,
    capture_all,
    image_model,
    images,
    outcome,
    plans_of,
    same,
    texts,
    train,
    weights,
)


@pytest.fixture(autouse=True)
def _fast_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frostline.train.activations.measure_speeds", lambda forward, folder: FAST_TO_READ)


def replaying_of(
    model: TaskModel, material: Material, plan: FreezePlan, *, ids: Sequence[str] | None = None, **options: Any
) -> Replaying:
    """The replay of one plan, with an empty store of its own."""
    freeze(model.module, plan)
    every = np.arange(len(material.labels))
    return Replaying(
        Replay(model.module, ActivationStore.in_memory(budget_bytes=2**24), **options),
        model,
        ids or content_ids(model, material.inputs, every, len(every)),
    )


@pytest.mark.parametrize(
    ("case", "ordinary", "replayed"),
    [
        # A lookup takes no FLOPs: an embedding alone is not worth reading.
        ("bag of tokens", ["full", "depth-1"], ["depth-2", "depth-3"]),
        ("bert", [], ["depth-3"]),
        ("images with batch norm", ["full"], ["depth-1", "depth-2"]),
    ],
    ids=CASES,
)
def test_a_replayed_run_is_the_ordinary_run(
    case: str, ordinary: list[str], replayed: list[str], tmp_path: Path
) -> None:
    """Losses, weights and proof are the same bits; FLOPs done and spared are in every epoch those of the other run."""
    make_model, make_material = CASES[case]
    model, material = make_model(), make_material()
    plans = {id: plan for id, plan in plans_of(model, material).items() if id in (*ordinary, *replayed)}
    beginning = weights(model)
    activations = activations_of(model, material, plans, tmp_path / "activations")
    capture_all(activations, material)
    for candidate, plan in plans.items():
        other = make_model()
        expected = train(candidate, plan, other, material, tmp_path / f"{candidate} ordinary")
        begin_again(model, beginning)
        replaying = activations.replaying(candidate)
        ended = train(candidate, plan, model, material, tmp_path / candidate, replaying=replaying)

        assert_same_run(ended, expected)
        run = ended.run
        assert run.ordinary_flops == expected.run.train_flops + expected.run.evaluate_flops
        assert (replaying is not None) == (candidate in replayed)
        if replaying is not None:
            assert all(epoch.spared_train_flops > 0 for epoch in run.epochs[1:])
            assert replaying.replay.capturing_s == 0, "all rows came from the pass"


def test_what_is_spared_is_what_the_frozen_part_costs(tmp_path: Path) -> None:
    """By hand: two convolutions over every example that is trained on or evaluated."""
    model, material = image_model(), images()
    plan = plans_of(model, material)["depth-2"]
    run = train("c", plan, model, material, tmp_path, replaying=replaying_of(model, material, plan)).run
    an_example = 2 * 10 * 10 * 9 * (3 * 4 + 4 * 6)

    assert [epoch.spared_train_flops for epoch in run.epochs[1:]] == [an_example * len(material.train)] * 2
    assert [epoch.spared_evaluate_flops for epoch in run.epochs[1:]] == [an_example * len(material.stop)] * 2
    assert run.spared_evaluate_flops == an_example * 3 * len(material.stop), "the last look is at as many as stop"


def test_preparing_is_billed_apart(tmp_path: Path) -> None:
    """Rows that are captured while training runs cost the run's preparing, and no epoch a FLOP; ordinary runs none."""
    model, twin, material = image_model(), image_model(), images()
    plan = plans_of(model, material)["depth-1"]
    expected = train("c", plan, twin, material, tmp_path / "ordinary")
    replaying = replaying_of(model, material, plan)
    ended = train("c", plan, model, material, tmp_path / "replayed", replaying=replaying)
    captured = 2 * 10 * 10 * 9 * 3 * 4 * (len(material.train) + len(material.stop))

    assert_same_run(ended, expected)
    assert replaying.replay.capturing_s > 0
    assert ended.run.prepare_flops == replaying.preparing.total > captured
    ordinary = expected.run
    assert ordinary.prepare_flops == ordinary.spared_train_flops == ordinary.spared_evaluate_flops == 0


def test_batches_too_small_to_be_rounded_alike_are_computed(tmp_path: Path) -> None:
    """Where only many examples are rounded as others are, batches of few cost and give what they always did."""
    # Of each length 28 examples are trained on at once, and 14 evaluated: this network wants 16.
    model, twin, material = bag_model(), bag_model(), texts(126)
    plan = plans_of(model, material)["depth-3"]
    ended = train("c", plan, model, material, tmp_path / "replayed", replaying=replaying_of(model, material, plan))

    assert all(epoch.spared_train_flops > 0 == epoch.spared_evaluate_flops for epoch in ended.run.epochs[1:])
    assert_same_run(ended, train("c", plan, twin, material, tmp_path))


@pytest.mark.parametrize("planted", [False, True])
def test_two_examples_under_one_id_are_noticed(planted: bool, tmp_path: Path) -> None:
    """Rows of another example differ from what the model gives: replay ends, and the run is the ordinary one."""
    model, twin, material = image_model(), image_model(), images()
    plan = plans_of(model, material)["depth-1"]
    ids = [f"example {row // 2 if planted else row}" for row in range(len(material.labels))]
    replaying = replaying_of(model, material, plan, ids=ids)
    ended = train("c", plan, model, material, tmp_path / "replayed", replaying=replaying)

    assert ("its result is not that of the ordinary model" in replaying.replay.sentence) == planted
    assert_same_run(ended, train("c", plan, twin, material, tmp_path))


def test_wrong_rows_that_nobody_verifies_would_be_seen_here(tmp_path: Path) -> None:
    """The planted fault for the tests above: with verifying switched off, one id for two examples changes the run."""
    model, twin, material = image_model(), image_model(), images()
    plan = plans_of(model, material)["depth-1"]
    ids = [f"example {row // 2}" for row in range(len(material.labels))]
    replaying = replaying_of(model, material, plan, ids=ids, verify=False)
    ended = train("c", plan, model, material, tmp_path / "replayed", replaying=replaying)

    expected = train("c", plan, twin, material, tmp_path)

    assert outcome(ended.run) != outcome(expected.run)
    assert not same(ended.last, expected.last)


def test_the_next_batch_is_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch is computed the store is told of the next: of every example but those of an epoch's first batch."""
    model, material = image_model(), images()
    plan = plans_of(model, material)["depth-1"]
    replaying = replaying_of(model, material, plan)
    told: list[str] = []
    monkeypatch.setattr(ActivationStore, "prefetch", lambda store, shelf, leaves, ids: told.extend(ids))
    train("c", plan, model, material, tmp_path, replaying=replaying)
    ids = content_ids(model, material.inputs, material.train, len(material.labels))

    first_batch = len(material.train) // 2  # 36 examples in batches of at most 32
    assert len(told) == RECIPE.epochs * (len(material.train) - first_batch)
    assert set(told) <= set(filter(None, ids))


def test_ids_stand_for_content() -> None:
    """Equal inputs share an id, others do not, and what is not asked for has none."""
    material = texts()
    model = bag_model()
    copied = [list(tokens) for tokens in material.inputs.ids]  # type: ignore[attr-defined]
    copied[9] = copied[0]
    inputs = type(material.inputs).of(copied, 0)  # type: ignore[attr-defined]
    ids = content_ids(model, inputs, np.arange(0, 60), len(copied))

    assert ids[9] == ids[0] != ids[1]
    assert all(ids[:60]) and not any(ids[60:])
    assert len(set(ids[:60])) == len({tuple(tokens) for tokens in copied[:60]})
