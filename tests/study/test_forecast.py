"""What `--dry-run` predicts, held against studies that were run, and that it leaves no trace."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import frostline as fl
from factories import write_images, write_messages, write_table
from frostline.core.ledger import Ledger
from frostline.core.progress import Silent
from frostline.core.records.forecast import Forecast
from frostline.core.study_folder import StudyFolder
from frostline.report.forecast_text import print_forecast
from frostline.study import prepare
from frostline.train.budgeted import Entrants, prices_of
from frostline.train.forecast import forecast
from frostline.train.race import Race
from frostline.train.start import known_start

EPOCHS = 4


@contextmanager
def prepared(study: fl.Study, folder: Path) -> Iterator[Race]:
    """A study's race as it stands before its start, in a folder of its own."""
    folder.mkdir()
    with Ledger.at(folder / "ledger.sqlite") as ledger:
        yield prepare(study.settings, StudyFolder(folder), ledger, Silent())[0]


def ask(kind: str, folder: Path, **settings: Any) -> fl.Study:
    given: dict[str, dict[str, Any]] = {
        "text": {"model": "factories:tiny_text", "data": write_messages(folder / "m.csv"), "positive": "spam"},
        "image": {"model": "factories:tiny_image", "data": write_images(folder / "photos", each=32)},
        "table": {"model": "factories:tiny_table", "data": write_table(folder / "t.csv"), "positive": "fraud"},
    }
    long = {"epochs": EPOCHS, "patience": EPOCHS, "learning_rate": 1e-3, "seed": 1, "budget": "all"}
    return fl.Study(out=folder / "study", **given[kind], **(long | settings))


def predicted(study: fl.Study, folder: Path) -> Forecast:
    with prepared(study, folder) as race:
        return forecast(race, None if study.settings.budget == "all" else study.settings.budget)


