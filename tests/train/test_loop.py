"""Claims about training a candidate: an ordinary loop, stopped early, resumed exactly, blind to what judges it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.ledger import Ledger
from frostline.core.progress import Progress, Silent, Step
from frostline.core.records import Epoch, Run
from frostline.core.seeding import derive
from frostline.models.task_model import TaskModel
from frostline.plan.apply import freeze
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.checkpoint import Checkpoints
from frostline.train.evaluate import fit, predict
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import shuffled_batches
from frostline.train.loop import Leg, Material, train_candidate
from frostline.train.optim import set_rate
from frostline.train.recipe import Recipe
from networks import bag_material, bag_model

BLOCKS = ("embedding", "first", "second", "head")
PLANS = {
    "full": FreezePlan(blocks=BLOCKS),
    "depth-2": FreezePlan(blocks=BLOCKS, frozen=frozenset(BLOCKS[:2])),
    "hole": FreezePlan(blocks=BLOCKS, frozen=frozenset({"second"})),
}
RECIPE = Recipe(epochs=4, batch_size=8, learning_rate=0.02, head_learning_rate=0.05, patience=4)


def train(
    folder: Path,
    *,
    plan: str = "depth-2",
    model: TaskModel | None = None,
    material: Material | None = None,
    recipe: Recipe = RECIPE,
    progress: Progress | None = None,
    leg: Leg | None = None,
) -> tuple[Run, TaskModel]:
    """A candidate of a study in `folder`, begun or gone on with, from freshly loaded weights."""
    model, material = model or bag_model(), material or bag_material()
    begun = fit(predict(model, material.inputs, material.stop, FlopsMeter()), material.labels[material.stop])
    before = Epoch(epoch=0, stop_loss=begun.loss, stop_accuracy=begun.accuracy)
    with Ledger.at(folder / "ledger.sqlite") as ledger:
        run = train_candidate(
            plan,
            replace(model, module=freeze(model.module, PLANS[plan])),
            material,
            recipe,
            seed=0,
            before=before,
            ledger=ledger,
            checkpoints=Checkpoints(folder, f"{plan}-seed-0"),
            progress=progress or Silent(),
            leg=leg,
        )
    return run, model


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def weights(model: TaskModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def timeless(run: Run) -> dict[str, Any]:
    """A run without the seconds it took."""
    record = run.model_dump(exclude={"seconds_s"})
    return record | {"epochs": [{**epoch, "seconds_s": 0} for epoch in record["epochs"]]}


# ---------------------------------------------------------------- an ordinary loop


def ordinary(plan: str, material: Material, epochs: int) -> nn.Module:
    """The same training written by hand: nothing of frostline but its batches and its seeds."""
    net, frozen = bag_model().module, PLANS[plan].frozen
    for name in frozen:
        net.get_submodule(name).requires_grad_(False)
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("head"), parameter.dim() > 1), []).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": p, "weight_decay": 0.01 * is_matrix, "is_head": head} for (head, is_matrix), p in groups.items()],
        fused=True,
    )
    step = 0
    for epoch in range(1, epochs + 1):
        torch.manual_seed(derive(0, f"{plan}-seed-0", epoch))
        batches = shuffled_batches(material.inputs, material.train, RECIPE.batch_size, derive(0, "order", epoch))
        steps = RECIPE.epochs * len(batches)
        warmup = max(1, round(0.1 * steps))
        for rows in batches:
            factor = (step + 1) / warmup if step < warmup else (steps - step) / max(1, steps - warmup)
            for group in optimizer.param_groups:
                group["lr"] = (0.05 if group["is_head"] else 0.02) * factor
            net.train()
            for name in frozen:
                net.get_submodule(name).eval()
            logits_BC = net(*material.inputs.batch(rows).values())
            functional.cross_entropy(logits_BC, torch.as_tensor(material.labels[rows])).backward()
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
    return net


@pytest.mark.parametrize("plan", PLANS)
def test_training_equals_an_ordinary_loop(tmp_path: Path, plan: str) -> None:
    """Fused, frozen, metered and acknowledged, it ends with the weights of a plain loop, bit for bit."""
    run, model = train(tmp_path, plan=plan)
    by_hand = ordinary(plan, bag_material(), run.best_epoch)

    assert run.best_epoch > 0
    assert same(weights(model), by_hand.state_dict())


@pytest.mark.parametrize("plan", PLANS)
def test_a_run_proves_its_freeze(tmp_path: Path, plan: str) -> None:
    """The proof holds and covers every frozen parameter and statistic."""
    before = weights(bag_model())
    run, model = train(tmp_path, plan=plan)
    still = [name for name, tensor in weights(model).items() if torch.equal(tensor, before[name])]

    assert run.proof.holds
    assert run.proof.frozen_tensors == len(still)
    assert {name.split(".")[0] for name in still} == PLANS[plan].frozen


def test_training_learns(tmp_path: Path) -> None:
    """The small task is learnt: a test of the tests' own material."""
    run, _ = train(tmp_path, plan="full", recipe=RECIPE.model_copy(update={"epochs": 12, "learning_rate": 0.05}))

    assert (run.epochs[run.best_epoch].stop_loss or 9) < (run.epochs[0].stop_loss or 0) - 0.05
    assert run.status == "finished"


