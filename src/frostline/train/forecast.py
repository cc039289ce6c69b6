"""What a search would cost and what a budget allows, predicted before anything is trained.

Counted: one forward pass of two examples of every padded length. Timed: the gradients of one batch. All else follows
from the prices and the rules of the race itself. The model is left as it was: weights, gradients, modes, random states.

Shape letters: B examples in a batch, N in a split.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from frostline.core.progress import Silent
from frostline.core.records import Block, Candidate
from frostline.core.records.forecast import BudgetForecast, Ending, Forecast, ForecastRow
from frostline.plan import propose
from frostline.plan.blocks import blocks as find_blocks
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.network import planned
from frostline.plan.probe import called_on_copies, undisturbed
from frostline.train.allocation import STARTERS, Halving, Losses, rungs, spread
from frostline.train.budgeted import HELD_BACK, RATES, cheapest_first, depths, reach_of_rates, rewinding
from frostline.train.evaluate import on_device
from frostline.train.flops import FlopsMeter
from frostline.train.head_rate import RATES as HEAD_RATES
from frostline.train.inputs import Rows
from frostline.train.price import Prices
from frostline.train.probes import features_by_depth
from frostline.train.race import Race
from frostline.train.scores import scored_examples
from frostline.train.update import FEWEST, autocast_for

_Traced = Mapping[int, Sequence[Block]]
"""Blocks by padded length, of `_COUNTED` examples."""

_COUNTED = 2
"""Examples of each padded length of which a forward pass is counted."""

_HEADS = 4
"""Beginnings from which the start tries every learning rate of the head."""


def forecast(race: Race, budget: float | None) -> Forecast:
    """Predict what a search would cost, candidate by candidate, and how far the budget reaches.

    FLOPs and bytes are counted at each padded length, not scaled from one to another. Not predicted: examining and
    verifying what can be replayed, reading it, early stopping, the optimizer's steps, other seeds, the old task.

    Args:
        race: Prepared, not started. A network that would end where there are no vectors is no candidate.
        budget: In ordinary full fine-tunes; None when every candidate is to be trained to its end.
    """
    with undisturbed(race.model.module):
        (flops, found), candidates = _counted(race), _candidates(race)
    step_over_forward, flops_per_s = _timed(race)
    rows = race.data.rows
    prices = Prices(
        forward_flops=round(sum(flops[length] for length in race.inputs.padded_N[rows["train"]].tolist())),
        step_over_forward=step_over_forward,
        evaluated_share=len(rows["stop"]) / len(rows["train"]),
        select_share=len(rows["select"]) / len(rows["train"]),
    )
    made = tuple(_row(race, candidate, prices, flops_per_s, found) for candidate in candidates)
    full_flops, start_flops = prices.full_flops(race.recipe.epochs), _start_flops(race, prices)
    return Forecast(
        epochs=race.recipe.epochs,
        full_flops=full_flops,
        flops_per_s=flops_per_s,
        start_flops=start_flops,
        rows=made,
        replay_off=_replay_off(race),
        sweep_flops=sum(row.ordinary_flops for row in made),
        replayed_sweep_flops=sum(r.ordinary_flops if r.replayed_flops is None else r.replayed_flops for r in made),
        budget=None if budget is None else _budgeted(race, prices, round(budget * full_flops), start_flops),
    )


# ---------------------------------------------------------------- candidates


def _candidates(race: Race) -> list[Candidate]:
    ends = any(plan.ends_after for plan in race.plans.values())
    few = race.data.rows["train"][:_COUNTED]
    features = features_by_depth(race.model, race.blocks, race.inputs, few, FlopsMeter(), Silent()) if ends else {}
    found = []
    for id, plan in race.plans.items():
        if plan.ends_after and plan.freeze_depth not in features:
            continue
        trainable = _trainable_inside(race, plan) if plan.spared else None
        if plan.ends_after:
            trainable = race.model.classes * (features[plan.freeze_depth].shape[1] + 1)
        found.append(propose.candidate(id, plan, race.blocks, trainable_parameters=trainable))
    return found


def _trainable_inside(race: Race, plan: FreezePlan) -> int:
    """Counted on a copy, which the plan freezes."""
    model = race.model
    twin = model if plan.spared == "adapters" else model.copied()
    network = planned(twin, plan, race.blocks, seed=race.seed).module
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _row(race: Race, candidate: Candidate, prices: Prices, flops_per_s: float | None, found: _Traced) -> ForecastRow:
    plan, epochs, replayed = race.plans[candidate.id], race.recipe.epochs, _could_be_replayed(race, candidate.id)
    cost = partial(prices.epoch_flops, plan, race.blocks)
    ordinary = 0 if plan.ends_after else epochs * cost(replayed=False)
    halved = 2 if race.keeping and race.keeping.half else 1
    return ForecastRow(
        candidate=candidate,
        ordinary_flops=ordinary,
        replayed_flops=epochs * cost(replayed=True) if replayed else None,
        seconds_s=ordinary / flops_per_s if flops_per_s else None,
        activation_bytes=_output_bytes(race, plan.freeze_depth, found) // halved if replayed else None,
    )


def _could_be_replayed(race: Race, id: str) -> bool:
    plan, examined = race.plans[id], race.examined is None or id in race.examined
    return examined and plan.freeze_depth > 0 and not plan.ends_after and not _replay_off(race)


def _replay_off(race: Race) -> str:
    if race.in_step:
        return "images are augmented at random: a batch that does not come back is computed once for all candidates"
    return "" if race.keeping else "it is switched off, or images are augmented at random and candidates raced"


# ---------------------------------------------------------------- what is counted and timed


def _counted(race: Race) -> tuple[dict[int, float], _Traced]:
    """FLOPs of one example by padded length, and the blocks as they were traced."""
    rows, flops, found = _kept(race), dict[int, float](), dict[int, tuple[Block, ...]]()
    lengths_N = race.inputs.padded_N[rows]
    for length in sorted(set(lengths_N.tolist())):
        few = np.resize(rows[lengths_N == length][:_COUNTED], _COUNTED)
        batch, meter = on_device(race.model, race.inputs.batch(few)), FlopsMeter()
        example = batch if race.model.by_keyword else tuple(batch.values())
        found[length] = meter.measure(partial(find_blocks, race.model.module, example))
        flops[length] = meter.total / _COUNTED
    return flops, found


def _kept(race: Race) -> Rows:
    """Examples that training and choosing see."""
    return np.concatenate([race.data.rows[split] for split in ("train", "stop", "select")])


def _output_bytes(race: Race, depth: int, found: _Traced) -> int:
    """What the last of the first blocks that gives anything gives for all examples."""
    last = {n: [b.output_bytes for b in blocks[:depth] if b.output_bytes][-1:] for n, blocks in found.items()}
    return round(sum(sum(last[length]) / _COUNTED for length in race.inputs.padded_N[_kept(race)].tolist()))


def _timed(race: Race) -> tuple[float, float | None]:
    """Full fine-tuning's step over its forward pass, and FLOPs a second, on a batch of the commonest padded length."""
    rows, module, passing, stepping = race.data.rows["train"], race.model.module, FlopsMeter(), FlopsMeter()
    lengths_N = race.inputs.padded_N[rows]
    alike = rows[lengths_N == np.bincount(lengths_N).argmax()]
    few = np.resize(alike, max(FEWEST, min(len(alike), race.recipe.batch_size // race.recipe.accumulate)))
    batch = on_device(race.model, race.inputs.batch(few))
    truth_B = torch.as_tensor(race.data.labels[few], device=next(iter(batch.values())).device)
    args, kwargs = ((), batch) if race.model.by_keyword else (tuple(batch.values()), {})
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]

    def loss() -> Tensor:
        with autocast_for(truth_B.device, race.recipe):
            return functional.cross_entropy(race.model.logits_in(called_on_copies(module, args, kwargs)), truth_B)

    def step() -> float:
        began = time.perf_counter()
        # Not `backward()`: nobody's gradients are touched. What is read waits for the device.
        float(torch.autograd.grad(loss(), trained, allow_unused=True, materialize_grads=True)[-1].sum())
        return time.perf_counter() - began

    with undisturbed(module), torch.enable_grad():
        module.train()
        passing.measure(loss)
        stepping.measure(step)
        seconds_s = min(step() for _ in range(3))
    return stepping.total / passing.total if passing.total else 3.0, stepping.total / seconds_s or None


def _start_flops(race: Race, prices: Prices) -> int:
    """One pass over train, stop and select; learning rates of the head; a sample's gradients."""
    train, head = len(race.data.rows["train"]), race.model.head
    passes = 1 + prices.evaluated_share + prices.select_share
    sampled = scored_examples(train) / train
    examples = race.recipe.epochs * train * (3 + prices.evaluated_share) * _HEADS * len(HEAD_RATES)
    heads = 0.0 if head is None or head.bias is None else examples * 2 * head.weight.numel()
    return round(prices.forward_flops * (passes + sampled * prices.step_over_forward) + heads)


# ---------------------------------------------------------------- the race in thought


@dataclass(slots=True)
class _Imagined:
    """Candidates as `allocation` sees them, trained in thought: who is better is given, what it costs predicted."""

    race: Race
    prices: Prices
    best_first: Sequence[str]
    an_epoch: int
    """Updates."""
    done: dict[str, int] = field(default_factory=dict)

    def price(self, candidate: str, updates: int, *, ends: bool = False) -> int:
        id = _plan_of(candidate)
        return self.prices.leg_flops(
            self.race.plans[id],
            self.race.blocks,
            self.done.get(candidate, 0),
            updates,
            an_epoch=self.an_epoch,
            replayed=_could_be_replayed(self.race, id),
            ends=ends,
        )

    def asking_price(self, candidate: str) -> int:
        plan, replayed = self.race.plans[_plan_of(candidate)], _could_be_replayed(self.race, _plan_of(candidate))
        return self.prices.asking_flops(plan, self.race.blocks, replayed=replayed)

    def whole_price(self, candidate: str) -> int:
        id = _plan_of(candidate)
        an_epoch = partial(self.prices.epoch_flops, self.race.plans[id], self.race.blocks)
        return self.race.recipe.epochs * an_epoch(replayed=_could_be_replayed(self.race, id))

    def advance(self, candidate: str, updates: int, last: int) -> Losses:
        self.done[candidate] = updates
        return np.full(2, self.best_first.index(_plan_of(candidate)), dtype=np.float64)


def _budgeted(race: Race, prices: Prices, budget_flops: int, start_flops: int) -> BudgetForecast:
    plans, updates = race.plans, race.recipe.epochs * race.updates_an_epoch
    trained = {id: plan for id, plan in plans.items() if not plan.ends_after}
    order = depths(plans)
    cheap = next(iter(cheapest_first(plans, order)), None)
    tried, endings = None if race.recipe.learning_rate else cheap, []
    held_back, (_, rewound_flops) = round(HELD_BACK * budget_flops), rewinding(prices, len(order) - 1, budget_flops)
    given_out = budget_flops - held_back - rewound_flops
    *first, last = spread(order, STARTERS)
    for leader in dict.fromkeys((*first, last)):
        near = sorted(order, key=lambda id: abs(order.index(id) - order.index(leader)))
        extras = [id for id in trained if id not in order]
        runners = _Imagined(race, prices, [*near, *extras], race.updates_an_epoch)
        halving = Halving(runners, order, updates, given_out, extras=extras, spent_flops=start_flops)
        variants = [f"{tried}@{factor:g}" for factor in RATES]
        started = halving.find_rate(variants, reach_of_rates(race)) if tried else None
        rates, rate_flops = len(runners.done), halving.spent_flops - start_flops
        halving.order = [started if started and id == tried else id for id in order]
        reached = {_plan_of(id): runners.done[id] for id in halving.run(started or cheap)}.get(leader)
        on_the_way = len({*map(_plan_of, runners.done)})
        endings.append(Ending(candidate=leader, plan=plans[leader].sentence, updates=reached, tried=on_the_way))
    runners.done.clear()
    rung = rungs(updates)[0]
    begins = tuple(dict.fromkeys(id for id in (order[0], cheap or last) if not (rates and id == tried)))
    return BudgetForecast(
        budget_flops=budget_flops,
        held_back_flops=held_back,
        rewound_flops=rewound_flops,
        rate_flops=rate_flops if rates else None,
        rates=rates,
        starters=begins,
        rung_flops=sum(runners.price(id, rung) for id in begins),
        rung_updates=rung,
        updates=updates,
        endings=tuple(endings),
    )


def _plan_of(candidate: str) -> str:
    """Without the learning rate that is tried on it."""
    return candidate.partition("@")[0]
