"""One run: a candidate trained with one seed, epoch by epoch, with a proof that frozen stayed frozen.

Knows nothing of the select and test splits. Every epoch is acknowledged in the ledger after its
checkpoint is on disk, so a killed run goes on from its last finished epoch and ends where it would have.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray

from frostline.capture.capturing import Rows as Captured
from frostline.core.ledger import Ledger
from frostline.core.progress import Progress
from frostline.core.records import Block, Epoch, Fit, Run
from frostline.core.seeding import derive
from frostline.models.task_model import Batch, TaskModel
from frostline.plan.proof import Seal
from frostline.train.checkpoint import Checkpoints
from frostline.train.evaluate import fit, predict, shape_of
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Inputs, Rows
from frostline.train.optim import Ending, make_optimizer, set_rate
from frostline.train.recipe import Recipe
from frostline.train.replaying import Replaying
from frostline.train.update import TooBig, Update


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What training may see: the train and stop splits, and nothing that will judge it."""

    inputs: Inputs
    labels: NDArray[np.int64]
    """By position in the data set; positions outside train and stop are never read."""
    train: Rows
    stop: Rows
    class_weights_C: NDArray[np.float64] | None = None
    """Of the training loss; None: none."""
    blocks: tuple[Block, ...] = ()
    """Of the network, in execution order: a layer-wise decay of the learning rate asks for them."""


