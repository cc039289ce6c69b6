"""Claims about the race: what it may spend, whom it drops and why, and that it decides the same again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.train.allocation import Halving, Losses, ordered

ORDER = ("full", "depth-1", "depth-2", "depth-3", "depth-4", "depth-5")
NOISE_N = np.random.default_rng(0).normal(scale=0.02, size=200)


@dataclass
class Curves:
    """Candidates whose losses are written down: `final + gap / updates`, the same noise for all."""

    final: Mapping[str, float]
    costs: Mapping[str, int]
    failing: Sequence[str] = ()
    slow: float = 0.3
    done: dict[str, int] = field(default_factory=dict)
    spent: int = 0
    asked: list[tuple[str, int]] = field(default_factory=list)

    def price(self, candidate: str, updates: int, *, ends: bool = False) -> int:
        return max(0, updates - self.done.get(candidate, 0)) * self.costs[candidate]

    def asking_price(self, candidate: str) -> int:
        return 0

    def whole_price(self, candidate: str) -> int:
        return 8 * self.costs[candidate]

    def advance(self, candidate: str, updates: int, last: int) -> Losses | None:
        self.spent += self.price(candidate, updates)
        self.done[candidate] = updates
        self.asked.append((candidate, updates))
        if candidate in self.failing:
            return None
        own_N = np.random.default_rng(sum(map(ord, candidate))).permutation(NOISE_N)
        return self.final[candidate] + self.slow / updates + own_N


def raced(curves: Curves, budget: int, updates: int = 8, order: Sequence[str] = ORDER) -> tuple[str | None, Halving]:
    halving = Halving(curves, order, updates, budget)
    return next(iter(halving.run()), None), halving


COSTS = {"full": 100, "depth-1": 90, "depth-2": 70, "depth-3": 50, "depth-4": 30, "depth-5": 5}
ALIKE = dict.fromkeys(ORDER, 0.5)


def test_the_best_by_far_is_found_and_finished() -> None:
    """A plan that is better at every rung wins, and is trained to its last epoch."""
    curves = Curves(ALIKE | {"depth-2": 0.2}, COSTS)
    winner, halving = raced(curves, budget=1600)

    assert winner == "depth-2"
    assert curves.done[winner] == 8
    assert halving.standings[-1].decision == "finished"


def test_a_plan_between_the_first_ones_is_found_by_refinement() -> None:
    """The best plan is not among the first ones: it joins as a neighbour of the leader, and wins."""
    curves = Curves(ALIKE | {"depth-2": 0.4, "depth-3": 0.3, "depth-4": 0.2}, COSTS)
    winner, _ = raced(curves, budget=2000)

    assert [id for id, _ in curves.asked[:3]] == ["full", "depth-5", "depth-2"]
    assert winner == "depth-4"


def test_of_equals_at_a_rung_the_one_that_trains_most_is_finished() -> None:
    """What cannot be told from the leader early is decided by what is still to be learnt, and the ties are named."""
    curves = Curves(ALIKE, COSTS)
    winner, halving = raced(curves, budget=4000)

    assert winner is not None
    assert set(halving.tied) > {winner}
    assert COSTS[winner] == max(COSTS[id] for id in halving.tied)
    first = next(standing for standing in halving.standings if standing.decision == "finished")
    assert all(id in first.reason for id in halving.tied)


@pytest.mark.parametrize(("budget", "is_tried"), [(800, True), (520, False)])
def test_learning_rates_are_tried_only_where_full_fine_tuning_can_still_come_halfway(
    budget: int, is_tried: bool
) -> None:
    """With room for three trials and half of full fine-tuning they are made; with less nobody is trained, and why."""
    variants = {f"depth-4@{n}": 0.5 + n / 10 for n in range(3)}
    curves = Curves(ALIKE | variants, COSTS | dict.fromkeys(variants, 30))
    halving = Halving(curves, ORDER, 8, budget)

    assert (halving.find_rate(list(variants)) is not None) == is_tried
    assert set(curves.done) == (set(variants) if is_tried else set())
    assert is_tried or {s.decision for s in halving.standings} == {"skipped"}


@pytest.mark.parametrize(("budget", "reached"), [(380, 3), (500, None)])
def test_without_room_to_compare_full_fine_tuning_goes_straight(budget: int, reached: int | None) -> None:
    """What is left is spent on one leg of one plan, and that is said; with room for a comparison there is one."""
    curves = Curves(ALIKE, COSTS)
    finished, halving = raced(curves, budget)

    assert finished == "full"
    assert (curves.asked == [("full", reached)]) == (reached is not None)
    assert ("no room to compare" in halving.standings[-1].reason) == (reached is not None)


def test_between_full_and_the_cheapest_nobody_is_tried_at_the_price_of_cutting_the_leader_short() -> None:
    """Beside three quarters of full fine-tuning there is no room for a middle depth; with more budget there is."""
    tight, wide = (Curves(ALIKE, COSTS) for _ in range(2))
    raced(tight, budget=700)
    raced(wide, budget=900)

    assert "depth-2" not in tight.done
    assert "depth-2" in wide.done


class WithEndings(Curves):
    """A run that ends costs 50 more than one that is paused."""

    def price(self, candidate: str, updates: int, *, ends: bool = False) -> int:
        further = super().price(candidate, updates)
        return further + 50 if ends and further else further


@given(budget=st.integers(300, 2000))
def test_what_the_end_of_a_run_costs_is_within_the_budget(budget: int) -> None:
    """The price of evaluating a finished run is not forgotten when it is decided how far it goes."""
    curves = WithEndings(ALIKE, COSTS)
    _, halving = raced(curves, budget)

    finished = sum(standing.decision == "finished" for standing in halving.standings)
    assert halving.spent_flops == curves.spent + 50 * finished
    assert halving.spent_flops <= budget


@given(
    final=st.lists(st.floats(0.1, 2), min_size=6, max_size=6),
    costs=st.lists(st.integers(1, 100), min_size=6, max_size=6),
    budget=st.integers(1, 2000),
    updates=st.integers(1, 12),
)
def test_the_budget_is_kept(final: list[float], costs: list[int], budget: int, updates: int) -> None:
    """Whatever the losses and prices, no more is spent than allowed, but for the first leg that any answer needs."""
    curves = Curves(dict(zip(ORDER, final, strict=True)), dict(zip(ORDER, costs, strict=True)))
    winner, halving = raced(curves, budget, updates)

    candidate, until = curves.asked[0]
    first = curves.costs[candidate] * until
    assert curves.spent == halving.spent_flops
    assert curves.spent <= max(budget, first)
    assert winner is not None


@given(seed=st.integers(0, 20), budget=st.integers(300, 2000))
def test_the_same_losses_decide_the_same(seed: int, budget: int) -> None:
    """Two races over the same curves agree in every decision: a study that goes on ends as it would have."""
    generator = np.random.default_rng(seed)
    final = {id: float(generator.uniform(0.1, 1)) for id in ORDER}
    (one, first), (other, second) = (raced(Curves(final, COSTS), budget) for _ in range(2))

    assert one == other
    assert first.standings == second.standings


def test_every_candidate_is_accounted_for() -> None:
    """Whoever was trained is kept, pruned, failed or finished in the end, with a reason."""
    curves = Curves({id: 0.2 + 0.1 * n for n, id in enumerate(ORDER)}, COSTS, failing=("depth-2",))
    _, halving = raced(curves, budget=1600)
    assert "depth-2" in curves.done

    last = {standing.candidate: standing for standing in halving.standings}
    assert set(curves.done) <= set(last)
    assert last["depth-2"].decision == "failed"
    assert all(standing.reason for standing in halving.standings)


def test_when_all_fail_nobody_wins() -> None:
    """A race of failures has no winner, and says of each that it failed."""
    winner, halving = raced(Curves(ALIKE, COSTS, failing=ORDER), budget=1600)

    assert winner is None
    assert {standing.decision for standing in halving.standings} == {"failed"}


def test_the_learning_rate_with_the_lowest_loss_goes_on() -> None:
    """Three variants of one plan are tried equally far; the others are given up for a reason."""
    variants = {"depth-4@1": 0.9, "depth-4@3": 0.3, "depth-4@9": 2.0}
    curves = Curves(ALIKE | variants, COSTS | dict.fromkeys(variants, 30))
    halving = Halving(curves, ORDER, 8, 1600)

    assert halving.find_rate(list(variants)) == "depth-4@3"
    assert [s.candidate for s in halving.standings if s.decision == "pruned"] == ["depth-4@1", "depth-4@9"]


@pytest.mark.parametrize(("frozen", "order"), [({"b": ["x"], "a": [], "c": ["x", "y"]}, ["a", "b", "c"])])
def test_candidates_stand_in_order_of_what_they_freeze(frozen: dict[str, list[str]], order: list[str]) -> None:
    """Neighbours in the order are neighbours in what they train: refinement means that."""
    assert ordered(frozen) == order


# ---------------------------------------------------------------- what a larger budget buys


EXTRA = {"plan-1": 0.5, "only-1": 0.5, "only-2": 0.5, "norms": 0.5}
EXTRA_COSTS = dict.fromkeys(EXTRA, 40)


def raced_with_extras(losses: Mapping[str, float], budget: int) -> tuple[list[str], Halving]:
    halving = Halving(Curves(ALIKE | EXTRA | losses, COSTS | EXTRA_COSTS), ORDER, 8, budget, extras=list(EXTRA))
    return halving.run(), halving


def test_the_most_promising_of_the_others_are_tried_beside_the_depths() -> None:
    """The first ones at the first rung, in their order; one that is better by far wins."""
    finished, halving = raced_with_extras({"only-1": 0.1}, budget=850)

    assert finished[0] == "only-1"
    tried = {s.candidate for s in halving.standings if s.decision != "skipped"}
    assert {"plan-1", "only-1"} <= tried
    assert "norms" not in tried


def test_with_budget_to_spare_more_plans_are_tried() -> None:
    """Nobody is skipped, every other plan is tried, and the depths around the leader until none is left."""
    _, halving = raced_with_extras({"depth-2": 0.2}, budget=20_000)

    tried = {s.candidate for s in halving.standings}
    assert {*EXTRA, "depth-1", "depth-2", "depth-3"} <= tried
    assert all(s.decision != "skipped" for s in halving.standings)


def test_with_budget_to_spare_there_is_a_second_rung_and_more_are_finished() -> None:
    """Those that were kept are compared again at half of the updates, then trained to their ends."""
    finished, halving = raced_with_extras({"depth-2": 0.2, "depth-1": 0.21}, budget=20_000)

    assert {s.rung for s in halving.standings} == {1, 2, None}
    assert finished[0] == "depth-2"
    assert len(finished) > 1
    assert all(s.updates == 8 for s in halving.standings if s.decision == "finished")


@given(budget=st.integers(200, 4000), better=st.sampled_from(ORDER))
def test_only_the_winner_may_be_cut_short(budget: int, better: str) -> None:
    """What is left over is never spent on another one that would not come to its end."""
    halving = Halving(Curves(ALIKE | {better: 0.2}, COSTS), ORDER, 8, budget)
    finished = halving.run()

    updates = {s.candidate: s.updates for s in halving.standings if s.decision == "finished"}
    assert all(updates[id] == 8 for id in finished[1:])


def test_ties_are_those_of_the_winner() -> None:
    """Who wins alone is tied with nobody, however many of the others could not be told from each other."""
    curves = Curves(dict.fromkeys(ORDER, 0.5) | {"full": 0.1}, COSTS)
    halving = Halving(curves, ORDER, 8, 1000)

    assert halving.run()[0] == "full"
    assert halving.tied == ["full"]


@given(
    seed=st.integers(0, 50),
    budget=st.integers(200, 6000),
    costs=st.lists(st.integers(1, 100), min_size=6, max_size=6),
)
def test_candidates_are_compared_equally_far(seed: int, budget: int, costs: list[int]) -> None:
    """At every rung whoever is kept or given up has made as many updates."""
    generator = np.random.default_rng(seed)
    curves = Curves({id: float(generator.uniform(0.1, 1)) for id in ORDER}, dict(zip(ORDER, costs, strict=True)))
    _, halving = raced(curves, budget)

    for rung in (1, 2):
        assert len({s.updates for s in halving.standings if s.rung == rung and s.decision != "failed"}) <= 1


def test_a_learning_rate_is_looked_for_among_equal_updates() -> None:
    """Every variant has gone as far as the first rung, no further."""
    variants = {f"depth-4@{n}": 0.3 + n / 10 for n in range(3)}
    curves = Curves(ALIKE | variants, COSTS | dict.fromkeys(variants, 30))
    Halving(curves, ORDER, 8, 4000).find_rate(list(variants))

    assert curves.done == dict.fromkeys(variants, 2)
