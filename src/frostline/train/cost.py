"""What a study spent, what the ordinary ways cost, and what a sweep would cost at least (design, section 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frostline.core.records import Block, Cost, Run
from frostline.plan import propose
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.budgeted import prices_of
from frostline.train.race import Race
from frostline.train.start import Start


def study_cost(
    race: Race,
    start: Start,
    runs: Mapping[str, Run],
    seconds_s: float,
    budget_flops: int | None,
    *,
    old_flops: int = 0,
    confirm_flops: int = 0,
) -> Cost:
    """Everything a study spent, beside the ordinary ways and the lower bound.

    Of a race, whose runs are paused or shortened, the ordinary ways are predicted: every plan for all epochs.

    Args:
        runs: By candidate.
        budget_flops: Of a race; None when every candidate was trained to its end.
        old_flops: Spent on the old task.
        confirm_flops: Spent on other seeds.
    """
    prices, epochs = prices_of(race, start), race.recipe.epochs
    plans = {
        id: plan
        for id, plan in race.plans.items()
        if "@" not in id and not plan.ends_after and (budget_flops is not None or id in runs)
    }
    ordinary = {
        id: runs[id].ordinary_flops
        if budget_flops is None
        else epochs * prices.epoch_flops(plan, race.blocks, replayed=False)
        for id, plan in plans.items()
    }
    leading = {id: plan.freeze_depth for id, plan in plans.items() if _is_prefix(plan)}
    trained = sum(run.train_flops + run.evaluate_flops for run in runs.values()) + _prepared(race, start, runs)
    return Cost(
        search_flops=start.flops + trained + race.answering_flops("stop", "select") + race.passing_flops(),
        judge_flops=race.answering_flops("test") + old_flops,
        confirm_flops=confirm_flops,
        budget_flops=budget_flops,
        full_finetune_flops=ordinary.get(propose.FULL, 0),
        sweep_flops=sum(ordinary.values()),
        bound_flops=sweep_bound_flops(
            race.blocks,
            {depth: len(runs[id].epochs) - 1 if budget_flops is None else epochs for id, depth in leading.items()},
            forward_flops=start.forward_flops,
            evaluated_share=prices.evaluated_share,
        ),
        seconds_s=seconds_s,
    )


def _prepared(race: Race, start: Start, runs: Mapping[str, Run]) -> int:
    """On finding out what can be replayed, of plans that were never trained as well; same plans share it."""
    prepared: dict[str, int] = {}
    for id, run in runs.items():
        plan = id.partition("@")[0]
        prepared[plan] = max(prepared.get(plan, 0), run.prepare_flops)
    # A process that went on with the study has prepared less than the one that began it.
    here = race.activations.prepare_flops if race.activations else 0
    return max(sum(prepared.values()), here, start.prepare_flops)


def _is_prefix(plan: FreezePlan) -> bool:
    return len(plan.frozen) == plan.freeze_depth and not plan.ends_after


def sweep_bound_flops(
    blocks: Sequence[Block], epochs_by_depth: Mapping[int, int], *, forward_flops: int, evaluated_share: float
) -> int:
    """Lower bound of training these freeze depths when every frozen prefix is computed once.

    Args:
        blocks: In execution order, with their forward FLOPs, all for the same examples.
        epochs_by_depth: Epochs that the run of each depth took.
        forward_flops: One forward pass over the train split.
        evaluated_share: Examples evaluated every epoch over examples trained on.

    Source: `(1 + V) P_max + sum of E ((3 + V) S_d - c_{d+1})` in units of one forward pass; P, S and c are
    the shares of the prefix, the rest and the first trained block, which needs no gradient of its input.

    >>> halves = [Block(name=n, path=n, parameters=1, forward_flops=50) for n in "ab"]
    >>> sweep_bound_flops(halves, {0: 1, 1: 2}, forward_flops=100, evaluated_share=0.0)
    500
    """
    total = sum(block.forward_flops for block in blocks) or 1
    shares = [block.forward_flops / total for block in blocks]
    prefix = [sum(shares[:depth]) for depth in range(len(shares) + 1)]
    passes = (1 + evaluated_share) * prefix[max(epochs_by_depth, default=0)]
    for depth, epochs in epochs_by_depth.items():
        passes += epochs * ((3 + evaluated_share) * (1 - prefix[depth]) - shares[depth])
    return round(passes * forward_flops)
