"""The tables of the search benchmark, from outcomes that were measured."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from frostline.measure.ranks import at_random, compared, last_blocks_first

Outcome = Mapping[str, Any]
Known = Mapping[tuple[str, int, str], Outcome]
CONVENTIONS = ("head only", "last block", "half", "full")
FULL = "full"


def show(known: Known) -> None:
    """Print every table for which there are outcomes."""
    cases = [Case(known, task, seed) for task, seed in dict.fromkeys((task, seed) for task, seed, _ in known)]
    complete = [case for case in cases if case.sweeps and case.race]
    if complete:
        _show_regret(complete)
        _show_larger_budget([case for case in complete if case.larger])
        _show_conventions(complete)
        _show_scores(complete)
    _show_surgical([case for case in cases if case.singles])


class Case:
    """All outcomes of one task and seed."""

    def __init__(self, known: Known, task: str, seed: int) -> None:
        mine = {arm: outcome for (t, s, arm), outcome in known.items() if (t, s) == (task, seed)}
        self.task, self.seed = task, seed
        self.race, self.larger, self.gradual = mine.get("race"), mine.get("race 1.5"), mine.get("gradual")
        self.singles: Outcome = mine.get("sweep single blocks", {})
        self.sweeps = {arm.split()[1]: o for arm, o in mine.items() if arm.startswith("sweep") and "single" not in arm}

    @property
    def full_flops(self) -> int:
        """Of one full fine-tune at one rate."""
        flops: int = next(iter(self.sweeps.values()))[FULL]["flops"]
        return flops

    @property
    def swept(self) -> list[tuple[str, Outcome]]:
        """All candidates of all sweeps, by name."""
        found = [(f"{id}@{rate}", one) for rate, sweep in self.sweeps.items() for id, one in sweep.items()]
        return [*found, *((id, one) for id, one in self.singles.items() if id != FULL)]

    @property
    def best(self) -> tuple[str, Outcome]:
        """What the exhaustive sweep takes."""
        return min(self.swept, key=lambda named: named[1]["select_loss"])

    @property
    def best_full(self) -> float:
        return float(min((s[FULL] for s in self.sweeps.values()), key=lambda one: one["select_loss"])["test"])

    @property
    def sweep_cost(self) -> float:
        return sum(one["flops"] for _, one in self.swept) / self.full_flops

    @property
    def race_cost(self) -> float:
        return self.cost_of(self.race)

    @property
    def regret_points(self) -> float:
        return self.regret_of(self.race)

    def cost_of(self, race: Outcome | None) -> float:
        """In full fine-tunes."""
        assert race is not None
        return float(race["flops"] / self.full_flops)

    def regret_of(self, race: Outcome | None) -> float:
        """Points of F1 on test that the exhaustive sweep has more."""
        assert race is not None
        return float(100 * (self.best[1]["test"] - race["test"]))

    def convention(self, name: str) -> float:
        """F1 on test of a convention that spends as much as one full fine-tune on its learning rate."""
        of_rates = [self._fixed(name, sweep) for sweep in self.sweeps.values()]
        affordable = of_rates[: max(1, int(self.full_flops // of_rates[0]["flops"]))]
        return float(min(affordable, key=lambda one: one["select_loss"])["test"])

    @staticmethod
    def _fixed(name: str, sweep: Outcome) -> Outcome:
        by_depth = sorted(sweep.values(), key=lambda one: one["depth"])
        wanted = {"head only": by_depth[-1], "last block": by_depth[-2], "full": by_depth[0]}
        half = min(by_depth, key=lambda one: abs(one["depth"] - one["blocks"] / 2))
        found: Outcome = {**wanted, "half": half}[name]
        return found


def _show_regret(cases: Sequence[Case]) -> None:
    print(
        "\n| task | seed | race | sweep | full | regret, points | race cost | sweep cost | race chose | sweep chose |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for case in cases:
        assert case.race is not None
        found = (case.race["test"], case.best[1]["test"], case.best_full)
        cells = [case.task, str(case.seed), *(f"{value:.3f}" for value in found), f"{case.regret_points:+.1f}"]
        cells += [f"{case.race_cost:.2f}", f"{case.sweep_cost:.1f}"]
        chose = f"{case.race['chosen']}, {case.race['learning_rate']:.1e}"
        print(f"| {' | '.join(cells)} | {chose} | {case.best[0]} |")
    costs, regrets = [case.race_cost for case in cases], [case.regret_points for case in cases]
    shares = [case.race_cost / case.sweep_cost for case in cases]
    print(f"\nrace cost: median {statistics.median(costs):.2f}, most {max(costs):.2f}")
    print(f"race over sweep: median {statistics.median(shares):.3f}, most {max(shares):.3f}")
    print(f"regret in points: median {statistics.median(regrets):+.1f}, most {max(regrets):+.1f}")
    for task in dict.fromkeys(case.task for case in cases):
        of_task = [case.regret_points for case in cases if case.task == task]
        print(f"  {task}: mean {statistics.mean(of_task):+.1f} over {len(of_task)} seeds")


def _show_larger_budget(cases: Sequence[Case]) -> None:
    """What half a full fine-tune more buys, means over the seeds that have both."""
    if not cases:
        return
    print("\n| task | seeds | regret at 1.0 | at 1.5 | cost at 1.0 | at 1.5 |\n|---|---|---|---|---|---|")
    for task in dict.fromkeys(case.task for case in cases):
        mine = [case for case in cases if case.task == task]
        regrets = (statistics.mean(case.regret_of(race(case)) for case in mine) for race in _BUDGETS)
        costs = (statistics.mean(case.cost_of(race(case)) for case in mine) for race in _BUDGETS)
        cells = [*(f"{regret:+.1f}" for regret in regrets), *(f"{cost:.2f}" for cost in costs)]
        print(f"| {task} | {len(mine)} | {' | '.join(cells)} |")
    for name, race in zip(("1.0", "1.5"), _BUDGETS, strict=True):
        print(f"regret at {name}: median {statistics.median(case.regret_of(race(case)) for case in cases):+.1f}")


_BUDGETS = (lambda case: case.race, lambda case: case.larger)


def _show_conventions(cases: Sequence[Case]) -> None:
    names = ["race", *CONVENTIONS, "gradual"]
    print(f"\n| task | seed | {' | '.join(names)} |\n|{'---|' * (len(names) + 2)}")
    ranks: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        assert case.race is not None
        values = {"race": case.race["test"], **{name: case.convention(name) for name in CONVENTIONS}}
        if case.gradual:
            values["gradual"] = case.gradual["test"]
        print(f"| {case.task} | {case.seed} | " + " | ".join(_number(values.get(name)) for name in names) + " |")
        # Within half a point of each other is a tie.
        for name, rank in zip(values, rankdata([-round(200 * value) for value in values.values()]), strict=True):
            ranks[name].append(float(rank))
    print("\naverage rank (1 is best): " + ", ".join(f"{n} {statistics.mean(ranks[n]):.2f}" for n in names if ranks[n]))


def _show_scores(cases: Sequence[Case]) -> None:
    correlations: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        assert case.race is not None
        default = next(iter(case.sweeps.values()))
        losses = {id: one["select_loss"] for id, one in default.items()}
        predicted = {name: scores for name, scores in case.race["evidence"].items() if scores}
        predicted["last blocks first"] = last_blocks_first({id: one["depth"] for id, one in default.items()})
        predicted["at random"] = at_random(list(losses), case.seed)
        within = {name: {id: s for id, s in scores.items() if id in losses} for name, scores in predicted.items()}
        for score in compared(within, losses):
            if score.rank_correlation is not None:
                correlations[score.name].append(score.rank_correlation)
    print("\n| cheap score | rank correlation with the loss of the finished plans: mean | lowest | highest | cases |")
    print("|---|---|---|---|---|")
    for name, found in sorted(correlations.items(), key=lambda item: -statistics.mean(item[1])):
        print(f"| {name} | {statistics.mean(found):+.2f} | {min(found):+.2f} | {max(found):+.2f} | {len(found)} |")


def _show_surgical(cases: Sequence[Case]) -> None:
    """Single blocks at the default rate, means over the seeds: test accuracy and accuracy on the old task."""
    for task in dict.fromkeys(case.task for case in cases):
        of_task = [case for case in cases if case.task == task]
        print(f"\n{task}, {len(of_task)} seeds\n\n| plan | test accuracy | old task |\n|---|---|---|")
        plans = dict.fromkeys(id for case in of_task for id in case.singles)
        deepest = [list(next(iter(case.sweeps.values())).values())[-1] for case in of_task if case.sweeps]
        for id in plans:
            print(_surgical_row(id, [case.singles[id] for case in of_task if id in case.singles]))
        if deepest:
            print(_surgical_row("head only", deepest))
        chosen = [case.race["chosen"] for case in of_task if case.race]
        print(f"\nthe race chose {', '.join(chosen)}" if chosen else "")


def _surgical_row(name: str, outcomes: Iterable[Outcome]) -> str:
    found = list(outcomes)
    tested = np.mean([one["test_accuracy"] for one in found])
    old = [one["old"] for one in found if one["old"] is not None]
    return f"| {name} | {tested:.3f} | {_number(float(np.mean(old)) if old else None)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
