"""From a world to a whole study: curves with noise, fits, results, comparisons and what else a study holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fault_world import World
from frostline.core.predictions import Predictions
from frostline.core.records import (
    Audit,
    Choice,
    Confirmation,
    Cost,
    DataSummary,
    Epoch,
    Fit,
    Opening,
    Proof,
    Result,
    Run,
    SplitSummary,
    StudyRecord,
    Task,
)
from frostline.measure.compare import compare
from frostline.measure.forgetting import forgetting
from frostline.measure.measures import measure
from frostline.measure.noninferiority import non_inferiority
from frostline.measure.slices import sliced

NOISE = 0.01
"""Standard deviation of a validation loss from epoch to epoch, as a part of it."""
MARGIN = 0.02
OLD = Task(labels=("u", "v", "w"))
WHOLE = Proof(frozen_tensors=12, sha256_before="a" * 64, sha256_after="a" * 64)

PARTS, PART_SHARES = ("new", "mail", "chat", "web"), (0.15, 0.4, 0.25, 0.2)

Losses = Sequence[float | None]


def falling(world: World, *, start: float, end: float, epochs: int, keep: float, noise: float = NOISE) -> list[float]:
    """A validation loss that falls from `start` to `end`, both parts of the entropy; `keep` of the rest each epoch."""
    steps = np.arange(epochs + 1)
    losses = world.entropy * (end + (start - end) * keep**steps)
    return [float(loss) for loss in losses * np.exp(noise * world.random.standard_normal(epochs + 1))]


def usual_losses(world: World) -> list[float]:
    """From a fitted head to where nothing is gained any more."""
    random = world.random
    return falling(
        world,
        start=random.uniform(0.5, 0.85),
        end=random.uniform(0.15, 0.4),
        epochs=int(random.integers(6, 11)),
        keep=random.uniform(0.25, 0.4),
    )


def made_run(
    world: World,
    candidate: str,
    accuracy: float,
    *,
    losses: Losses | None = None,
    train_losses: Losses | None = None,
    accuracies: Sequence[float] | None = None,
    best: int | None = None,
    trained: float | None = None,
    proof: Proof = WHOLE,
    flops: float | None = None,
) -> Run:
    """One run.

    Args:
        world: Whose.
        candidate: Its id.
        accuracy: That the model truly has on unseen examples.
        losses: Validation losses; usual ones when None.
        train_losses: A little below them when None.
        accuracies: On the stop split; rising to `accuracy` when None.
        best: Epoch restored; that of the lowest loss when None.
        trained: True accuracy on train examples; a hair above `accuracy` when None.
        proof: Of the freeze.
        flops: Of training; less the more is frozen when None.
    """
    random, losses = world.random, usual_losses(world) if losses is None else losses
    finite = [loss if loss is not None else float("inf") for loss in losses]
    examples = min(world.sizes["stop"], world.sizes["train"])
    rate = min(1.0, accuracy + random.uniform(0, 0.008)) if trained is None else trained
    depth = next(c.freeze_depth for c in world.candidates if c.id == candidate)
    work = 4e12 * (1 - 0.05 * depth / len(world.blocks)) if flops is None else flops
    return Run(
        id=f"{candidate}-seed0",
        candidate=candidate,
        seed=0,
        status="finished",
        epochs=_epochs(random, losses, train_losses, accuracies or _rising(world, accuracy, len(losses))),
        best_epoch=finite.index(min(finite)) if best is None else best,
        ended=f"all {len(losses) - 1} epochs done",
        train_fit=Fit(examples=examples, loss=0.1, accuracy=random.binomial(examples, rate) / examples),
        proof=proof,
        seconds_s=40.0,
        train_flops=int(work),
        evaluate_flops=10**11,
    )


def _epochs(
    random: Generator, losses: Losses, train_losses: Losses | None, accuracies: Sequence[float]
) -> tuple[Epoch, ...]:
    below = [None if loss is None else loss * random.uniform(0.88, 0.98) for loss in losses]
    trained = [None, *(below[1:] if train_losses is None else train_losses[1:])]
    return tuple(
        Epoch(epoch=number, train_loss=trained[number], stop_loss=loss, stop_accuracy=accuracies[number])
        for number, loss in enumerate(losses)
    )


def _rising(world: World, accuracy: float, epochs: int) -> list[float]:
    """Accuracy on one stop split, few of whose examples change sides from epoch to epoch."""
    size, random = world.sizes["stop"], world.random
    start = float(world.shares_K.max()) * 0.5 + accuracy * 0.5
    base = random.normal(0, np.sqrt(accuracy * (1 - accuracy) / size))
    means = accuracy + base - (accuracy - start) * 0.4 ** np.arange(epochs)
    flips = random.poisson(0.004 * size, epochs) - random.poisson(0.004 * size, epochs)
    return [float(rate) for rate in np.clip(means + flips / size, 0, 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A study with the answers it was made of."""

    world: World
    record: StudyRecord
    select: Mapping[str, Predictions]
    test: Mapping[str, Predictions]

    def put(self, **changed: object) -> Made:
        """The same with some fields of its record changed."""
        return replace(self, record=self.record.model_copy(update=changed))

    def run_put(self, candidate: str, **changed: object) -> Made:
        """The same with some fields of one run changed."""
        runs = (run.model_copy(update=changed) if run.candidate == candidate else run for run in self.record.runs)
        return self.put(runs=tuple(runs))


