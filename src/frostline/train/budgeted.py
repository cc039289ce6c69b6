"""A study's candidates raced within a budget: prices, pauses, and what they answer at every rung.

Every decision follows from prices, which are predicted, and from losses, which are acknowledged: a study that was
killed decides the same again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt

from frostline.core.progress import Progress
from frostline.core.records import Run, Standing
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.allocation import FAR, RESERVE, STARTERS, Halving, Losses, ordered, spread
from frostline.train.price import Prices
from frostline.train.race import Race
from frostline.train.rewind import REWINDING, asks_of, rewound_runs
from frostline.train.scores import plan_score
from frostline.train.start import Start
from frostline.train.trainer import Leg

RATES = (1 / 3, 1.0, 3.0)
"""Learning rates that are tried, as multiples of the model's default."""

HELD_BACK = 0.03
"""Share of the budget that is not given out: verifying replay is not predicted."""


WORTH_EXAMINING = 2000
"""Examples trained on, over all epochs, from which on more is replayed than the plan on which rates are tried: finding
out and verifying costs each plan about as much as training on 250 examples."""


@dataclass(frozen=True, slots=True)
class Raced:
    """What came of a race."""

    runs: dict[str, Run]
    """Of every candidate that was trained, in the order in which they began."""
    finished: tuple[str, ...]
    """Trained to the end, the winner first; empty when all failed."""
    tied: tuple[str, ...]
    """Candidates within the paired noise of the leader when the winner was chosen, the winner among them."""
    standings: tuple[Standing, ...]
    rewound: tuple[str, ...] = ()
    """As good as the winner, with more of its first blocks put back to their pretrained weights."""


@dataclass(slots=True)
class Entrants:
    """The candidates as `allocation` sees them.

    Args:
        race: Trains them.
        start: From which all begin.
        prices: Of one epoch, by plan.
    """

    race: Race
    start: Start
    prices: Prices
    runs: dict[str, Run] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    """Updates that the race has asked for."""

    def price(self, candidate: str, updates: int, *, ends: bool = False) -> int:
        return self.prices.leg_flops(
            self.race.plans[candidate],
            self.race.blocks,
            self.done.get(candidate, 0),
            updates,
            an_epoch=self.race.updates_an_epoch,
            replayed=self._is_replayed(candidate),
            ends=ends,
        )

    def asking_price(self, candidate: str) -> int:
        plan, replayed = self.race.plans[candidate], self._is_replayed(candidate)
        return self.prices.asking_flops(plan, self.race.blocks, replayed=replayed)

    def whole_price(self, candidate: str) -> int:
        plan, epochs = self.race.plans[candidate], self.race.recipe.epochs
        return epochs * self.prices.epoch_flops(plan, self.race.blocks, replayed=self._is_replayed(candidate))

    def advance(self, candidate: str, updates: int, last: int) -> Losses | None:
        # What was answered at a rung before the study was killed decides again, whatever the run has become since.
        known = self.race.losses_at(candidate, updates)
        run = self.race.known_run(candidate)
        if run is None:
            leg = Leg(self.done.get(candidate, 0), updates, last=updates == last)
            run = self.race.train(candidate, self.start, leg)
        self.runs[candidate], self.done[candidate] = run, updates
        if known is not None:
            return known
        return None if run.status == "failed" else self.race.losses_of(run)

    def _is_replayed(self, candidate: str) -> bool:
        activations = self.race.activations
        return activations is not None and activations.replaying(candidate.partition("@")[0]) is not None


def starters(plans: dict[str, FreezePlan], passes: int, budget: float) -> tuple[str, ...]:
    """Candidates of which it pays to find out what can be replayed, and to capture it in the first pass.

    Args:
        passes: Examples of the train split times epochs.
        budget: In full fine-tunes: with one there is hardly room for a plan between full fine-tuning and the cheapest.
    """
    order = depths(plans)
    cheap = cheapest_first(plans, order)[:1]
    is_worth_more = budget > 1 and passes >= WORTH_EXAMINING
    return tuple(dict.fromkeys([*spread(order, STARTERS), *cheap] if is_worth_more else cheap))


def prices_of(race: Race, start: Start) -> Prices:
    """Prices of a study's plans, from what its start has measured."""
    rows = race.data.rows
    return Prices(
        forward_flops=start.forward_flops,
        step_over_forward=start.step_over_forward,
        evaluated_share=len(rows["stop"]) / len(rows["train"]),
        select_share=len(rows["select"]) / len(rows["train"]),
    )


