"""One run: a candidate trained with one seed, epoch by epoch, with a proof that frozen stayed frozen.

Knows nothing of the select and test splits. Every epoch is acknowledged in the ledger after its
checkpoint is on disk, so a killed run goes on from its last finished epoch and ends where it would have.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import isfinite
from pathlib import Path

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
from frostline.train.inputs import Inputs, Rows, shuffled_batches
from frostline.train.optim import make_optimizer, set_rate
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


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of a run that a race asks for, in updates.

    The learning rate rises and falls to zero within a leg, so that what is compared at its end is not what a high
    rate happens to leave; the next leg begins anew.
    """

    since: int
    until: int
    last: bool
    """The run ends with it, if it does not end before; else it is paused."""


class Trainer:
    """One run. Its model is frozen by the plan already, and has the weights from which the run starts.

    Args:
        candidate: Its id.
        checkpoints: Where epochs are kept; a run found there and in the ledger is continued.
        replaying: Spares computing the frozen part again and again; the run is the same to the last bit.
        leg: How far the run goes; None: all of it, in one.
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
        leg: Leg | None = None,
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
        self.an_epoch = steps_of(material, recipe)
        self.updates = 0
        """Steps of the optimizer done so far."""
        self.leg = leg or Leg(0, recipe.epochs * self.an_epoch, last=True)
        self._seal = Seal.of(model.module)
        self._training, self._evaluating = FlopsMeter(), FlopsMeter()
        self._random = torch.get_rng_state()
        self._sums = _Sums()
        self._spared_before = 0

    def begin(self, before: Epoch, progress: Progress) -> None:
        """Start with epoch 0, the model as it is, or go on from where the run was paused or its last epoch ended."""
        self.epochs = self._ledger.epochs(self.run)
        if not self.epochs:
            self._save(self._checkpoints.path(0))
            self._ledger.add_epoch(self.run, before)
            self.epochs = [before]
            return
        path = self._checkpoints.path(self.epochs[-1].epoch)
        self.updates = (len(self.epochs) - 1) * self.an_epoch
        paused = self._ledger.fact(_paused(self.run))
        if paused is not None and (sums := _Sums(**json.loads(paused))).updates > self.updates:
            self.updates, self._sums, path = sums.updates, sums, self._checkpoints.path_within(sums.updates)
        self._checkpoints.load(path, self._model.module, self._optimizer)
        progress.say(f"{self.candidate}: goes on after {self.updates} of {self.planned} updates")

    @property
    def planned(self) -> int:
        """Updates of the whole run, if no budget ends it earlier."""
        return self._recipe.epochs * self.an_epoch

    @property
    def ended(self) -> str | None:
        """Why training ended, in words; None while it goes on."""
        last = self.epochs[-1]
        if not _is_sound(last):
            return f"the loss was no longer finite in epoch {last.epoch}"
        if last.epoch - best_epoch(self.epochs) >= self._recipe.patience:
            return f"no lower validation loss for {self._recipe.patience} epochs"
        # The sums are those of an epoch that is not evaluated yet, unless there are none.
        if self.updates < self.leg.until or self._sums.seen or not (self.leg.last or self.updates >= self.planned):
            return None
        if self.updates < self.planned:
            return f"the budget was spent after {self.updates} of {self.planned} updates"
        return f"all {self._recipe.epochs} epochs done"

    @property
    def goes_on(self) -> bool:
        """Whether the leg is not done: an epoch that ends with the run is evaluated, however short it is."""
        return self.ended is None and (self.updates < self.leg.until or (self.leg.last and self._sums.seen > 0))

    @property
    def within(self) -> int:
        """Updates done of the next epoch."""
        return self.updates - (len(self.epochs) - 1) * self.an_epoch if self._sums.seen else 0

    def begin_epoch(self) -> None:
        """Get ready for the steps of the next epoch, or for what is left of one after a pause."""
        # Seeded by its name, not by what ran before: a resumed epoch drops out what it would have.
        torch.manual_seed(derive(self.seed, self.run, len(self.epochs), *([self.within] if self.within else [])))
        state = bytes.fromhex(self._sums.random)
        self._random = torch.frombuffer(bytearray(state), dtype=torch.uint8) if state else torch.get_rng_state()
        self._training.total, self._evaluating.total = self._sums.train_flops, 0
        self._spared_before = self._spared_flops - self._sums.spared_flops
        self._model.module.train()

    def step(self, rows: Rows, batch: Batch, captured: Captured | None = None) -> None:
        """One step of the optimizer; none any more once the loss of the epoch is not finite.

        Args:
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
        done, steps = self.updates - self.leg.since, self.leg.until - self.leg.since
        set_rate(self._optimizer, done, steps, recipe.warmup_share, schedule=recipe.schedule)
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
        self.updates += 1

    def read_ahead(self, rows: Rows, batch: Batch) -> None:
        """Fetch what the next step will need while this one is computed."""
        if self._replaying is not None:
            self._replaying.read_ahead(rows, batch)

    def pause(self) -> None:
        """Keep an epoch that is not done yet, to go on from here."""
        if not isfinite(self._sums.loss):
            self.end_epoch()
            return
        self._note_sums()
        self._sums.random = bytes(self._random.tolist()).hex()
        self._save(path := self._checkpoints.path_within(self.updates))
        self._ledger.note(_paused(self.run), json.dumps(asdict(self._sums)))
        self._checkpoints.keep_only(path, *self._kept_epochs())

    def end_epoch(self) -> None:
        """Evaluate on the stop split, write the checkpoint, and acknowledge the epoch."""
        began, trained = time.perf_counter(), self._spared_flops
        self._note_sums()
        stop = self._fit_on(self._material.stop)
        sums = self._sums
        epoch = Epoch(
            epoch=len(self.epochs),
            train_loss=sums.loss / sums.seen if isfinite(sums.loss) else None,
            train_accuracy=sums.right / sums.seen,
            stop_loss=stop.loss,
            stop_accuracy=stop.accuracy,
            seconds_s=sums.seconds_s + time.perf_counter() - began,
            train_flops=sums.train_flops,
            evaluate_flops=self._evaluating.total,
            spared_train_flops=sums.spared_flops,
            spared_evaluate_flops=self._spared_flops - trained,
        )
        self._save(self._checkpoints.path(epoch.epoch))
        self._ledger.add_epoch(self.run, epoch)
        self.epochs.append(epoch)
        self._sums = _Sums()
        self._checkpoints.keep_only(*self._kept_epochs())

    def finish(self) -> Run:
        """The run as it is, the model left with the weights of its best epoch. Not yet in the ledger."""
        best = best_epoch(self.epochs)
        proof = self._seal.compare(self._model.module, self._optimizer)
        self._checkpoints.load(self._checkpoints.path(best), self._model.module)
        spared, self._evaluating.total = self._spared_flops, 0
        # Of a run that is paused nobody asks whether it over-fits yet, and asking costs a pass.
        train_fit = self._fit_on_sample() if self.ended else None
        return Run(
            id=self.run,
            candidate=self.candidate,
            seed=self.seed,
            status="failed" if not _is_sound(self.epochs[-1]) else "finished" if self.ended else "paused",
            epochs=tuple(self.epochs),
            updates=self.updates,
            best_epoch=best,
            ended=self.ended or f"stopped after {self.updates} of {self.planned} updates",
            train_fit=train_fit,
            proof=proof,
            seconds_s=sum(epoch.seconds_s for epoch in self.epochs) + self._sums.seconds_s,
            train_flops=sum(epoch.train_flops for epoch in self.epochs) + self._sums.train_flops,
            evaluate_flops=sum(epoch.evaluate_flops for epoch in self.epochs) + self._evaluating.total,
            prepare_flops=self._replaying.preparing.total if self._replaying else 0,
            spared_train_flops=sum(e.spared_train_flops for e in self.epochs) + self._sums.spared_flops,
            spared_evaluate_flops=sum(e.spared_evaluate_flops for e in self.epochs) + self._spared_flops - spared,
        )

    def _save(self, path: Path) -> None:
        self._checkpoints.save(path, self._model.module, self._optimizer)

    def _kept_epochs(self) -> list[Path]:
        """A run goes on from its last epoch or pause, and ends with its best epoch."""
        return [self._checkpoints.path(epoch) for epoch in {self.epochs[-1].epoch, best_epoch(self.epochs)}]

    def _note_sums(self) -> None:
        self._sums.updates, self._sums.train_flops = self.updates, self._training.total
        self._sums.spared_flops = self._spared_flops - self._spared_before

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


def steps_of(material: Material, recipe: Recipe) -> int:
    """Steps of the optimizer in one epoch."""
    return len(shuffled_batches(material.inputs, material.train, recipe.batch_size, 0))


def _paused(run: str) -> str:
    """Name of the ledger's fact that holds the sums of an epoch within which the run was paused."""
    return f"paused {run}"


@dataclass(slots=True)
class _Sums:
    """Of the steps of one epoch so far."""

    loss: float = 0.0
    right: int = 0
    seen: int = 0
    seconds_s: float = 0.0
    updates: int = 0
    """Of the run by then; noted at a pause, as are the FLOPs."""
    train_flops: int = 0
    spared_flops: int = 0
    random: str = ""
    """State of the CPU's random numbers after the last step, as hexadecimal digits; of another device's there is none,
    so what is left of the epoch drops out other numbers there than without the pause."""

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