def made_study(
    world: World, *, run: Mapping[str, object] | None = None, scored: bool = False, reference: bool = True
) -> Made:
    """A study of a world: whatever is wrong with it stands in the world, or is put into it afterwards.

    Args:
        world: Its models answer select and test.
        run: What `made_run` is told of the chosen run.
        scored: Measure the scores of the chosen candidate too, which is slow.
        reference: Full fine-tuning was trained to its end.
    """
    chosen, names = world.chosen, _contenders(world, reference)
    select, test = (world.answers(split, names) for split in ("select", "test"))
    told = {chosen: run or {}}
    against_full = reference and chosen != "full"
    record = StudyRecord(
        name="planted",
        created="2026-11-25T09:00:00Z",
        command="frostline search",
        settings={"epochs": 10},
        model="made up",
        data=_data(world, select, test),
        blocks=world.blocks,
        candidates=world.candidates,
        runs=tuple(
            made_run(world, c.id, _accuracy(select[c.id]), **told.get(c.id, {}))  # type: ignore[arg-type]
            for c in world.candidates
            if c.id in select
        ),
        select=_results(select, "select", {chosen} if scored else set()),
        probes=(),
        choice=Choice(
            candidate=chosen,
            best="full" if reference else chosen,
            tied=("full", chosen) if against_full else (chosen,),
            metric="f1",
            reason="",
        ),
        reference="full" if reference else None,
        test=_results(_tested(chosen, test), "test", {chosen} if scored else set()),
        comparisons=tuple(
            compare(answers[chosen], answers[other], names=(chosen, other), split=split)
            for answers, other, split in (
                (test, "full", "test"),
                (test, "logistic", "test"),
                (select, "full", "select"),
            )
            if other != "full" or against_full
        ),
        openings=(Opening(at="2026-11-25T09:30:00Z", test_sha256="d" * 64, contenders=(chosen, "full")),),
        cost=Cost(search_flops=1, full_finetune_flops=1, sweep_flops=1, bound_flops=1, seconds_s=1.0),
        environment={},
    )
    return Made(world=world, record=record, select=select, test=test)


def _tested(chosen: str, test: Mapping[str, Predictions]) -> dict[str, Predictions]:
    return {name: test[name] for name in dict.fromkeys((chosen, "full", "logistic")) if name in test}


def _contenders(world: World, reference: bool) -> dict[str, str]:
    """Names of what answers, with the model of the world that gives the answers."""
    deeper = [c.id for c in world.candidates[world.depth + 1 :]][:1]
    full = {"full": "full"} if reference else {}
    return {**full, world.chosen: "chosen", **dict.fromkeys(deeper, "deeper"), "logistic": "logistic"}


def _accuracy(answers: Predictions) -> float:
    return float((answers.predicted_N == answers.true_N).mean())


def _results(answers: Mapping[str, Predictions], split: str, scored: set[str]) -> tuple[Result, ...]:
    return tuple(
        Result(
            name=name,
            kind="baseline" if name == "logistic" else "candidate",
            sentence=name,
            measures=measure(given, split, scored=name in scored),
        )
        for name, given in answers.items()
    )


