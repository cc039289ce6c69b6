"""All candidates trained at once: a batch that does not come back is passed over once for all of them."""

from __future__ import annotations

from frostline.train.loop import train_together
from frostline.train.race import Race
from frostline.train.start import Start
from frostline.train.trainer import Trainer


def train_in_step(race: Race, start: Start) -> None:
    """Train every candidate to its end on the same batches, and acknowledge the runs."""
    shared = race.activations is not None and any(map(race.activations.replaying, race.plans))
    race.progress.say(
        "replay from the store is off in training because images are augmented at random: "
        "candidates are trained in step"
        + (", and the frozen part of each batch is computed once for all of them" if shared else "")
    )
    trainers = [
        _trainer(race, candidate, start)
        for candidate, plan in race.plans.items()
        if race.known_run(candidate) is None and not plan.ends_after
    ]
    train_together(
        trainers,
        race.model,
        race.material,
        race.recipe,
        seed=race.seed,
        progress=race.progress,
        pass_over=race.activations.pass_over if race.activations else None,
    )
    twins = race.networks.twins
    for trainer in trainers:
        race.finish(trainer.candidate, trainer.finish(), twins[trainer.candidate])
    twins.clear()


def _trainer(race: Race, candidate: str, start: Start) -> Trainer:
    """Of one candidate, which has begun."""
    model = race.networks.twin(candidate, race.plans[candidate])
    if race.plans[candidate].spared != "adapters":
        model.module.load_state_dict(race.beginning)
    trainer = Trainer(
        candidate,
        model,
        race.material,
        race.recipe_of(candidate, start),
        race.seed,
        ledger=race.ledger,
        checkpoints=race.checkpoints(race.run_id(candidate)),
        replaying=race.replaying(candidate),
    )
    trainer.begin(start.before, race.progress)
    return trainer
