"""Training one candidate: early stopping on the stop split's loss, a proof that frozen stayed frozen.

Knows nothing of the select and test splits. Every epoch is acknowledged in the ledger after its
checkpoint is on disk, so a killed run goes on from its last finished epoch and ends where it would have.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from frostline.core.ledger import Ledger
from frostline.core.progress import Progress
from frostline.core.records import Epoch, Fit, Run
from frostline.core.seeding import derive
from frostline.models.task_model import Batch, TaskModel
from frostline.plan.apply import freeze
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.proof import Seal
from frostline.train.checkpoint import Checkpoints
from frostline.train.evaluate import fit, on_device, predict, shape_of
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Inputs, Rows, shuffled_batches
from frostline.train.optim import make_optimizer, set_rate
from frostline.train.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What training may see: the train and stop splits, and nothing that will judge it."""

    inputs: Inputs
    labels: NDArray[np.int64]
    """By position in the data set; positions outside train and stop are never read."""
    train: Rows
    stop: Rows


def train_candidate(
    candidate: str,
    plan: FreezePlan,
    model: TaskModel,
    material: Material,
    recipe: Recipe,
    *,
    seed: int,
    before: Epoch,
    ledger: Ledger,
    checkpoints: Checkpoints,
    progress: Progress,
) -> Run:
    """Train from the module's present weights and leave it with the weights of its best epoch.

    Args:
        candidate: Its id.
        plan: Applied to the module, which must be wholly unfrozen.
        before: Epoch 0, the module as it is.
        checkpoints: Where epochs are kept; a run found there and in the ledger is continued.

    Returns:
        The finished or failed run. It is not yet in the ledger.
    """
    freeze(model.module, plan)
    trainer = _Trainer(checkpoints.run, model, material, recipe, seed)
    epochs = ledger.epochs(trainer.run)
    if epochs:
        checkpoints.load(epochs[-1].epoch, model.module, trainer.optimizer)
        progress.say(f"{candidate}: goes on after epoch {epochs[-1].epoch}")
    else:
        checkpoints.save(0, model.module, trainer.optimizer)
        ledger.add_epoch(trainer.run, before)
        epochs = [before]
    while (ended := _ended(epochs, recipe)) is None:
        epoch = trainer.one_epoch(len(epochs), progress)
        checkpoints.save(epoch.epoch, model.module, trainer.optimizer)
        ledger.add_epoch(trainer.run, epoch)
        epochs.append(epoch)
        checkpoints.keep_only({epoch.epoch, best_epoch(epochs)})
    best = best_epoch(epochs)
    proof = trainer.seal.compare(model.module, trainer.optimizer)
    checkpoints.load(best, model.module)
    train_fit = trainer.fit_on_sample()
    return Run(
        id=trainer.run,
        candidate=candidate,
        seed=seed,
        status="finished" if _is_sound(epochs[-1]) else "failed",
        epochs=tuple(epochs),
        best_epoch=best,
        ended=ended,
        train_fit=train_fit,
        proof=proof,
        seconds_s=sum(epoch.seconds_s for epoch in epochs),
        train_flops=sum(epoch.train_flops for epoch in epochs),
        evaluate_flops=sum(epoch.evaluate_flops for epoch in epochs) + trainer.evaluating.total,
    )


def best_epoch(epochs: Sequence[Epoch]) -> int:
    """The epoch with the lowest stop loss; one whose loss is not finite is never better."""
    losses = [epoch.stop_loss if epoch.stop_loss is not None else float("inf") for epoch in epochs]
    return epochs[int(np.argmin(losses))].epoch


def _ended(epochs: Sequence[Epoch], recipe: Recipe) -> str | None:
    last = epochs[-1]
    if not _is_sound(last):
        return f"the loss was no longer finite in epoch {last.epoch}"
    if last.epoch - best_epoch(epochs) >= recipe.patience:
        return f"no lower validation loss for {recipe.patience} epochs"
    return f"all {recipe.epochs} epochs done" if last.epoch >= recipe.epochs else None


def _is_sound(epoch: Epoch) -> bool:
    return epoch.stop_loss is not None and (epoch.epoch == 0 or epoch.train_loss is not None)


class _Trainer:
    """One run's optimizer, meters and seal."""

    def __init__(self, run: str, model: TaskModel, material: Material, recipe: Recipe, seed: int) -> None:
        self.run, self.seed = run, seed
        self._model, self._material, self._recipe = model, material, recipe
        self.optimizer = make_optimizer(model.module, model.head, recipe, recipe.learning_rate or model.learning_rate)
        self.seal = Seal.of(model.module)
        self._training = FlopsMeter()
        self.evaluating = FlopsMeter()

    def one_epoch(self, number: int, progress: Progress) -> Epoch:
        started = time.perf_counter()
        # Seeded by its name, not by what ran before: a resumed epoch drops out what it would have.
        torch.manual_seed(derive(self.seed, self.run, number))
        self._training.total = self.evaluating.total = 0
        batches = shuffled_batches(
            self._material.inputs,
            self._material.train,
            self._recipe.batch_size,
            derive(self.seed, "order", number),
        )
        loss, right, seen = 0.0, 0, 0
        self._model.module.train()
        with progress.step(f"{self.run}, epoch {number} of {self._recipe.epochs}", len(batches)) as step:
            for position, rows in enumerate(batches):
                set_rate(
                    self.optimizer,
                    (number - 1) * len(batches) + position,
                    self._recipe.epochs * len(batches),
                    self._recipe.warmup_share,
                )
                batch_loss, batch_right = self._one_step(rows)
                loss, right, seen = loss + batch_loss * len(rows), right + batch_right, seen + len(rows)
                step.advance()
                if not isfinite(batch_loss):
                    break
        stop = self._fit_on(self._material.stop)
        epoch = Epoch(
            epoch=number,
            train_loss=loss / seen if isfinite(loss) else None,
            train_accuracy=right / seen,
            stop_loss=stop.loss,
            stop_accuracy=stop.accuracy,
            seconds_s=time.perf_counter() - started,
            train_flops=self._training.total,
            evaluate_flops=self.evaluating.total,
        )
        self.evaluating.total = 0
        return epoch

    def _one_step(self, rows: Rows) -> tuple[float, int]:
        batch = on_device(self._model, self._material.inputs.batch(rows))
        truth_B = torch.as_tensor(self._material.labels[rows], device=next(iter(batch.values())).device)
        return self._training.count(shape_of(batch), lambda: self._update(batch, truth_B))

    def _update(self, batch: Batch, truth_B: torch.Tensor) -> tuple[float, int]:
        logits_BC = self._model.logits(batch)
        loss = functional.cross_entropy(logits_BC, truth_B)
        torch.autograd.backward(loss)
        clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], self._recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach()), int((logits_BC.argmax(dim=1) == truth_B).sum())

    def fit_on_sample(self) -> Fit:
        """On a fixed sample of the train split, at most as large as the stop split: what over-fitting is read from."""
        generator = np.random.default_rng(derive(self.seed, "train sample"))
        size = min(len(self._material.train), len(self._material.stop))
        return self._fit_on(np.sort(generator.choice(self._material.train, size=size, replace=False)))

    def _fit_on(self, rows: Rows) -> Fit:
        probabilities_NC = predict(self._model, self._material.inputs, rows, self.evaluating)
        return fit(probabilities_NC, self._material.labels[rows])