def race_within(race: Race, start: Start, budget_flops: int) -> Raced:
    """Find the learning rate where it is cheap, then race the plans, within the budget.

    Args:
        budget_flops: Of the whole search; what the start has cost already counts.
    """
    entrants = Entrants(race, start, prices_of(race, start))
    updates = race.recipe.epochs * race.updates_an_epoch
    order = depths(race.plans)
    asks, set_aside_flops = rewinding(entrants.prices, len(order) - 1, budget_flops)
    halving = Halving(
        entrants,
        order,
        updates,
        round((1 - HELD_BACK) * budget_flops) - set_aside_flops,
        extras=_extras(race.plans, start),
        told=lambda standing: _tell(race, standing, halving),
    )
    halving.spent_flops = start.flops + start.prepare_flops
    _tell_spent(race.progress, halving)
    cheap = next(iter(cheapest_first(race.plans, order)), None)
    started = _find_rate(race, halving, cheap) if race.recipe.learning_rate is None and cheap else None
    finished = halving.run(started or cheap)
    tied, good = tuple(halving.tied), list[str]()
    if finished and (deeper := _deeper(race.plans, order, finished[0])):
        rewound, good = rewound_runs(race, entrants.runs[finished[0]], deeper, asks, halving.tell)
        entrants.runs.update(rewound)
    return Raced(entrants.runs, tuple(finished), tied, tuple(halving.standings), tuple(good))


def rewinding(prices: Prices, depths: int, budget_flops: int) -> tuple[int, int]:
    """How often networks are asked whose first blocks were put back, and what is set aside for that, in FLOPs.

    Args:
        depths: Among which the deepest is looked for.
    """
    of_one = round(prices.forward_flops * prices.select_share)
    asks = min(asks_of(depths), int(REWINDING * budget_flops / of_one)) if depths > 0 and of_one else 0
    return asks, asks * of_one


def reach_of_rates(race: Race) -> float:
    """Share of the updates that full fine-tuning must still be able to reach for learning rates to be tried.

    A rate that practice has found is less worth looking for.
    """
    return FAR if race.model.rate_from_practice else RESERVE


def _deeper(plans: dict[str, FreezePlan], order: Sequence[str], winner: str) -> list[str]:
    """Freeze depths deeper than a winner's, the shallowest first; none where the winner is no freeze depth."""
    plan = plans[winner]
    if not _is_depth(plan):
        return []
    return [id for id in order if plans[id].freeze_depth > plan.freeze_depth]


def _find_rate(race: Race, halving: Halving, cheap: str) -> str | None:
    """The best variant of the cheapest plan that trains more than the head; None when there is no room to look for it.

    Every other plan gets its rate where the default is no more than a beginning. Where practice has found the default
    for full fine-tuning, as with transformers, it is the geometric mean of the two.
    """
    order, variants = [*halving.order], []
    for factor in RATES:
        rate = factor * race.model.learning_rate
        variants.append(f"{cheap}@{rate:.1e}")
        race.plans[variants[-1]], race.rates[variants[-1]] = race.plans[cheap], rate
    best = halving.find_rate(variants, reach_of_rates(race))
    if best is None:
        return None
    carried = race.rates[best]
    if race.model.rate_from_practice:
        # The trial knows the direction, but a transformer's last blocks bear a higher rate than all of it.
        carried = sqrt(carried * race.model.learning_rate)
    race.rates.update(dict.fromkeys([*order, *halving.extras], carried))
    # It stands for its plan from now on.
    halving.order = [best if candidate == cheap else candidate for candidate in order]
    return best


def depths(plans: dict[str, FreezePlan]) -> list[str]:
    """Full fine-tuning and the plans that freeze a leading run of blocks, the one that trains most first."""
    return ordered({id: plan.frozen_in_order for id, plan in plans.items() if _is_depth(plan) and "@" not in id})


def _extras(plans: dict[str, FreezePlan], start: Start) -> list[str]:
    """All others that are trained: what a user named, then by where the pretrained model's gradient is."""
    gradients = start.block_scores.get("relative gradient norm", {})
    extras = [id for id, plan in plans.items() if not _is_depth(plan) and not plan.ends_after and "@" not in id]
    return sorted(extras, key=lambda id: (not id.startswith("plan-"), -plan_score(plans[id], gradients), id))


def _is_depth(plan: FreezePlan) -> bool:
    return len(plan.frozen) == plan.freeze_depth and not plan.ends_after


def cheapest_first(plans: dict[str, FreezePlan], order: Sequence[str]) -> list[str]:
    """Candidates that train more than the last block, the one that trains least first."""
    return [id for id in reversed(order) if len(plans[id].blocks) - len(plans[id].frozen) > 1]


def _tell(race: Race, standing: Standing, halving: Halving) -> None:
    _tell_spent(race.progress, halving)
    race.ledger.add_decision(len(halving.standings) - 1, standing)
    race.progress.decided(standing)


def _tell_spent(progress: Progress, halving: Halving) -> None:
    if halving.budget_flops > 0:  # what the study has set aside may leave nothing
        progress.spent(halving.spent_flops / halving.budget_flops)