class Trainer:
    """One run. Its model is frozen by the plan already, and has the weights from which the run starts.

    Args:
        candidate: Its id.
        checkpoints: Where epochs are kept; a run found there and in the ledger is continued.
        replaying: Spares computing the frozen part again and again; the run is the same to the last bit.
    """

    def __init__(
        self,
        candidate: str,
        model: TaskModel,
        material: Material,
        recipe: Recipe,
        seed: int,
        *,
        ledger: Ledger,
        checkpoints: Checkpoints,
        replaying: Replaying | None = None,
    ) -> None:
        self.candidate, self.run, self.seed = candidate, checkpoints.run, seed
        self.epochs: list[Epoch] = []
        self._model, self._material, self._recipe, self._replaying = model, material, recipe, replaying
        self._ledger, self._checkpoints = ledger, checkpoints
        rate = recipe.learning_rate or model.learning_rate
        self._optimizer = make_optimizer(model.module, model.head, recipe, rate, material.blocks)
        # Rows of a store belong to whole batches, computed in float32.
        exact = recipe if replaying is None else recipe.model_copy(update={"precision": "float32"})
        weights = None if material.class_weights_C is None else torch.from_numpy(material.class_weights_C)
        self._update = Update(model, self._optimizer, exact, weights, whole_only=replaying is not None)
        self.last_epoch = recipe.epochs
        self.ending: Ending | None = None
        self._seal = Seal.of(model.module)
        self._training, self._evaluating = FlopsMeter(), FlopsMeter()
        self._random = torch.get_rng_state()
        self._sums = _Sums()

    def begin(self, before: Epoch, progress: Progress) -> None:
        """Start with epoch 0, the model as it is, or go on after the last epoch that was acknowledged."""
        self.epochs = self._ledger.epochs(self.run)
        if self.epochs:
            self._checkpoints.load(self.epochs[-1].epoch, self._model.module, self._optimizer)
            progress.say(f"{self.candidate}: goes on after epoch {self.epochs[-1].epoch}")
        else:
            self._checkpoints.save(0, self._model.module, self._optimizer)
            self._ledger.add_epoch(self.run, before)
            self.epochs = [before]

    def end_after(self, epoch: int, steps_an_epoch: int) -> None:
        """From now on the learning rate falls to zero by the end of this epoch, and the run ends there."""
        self.last_epoch, known = epoch, (len(self.epochs) - 1) * steps_an_epoch
        if epoch < self._recipe.epochs:
            self.ending = known, epoch * steps_an_epoch - known

    @property
    def ended(self) -> str | None:
        """Why training ended, in words; None while it goes on."""
        last = self.epochs[-1]
        if not _is_sound(last):
            return f"the loss was no longer finite in epoch {last.epoch}"
        if last.epoch - best_epoch(self.epochs) >= self._recipe.patience:
            return f"no lower validation loss for {self._recipe.patience} epochs"
        if self.ending is not None and last.epoch >= self.last_epoch:
            return f"the budget was spent after {last.epoch} of {self._recipe.epochs} epochs"
        return f"all {self._recipe.epochs} epochs done" if last.epoch >= self._recipe.epochs else None

    def begin_epoch(self) -> None:
        """Get ready for the steps of the next epoch."""
        # Seeded by its name, not by what ran before: a resumed epoch drops out what it would have.
        torch.manual_seed(derive(self.seed, self.run, len(self.epochs)))
        self._random = torch.get_rng_state()
        self._training.total = self._evaluating.total = 0
        self._sums = _Sums(spared_flops=self._spared_flops)
        self._model.module.train()

    def step(self, progress_share: tuple[int, int], rows: Rows, batch: Batch, captured: Captured | None = None) -> None:
        """One step of the optimizer; none any more once the loss of the epoch is not finite.

        Args:
            progress_share: Steps done of the whole run, and all of its steps.
            rows: The examples.
            batch: What the network takes for them.
            captured: What the frozen part gives for the batch, when that was computed for several runs at once.
        """
        if not isfinite(self._sums.loss):
            return
        began = time.perf_counter()
        # Other runs may have drawn random numbers since this one's last step.
        torch.set_rng_state(self._random)
        recipe = self._recipe
        set_rate(self._optimizer, *progress_share, recipe.warmup_share, schedule=recipe.schedule, ending=self.ending)
        truth_B = torch.as_tensor(self._material.labels[rows], device=next(iter(batch.values())).device)
        try:
            loss, right = self._counted(rows, batch, truth_B, captured)
        except TooBig as error:
            assert self._replaying is not None
            self._replaying.replay.refuse(f"a whole batch must be in memory to be replayed, and {error}")
            self._update.whole_only = False
            loss, right = self._counted(rows, batch, truth_B, None)
        self._random = torch.get_rng_state()
        self._sums.add(loss, right, len(rows), time.perf_counter() - began)

    def read_ahead(self, rows: Rows, batch: Batch) -> None:
        """Fetch what the next step will need while this one is computed."""
        if self._replaying is not None:
            self._replaying.read_ahead(rows, batch)

    def end_epoch(self) -> None:
        """Evaluate on the stop split, write the checkpoint, and acknowledge the epoch."""
        began, trained = time.perf_counter(), self._spared_flops
        stop = self._fit_on(self._material.stop)
        sums = self._sums
        epoch = Epoch(
            epoch=len(self.epochs),
            train_loss=sums.loss / sums.seen if isfinite(sums.loss) else None,
            train_accuracy=sums.right / sums.seen,
            stop_loss=stop.loss,
            stop_accuracy=stop.accuracy,
            seconds_s=sums.seconds_s + time.perf_counter() - began,
            train_flops=self._training.total,
            evaluate_flops=self._evaluating.total,
            spared_train_flops=trained - sums.spared_flops,
            spared_evaluate_flops=self._spared_flops - trained,
        )
        self._checkpoints.save(epoch.epoch, self._model.module, self._optimizer)
        self._ledger.add_epoch(self.run, epoch)
        self.epochs.append(epoch)
        self._checkpoints.keep_only({epoch.epoch, best_epoch(self.epochs)})

    def finish(self) -> Run:
        """The run as it is, the model left with the weights of its best epoch. Not yet in the ledger."""
        best = best_epoch(self.epochs)
        proof = self._seal.compare(self._model.module, self._optimizer)
        self._checkpoints.load(best, self._model.module)
        spared, self._evaluating.total = self._spared_flops, 0
        # Of a run that is paused nobody asks whether it over-fits yet, and asking costs a pass.
        train_fit = self._fit_on_sample() if self.ended else None
        return Run(
            id=self.run,
            candidate=self.candidate,
            seed=self.seed,
            status="failed" if not _is_sound(self.epochs[-1]) else "finished" if self.ended else "paused",
            epochs=tuple(self.epochs),
            best_epoch=best,
            ended=self.ended or f"stopped after {self.epochs[-1].epoch} of {self._recipe.epochs} epochs",
            train_fit=train_fit,
            proof=proof,
            seconds_s=sum(epoch.seconds_s for epoch in self.epochs),
            train_flops=sum(epoch.train_flops for epoch in self.epochs),
            evaluate_flops=sum(epoch.evaluate_flops for epoch in self.epochs) + self._evaluating.total,
            prepare_flops=self._replaying.preparing.total if self._replaying else 0,
            spared_train_flops=sum(epoch.spared_train_flops for epoch in self.epochs),
            spared_evaluate_flops=sum(e.spared_evaluate_flops for e in self.epochs) + self._spared_flops - spared,
        )

    @property
    def notes(self) -> list[str]:
        """What happened on the way that a user wants to know."""
        return self._update.notes

    def _counted(self, rows: Rows, batch: Batch, truth_B: torch.Tensor, captured: Captured | None) -> tuple[float, int]:
        """One step of the optimizer, its FLOPs counted."""
        update, shape = partial(self._update, batch, truth_B), (self._update.parts, shape_of(batch))
        if self._replaying is None:
            return self._training.count(shape, update)
        return self._replaying.count(self._training, shape, rows, batch, update, captured)

    @property
    def _spared_flops(self) -> int:
        return self._replaying.replay.spared_flops if self._replaying else 0

    def _fit_on_sample(self) -> Fit:
        """On a fixed sample of the train split, at most as large as the stop split: what over-fitting is read from."""
        generator = np.random.default_rng(derive(self.seed, "train sample"))
        size = min(len(self._material.train), len(self._material.stop))
        return self._fit_on(np.sort(generator.choice(self._material.train, size=size, replace=False)))

    def _fit_on(self, rows: Rows) -> Fit:
        probabilities_NC = predict(self._model, self._material.inputs, rows, self._evaluating, self._replaying)
        return fit(probabilities_NC, self._material.labels[rows])


@dataclass(slots=True)
class _Sums:
    """Of one epoch's steps."""

    loss: float = 0.0
    right: int = 0
    seen: int = 0
    seconds_s: float = 0.0
    spared_flops: int = 0
    """Spared before the epoch began."""

    def add(self, loss: float, right: int, examples: int, seconds_s: float) -> None:
        self.loss += loss * examples
        self.right += right
        self.seen += examples
        self.seconds_s += seconds_s


def best_epoch(epochs: Sequence[Epoch]) -> int:
    """The epoch with the lowest stop loss; one whose loss is not finite, in training either, is never better."""
    losses = [e.stop_loss if e.stop_loss is not None and _is_sound(e) else float("inf") for e in epochs]
    return epochs[int(np.argmin(losses))].epoch


def _is_sound(epoch: Epoch) -> bool:
    return epoch.stop_loss is not None and (epoch.epoch == 0 or epoch.train_loss is not None)
