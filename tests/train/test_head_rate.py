"""Claims about the head's learning rate: the best of those tried on fixed features, or none, and put on record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.records import HeadRate
from frostline.core.seeding import derive
from frostline.train.head_rate import RATES, best_rate, try_head_rates
from frostline.train.heads import train_heads
from frostline.train.race import Race
from frostline.train.recipe import Recipe
from frostline.train.start import Start
from sweeps import image_model, images, race_of

# Shape letters: N examples, F features, C classes.

RECIPE = Recipe(epochs=4, batch_size=16)


@dataclass(frozen=True)
class Given:
    """Features and labels of the train and stop splits, and a head to begin with."""

    features: dict[str, NDArray[np.float32]]
    labels: dict[str, NDArray[np.int64]]
    fitted: tuple[Tensor, Tensor]

    def tried(self, seed: int = 0) -> tuple[HeadRate, ...]:
        return try_head_rates(self.features, self.labels, self.fitted, RECIPE, seed)


def given(*, solved: bool = False) -> Given:
    """Two classes that a line tells apart; the head begins at nothing, or where no step makes it better."""
    generator = np.random.default_rng(0)
    labels = {split: generator.integers(0, 2, size) for split, size in (("train", 80), ("stop", 40))}
    features = {
        split: generator.normal(0, 1, (len(own), 5)).astype(np.float32) + 2 * own[:, None].astype(np.float32)
        for split, own in labels.items()
    }
    weight_CF, bias_C = torch.zeros(2, 5), torch.zeros(2)
    if solved:
        # Trained on the labels of the stop split, and then asked to learn the opposite.
        weight_CF = torch.tensor([[-1.0] * 5, [1.0] * 5])
        bias_C = torch.tensor([5.0, -5.0])
        labels["train"] = 1 - labels["train"]
    return Given(features, labels, (weight_CF, bias_C))


def test_every_rate_is_tried_from_the_fitted_head_and_from_fresh_ones() -> None:
    """For each rate a loss from the given head, and one for each of three seeds, that are not all the same."""
    tried = given().tried()

    assert [rate.learning_rate for rate in tried] == list(RATES)
    assert all(len(rate.fresh_losses) == 3 and len(set(rate.fresh_losses)) == 3 for rate in tried)
    assert all(rate.loss is not None and rate.best_epoch > 0 for rate in tried)
    # Each rate has its own losses: none stands under another's name.
    assert len({rate.loss for rate in tried}) == len(RATES)


def test_a_rate_is_on_record_as_its_head_was_trained() -> None:
    """Loss and best epoch are those of the head trained alone at that rate; seeds are derived by name."""
    task = given()
    tensors = [torch.from_numpy(part[split]) for split in ("train", "stop") for part in (task.features, task.labels)]
    options = {"classes": 2, "epochs": 4, "batch_size": 16, "order_seed": derive(0, "heads")}
    for rate in task.tried():
        (head,) = train_heads(*tensors, learning_rates=[rate.learning_rate], seeds=[0], start=task.fitted, **options)  # type: ignore[arg-type]
        seeds = [derive(0, "fresh head", n) for n in range(3)]
        fresh = train_heads(*tensors, learning_rates=[rate.learning_rate], seeds=seeds, **options)  # type: ignore[arg-type]

        assert rate.best_epoch == head.best_epoch
        assert rate.loss == pytest.approx(head.stop_losses[head.best_epoch], rel=1e-5)
        assert rate.fresh_losses == pytest.approx(tuple(h.stop_losses[h.best_epoch] for h in fresh), rel=1e-5)


def test_the_best_rate_gets_furthest() -> None:
    """On this task that is the highest one; the loss it reaches is that of the head's own weights."""
    task = given()
    tried = task.tried()
    start = float(functional.cross_entropy(torch.zeros(40, 2), torch.from_numpy(task.labels["stop"])))

    assert best_rate(tried) == RATES[-1] == min(tried, key=lambda rate: rate.loss or 9).learning_rate
    assert all((rate.loss or 9) < start for rate in tried)


