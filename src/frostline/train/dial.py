"""Weights between the pretrained and the fine-tuned ones: how much of the old task they keep, at what price.

Training-free: the winner of a study is asked a few times more.

Source: Wortsman et al. (2022), Robust fine-tuning of zero-shot models, CVPR.
"""

from __future__ import annotations

from dataclasses import dataclass

from frostline.core.predictions import Predictions
from frostline.core.records import Run
from frostline.train.derived import Between
from frostline.train.interpolate import SHARES
from frostline.train.old_task import OldTask
from frostline.train.race import Race
from frostline.train.start import Start


@dataclass(frozen=True, slots=True)
class Dialled:
    """One setting of the dial."""

    share: float
    run: Run
    select: Predictions
    old: Predictions


def turn_dial(race: Race, run: Run, old: OldTask) -> tuple[Dialled, ...]:
    """Ask the weights between, and both ends, for the new task and the old.

    Empty where there is nothing between: the run kept its starting weights, or trains another network than the model.
    """
    plan = race.plans[run.candidate]
    if run.best_epoch == 0 or plan.ends_after or plan.spared == "adapters":
        return ()
    labels = race.data.labels[race.data.rows["select"]]
    points = []
    for share in SHARES:
        between = run if share == 1 else race.derive(Between(run, share))
        answers = race.answers(between, "select")
        model = race.restore(between)
        points.append(
            Dialled(
                share,
                between,
                Predictions.from_probabilities(race.data.task, labels, answers),
                old.answers(model.module, model.head),
            )
        )
    return tuple(points)


def dial_flops(race: Race, start: Start) -> int:
    """What asking the weights between will cost at most: every setting but the fine-tuned end, nothing replayed."""
    of_one = round(start.forward_flops * len(race.data.rows["select"]) / len(race.data.rows["train"]))
    return (len(SHARES) - 1) * of_one
