"""Gradual unfreezing by finetuning-scheduler, on the tasks of the search benchmark.

The head trains first, then block after block joins it from the back to the front, until everything trains. Data, model,
inputs, order of the batches, class weights, curve of the learning rate and metrics are frostline's own. What is frozen
when, what enters the optimizer when and where a phase goes on is left to the package and its defaults: each phase goes
on from the best epoch so far, and frozen batch norms go on updating their statistics. Needs the extra `leaks`.

    python benchmarks/gradual.py [--tasks mammography,nsl-kdd] [--seeds 1]

Shape letters: B examples in a batch, N examples of a split, C classes.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

with warnings.catch_warnings(action="ignore"):
    import lightning
    from finetuning_scheduler import FinetuningScheduler, FTSCheckpoint

sys.path.insert(0, str(Path(__file__).parent))
from frostline.core.predictions import Predictions
from frostline.core.progress import Silent
from frostline.core.records import Block
from frostline.core.seeding import derive
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder
from frostline.measure.measures import measure
from frostline.plan.groups import param_groups
from frostline.study import prepare
from frostline.train.evaluate import fit, on_device, predict, shape_of
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Rows, shuffled_batches
from frostline.train.optim import make_optimizer, set_rate
from frostline.train.race import Race
from frostline.train.recipe import Recipe
from search_tasks import SHARED, search_tasks

FEW_BLOCKS, MOST_PHASES = 6, 5
"""A network with few blocks has a phase for each of them."""


def gradual(asked: Mapping[str, object], seed: int) -> dict[str, float | int | str]:
    """Fine-tune by gradual unfreezing; what it costs, and what its best epoch answers.

    Args:
        asked: Keyword arguments for `frostline.Study`, as a search task gives them.
        seed: Of a new head and of the order of the batches.

    Returns:
        F1 on the test split (0 where undefined), FLOPs and seconds of training and of the stop split, epochs, loss on
        the select split, and in words how many epochs each phase ran and which was the best, 0 being the start.
    """
    settings = Settings.checked(**{**asked, "seed": seed, "activations": "off", "budget": "all"})
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings(action="ignore"):
        folder = StudyFolder(Path(place) / "study")
        with folder.opened(settings, resume=False) as ledger:
            race, _ = prepare(settings, folder, ledger, Silent())
            # The head starts as it does in every study, and has the rate that went furthest there.
            rate = race.start().head_learning_rate
        task = GradualTask(race, race.recipe.model_copy(update={"head_learning_rate": rate}))
        began = time.perf_counter()
        best = _train(task, Path(place))
        seconds = time.perf_counter() - began
    truth = {"select": race.data.labels[race.data.rows["select"]], "test": race.data.sealed.open(("gradual",))[0]}
    answers = {split: predict(race.model, race.inputs, race.data.rows[split], FlopsMeter()) for split in truth}
    measures = {
        split: measure(Predictions.from_probabilities(race.data.task, truth[split], answer_NC), split)
        for split, answer_NC in answers.items()
    }
    loss = measures["select"].loss
    phases = ", ".join(f"{what} {len(list(epochs))}" for what, epochs in groupby(task.reached))
    return {
        "test": measures["test"].metrics["f1"].value or 0.0,
        "flops": task.meter.total,
        "seconds": seconds,
        "epochs": len(task.reached),
        "select_loss": inf if loss is None else loss,
        "schedule": f"{phases}; best epoch {best}",
    }


def phases_of(blocks: Sequence[Block], epochs: int) -> list[list[Block]]:
    """The blocks that start to train in each phase, the head first; no more phases than epochs."""
    count = min(len(blocks) if len(blocks) <= FEW_BLOCKS else MOST_PHASES, epochs)
    if count == 1:
        return [list(reversed(blocks))]
    *backbone, head = blocks
    groups = np.array_split(np.arange(len(backbone))[::-1], count - 1)
    return [[head], *([backbone[number] for number in group] for group in groups)]


def lengths_of(phases: int, epochs: int) -> list[int]:
    """Epochs of each phase, about equal; what is left over goes to the later ones, in which more trains.

    >>> lengths_of(5, 8)
    [1, 1, 2, 2, 2]
    """
    return [epochs // phases + (number >= phases - epochs % phases) for number in range(phases)]


def schedule_of(module: nn.Module, phases: list[list[Block]], epochs: int, rate: float) -> dict[int, dict[str, Any]]:
    """The phases as finetuning-scheduler takes them: each parameter once, where it starts to train."""
    phase_of = {block.path: number for number, phase in enumerate(phases) for block in phase}
    named: dict[int, list[str]] = {number: [] for number in range(len(phases))}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            path = max((path for path in phase_of if f"{name}.".startswith(f"{path}.")), key=len)
            named[phase_of[path]].append(f"net.{name}")
    # The first phase has the rates of the optimizer that it is given.
    return {
        number: {"params": named[number], "max_transition_epoch": end, **({"lr": rate} if number else {})}
        for number, end in enumerate(accumulate(lengths_of(len(phases), epochs)))
    }


class GradualTask(lightning.LightningModule):
    """A study's model with its data, trained by frostline's recipe but for what is frozen."""

    def __init__(self, race: Race, recipe: Recipe) -> None:
        super().__init__()
        self.race, self.recipe, self.net, self.meter = race, recipe, race.model.module, FlopsMeter()
        self.rate = recipe.learning_rate or race.model.learning_rate
        self.phases = phases_of(race.blocks, recipe.epochs)
        self.ft_schedule = schedule_of(self.net, self.phases, recipe.epochs, self.rate)
        # By this name finetuning-scheduler asks which parameters of later phases do not decay.
        spared = [group for group in param_groups(self.net, lr=self.rate) if group["weight_decay"] == 0]
        self.no_decay = [f"net.{name}" for group in spared for name in group["members"]]
        weights_C = race.class_weights()[0]
        self.weights_C = None if weights_C is None else torch.from_numpy(weights_C).float()
        self.reached: list[str] = []
        """How far down the network trained, by epoch."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Over the first phase, the only one that trains by now."""
        return make_optimizer(self.net, self.race.model.head, self.recipe, self.rate)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Row numbers, batch by batch, in the order in which every candidate of a study sees them."""
        race, drawn = self.race, derive(self.race.seed, "order", self.current_epoch + 1)
        batches = shuffled_batches(race.inputs, race.data.rows["train"], self.recipe.batch_size, drawn)
        return DataLoader(batches, batch_size=None)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """All rows of the stop split at once; `predict` cuts them."""
        return DataLoader([self.race.data.rows["stop"]], batch_size=None)

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(derive(self.race.seed, "gradual", self.current_epoch + 1))
        self.net.train()
        trains = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        depth = max(number for number, phase in self.ft_schedule.items() if trains.issuperset(phase["params"]))
        front = self.phases[depth][-1].name
        self.reached.append("all" if depth == len(self.phases) - 1 else f"from {front}" if depth else "head")

    def on_train_batch_start(self, rows: Tensor, number: int) -> None:
        recipe, optimizer = self.recipe, self.trainer.optimizers[0]
        for group in optimizer.param_groups:
            group.setdefault("peak", self.rate)  # groups that finetuning-scheduler made have none
        steps = recipe.epochs * int(self.trainer.num_training_batches)
        set_rate(optimizer, self.trainer.global_step, steps, recipe.warmup_share, schedule=recipe.schedule)

    def training_step(self, rows: Tensor, number: int) -> Tensor:
        batch = on_device(self.race.model, self.race.inputs.batch(rows.cpu().numpy()))
        truth_B = torch.as_tensor(self.race.data.labels[rows.cpu().numpy()], device=self.device)
        self.shape = (sum(p.requires_grad for p in self.parameters()), *shape_of(batch))
        logits_BC = self.meter.count(("forward", self.shape), lambda: self.race.model.logits(batch))
        weights_C = None if self.weights_C is None else self.weights_C.to(logits_BC)
        return functional.cross_entropy(logits_BC, truth_B, weights_C, label_smoothing=self.recipe.label_smoothing)

    def backward(self, loss: Tensor) -> None:
        self.meter.count(("backward", self.shape), loss.backward)

    def validation_step(self, rows: Tensor, number: int) -> None:
        self.log("stop_loss", self.loss_on(rows.cpu().numpy(), self.meter), batch_size=len(rows))

    def loss_on(self, rows: Rows, meter: FlopsMeter) -> float:
        """Mean cross-entropy of the network as it is."""
        loss = fit(predict(self.race.model, self.race.inputs, rows, meter), self.race.data.labels[rows]).loss
        return inf if loss is None else loss


def _train(task: GradualTask, folder: Path) -> int:
    """Run all phases, leave the network with the weights of its best epoch, by stop loss, and say which that was."""
    before = {name: tensor.clone() for name, tensor in task.net.state_dict().items()}
    loss_before = task.loss_on(task.race.data.rows["stop"], FlopsMeter())
    scheduler = FinetuningScheduler(task.ft_schedule, epoch_transitions_only=True, logging_level=logging.ERROR)
    best = FTSCheckpoint(dirpath=folder / "checkpoints", monitor="stop_loss", mode="min", save_top_k=1)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=task.recipe.epochs,
        gradient_clip_val=task.recipe.clip_norm,
        reload_dataloaders_every_n_epochs=1,  # so that every epoch has batches of its own
        num_sanity_val_steps=0,
        default_root_dir=folder,
        callbacks=[scheduler, best],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task)
    if best.best_model_score is None or loss_before <= float(best.best_model_score):
        task.net.load_state_dict(before)
        return 0
    kept = torch.load(best.best_model_path, map_location="cpu", weights_only=False)
    task.load_state_dict(kept["state_dict"])
    return int(kept["epoch"]) + 1


def main() -> None:
    """Print one row a task."""
    parser = argparse.ArgumentParser(description="Gradual unfreezing by finetuning-scheduler.")
    parser.add_argument("--tasks", default="mammography,nsl-kdd,signs-inversion")
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    if not SHARED.is_dir():
        print(f"The benchmark's data are missing: {SHARED}. Nothing was run.")
        return
    torch.set_num_threads(1)
    print(f"{'task':<17} seed     F1  select loss    GFLOPs  seconds  epochs of each phase")
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(asked.seeds):
            tasks = {task.name: task for task in search_tasks(seed)}
            for name in asked.tasks.split(","):
                row = gradual(tasks[name].prepare(Path(cache)), seed)
                numbers = f"{row['test']:6.3f} {row['select_loss']:12.4f} {float(row['flops']) / 1e9:9.2f}"
                print(f"{name:<17} {seed:>4} {numbers} {row['seconds']:8.1f}  {row['schedule']}", flush=True)


if __name__ == "__main__":
    main()