def test_costs_add_up(tmp_path: Path) -> None:
    """A run's FLOPs and seconds are those of its epochs, with the last look at the train sample."""
    run, _ = train(tmp_path)

    assert run.train_flops == sum(epoch.train_flops for epoch in run.epochs) > 0
    assert run.evaluate_flops > sum(epoch.evaluate_flops for epoch in run.epochs) > 0
    assert run.seconds_s == pytest.approx(sum(epoch.seconds_s for epoch in run.epochs))
    assert len({epoch.train_flops for epoch in run.epochs[1:]}) == 1


def test_freezing_costs_less(tmp_path: Path) -> None:
    """The gradient of what is frozen is not computed, and that is measured."""
    (full, _), (frozen, _) = (train(tmp_path, plan=plan) for plan in ("full", "depth-2"))

    assert frozen.epochs[1].train_flops < full.epochs[1].train_flops


# ---------------------------------------------------------------- early stopping


def test_early_stopping_restores_the_best_epoch(tmp_path: Path) -> None:
    """Training ends after `patience` epochs without a lower stop loss, with the weights of the lowest."""
    material = bag_material(90)
    material.labels[material.train] = np.random.default_rng(1).integers(0, 2, len(material.train))
    recipe = Recipe(epochs=30, batch_size=8, learning_rate=0.1, patience=3)
    run, model = train(tmp_path, plan="full", material=material, recipe=recipe)
    losses = [epoch.stop_loss for epoch in run.epochs]
    again = fit(predict(model, material.inputs, material.stop, FlopsMeter()), material.labels[material.stop])

    assert run.best_epoch == int(np.argmin(losses))
    assert len(run.epochs) - 1 == run.best_epoch + 3 < 30
    assert run.ended == "no lower validation loss for 3 epochs"
    assert again.loss == losses[run.best_epoch]
    assert again.accuracy == run.epochs[run.best_epoch].stop_accuracy


def test_a_start_that_is_never_beaten_is_restored(tmp_path: Path) -> None:
    """Epoch 0 counts: when training only harms, the run ends with the weights it began with."""
    material = bag_material()
    material.labels[material.train] = 1 - material.labels[material.train]
    recipe = Recipe(epochs=3, batch_size=8, learning_rate=0.5, patience=3)
    run, model = train(tmp_path, plan="full", material=material, recipe=recipe)

    assert run.best_epoch == 0
    assert same(weights(model), weights(bag_model()))


def test_only_the_best_and_the_last_checkpoint_stay(tmp_path: Path) -> None:
    """A long run does not fill the disk."""
    run, _ = train(tmp_path)
    kept = {path.stem for path in (tmp_path / run.id).iterdir()}

    assert kept == {f"epoch-{run.best_epoch}", f"epoch-{run.epochs[-1].epoch}"}


# ---------------------------------------------------------------- interruption


class PowerCut(Exception):
    """The process ends here."""


