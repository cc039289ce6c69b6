"""Training runs: one alone or, when each batch is random and cannot be stored, several in step.

Shape letters: B examples in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from frostline.capture.capturing import Rows as Captured
from frostline.core.ledger import Ledger
from frostline.core.progress import Progress
from frostline.core.records import Epoch, Run
from frostline.core.seeding import derive
from frostline.models.task_model import Batch, TaskModel
from frostline.train.checkpoint import Checkpoints
from frostline.train.evaluate import on_device
from frostline.train.inputs import Rows, shuffled_batches
from frostline.train.recipe import Recipe
from frostline.train.replaying import Replaying
from frostline.train.trainer import Leg, Material, Trainer, best_epoch

__all__ = ["Leg", "Material", "best_epoch", "train_candidate", "train_together"]

PassOver = Callable[[Batch], Captured]
"""Computes what the frozen parts of all runs give for a batch, in one pass."""


def train_candidate(
    candidate: str,
    model: TaskModel,
    material: Material,
    recipe: Recipe,
    *,
    seed: int,
    before: Epoch,
    ledger: Ledger,
    checkpoints: Checkpoints,
    progress: Progress,
    replaying: Replaying | None = None,
    leg: Leg | None = None,
) -> Run:
    """Train a frozen model from its present weights and leave it with the weights of its best epoch.

    Args:
        candidate: Its id.
        model: Frozen by the candidate's plan.
        before: Epoch 0, the module as it is.
        checkpoints: Where epochs are kept; a run found there and in the ledger is continued.
        replaying: Spares computing the frozen part again and again; the run is the same to the last bit.
        leg: How far it is trained now, to its end or to a pause; None: to its end.

    Returns:
        The finished, failed or paused run. It is not yet in the ledger.
    """
    trainer = Trainer(
        candidate, model, material, recipe, seed, ledger=ledger, checkpoints=checkpoints, replaying=replaying, leg=leg
    )
    trainer.begin(before, progress)
    train_together([trainer], model, material, recipe, seed=seed, progress=progress)
    return trainer.finish()


def train_together(
    trainers: Sequence[Trainer],
    model: TaskModel,
    material: Material,
    recipe: Recipe,
    *,
    seed: int,
    progress: Progress,
    pass_over: PassOver | None = None,
) -> None:
    """Train runs that have begun, in step, to the ends of their legs: all see the same batches in the same order.

    Args:
        model: Says on what device batches are needed.
        pass_over: Computes what the frozen parts give, once a batch for all runs.
    """
    while going := [trainer for trainer in trainers if trainer.goes_on]:
        # After a crash some runs may be an epoch ahead of others, which catch up first.
        number = min(len(trainer.epochs) for trainer in going)
        in_step = [trainer for trainer in going if len(trainer.epochs) == number]
        batches = shuffled_batches(material.inputs, material.train, recipe.batch_size, derive(seed, "order", number))
        # Only a run by itself is ever paused within an epoch, or ended there.
        begin, stop = in_step[0].within, min(len(batches), in_step[0].leg.until - (number - 1) * len(batches))
        for trainer in in_step:
            trainer.begin_epoch()
        name = in_step[0].run if len(in_step) == 1 else f"{len(in_step)} runs in step"
        made = _with_next(model, material, batches, seed, number, range(begin, stop))
        with progress.step(f"{name}, epoch {number} of {recipe.epochs}", stop - begin) as step:
            for rows, batch, ahead in made:
                captured = pass_over(batch) if pass_over else None
                for trainer in in_step:
                    if ahead is not None and captured is None:
                        trainer.read_ahead(*ahead)
                    trainer.step(rows, batch, captured)
                step.advance()
        for trainer in in_step:
            for note in trainer.notes:
                progress.say(f"{trainer.run}: {note}")
            trainer.notes.clear()
            if stop < len(batches) and not trainer.leg.last:
                trainer.pause()
            else:
                trainer.end_epoch()


def _with_next(
    model: TaskModel, material: Material, batches: Sequence[Rows], seed: int, epoch: int, positions: range
) -> Iterator[tuple[Rows, Batch, tuple[Rows, Batch] | None]]:
    """Some batches of an epoch by position, each with the one after it, whose activations can be read ahead."""

    def made(position: int) -> tuple[Rows, Batch]:
        rows = batches[position]
        drawn = derive(seed, "augment", epoch, position)
        return rows, on_device(model, material.inputs.batch(rows, drawn))

    now = made(positions.start) if positions else None
    for position in positions:
        ahead = made(position + 1) if position + 1 < positions.stop else None
        assert now is not None
        yield *now, ahead
        now = ahead
