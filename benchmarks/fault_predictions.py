"""Predictions with one fault each, and healthy ones, judged by `frostline.check`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from fault_world import World
from frostline.core.predictions import Predictions
from frostline.judge.check import check
from planted_case import ANY_OK, NOT_READY, Fault, Outcome, answered


@dataclass(frozen=True, slots=True)
class Planted:
    """Makes predictions and judges them."""

    make: Callable[[Generator], Predictions]

    def __call__(self, random: Generator) -> Outcome:
        made = self.make(random)
        labels, positive = made.task.labels, made.task.positive_index
        scores = made.probabilities_NC
        verdict = check(
            [labels[number] for number in made.true_N],
            [labels[number] for number in made.predicted_N],
            scores if scores is None or positive is None else scores[:, positive],
            positive=made.task.positive,
        )
        return answered(verdict.verdict, verdict.checks)


def healthy(random: Generator) -> Predictions:
    """A good model; in half of the cases its scores are given too."""
    return _answers(World.drawn(random), scores=random.random() < 0.5)


def accuracy_paradox(random: Generator) -> Predictions:
    """A rare class of which one in five to twenty is found, with as many false alarms as finds, or more."""
    world = World.drawn(random, classes=2, prevalence=(0.02, 0.15), rarest=80)
    made = _answers(world, scores=False)
    found = random.uniform(0.05, 0.2)
    alarms = found * world.shares_K[1] / world.shares_K[0] * random.uniform(1, 1.6)
    answers_N = random.random(len(made)) < np.where(made.true_N == 1, found, alarms)
    answers_N[np.flatnonzero(made.true_N == 1)[0]] = True
    return Predictions(task=made.task, true_N=made.true_N, predicted_N=answers_N.astype(np.int64))


def wrong_threshold(random: Generator) -> Predictions:
    """Good scores, and answers by a threshold above half of the positives, more or less."""
    made = _answers(World.drawn(random, classes=2, prevalence=(0.02, 0.5), rarest=80, recall=(0.85, 0.95)))
    assert made.probabilities_NC is not None
    scores_N = made.probabilities_NC[:, 1]
    return made.with_threshold(float(np.quantile(scores_N[made.true_N == 1], random.uniform(0.4, 0.7))))


def miscalibrated(random: Generator) -> Predictions:
    """A fair model that is far too sure."""
    world = World.drawn(random, prevalence=(0.35, 0.5), rarest=250, recall=(0.6, 0.75))
    return _answers(world.spoilt("chosen", overconfident=random.uniform(3, 6)))


def too_few_positives(random: Generator) -> Predictions:
    """Five to twenty-nine positives."""
    world = World.drawn(random, classes=2, rarest=60)
    made = _answers(world, scores=False)
    positives = np.flatnonzero(made.true_N == 1)
    dropped = positives[int(random.integers(5, 30)) :]
    return made.take(np.setdiff1d(np.arange(len(made)), dropped))


def undefined(random: Generator) -> Predictions:
    """One class is never answered: with two classes the positive one."""
    made = _answers(World.drawn(random), scores=False)
    never = made.task.positive_index or int(random.integers(0, len(made.task.labels)))
    answers_N = np.where(made.predicted_N == never, (never + 1) % len(made.task.labels), made.predicted_N)
    return Predictions(task=made.task, true_N=made.true_N, predicted_N=answers_N)


def no_skill(random: Generator) -> Predictions:
    """Answers that have nothing to do with the truth."""
    world = World.drawn(random)
    made = _answers(world, scores=False)
    answers_N = random.permutation(made.predicted_N)
    return Predictions(task=made.task, true_N=made.true_N, predicted_N=answers_N)


def unbalanced(random: Generator) -> Predictions:
    """What is found is right, and two fifths or more are missed."""
    world = World.drawn(random, classes=2, rarest=150)
    return _answers(world.spoilt("chosen", blind=random.uniform(0.4, 0.6)), scores=False)


def _answers(world: World, *, scores: bool = True) -> Predictions:
    made = world.answers("test", {"chosen": "chosen"})["chosen"]
    if scores:
        return made
    return Predictions(task=made.task, true_N=made.true_N, predicted_N=made.predicted_N)


PREDICTION_FAULTS = tuple(
    Fault(name=name, codes=codes, plant=Planted(make), expected=expected)
    for name, codes, make, expected in (
        ("accuracy paradox", ("FRL101",), accuracy_paradox, NOT_READY),
        ("too few positives, predictions", ("FRL102",), too_few_positives, NOT_READY | {"INCONCLUSIVE"}),
        ("precision without recall", ("FRL104",), unbalanced, NOT_READY | ANY_OK),
        ("undefined metric", ("FRL105",), undefined, NOT_READY | ANY_OK),
        ("miscalibrated", ("FRL106",), miscalibrated, NOT_READY | ANY_OK),
        ("wrong threshold", ("FRL107",), wrong_threshold, NOT_READY | ANY_OK),
        ("no skill", ("FRL402",), no_skill, NOT_READY),
    )
)