def _data(world: World, select: Mapping[str, Predictions], test: Mapping[str, Predictions]) -> DataSummary:
    labels, random = world.task.labels, world.random
    counts = {split: random.multinomial(world.sizes[split], world.shares_K) for split in ("train", "stop")}
    for split, answers in (("select", select), ("test", test)):
        counts[split] = np.bincount(answers[world.chosen].true_N, minlength=len(labels))
    return DataSummary(
        source="made up",
        kind="table",
        task=world.task,
        splits=tuple(
            SplitSummary(
                name=name,
                examples=int(counts[name].sum()),
                per_class=dict(zip(labels, counts[name].tolist(), strict=True)),
                origin="made up",
            )
            for name in ("train", "stop", "select", "test")
        ),
        audit=Audit(later_than_test=0, giveaways=()),
        content_sha256="c" * 64,
    )


# ---------------------------------------------------------------- what a study may hold besides


def with_extras(made: Made) -> Made:
    """The same, at random with other seeds, an old task, slices and a margin, all of them healthy."""
    random = made.world.random
    if random.random() < 0.5:
        made = with_seeds(made)
    if random.random() < 0.5:
        made = with_old_task(made, lost=0.010, gained=random.uniform(0.007, 0.011))
    if random.random() < 0.4:
        made = with_slices(made, random.choice(PARTS, size=len(made.test[made.world.chosen]), p=PART_SHARES))
    return with_margin(made) if random.random() < 0.5 else made


def with_seeds(made: Made, failing: float | None = None) -> Made:
    """The same with the chosen and full fine-tuning trained again with two more seeds.

    Args:
        made: A study.
        failing: Recall of the chosen with the last seed, when that one goes wrong.
    """
    world, found = made.world, []
    for name in dict.fromkeys((world.chosen, "full") if "full" in made.select else (world.chosen,)):
        for seed in (1, 2):
            goes_wrong = failing is not None and name == world.chosen and seed == 2
            there = world.spoilt("chosen", recall=failing or 0.0) if goes_wrong else world
            answers = there.answers("select", {name: "full" if name == "full" else "chosen"})[name]
            found.append(Confirmation(candidate=name, seed=seed, select=measure(answers, "select"), flops=1))
    return made.put(confirmations=tuple(found))


def with_old_task(made: Made, *, lost: float, gained: float) -> Made:
    """The same with an old task of 3,000 to 6,000 examples, of which the pretrained network knew .80 to .95.

    Args:
        made: A study.
        lost: Share of all examples that were right before and are wrong after.
        gained: The other way round.
    """
    random = made.world.random
    size = int(random.integers(3_000, 6_000))
    true_N, kind_N = random.integers(0, 3, size), random.random(size)
    knew = random.uniform(0.8, 0.95)
    before, after = (
        Predictions(task=OLD, true_N=true_N, predicted_N=np.where(right_N, true_N, (true_N + 1) % 3))
        for right_N in (kind_N < knew, (kind_N >= lost) & (kind_N < knew + gained))
    )
    return made.put(forgetting={made.world.chosen: forgetting(before, after, seed=0)})


def with_slices(made: Made, parts_N: NDArray[np.str_]) -> Made:
    """The same with the test split parted; of the part "new" training had no example."""
    chosen = made.world.chosen
    known = {"mail": 800, "chat": 500, "web": 400}
    reference = made.test.get("full") if chosen != "full" else None
    slices = sliced(
        made.test[chosen], [str(part) for part in parts_N], known, reference=reference, names=(chosen, "full"), seed=0
    )
    return made.put(slices=slices, slices_from="column 'source'")


def with_margin(made: Made) -> Made:
    """The same, asked whether the chosen is no worse than full fine-tuning by more than the margin."""
    chosen = made.world.chosen
    if "full" not in made.test or chosen == "full":
        return made
    shown = non_inferiority(made.test[chosen], made.test["full"], names=(chosen, "full"), metric="f1", margin=MARGIN)
    return made.put(
        comparisons=tuple(
            one.model_copy(update={"non_inferiority": shown}) if (one.second, one.split) == ("full", "test") else one
            for one in made.record.comparisons
        )
    )