def test_when_no_rate_gets_anywhere_there_is_none() -> None:
    """A head that only gets worse keeps its beginning at every rate, and no rate is called the best."""
    tried = given(solved=True).tried()

    assert [rate.best_epoch for rate in tried] == [0] * len(RATES)
    assert [rate.loss for rate in tried] == pytest.approx([tried[0].loss] * len(RATES))
    assert best_rate(tried) is None
    assert best_rate(()) is None


@pytest.mark.parametrize(
    ("tried", "best"),
    [
        ([(1e-3, 1, 0.3), (1e-2, 4, 0.2)], 1e-2),
        ([(1e-3, 1, 0.2), (1e-2, 4, 0.2)], 1e-3),  # of equal ones the lower
        ([(1e-3, 0, 0.1), (1e-2, 4, 0.2)], 1e-2),  # no better than its start
        ([(1e-3, 1, None), (1e-2, 4, 0.2)], 1e-2),
        ([(1e-3, 1, 0.0), (1e-2, 4, 0.2)], 1e-3),  # a loss of nothing is a loss
        ([(1e-3, 1, None), (1e-2, 0, 0.2)], None),
    ],
)
def test_the_best_of_what_was_tried(tried: list[tuple[float, int, float | None]], best: float | None) -> None:
    """The lowest loss wins, unless it is that of the beginning, or none."""
    rates = [HeadRate(learning_rate=rate, best_epoch=epoch, loss=loss) for rate, epoch, loss in tried]

    assert best_rate(rates) == best


# ---------------------------------------------------------------- in a study


def started(folder: Path, monkeypatch: pytest.MonkeyPatch, **options: float) -> tuple[float, tuple[HeadRate, ...]]:
    """The head's rate as candidates are trained with it, and what was tried."""
    used = []

    def trained(race: Race, candidate: str, start: Start) -> None:
        used.append(race.recipe_of(candidate, start))
        raise _Stop

    monkeypatch.setattr(Race, "train", trained)
    with race_of(image_model(), folder, keeping=None) as race:
        start = race.start()
        with pytest.raises(_Stop):
            race.train_all(start)
    return used[0].head_learning_rate, start.head_rates


class _Stop(Exception):
    """Enough was seen."""


def test_candidates_train_with_the_rate_that_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on record with what was tried, and a study that goes on finds it there."""
    used, tried = started(tmp_path, monkeypatch)
    assert [rate.learning_rate for rate in tried] == list(RATES)
    assert used == (best_rate(tried) or Recipe().head_learning_rate)

    def never(*given: object, **named: object) -> None:
        raise AssertionError("the rates were tried again")

    monkeypatch.setattr("frostline.train.start.try_head_rates", never)
    assert started(tmp_path, monkeypatch) == (used, tried)


@pytest.mark.parametrize(("best", "used"), [(3e-4, 3e-4), (None, 1e-3)])
def test_without_a_best_rate_the_usual_one_is_used(
    best: float | None, used: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What got furthest, else the recipe's own."""
    rates = tuple(HeadRate(learning_rate=rate, best_epoch=int(rate == best), loss=0.1) for rate in RATES)
    monkeypatch.setattr("frostline.train.start.try_head_rates", lambda *given: rates)

    assert started(tmp_path, monkeypatch) == (used, rates)


def test_a_head_that_is_better_than_a_probe_is_tried_at_no_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that comes with a trained head keeps it, and the usual rate."""
    model, material = image_model(), images()
    assert isinstance(model.head, nn.Linear)
    monkeypatch.setattr("frostline.train.start.Beginning._fit_head", lambda beginning, features: False)
    with race_of(model, tmp_path, material=material, keeping=None) as race:
        start = race.start()

    assert start.head_rates == ()
    assert start.head_learning_rate == Recipe().head_learning_rate