class CutAfter:
    """Progress that ends the process after some batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def say(self, sentence: str) -> None:
        """Nobody listens."""

    @contextmanager
    def step(self, what: str, parts: int) -> Iterator[Step]:
        yield self

    def advance(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise PowerCut


def batches_an_epoch() -> int:
    material = bag_material()
    return len(shuffled_batches(material.inputs, material.train, RECIPE.batch_size, 0))


@pytest.mark.parametrize("epochs", [0, 1, 2, 3])
@pytest.mark.parametrize("into_the_next", [1, 2])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, epochs: int, into_the_next: int) -> None:
    """Cut in any epoch and called again, it ends with the same record and the same bits."""
    whole, model = train(made(tmp_path / "whole"))
    with pytest.raises(PowerCut):
        train(tmp_path, progress=CutAfter(epochs * batches_an_epoch() + into_the_next))
    resumed, other = train(tmp_path)

    assert timeless(resumed) == timeless(whole)
    assert same(weights(other), weights(model))


def test_a_run_killed_again_and_again_ends_the_same(tmp_path: Path) -> None:
    """Every call gets one epoch further, then the power goes."""
    whole, model = train(made(tmp_path / "whole"))
    for _ in range(RECIPE.epochs - 1):
        with pytest.raises(PowerCut):
            train(tmp_path, progress=CutAfter(batches_an_epoch() + 1))
    resumed, other = train(tmp_path)

    assert timeless(resumed) == timeless(whole)
    assert same(weights(other), weights(model))


def legs_of(pauses: Iterable[int]) -> list[Leg]:
    ends = [*sorted(pauses), RECIPE.epochs * batches_an_epoch()]
    return [Leg(since, until, last=until == ends[-1]) for since, until in pairwise([0, *ends])]


@given(pauses=st.sets(st.integers(1, 4 * batches_an_epoch() - 1), min_size=1, max_size=3), cut=st.integers(1, 7))
@settings(max_examples=15, deadline=None)
def test_a_paused_run_that_is_killed_goes_on_as_if_it_had_not_been(pauses: set[int], cut: int) -> None:
    """Paused within epochs or between, loaded anew for every leg, the power cut in each: the same bits and costs."""
    with TemporaryDirectory() as folder:
        safe, unsafe = made(Path(folder) / "safe"), made(Path(folder) / "unsafe")
        for leg in legs_of(pauses):
            whole, model = train(safe, leg=leg)
            assert leg.last or (whole.status, whole.updates) == ("paused", leg.until)
            with suppress(PowerCut):
                train(unsafe, leg=leg, progress=CutAfter(cut))
            resumed, other = train(unsafe, leg=leg)
            assert timeless(resumed) == timeless(whole)
    assert same(weights(other), weights(model))
    assert whole.status == "finished"


def test_pauses_cost_nothing(tmp_path: Path) -> None:
    """A run in four legs makes the steps of one in a single leg, and its epochs are as many."""
    whole, _ = train(made(tmp_path / "whole"))
    for leg in legs_of({1, 5, batches_an_epoch()}):
        run, _ = train(tmp_path, leg=leg)

    assert (run.train_flops, run.evaluate_flops, run.updates) == (
        whole.train_flops,
        whole.evaluate_flops,
        whole.updates,
    )
    assert [epoch.train_flops for epoch in run.epochs] == [epoch.train_flops for epoch in whole.epochs]


def test_the_learning_rate_falls_to_zero_within_every_leg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared at a rung has come to rest, and the next leg begins anew."""
    rates: list[float] = []

    def noted(optimizer: torch.optim.Optimizer, *place: Any, **named: Any) -> None:
        set_rate(optimizer, *place, **named)
        rates.append(optimizer.param_groups[0]["lr"])

    monkeypatch.setattr("frostline.train.trainer.set_rate", noted)
    for leg in legs_of({10}):
        train(tmp_path, leg=leg)

    assert rates[9] < rates[5] < max(rates[10:])
    assert rates[-1] == min(rates[10:])


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_run_may_end_within_an_epoch(tmp_path: Path, beyond: int) -> None:
    """Its last epoch is shorter, and is evaluated like any other."""
    until = batches_an_epoch() + 2
    train(tmp_path, leg=Leg(0, until, last=False))
    run, _ = train(tmp_path, leg=Leg(until, until + beyond, last=True))

    assert (run.status, run.updates, len(run.epochs)) == ("finished", until + beyond, 3)
    assert run.ended == f"the budget was spent after {until + beyond} of {4 * batches_an_epoch()} updates"
    assert run.epochs[2].stop_loss is not None
    assert 0 < run.epochs[2].train_flops < run.epochs[1].train_flops


