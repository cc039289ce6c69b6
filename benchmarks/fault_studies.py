"""Studies with one fault each, and healthy ones.

A fault is planted in what is true of the world (a rate, a loss, a tensor), never in what a check reads of it. Faults
that lie in a difference are planted with as many examples as it takes to see them nearly always: what fewer examples
hide is no failing of a check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from fault_build import (
    PART_SHARES,
    PARTS,
    WHOLE,
    Made,
    falling,
    made_run,
    made_study,
    usual_losses,
    with_extras,
    with_margin,
    with_old_task,
    with_seeds,
    with_slices,
)
from fault_world import World
from frostline.core.records import Opening
from frostline.judge.verdict import judge_study
from planted_case import ANY_OK, NOT_READY, Fault, Outcome, answered


@dataclass(frozen=True, slots=True)
class Planted:
    """Makes a study and judges it."""

    make: Callable[[Generator], Made]

    def __call__(self, random: Generator) -> Outcome:
        verdict = judge_study(self.make(random).record)
        return answered(verdict.verdict, verdict.checks)


def healthy(random: Generator) -> Made:
    """Full fine-tuning and the chosen plan are equally good, and all that can be asked is healthy."""
    world = World.drawn(random, frozen=False)
    made = made_study(world, scored=random.random() < 0.12, reference=random.random() < 0.85 or world.depth == 0)
    return with_extras(made)


# ---------------------------------------------------------------- what is frozen


def over_frozen(random: Generator) -> Made:
    """So much is frozen that not even the training examples are fitted."""
    world = World.drawn(random, prevalence=(0.1, 0.5), rarest=200)
    deep = int(random.integers((3 * len(world.blocks)) // 4, len(world.blocks)))
    world = replace(world, depth=deep).spoilt("chosen", recall=random.uniform(0.4, 0.6))
    return made_study(world, run={"losses": _poor_losses(world)})


def precision_kept(random: Generator) -> Made:
    """Part of the positives looks like nothing known; what was known is known as well as before."""
    world = World.drawn(random, classes=2, prevalence=(0.05, 0.5), rarest=400, recall=(0.95, 0.98))
    return made_study(world.spoilt("chosen", blind=random.uniform(0.12, 0.25)))


def recall_collapse(random: Generator) -> Made:
    """Nearly all positives are missed."""
    world = World.drawn(random, classes=2, rarest=100)
    return made_study(world.spoilt("chosen", blind=random.uniform(0.88, 0.97)))


def accuracy_drop(random: Generator) -> Made:
    """The frozen model sees less well than full fine-tuning."""
    world = World.drawn(random, prevalence=(0.2, 0.5), rarest=300)
    good = world.models["full"].recall
    return made_study(world.spoilt("chosen", recall=good - random.uniform(0.08, 0.15)))


def blocked_learning(random: Generator) -> Made:
    """Validation loss rises from the first epoch on."""
    world = World.drawn(random)
    rise = [world.entropy * random.uniform(0.4, 0.6)]
    rise += [rise[0] * (1 + 0.03 * epoch) for epoch in range(1, 4)]
    accuracies = [0.9 - 0.05 * epoch for epoch in range(4)]
    return made_study(world, run={"losses": rise, "accuracies": accuracies, "best": 0})


def too_little_frozen(random: Generator) -> Made:
    """A plan that freezes more is tied with the chosen one, at half the work."""
    world = World.drawn(random)
    world = replace(world, depth=int(random.integers(1, len(world.blocks) - 1)))
    world = world.spoilt("deeper", recall=world.models["full"].recall)
    made = made_study(world)
    deeper = world.candidates[world.depth + 1].id
    tied = (*made.record.choice.tied, deeper)
    made = made.run_put(deeper, train_flops=int(2e12 * random.uniform(0.6, 1.2)), updates=100)
    return made.run_put(world.chosen, updates=100).put(choice=made.record.choice.model_copy(update={"tied": tied}))


def unstable_seeds(random: Generator) -> Made:
    """With one seed in three training goes wrong."""
    world = World.drawn(random)
    return with_seeds(made_study(world), failing=world.models["chosen"].recall - random.uniform(0.2, 0.5))


def new_slice_missed(random: Generator) -> Made:
    """Positives of a source that training never met are missed; full fine-tuning finds them or not."""
    world = World.drawn(random, classes=2, prevalence=(0.05, 0.5), rarest=400, recall=(0.93, 0.97))
    world = world.spoilt("chosen", blind=random.uniform(0.05, 0.1))
    if random.random() < 0.5:
        world = world.spoilt("full", blind=world.models["chosen"].blind)
    made = made_study(world)
    true_N, unseen_N, _ = world.examples["test"]
    parts_N = random.choice(PARTS, size=len(true_N), p=PART_SHARES)
    # Whom the model is blind to comes from the new source: half or more of the positives there.
    parts_N[(true_N == 1) & (parts_N == "new") & (random.random(len(true_N)) < 0.5)] = "mail"
    parts_N[(true_N == 1) & (unseen_N < world.models["chosen"].blind)] = "new"
    return with_slices(made, parts_N)


def forgotten(random: Generator) -> Made:
    """The old task lost five points or more."""
    return with_old_task(made_study(World.drawn(random)), lost=random.uniform(0.06, 0.3), gained=0.01)


def inferior(random: Generator) -> Made:
    """Worse than full fine-tuning by more than the margin that was stated."""
    world = World.drawn(random, rarest=150)
    return with_margin(
        made_study(world.spoilt("chosen", recall=world.models["full"].recall - random.uniform(0.06, 0.15)))
    )


# ---------------------------------------------------------------- training


def over_fitted(random: Generator) -> Made:
    """Training examples are known, others are not; more than the head trains."""
    world = World.drawn(random, classes=2, prevalence=(0.4, 0.5), recall=(0.65, 0.75))
    world = replace(world, depth=int(random.integers(1, len(world.blocks) - 1)))
    return made_study(world, run={"trained": random.uniform(0.98, 1.0)})


def head_by_heart(random: Generator) -> Made:
    """The head alone learns few examples by heart."""
    world = World.drawn(random, classes=2, prevalence=(0.4, 0.5), recall=(0.65, 0.75))
    world = replace(world, depth=len(world.blocks) - 1, sizes={**world.sizes, "train": int(random.integers(120, 600))})
    return made_study(world, run={"trained": random.uniform(0.998, 1.0)})


def head_under_trained(random: Generator) -> Made:
    """Nothing but the head trains, and its loss is still falling fast when training ends."""
    world = World.drawn(random, prevalence=(0.1, 0.5))
    world = replace(world, depth=len(world.blocks) - 1)
    world = world.spoilt("chosen", recall=world.models["full"].recall - random.uniform(0.1, 0.2))
    return made_study(
        world, run={"losses": falling(world, start=1.0, end=0.2, epochs=int(random.integers(2, 4)), keep=0.7)}
    )


def loss_ignored(random: Generator) -> Made:
    """The epoch with the best accuracy was restored, long after validation loss had begun to rise."""
    world = World.drawn(random)
    fall = falling(world, start=0.7, end=0.25, epochs=2, keep=0.3)
    rises = int(random.integers(4, 7))
    losses = [
        *fall,
        *(fall[-1] * np.cumprod(random.uniform(1.06, 1.15, rises) * np.exp(0.01 * random.normal(size=rises)))),
    ]
    accuracies = [0.8, 0.88, 0.9, *(0.9 + 0.006 * step for step in range(1, rises + 1))]
    train = [None, *(0.9 * loss for loss in fall[1:]), *(0.8 * fall[-1] * 0.7**step for step in range(rises))]
    return made_study(
        world, run={"losses": losses, "train_losses": train, "accuracies": accuracies, "best": len(losses) - 1}
    )


def loss_stays_high(random: Generator) -> Made:
    """Nothing is learned beyond the class shares."""
    world = World.drawn(random, prevalence=(0.1, 0.5))
    world = world.spoilt("chosen", recall=0.0 if len(world.shares_K) == 2 else 1 / len(world.shares_K))
    made = made_study(world)
    # What the class shares give on this stop split, not in the whole world.
    shares = [count / world.sizes["stop"] for count in made.record.data.split("stop").per_class.values()]
    entropy = -sum(share * float(np.log(share)) for share in shares if share)
    losses = falling(world, start=random.uniform(1.02, 1.2), end=random.uniform(0.98, 1.0), epochs=6, keep=0.5)
    run = made_run(world, world.chosen, 0.5, losses=[loss * entropy / world.entropy for loss in losses])
    return made.run_put(world.chosen, epochs=run.epochs, best_epoch=run.best_epoch)


def diverged(random: Generator) -> Made:
    """Both losses end far above the start: of the chosen run, or of full fine-tuning."""
    world = World.drawn(random)
    losses = usual_losses(world)
    since = int(random.integers(1, 4))
    losses[since:] = [losses[0] * random.uniform(2.5, 20) for _ in losses[since:]]
    best = losses.index(min(losses))
    made = made_study(world, run={"losses": losses, "best": best})
    if random.random() < 0.5:
        return made
    found = made.record.run_of(world.chosen)
    healthy_run = made.record.run_of("full")
    made = made.run_put("full", epochs=found.epochs, best_epoch=best)
    return made.run_put(world.chosen, epochs=healthy_run.epochs, best_epoch=healthy_run.best_epoch)


def not_finite(random: Generator) -> Made:
    """A loss that is no number any more: of the chosen run, of full fine-tuning, or of another."""
    made = made_study(World.drawn(random))
    name = str(random.choice([run.candidate for run in made.record.runs]))
    epochs = made.record.run_of(name).epochs
    since = int(random.integers(1, 4))
    broken = tuple(
        epoch if epoch.epoch < since else epoch.model_copy(update={"stop_loss": None, "train_loss": None})
        for epoch in epochs
    )
    return made.run_put(name, epochs=broken, best_epoch=min(since - 1, 1), ended=f"not finite at epoch {since}")


def stopped_early(random: Generator) -> Made:
    """The last epoch still gained a tenth or more."""
    world = World.drawn(random)
    losses = falling(world, start=0.8, end=0.1, epochs=int(random.integers(2, 5)), keep=random.uniform(0.5, 0.7))
    return made_study(world, run={"losses": losses})


def jump(random: Generator) -> Made:
    """The first steps undo part of what the fitted head could do; later epochs win it back."""
    world = World.drawn(random)
    world = replace(world, depth=int(random.integers(1, len(world.blocks) - 1)))
    losses = usual_losses(world)
    return made_study(world, run={"losses": [losses[0] / random.uniform(1.2, 1.8), *losses]})


def unsteady(random: Generator) -> Made:
    """Validation loss goes up and down by most of what it falls."""
    world = World.drawn(random)
    losses = usual_losses(world)
    fall = losses[0] - min(losses)
    wild = [losses[0], *(loss + random.uniform(0.4, 0.8) * fall * (n % 2) for n, loss in enumerate(losses[1:]))]
    return made_study(world, run={"losses": wild})


def _poor_losses(world: World) -> list[float]:
    return falling(world, start=0.9, end=world.random.uniform(0.6, 0.7), epochs=7, keep=0.3)


# ---------------------------------------------------------------- evidence


def tensor_changed(random: Generator) -> Made:
    """A frozen tensor is another one after training."""
    return _broken(random, changed=("block.0.norm.running_mean",), sha256_after="b" * 64)


def in_optimizer(random: Generator) -> Made:
    """The optimizer holds a frozen parameter."""
    return _broken(random, optimizer_holds=("block.0.weight",))


def in_training_mode(random: Generator) -> Made:
    """A frozen module ran in training mode."""
    return _broken(random, training_mode=("block.0.dropout",))


def _broken(random: Generator, **fault: object) -> Made:
    made = made_study(World.drawn(random))
    name = str(random.choice([run.candidate for run in made.record.runs]))
    return made.run_put(name, proof=WHOLE.model_copy(update=fault))


def opened_before(random: Generator) -> Made:
    """One to five studies had read the same test labels."""
    earlier = [
        Opening(
            at=f"2026-11-2{day}T09:00:00Z", test_sha256="d" * 64, contenders=("depth-1", "full"), study=f"study-{day}"
        )
        for day in range(int(random.integers(1, 6)))
    ]
    return made_study(World.drawn(random)).put(earlier_openings=tuple(earlier))


def opened_for_others(random: Generator) -> Made:
    """The test labels were read again for other contenders."""
    made = made_study(World.drawn(random))
    again = made.record.openings[0].model_copy(update={"contenders": ("another",), "at": "2026-11-25T10:00:00Z"})
    return made.put(openings=(*made.record.openings, again))


def no_better_than_simple(random: Generator) -> Made:
    """The simple model is as good, or better."""
    world = World.drawn(random)
    better = min(0.98, world.models["chosen"].recall + random.uniform(0.005, 0.03))
    return made_study(world.spoilt("logistic", recall=better))


STUDY_FAULTS = tuple(
    Fault(name=name, codes=codes, plant=Planted(make), expected=expected)
    for name, codes, make, expected in (
        ("over-freezing", ("FRL204",), over_frozen, NOT_READY),
        ("precision kept, recall lost", ("FRL203",), precision_kept, NOT_READY),
        ("recall collapse", ("FRL103",), recall_collapse, NOT_READY),
        ("accuracy drop", ("FRL202",), accuracy_drop, NOT_READY),
        ("freezing blocks learning", ("FRL201",), blocked_learning, ANY_OK),
        ("too little frozen", ("FRL205",), too_little_frozen, ANY_OK),
        ("unstable seeds", ("FRL206",), unstable_seeds, NOT_READY),
        ("recall lost on a new slice", ("FRL207",), new_slice_missed, NOT_READY),
        ("old task forgotten", ("FRL208",), forgotten, NOT_READY),
        ("worse by more than the margin", ("FRL403",), inferior, NOT_READY | ANY_OK),
        ("over-fitting", ("FRL301",), over_fitted, NOT_READY),
        ("over-fitted head", ("FRL309",), head_by_heart, NOT_READY),
        ("under-trained head", ("FRL305",), head_under_trained, NOT_READY | ANY_OK),
        ("validation loss ignored", ("FRL303",), loss_ignored, NOT_READY),
        ("loss stays high", ("FRL302",), loss_stays_high, NOT_READY),
        ("divergence", ("FRL308",), diverged, NOT_READY | ANY_OK),
        ("non-finite loss", ("FRL304",), not_finite, NOT_READY | ANY_OK),
        ("stopped too early", ("FRL305",), stopped_early, ANY_OK),
        ("jump at unfreezing", ("FRL306",), jump, ANY_OK),
        ("unsteady training", ("FRL307",), unsteady, ANY_OK),
        ("broken freeze: tensor changed", ("FRL502",), tensor_changed, frozenset({"INVALID"})),
        ("broken freeze: in the optimizer", ("FRL502",), in_optimizer, frozenset({"INVALID"})),
        ("broken freeze: in training mode", ("FRL502",), in_training_mode, frozenset({"INVALID"})),
        ("test read by earlier studies", ("FRL503",), opened_before, ANY_OK),
        ("test read for other contenders", ("FRL503",), opened_for_others, NOT_READY),
        ("no better than a baseline", ("FRL401",), no_better_than_simple, NOT_READY | ANY_OK),
    )
)
