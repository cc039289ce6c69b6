"""Claims about candidates that are trained in step on random batches: each as if it were alone, at one pass for all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from frostline.capture.batch_rows import BatchRows
from frostline.core.ledger import Ledger
from frostline.core.records import Run
from frostline.core.seeding import derive
from frostline.models.task_model import Batch
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.activations import Activations
from frostline.train.checkpoint import load_trained
from frostline.train.in_step import train_in_step
from frostline.train.inputs import plain_batches, shuffled_batches
from frostline.train.race import Race
from frostline.train.recipe import Keeping, Recipe
from frostline.train.start import known_start
from frostline.train.trainer import Trainer
from networks import NormedCnn
from sweeps import (
    FAST_TO_READ,
    RECIPE,
    Ended,
    PowerCut,
    Said,
    assert_same_run,
    image_model,
    images,
    outcome,
    race_of,
    same,
    train,
    weights,
)

BLOCKS = ("first", "second", "fc")
PLANS = {
    "full": FreezePlan(blocks=BLOCKS),
    "depth-1": FreezePlan(blocks=BLOCKS, frozen=frozenset(BLOCKS[:1])),
    "depth-2": FreezePlan(blocks=BLOCKS, frozen=frozenset(BLOCKS[:2])),
    "hole": FreezePlan(blocks=BLOCKS, frozen=frozenset({"second"})),
}
BOTH = ("shift", "flip")


@pytest.fixture(autouse=True)
def _fast_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frostline.train.activations.measure_speeds", lambda forward, folder: FAST_TO_READ)


def trained_in_step(race: Race) -> dict[str, Run]:
    start = race.start()
    train_in_step(race, start)
    return race.train_all(start)


def in_step(
    folder: Path, *, make: type[nn.Module] = NormedCnn, plans: Mapping[str, FreezePlan] = PLANS, **options: Any
) -> tuple[dict[str, Ended], Race]:
    """All candidates of a study with augmentation, each with the weights of its best epoch."""
    with race_of(image_model(make), folder, plans=plans, augment=BOTH, **options) as race:
        runs = trained_in_step(race)
        outcomes = {}
        for candidate, run in runs.items():
            race.restore(run)
            outcomes[candidate] = Ended.of(run, race.model, race.checkpoints(run.id))
    return outcomes, race


def alone(
    folder: Path, race: Race, candidate: str, *, make: type[nn.Module] = NormedCnn, augment: tuple[str, ...] = BOTH
) -> Ended:
    """The same candidate trained by itself the ordinary way, from the same weights on the same random batches."""
    model = image_model(make)
    model.module.load_state_dict(race.beginning)
    with Ledger.at(race.folder.path / "ledger.sqlite") as ledger:
        epochs = ledger.epochs(f"{candidate}-seed-0")
        start = known_start(ledger)
    assert start is not None
    recipe = race.recipe.model_copy(update={"head_learning_rate": start.head_learning_rate})
    return train(
        candidate,
        race.plans[candidate],
        model,
        images(augment=augment),
        folder / candidate,
        recipe=recipe,
        before=epochs[0],
    )


# ---------------------------------------------------------------- as if alone


def test_each_candidate_is_trained_as_if_it_were_alone(tmp_path: Path) -> None:
    """Batch norm, dropout and random augmentation: every bit and every FLOP is that of an ordinary run by itself."""
    outcomes, race = in_step(tmp_path / "study")

    assert list(outcomes) == list(PLANS)
    for candidate, found in outcomes.items():
        assert_same_run(found, alone(tmp_path / "alone", race, candidate))
    assert {id for id, ended in outcomes.items() if ended.run.spared_train_flops} == {"depth-1", "depth-2"}


def test_other_augmentation_would_be_noticed(tmp_path: Path) -> None:
    """The planted fault for the test above: images that are only shifted train to other weights."""
    outcomes, race = in_step(tmp_path / "study", plans={"full": PLANS["full"]})
    other = alone(tmp_path / "alone", race, "full", augment=("shift",))

    assert outcome(other.run) != outcome(outcomes["full"].run)
    assert not same(other.last, outcomes["full"].last)


def test_without_activations_the_runs_are_the_same(tmp_path: Path) -> None:
    """`--activations off` computes every frozen part for every candidate, and changes nothing but that."""
    kept, _ = in_step(tmp_path / "kept")
    off, race = in_step(tmp_path / "off", keeping=None)

    assert race.activations is None
    for candidate in PLANS:
        assert_same_run(kept[candidate], off[candidate])
        assert off[candidate].run.spared_train_flops == 0


class Steered(nn.Module):
    """Takes one of two ways, by numbers that come of what trains, before a block that sees the images alone."""

    threshold = 0.06

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.beside = (
            nn.Sequential(nn.Conv2d(width, 6, 3, padding=1), nn.ReLU()) for width in (3, 6, 3)
        )
        self.fc = nn.Linear(6, 3)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        hidden = self.second(self.first(images_B3HW))
        factor = 2.0 if hidden.mean() > self.threshold else 1.0
        logits_BC: Tensor = self.fc((hidden + factor * self.beside(images_B3HW)).mean(dim=(2, 3)))
        return logits_BC


def test_rows_of_one_random_batch_are_never_those_of_another(tmp_path: Path) -> None:
    """Where a batch takes a way that was not passed over, it is computed; what is kept then is not replayed later."""
    names = ("first", "second", "beside", "fc")
    plans = {"beside": FreezePlan(blocks=names, frozen=frozenset({"beside"}))}
    recipe = Recipe(epochs=4, batch_size=6, learning_rate=0.02, patience=9)
    outcomes, race = in_step(tmp_path / "study", make=Steered, plans=plans, recipe=recipe)
    found, expected = outcomes["beside"], alone(tmp_path / "alone", race, "beside", make=Steered)
    replaying = race.replaying("beside")

    assert replaying is not None
    assert replaying.replay.counts["ordinary batches"] > 0 < replaying.replay.counts["replayed batches"]
    losses, wanted = ([(e.train_loss, e.stop_loss) for e in run.epochs] for run in (found.run, expected.run))
    assert losses == wanted
    assert found.run.train_fit == expected.run.train_fit
    assert same(found.last, expected.last)


def test_of_a_random_batch_the_store_is_given_nothing_and_asked_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ids stand for nothing that comes back: rows under them would be taken for the images as they are."""
    training: list[bool] = []
    touched: list[str] = []
    step, put, look_up = Trainer.step, BatchRows.put, BatchRows.look_up

    def in_a_step(trainer: Trainer, *given: Any) -> None:
        training.append(True)
        step(trainer, *given)
        training.clear()

    def putting(rows: BatchRows, *given: Any) -> None:
        touched.extend(["put"] if training else [])
        put(rows, *given)

    def looking_up(rows: BatchRows, *given: Any) -> Any:
        touched.extend(["looked up"] if training else [])
        return look_up(rows, *given)

    monkeypatch.setattr(Trainer, "step", in_a_step)
    monkeypatch.setattr(BatchRows, "put", putting)
    monkeypatch.setattr(BatchRows, "look_up", looking_up)
    names = ("first", "second", "beside", "fc")
    plans = {"beside": FreezePlan(blocks=names, frozen=frozenset({"beside"}))}
    in_step(tmp_path, make=Steered, plans=plans, recipe=RECIPE.model_copy(update={"batch_size": 6}))

    assert touched == []