def test_a_loss_that_is_not_finite_fails_a_run_that_is_paused(tmp_path: Path) -> None:
    """A run that breaks within an epoch in which it is to be paused has failed, and is not kept for later."""
    model = bag_model()
    model.module.get_submodule("head").register_forward_hook(lambda _, given, out: out + torch.inf)
    run, _ = train(tmp_path, model=model, leg=Leg(0, 2, last=False))

    assert run.status == "failed"


@pytest.mark.parametrize("place", [Checkpoints.save, Checkpoints.keep_only, Ledger.add_epoch])
def test_a_run_killed_between_checkpoint_and_ledger_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[..., None]
) -> None:
    """Killed while an epoch is put on record, right before or after its checkpoint, nothing is lost or doubled."""
    whole, model = train(made(tmp_path / "whole"))
    owner = Ledger if place is Ledger.add_epoch else Checkpoints
    calls = iter(range(3))

    def cut(*arguments: object) -> None:
        if next(calls) == 2:
            raise PowerCut
        place(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(owner, place.__name__, cut)
        with pytest.raises(PowerCut):
            train(tmp_path)
    resumed, other = train(tmp_path)

    assert timeless(resumed) == timeless(whole)
    assert same(weights(other), weights(model))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    """Killed after its last epoch but before it was acknowledged, a run costs no further step."""
    whole, model = train(tmp_path)
    again, other = train(tmp_path, progress=CutAfter(1))

    assert timeless(again) == timeless(whole)
    assert same(weights(other), weights(model))


# ---------------------------------------------------------------- failure and blindness


class Failing(nn.Module):
    """Makes the logits infinite from one training step on."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.seen = step, 0

    def forward(self, logits_BC: Tensor) -> Tensor:
        self.seen += self.training
        return logits_BC * torch.inf if self.training and self.seen > self.step else logits_BC


def test_a_loss_that_is_not_finite_fails_the_run(tmp_path: Path) -> None:
    """The run is failed, says when, and leaves the weights of the best finite epoch."""
    model, twin = bag_model(), bag_model()
    model.module.second.append(Failing(2 * batches_an_epoch() + 1))
    run, _ = train(made(tmp_path / "failing"), model=model)
    short, _ = train(tmp_path, model=twin, recipe=RECIPE)

    assert run.status == "failed"
    assert run.ended == "the loss was no longer finite in epoch 3"
    assert run.epochs[-1].train_loss is None
    assert run.best_epoch == int(np.argmin([epoch.stop_loss for epoch in short.epochs[:3]]))
    assert all(bool(tensor.isfinite().all()) for tensor in weights(model).values())
    assert timeless(run)["epochs"][:3] == timeless(short)["epochs"][:3]


class Watched:
    """Labels that remember which of them were read."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self.labels, self.read = labels, set[int]()

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        self.read.update(np.atleast_1d(rows).tolist())
        return self.labels[rows]


def test_labels_that_will_judge_are_never_read(tmp_path: Path) -> None:
    """Of all labels training reads those of the train and stop splits, and no other."""
    material = bag_material()
    watched = Watched(material.labels)
    blind = Material(
        inputs=material.inputs,
        labels=watched,  # type: ignore[arg-type]
        train=material.train,
        stop=material.stop,
    )
    train(tmp_path, material=blind)

    assert watched.read == {*material.train.tolist(), *material.stop.tolist()}
    assert len(watched.read) < len(material.labels)


def test_a_label_that_will_judge_would_be_noticed(tmp_path: Path) -> None:
    """The planted fault: a sealed row among the train rows ends training, since its label is -1."""
    material = bag_material()
    leaking = Material(
        inputs=material.inputs,
        labels=material.labels,
        train=np.append(material.train, len(material.labels) - 1),
        stop=material.stop,
    )
    with pytest.raises(IndexError, match="Target -1 is out of bounds"):
        train(tmp_path, material=leaking)
