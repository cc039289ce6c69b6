"""Worlds in which studies are made up: classes, rates, sizes, blocks and models whose errors are correlated.

A model sees each example as its class plus noise, one part of which all models share. Its scores are the exact
probabilities of what it sees, so an unspoilt model is calibrated. Select and test are drawn anew from the same rates.

Shape letters: N examples, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import log, sqrt

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from frostline.core.predictions import Predictions
from frostline.core.records import Block, Candidate, Task

Floats = NDArray[np.float64]

PREVALENCES = (0.02, 0.5)
SOLVING = 1_500
"""Examples a class on which a model's sharpness is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """How well one model sees, and what spoils its answers."""

    recall: float
    """Of the positive class, or the mean over classes, before it is spoilt."""
    blind: float = 0.0
    """Share of the positive examples that look negative to it."""
    overconfident: float = 1.0
    """Factor on its log-odds."""
    shift: float = 0.0
    """Added to the log-odds of the positive class."""


@dataclass(frozen=True, kw_only=True)
class World:
    """One task with its sizes and its network."""

    random: Generator
    task: Task
    shares_K: Floats
    sizes: Mapping[str, int]
    blocks: tuple[Block, ...]
    depth: int
    """Of the chosen candidate; 0 freezes nothing."""
    correlation: float
    models: Mapping[str, Model]
    examples: dict[str, tuple[NDArray[np.int64], Floats, Floats]] = field(default_factory=dict)
    """Of each split, once it was asked: true classes, what decides who is blind to it, and the noise all share."""

    @classmethod
    def drawn(
        cls,
        random: Generator,
        *,
        classes: int | None = None,
        prevalence: tuple[float, float] = PREVALENCES,
        rarest: int = 60,
        recall: tuple[float, float] = (0.91, 0.97),
        frozen: bool = True,
    ) -> World:
        """A healthy world.

        Args:
            random: Of everything drawn.
            classes: Two, or three to five, at random when None.
            prevalence: Between which that of the positive class lies, evenly by its logarithm.
            rarest: Examples of the rarest class that a split which judges holds on average, at least.
            recall: Between which the recall of the good models lies.
            frozen: False: one world in eight has a chosen candidate that freezes nothing.
        """
        count = classes or (2 if random.random() < 0.65 else int(random.integers(3, 6)))
        shares_K = _shares(random, count, prevalence)
        test = int(max(_log_uniform(random, 400, 4_000), rarest / shares_K.min()))
        part = random.uniform(0.7, 1.3)
        blocks = _blocks(random)
        good = random.uniform(*recall)
        return cls(
            random=random,
            task=Task(labels=tuple("abcde"[:count]), positive="b" if count == 2 else None),
            shares_K=shares_K,
            sizes={
                "train": int(test * random.uniform(2, 5)),
                "stop": int(test * random.uniform(0.5, 0.9)),
                "select": int(max(test * part, rarest / shares_K.min())),
                "test": test,
            },
            blocks=blocks,
            depth=0 if not frozen and random.random() < 1 / 8 else int(random.integers(1, len(blocks))),
            correlation=random.uniform(0.5, 0.95),
            models={
                "full": Model(recall=good),
                "chosen": Model(recall=good),
                "deeper": Model(recall=good - random.uniform(0.1, 0.3)),
                "logistic": Model(recall=good - random.uniform(0.25, 0.4)),
            },
        )

    def spoilt(self, name: str, **changes: float) -> World:
        """The same world with one model changed."""
        return replace(self, models={**self.models, name: replace(self.models[name], **changes)})

    @property
    def chosen(self) -> str:
        return self.candidates[self.depth].id

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """One for each depth up to the head alone."""
        sizes = [block.parameters for block in self.blocks]
        return tuple(
            Candidate(
                id="full" if depth == 0 else f"depth-{depth}",
                plan="freeze nothing" if depth == 0 else f"freeze the first {depth} of {len(sizes)} blocks",
                frozen=tuple(block.name for block in self.blocks[:depth]),
                freeze_depth=depth,
                trainable_parameters=sum(sizes[depth:]),
                total_parameters=sum(sizes),
                learning_rate=1e-4,
            )
            for depth in range(len(self.blocks))
        )

    @cached_property
    def entropy(self) -> float:
        """Cross-entropy of answering with the class shares, in nats."""
        return float(-(self.shares_K * np.log(self.shares_K)).sum())

    def answers(self, split: str, names: Mapping[str, str]) -> dict[str, Predictions]:
        """What models answer to the examples of a split, which are drawn when it is first asked.

        Args:
            split: Whose examples.
            names: The model that answers, by the name of the answers. Asked twice, a model answers like one trained
                with another seed.
        """
        if split not in self.examples:
            self.examples[split] = self._drawn_examples(self.sizes[split])
        return {name: self._answered(self.models[model], *self.examples[split]) for name, model in names.items()}

    def _drawn_examples(self, size: int) -> tuple[NDArray[np.int64], Floats, Floats]:
        random, classes = self.random, len(self.shares_K)
        true_N = random.choice(classes, size=size, p=self.shares_K).astype(np.int64)
        # One example of each class at least.
        true_N[:classes] = np.arange(classes)
        return true_N, random.random(size), random.standard_normal((size, classes))

    def _answered(self, model: Model, true_N: NDArray[np.int64], unseen_N: Floats, shared_NK: Floats) -> Predictions:
        own_NK = self.random.standard_normal(shared_NK.shape)
        noise_NK = sqrt(self.correlation) * shared_NK + sqrt(1 - self.correlation) * own_NK
        positive = self.task.positive_index
        looks_N = true_N if positive is None else np.where((true_N == positive) & (unseen_N < model.blind), 0, true_N)
        logits_NK = model.overconfident * self._log_odds(self._sharpness(model.recall), looks_N, noise_NK)
        if positive is not None:
            logits_NK[:, positive] += model.shift
        probabilities_NK = np.clip(softmax(logits_NK, axis=1), 1e-9, 1.0)
        probabilities_NK /= probabilities_NK.sum(axis=1, keepdims=True)
        return Predictions.from_probabilities(self.task, true_N, probabilities_NK)

    def _log_odds(self, sharpness: float, looks_N: NDArray[np.int64], noise_NK: Floats) -> Floats:
        seen_NK = sharpness * np.eye(len(self.shares_K))[looks_N] + noise_NK
        return np.asarray(log_softmax(sharpness * seen_NK + np.log(self.shares_K), axis=1))

    @cached_property
    def _trial(self) -> tuple[NDArray[np.int64], Floats]:
        classes = len(self.shares_K)
        random = np.random.default_rng(0)
        return np.repeat(np.arange(classes), SOLVING), random.standard_normal((classes * SOLVING, classes))

    def _sharpness(self, recall: float) -> float:
        """Distance between classes at which a model has this recall, by halving."""
        looks_N, noise_NK = self._trial
        positive = self.task.positive_index
        asked_N = np.ones(len(looks_N), dtype=bool) if positive is None else looks_N == positive
        low, high = 0.0, 12.0
        for _ in range(16):
            middle = (low + high) / 2
            right_N = self._log_odds(middle, looks_N[asked_N], noise_NK[asked_N]).argmax(axis=1) == looks_N[asked_N]
            low, high = (low, middle) if right_N.mean() >= recall else (middle, high)
        return high


def _shares(random: Generator, classes: int, prevalence: tuple[float, float]) -> Floats:
    if classes == 2:
        positive = _log_uniform(random, *prevalence)
        return np.array([1 - positive, positive])
    shares_K = random.dirichlet(np.full(classes, 4.0))
    return np.asarray((shares_K + 0.04) / (shares_K + 0.04).sum())


def _log_uniform(random: Generator, low: float, high: float) -> float:
    return float(np.exp(random.uniform(log(low), log(high))))


def _blocks(random: Generator) -> tuple[Block, ...]:
    """Three to fourteen blocks of much the same size, and a head."""
    bodies = int(random.integers(3, 15))
    sizes = [int(_log_uniform(random, 3e5, 3e6)) for _ in range(bodies)]
    return (
        *(Block(name=f"block.{n}", path=f"block.{n}", parameters=size) for n, size in enumerate(sizes)),
        Block(name="head", path="head", parameters=int(random.integers(300, 4_000)), head=True),
    )