# ---------------------------------------------------------------- one pass for all


def noted_batches(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The batches that are passed over from now on."""
    noted: list[Tensor] = []
    pass_over = Activations.pass_over

    def noting(activations: Activations, batch: Batch) -> Any:
        noted.append(batch["pixel_values"].clone())
        return pass_over(activations, batch)

    monkeypatch.setattr(Activations, "pass_over", noting)
    return noted


def test_one_pass_a_batch_serves_all_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many passes as batches, and as many FLOPs for all plans together as for the deepest of them alone."""
    noted, material = noted_batches(monkeypatch), images()
    _, together = in_step(tmp_path / "together")
    passes = len(noted)
    _, deepest = in_step(tmp_path / "deepest", plans={"depth-2": PLANS["depth-2"]})
    an_epoch = len(shuffled_batches(material.inputs, material.train, RECIPE.batch_size, 0))

    assert passes == len(noted) - passes == RECIPE.epochs * an_epoch
    an_example = 2 * 10 * 10 * 9 * (3 * 4 + 4 * 6)
    assert together.passing_flops() == deepest.passing_flops() == an_example * len(material.train) * RECIPE.epochs


def test_every_batch_of_every_epoch_is_augmented_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded by the study, the epoch and the batch's place in it: what a study that goes on would draw again."""
    noted, inputs = noted_batches(monkeypatch), images(augment=BOTH).inputs
    in_step(tmp_path)
    expected = [
        inputs.batch(rows, derive(0, "augment", epoch, place))["pixel_values"]
        for epoch in range(1, RECIPE.epochs + 1)
        for place, rows in enumerate(
            shuffled_batches(inputs, images().train, RECIPE.batch_size, derive(0, "order", epoch))
        )
    ]

    assert all(torch.equal(*pair) for pair in zip(noted, expected, strict=True))


def test_nothing_is_passed_over_for_nobody(tmp_path: Path) -> None:
    """When no plan can be replayed, no batch is passed over."""
    _, race = in_step(tmp_path, plans={id: PLANS[id] for id in ("full", "hole")})

    assert race.activations is not None
    assert race.passing_flops() == 0


def test_what_comes_back_as_it_is_is_replayed_from_the_store(tmp_path: Path) -> None:
    """The stop split is not augmented: its rows are kept once, and every epoch of every candidate replays them."""
    outcomes, race = in_step(tmp_path, plans={id: PLANS[id] for id in ("depth-1", "depth-2")})
    material = images()
    runs = [ended.run for ended in outcomes.values()]
    batches = len(plain_batches(material.inputs, material.stop, 64))

    assert batches == 1
    assert all(epoch.spared_evaluate_flops > 0 for run in runs for epoch in run.epochs[1:])
    assert race.activations is not None and race.activations.summary().kept_bytes > 0


# ---------------------------------------------------------------- dropping out, going on


EAGER = Recipe(epochs=5, batch_size=6, learning_rate=0.3, head_learning_rate=0.05, patience=1)


def test_a_run_that_ends_early_drops_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no further step while the others go on, and neither it nor they notice."""
    steps: dict[str, int] = {}
    step = Trainer.step

    def counted(trainer: Trainer, *given: Any) -> None:
        steps[trainer.candidate] = steps.get(trainer.candidate, 0) + 1
        step(trainer, *given)

    monkeypatch.setattr(Trainer, "step", counted)
    outcomes, race = in_step(tmp_path / "study", recipe=EAGER)
    monkeypatch.undo()
    epochs = {candidate: len(ended.run.epochs) - 1 for candidate, ended in outcomes.items()}

    assert len(set(epochs.values())) > 1, "a test of this test's own material"
    assert steps == {candidate: 6 * count for candidate, count in epochs.items()}
    for candidate, found in outcomes.items():
        assert_same_run(found, alone(tmp_path / "alone", race, candidate))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_stopped_in_the_middle_it_goes_on_to_the_same_end(share: float, tmp_path: Path) -> None:
    """Cut in some epoch and begun again from the folder: the same records and the same bits."""
    counted = Said()
    whole, _ = in_step(tmp_path / "whole", recipe=EAGER, progress=counted)
    with pytest.raises(PowerCut):
        in_step(tmp_path / "cut", recipe=EAGER, progress=Said(left=round(share * counted.advanced)))
    resumed, _ = in_step(tmp_path / "cut", recipe=EAGER)

    for candidate in PLANS:
        assert_same_run(resumed[candidate], whole[candidate])


def test_candidates_that_are_behind_catch_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed when two of four had acknowledged an epoch: the other two train it again, and all end as they would."""
    whole, _ = in_step(tmp_path / "whole")
    acknowledged = []
    add_epoch = Ledger.add_epoch

    def cut(ledger: Ledger, run: str, epoch: Any) -> None:
        if epoch.epoch == 1 and len(acknowledged) == 2:
            raise PowerCut
        acknowledged.extend([run] if epoch.epoch == 1 else [])
        add_epoch(ledger, run, epoch)

    with monkeypatch.context() as patched, pytest.raises(PowerCut):
        patched.setattr(Ledger, "add_epoch", cut)
        in_step(tmp_path / "cut")
    resumed, _ = in_step(tmp_path / "cut")

    assert len(acknowledged) == 2
    for candidate in PLANS:
        assert_same_run(resumed[candidate], whole[candidate])


# ---------------------------------------------------------------- memory


def test_twins_share_what_is_frozen_and_nothing_else(tmp_path: Path) -> None:
    """A frozen parameter lies in memory once for all candidates; what trains, and every buffer, is a twin's own."""
    with race_of(image_model(), tmp_path, plans=PLANS, augment=BOTH) as race:
        race.start()
        base = dict(race.model.module.named_parameters())
        buffers = dict(race.model.module.named_buffers())
        for candidate, plan in PLANS.items():
            twin = race.networks.twin(candidate, plan)
            shared = {n for n, p in twin.module.named_parameters() if p.data_ptr() == base[n].data_ptr()}

            assert shared == {name for name in base if name.split(".")[0] in plan.frozen}
            assert not [n for n, b in twin.module.named_buffers() if b.data_ptr() == buffers[n].data_ptr()]
            assert twin.head is not None and twin.head is twin.module.fc is not race.model.head


def test_the_base_model_is_not_changed(tmp_path: Path) -> None:
    """While candidates train, the model from which all start keeps every bit; so does what they share."""
    with race_of(image_model(), tmp_path, plans=PLANS, augment=BOTH) as race:
        start = race.start()
        before = weights(race.model)
        train_in_step(race, start)
        runs = race.train_all(start)

        assert same(weights(race.model), before)
        assert all(run.proof.holds for run in runs.values())
        last = race.checkpoints(runs["full"].id).path(runs["full"].epochs[-1].epoch)
        load_trained(
            race.model.module, {n.removeprefix("model|"): t for n, t in load_file(last).items() if "model|" in n}
        )
        assert not same(weights(race.model), before), "training must have moved something"


def test_candidates_keep_their_own_random_numbers(tmp_path: Path) -> None:
    """A candidate drops out the same units whoever is trained beside it."""
    few, _ = in_step(tmp_path / "few", plans={"full": PLANS["full"]})
    many, _ = in_step(tmp_path / "many", keeping=Keeping(place="memory"))

    assert_same_run(few["full"], many["full"])
    assert torch.get_num_threads() == 1, "a sum in another order would not be the same bits"