def printed(made: Forecast, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_forecast(made, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("kind", ["text", "image", "table"])
def test_whole_runs_cost_what_was_predicted(kind: str, tmp_path: Path) -> None:
    """Of every freeze depth, ordinary and replayed: the FLOPs measured in a finished study, within a fifth."""
    study = ask(kind, tmp_path)
    made = predicted(study, tmp_path / "before")
    record = study.run().record

    assert made.full_flops == pytest.approx(record.cost.full_finetune_flops, rel=0.2)
    assert [row.candidate.id for row in made.rows] == [candidate.id for candidate in record.candidates]
    for row in made.rows:
        run = record.run_of(row.candidate.id)
        assert row.ordinary_flops == pytest.approx(run.ordinary_flops, rel=0.2), row.candidate.id
        if run.spared_train_flops and row.replayed_flops is not None:
            assert row.replayed_flops == pytest.approx(run.train_flops + run.evaluate_flops, rel=0.2)
    assert any(run.spared_train_flops for run in record.runs)


def test_what_is_stored_was_predicted(tmp_path: Path) -> None:
    """Together the frozen prefixes take at least the bytes that the store then expects, and not twice as many."""
    study = ask("image", tmp_path)
    made = predicted(study, tmp_path / "before")
    replay = study.run().record.replay

    assert replay is not None
    assert replay.predicted_bytes <= sum(row.activation_bytes or 0 for row in made.rows) < 2 * replay.predicted_bytes


@pytest.mark.parametrize("kind", ["text", "image", "table"])
def test_deeper_freezes_never_cost_more(kind: str, tmp_path: Path) -> None:
    """Neither ordinarily, nor replayed, nor in time; and replay never adds to the price."""
    made = predicted(ask(kind, tmp_path), tmp_path / "before")
    ordinary = [row.ordinary_flops for row in made.rows]
    replayed = [row.ordinary_flops if row.replayed_flops is None else row.replayed_flops for row in made.rows]

    assert ordinary == sorted(ordinary, reverse=True)
    assert replayed == sorted(replayed, reverse=True)
    assert all(few <= many for few, many in zip(replayed, ordinary, strict=True))
    times = [row.seconds_s for row in made.rows if row.seconds_s is not None]
    assert times == sorted(times, reverse=True) and len(times) == len(made.rows)


@pytest.mark.parametrize("kind", ["text", "image"])
def test_nothing_is_trained_and_nothing_left_behind(kind: str, tmp_path: Path) -> None:
    """Weights, running statistics, gradients, modes, flags and random state are the same; no study folder appears."""
    study = ask(kind, tmp_path, budget=2.0, plans="depths;biases;probes;lora" if kind == "text" else "depths;norms")
    with prepared(study, tmp_path / "before") as race:
        module = race.model.module
        module.train()
        next(module.modules()).get_submodule("head").eval()
        next(module.parameters()).grad = torch.ones_like(next(module.parameters()))
        files = sorted(tmp_path.rglob("*"))

        def state() -> dict[str, Any]:
            grads = {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}
            tensors = {name: tensor.clone() for name, tensor in module.state_dict().items()}
            return {
                **{f"grad {name}": grad for name, grad in grads.items()},
                **tensors,
                "random": torch.get_rng_state(),
                "modes": torch.tensor([part.training for part in module.modules()]),
                "flags": torch.tensor([p.requires_grad for p in module.parameters()]),
                "hooks": torch.tensor([len(part._forward_pre_hooks) for part in module.modules()]),
            }

        before = state()
        forecast(race, 2.0)
        after = state()

        assert not any("@" in id for id in race.plans) and not race.rates and not race.beginning
        assert known_start(race.ledger) is None
        assert sorted(tmp_path.rglob("*")) == files
    assert before.keys() == after.keys()
    for name, was in before.items():
        assert (was is None and after[name] is None) or torch.equal(was, after[name]), name
    assert not study.folder.path.exists()


def test_candidates_are_those_of_the_study(tmp_path: Path) -> None:
    """What trains inside frozen blocks, beside them or as a fitted head is counted as the study counts it."""
    study = ask("text", tmp_path, plans="biases;probes;lora;embedding", epochs=1)
    made = predicted(study, tmp_path / "before")
    found = [candidate.model_copy(update={"learning_rate": None}) for candidate in study.run().record.candidates]

    assert [row.candidate for row in made.rows] == found
    assert {row.candidate.id: row.ordinary_flops for row in made.rows}["probe-1"] == 0


def test_the_race_is_priced_as_it_will_be(tmp_path: Path) -> None:
    """The start and the first rung cost what they cost once the start has measured its prices."""
    study = ask("image", tmp_path, budget=3.0, activations="off")
    made = predicted(study, tmp_path / "before").budget
    with prepared(study, tmp_path / "begun") as race:
        start = race.start()
        entrants = Entrants(race, start, prices_of(race, start))
        assert made is not None
        expected = sum(entrants.price(id, made.rung_updates) for id in made.starters)

    assert made.starters == ("full", "depth-1")
    assert made.rewound_flops > 0
    assert made.updates == EPOCHS * race.updates_an_epoch == 4 * made.rung_updates
    assert made.rung_flops == pytest.approx(expected, rel=0.02)
    assert made.rate_flops is None
    assert predicted(study, tmp_path / "again").start_flops == pytest.approx(start.flops, rel=0.1)


def test_a_race_goes_as_far_as_was_predicted(tmp_path: Path) -> None:
    """The winner of a real race that was among the three imagined leaders reaches about as many updates."""
    study = ask("image", tmp_path, budget=1.4, activations="off", batch_size=4)
    made = predicted(study, tmp_path / "before").budget
    record = study.run().record
    assert made is not None
    imagined = {ending.candidate: ending.updates for ending in made.endings}
    won = record.run_of(record.choice.candidate)

    assert set(imagined) == {"full", "depth-1", "depth-2"}
    assert won.updates == pytest.approx(imagined[won.candidate], abs=0.1 * made.updates)


@pytest.mark.parametrize(("budget", "ends"), [(0.2, False), (50.0, True)])
def test_a_budget_ends_a_run_or_does_not(budget: float, ends: bool, tmp_path: Path) -> None:
    """With plenty every leader is trained to its end and three rates are tried; with next to nothing neither."""
    made = predicted(ask("text", tmp_path, budget=budget, learning_rate=None), tmp_path / "before").budget
    assert made is not None

    assert all((ending.updates == made.updates) == ends for ending in made.endings)
    assert made.rates == (3 if ends else 0)
    # The first leg of the first candidate is trained whatever the budget: without it there is no answer.
    assert made.endings[0].updates == (made.updates if ends else made.rung_updates)


@pytest.mark.parametrize(("kind", "settings"), [("text", {"budget": 1.0, "plans": "depths;probes"}), ("image", {})])
@pytest.mark.parametrize("width", [80, 100])
def test_the_text_names_everyone_and_says_predicted(
    kind: str, settings: dict[str, Any], width: int, tmp_path: Path
) -> None:
    """Plain lines that fit, with every candidate's row, and what is not known beforehand."""
    made = predicted(ask(kind, tmp_path, **settings), tmp_path / "before")
    text = printed(made, width)
    ids = [row.candidate.id for row in made.rows]

    assert [id for line in text.splitlines() for id in ids if line.startswith(f"{id}  ")] == ids
    assert "predicted" in text.lower() and "Nothing was trained" in text
    assert "unknown beforehand" in " ".join(text.split())
    assert text.replace("\n", "").isascii() and text.replace("\n", "").isprintable()
    assert max(map(len, text.splitlines())) <= width
    assert ("What the budget allows" in text) == bool(settings) and ("The whole sweep" in text) != bool(settings)


def test_augmented_images_are_not_replayed(tmp_path: Path) -> None:
    """Where batches do not come back, nothing is said to be stored, and the text says why."""
    made = predicted(ask("image", tmp_path, augment="flip"), tmp_path / "before")

    assert all(row.replayed_flops is None and row.activation_bytes is None for row in made.rows)
    assert made.replayed_sweep_flops == made.sweep_flops
    assert "augmented at random" in printed(made)
