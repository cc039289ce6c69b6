"""Evidence of a study as records: what was tried, what it answered, what cheap scores had predicted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from frostline.core.predictions import Predictions
from frostline.core.records import (
    Candidate,
    CheapScore,
    Confirmation,
    DialPoint,
    Forgetting,
    Probe,
    Result,
    Run,
)
from frostline.data.sources import Dataset
from frostline.measure.forgetting import forgetting
from frostline.measure.measures import measure
from frostline.measure.ranks import at_random, compared, last_blocks_first
from frostline.plan import propose
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.asking import Probabilities
from frostline.train.budgeted import Raced
from frostline.train.dial import Dialled
from frostline.train.evaluate import fit, predict
from frostline.train.flops import FlopsMeter
from frostline.train.old_task import OldTask
from frostline.train.race import Race
from frostline.train.scores import plan_score, rewind_losses
from frostline.train.start import Start


def candidate_record(race: Race, id: str) -> Candidate:
    plan = race.plans[id]
    made = propose.candidate(id, plan, race.blocks, trainable_parameters=race.trainable_parameters(plan))
    words = f"{made.plan}, put back after {race.source_of(id)} was trained" if made.is_rewound else made.plan
    return made.model_copy(update={"plan": words, "learning_rate": None if plan.ends_after else race.rate_of(id)})


def as_predictions(
    data: Dataset, answers: Mapping[str, Probabilities], labels: NDArray[np.int64]
) -> dict[str, Predictions]:
    return {name: Predictions.from_probabilities(data.task, labels, answer) for name, answer in answers.items()}


def results(
    race: Race,
    predictions: Mapping[str, Predictions],
    split: str,
    baselines: Mapping[str, str],
    scored: Collection[str] = (),
) -> tuple[Result, ...]:
    """What each contender did on one split.

    Args:
        baselines: What each of them is, in words.
        scored: Contenders whose scores are measured too, which takes about a second each.
    """
    return tuple(
        Result(
            name=name,
            kind="baseline" if name in baselines else "candidate",
            sentence=baselines.get(name) or race.plans[name].sentence,
            measures=measure(prediction, split, scored=name in scored),
        )
        for name, prediction in predictions.items()
    )


def probe_records(race: Race, start: Start, labels: NDArray[np.int64]) -> tuple[Probe, ...]:
    answers = {str(depth): race.probe_answers(depth) for depth in start.probes}
    predictions = as_predictions(race.data, answers, labels)
    return tuple(
        Probe(
            depth=depth,
            block=race.blocks[depth - 1].name,
            measures=measure(predictions[str(depth)], "select"),
            regularisation=probed.strength,
        )
        for depth, probed in start.probes.items()
    )


def equally_far(
    raced: Raced | None, select: Mapping[str, Predictions], plans: Mapping[str, FreezePlan]
) -> dict[str, float]:
    """Loss on the select split, by plan: at the first rung of a race, else at the end."""
    if raced is not None:
        told = [s for s in raced.standings if s.rung == 1 and s.loss is not None]
        return {s.candidate.partition("@")[0]: s.loss for s in told if s.loss is not None}
    losses = {id: measure(predictions, "select").loss for id, predictions in select.items() if id in plans}
    return {id: loss for id, loss in losses.items() if loss is not None}


def foretold(race: Race, start: Start) -> list[str]:
    """What is known before any training, in sentences: the plan that each score speaks for, and the best probe."""
    plans = {id: plan for id, plan in race.plans.items() if not plan.ends_after}
    said = [
        f"before training: {name} speaks for {max(plans, key=lambda id: plan_score(plans[id], by_block))}"
        for name, by_block in start.block_scores.items()
        if by_block
    ]
    losses = {depth: probed.stop.loss for depth, probed in start.probes.items() if probed.stop.loss is not None}
    if losses:
        best = min(losses, key=losses.__getitem__)
        block = race.blocks[best - 1].name
        said.append(f"before training: the best linear probe is after {block}, with loss {losses[best]:.4f} on stop")
    return said


def rewound(race: Race, full: Run) -> dict[str, float]:
    """How much the loss on the stop split rises when one block of a full fine-tune is put back, by block.

    It is asked once that run is there, so it says afterwards which blocks mattered.
    """
    model, meter, rows = race.restore(full), FlopsMeter(), race.data.rows["stop"]

    def loss() -> float:
        found = fit(predict(model, race.inputs, rows, meter), race.data.labels[rows]).loss
        return float("inf") if found is None else found

    tuned = loss()
    state = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    losses = rewind_losses(model, race.blocks, race.beginning, state, loss)
    race.asking.acknowledge("layer rewind", "stop", meter.total)
    return {block: value - tuned for block, value in losses.items() if isfinite(value)}


def cheap_scores(
    race: Race, start: Start, probes: Sequence[Probe], losses: Mapping[str, float], full: Run | None
) -> tuple[CheapScore, ...]:
    """What each cheap score predicted of the plans, and how that went with the losses that were measured.

    Args:
        full: A full fine-tune, when one was finished and is to be asked which of its blocks mattered.
    """
    by_score = dict(start.block_scores)
    if full is not None and full.best_epoch:
        by_score["layer rewind of the full fine-tune"] = rewound(race, full)
    plans = {id: plan for id, plan in race.plans.items() if "@" not in id}
    probed = {probe.depth: probe.measures.metrics["f1"].value for probe in probes}
    depths = {id: plan.freeze_depth for id, plan in plans.items()}
    predicted = {
        name: {id: plan_score(plan, by_block) for id, plan in plans.items()} for name, by_block in by_score.items()
    }
    predicted["linear probe behind the frozen blocks"] = {
        id: value for id, depth in depths.items() if (value := probed.get(depth)) is not None
    }
    predicted["last blocks first"] = last_blocks_first(depths)
    predicted["at random"] = at_random(plans, race.seed)
    return compared(predicted, losses)


def dial_points(dial: Sequence[Dialled], before: Predictions | None, seed: int) -> tuple[DialPoint, ...]:
    """The dial as records.

    Args:
        before: What the pretrained network answers on the old task; None when there is no dial.
    """
    return tuple(
        DialPoint(
            candidate=point.run.candidate,
            share=point.share,
            select=measure(point.select, "select"),
            forgetting=forgetting(before, point.old, seed=seed),
        )
        for point in dial
        if before is not None
    )


def forgotten_by(
    race: Race, runs: Mapping[str, Run], finalists: Iterable[str], old: OldTask | None, before: Predictions | None
) -> dict[str, Forgetting]:
    """What each finalist has forgotten, as far as it can be asked: adapters and early ends are other networks."""
    found = {}
    for id in finalists:
        plan = race.plans[id]
        if old is not None and before is not None and not plan.ends_after and plan.spared != "adapters":
            model = race.restore(runs[id])
            found[id] = forgetting(before, old.answers(model.module, model.head), seed=race.seed)
    return found


def confirmations(race: Race, start: Start, candidates: Iterable[str], seeds: int) -> tuple[Confirmation, ...]:
    """Each candidate trained whole with the seeds that follow the study's."""
    labels = race.data.labels[race.data.rows["select"]]
    found = []
    for candidate in candidates:
        for seed in range(race.seed + 1, race.seed + seeds):
            _, answers, flops = race.confirm(candidate, start, seed)
            select = measure(Predictions.from_probabilities(race.data.task, labels, answers), "select")
            found.append(Confirmation(candidate=candidate, seed=seed, select=select, flops=flops))
    return tuple(found)
