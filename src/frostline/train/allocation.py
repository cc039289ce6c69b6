"""Where the budget goes: which candidates are trained how far, which are given up, which one is finished.

Knows candidates by name, price and the losses they show; how they are trained is their business. Everything
it decides follows from those, so a study that is resumed decides the same again.

Shape letters: N examples of the select split.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from frostline.core.records import Standing

Losses = NDArray[np.float64]

STARTERS = 3
"""Freeze depths that are tried first, from both ends and the middle: with more, each gets too little."""

EXTRAS = 2
"""Plans beside the freeze depths that are tried as early."""

RESERVE = 0.5
"""Share of the updates that the leader must still be able to reach, whatever else is tried; one that would be cut
shorter is not the one to be finished."""

FAR = 0.75
"""The same for plans that join when there are enough depths to compare."""

WHOLE = 1.0
"""The same for what is tried only when there is budget to spare."""

DOUBT = 2.0
"""Paired standard errors above the leader's loss up to which a candidate is not given up."""


class Runners(Protocol):
    """The candidates, and what can be asked of them."""

    def price(self, candidate: str, updates: int, *, ends: bool = False) -> int:
        """FLOPs of training it up to so many updates from where it is, and of asking it for the select split.

        Args:
            ends: Whether its run ends there, which has a price of its own.
        """

    def asking_price(self, candidate: str) -> int:
        """FLOPs of asking it for the select split."""

    def whole_price(self, candidate: str) -> int:
        """FLOPs of training it from its start to its end."""

    def advance(self, candidate: str, updates: int, last: int) -> Losses | None:
        """Train it until so many updates are done, of `last` in all; its losses (N,). None when it failed."""


@dataclass(slots=True)
class Halving:
    """Successive halving over a few spread candidates, refined around the leader.

    Args:
        runners: Train and answer.
        order: The freeze depths, from the one that trains most to the one that trains least.
        updates: Steps of the optimizer in one whole run.
        budget_flops: Of all that is trained here.
        extras: Other candidates, the most promising first.
        told: Called with every decision, when it falls.

    Source of the halving: Jamieson, Talwalkar (2016), Non-stochastic best arm identification and hyperparameter
        optimization, AISTATS.
    """

    runners: Runners
    order: Sequence[str]
    updates: int
    budget_flops: int
    extras: Sequence[str] = ()
    told: Callable[[Standing], None] = lambda standing: None
    spent_flops: int = 0
    standings: list[Standing] = field(default_factory=list)
    tied: list[str] = field(default_factory=list)
    """Within the paired noise of the leader when the winner was chosen to be finished, the leader first."""
    _losses: dict[str, Losses] = field(default_factory=dict)
    """Of the candidates that have not failed, where they are now."""
    _done: dict[str, int] = field(default_factory=dict)

    def find_rate(self, variants: Sequence[str], reach: float = RESERVE) -> str | None:
        """Train each variant of one plan up to the first rung; the one with the lowest loss.

        None when all failed, or when the plan that trains most could then no longer come far enough.

        Args:
            reach: How far that is, as a share of the updates.
        """
        until = rungs(self.updates)[0]
        if not self._affords_comparing([self.order[0], *variants], until, reach):
            for variant in variants:
                self._tell(variant, "skipped", "the budget has no room to look for a learning rate")
            return None
        for variant in variants:
            if self._affords(variant, until):
                self._advance(variant, until)
        tried = [variant for variant in variants if variant in self._losses]
        if not tried:
            return None
        best = min(tried, key=self._mean)
        for variant in tried:
            if variant != best:
                self._tell(variant, "pruned", f"{best} has a lower loss after as many updates", 0)
                del self._losses[variant]
        self._tell(best, "kept", "the learning rate of every other plan follows from it", rung=0)
        return best

    def run(self, started: str | None = None) -> list[str]:
        """Race to the end. The candidates that were finished, the winner first; none when every one failed.

        Args:
            started: The freeze depth that full fine-tuning is compared with first, such as one that `find_rate` has
                trained already; None: the one that trains least.
        """
        first = spread(self.order, STARTERS)
        rung, *more = rungs(self.updates)
        ends = list(dict.fromkeys([first[0], started or first[-1]]))
        if not self._affords_comparing(ends, rung):
            return self._finish_straight(first[0])
        # What trains most goes first: it is rarely bad, and a deep freeze that learns nothing says nothing of it.
        self._rung(ends, rung)
        # Between the two, plans are not worth cutting the leader short for, unless there is nothing else to compare.
        between = RESERVE if len(self._losses) < len(ends) else FAR
        self._rung(first[1:-1], rung, between)
        extras = EXTRAS + STARTERS - len(first)
        reach = FAR if len(first) == STARTERS else RESERVE
        self._rung(self.extras[:extras], rung, reach)
        self._rung(self._neighbours(), rung, reach)
        self._refine(rung, self.extras[extras:])
        self._halve(1)
        for number, until in enumerate(more, start=2):
            if self._affords_all(until):
                for candidate in self._alive():
                    self._advance(candidate, until)
                self._halve(number)
        return self._finish()

    # ------------------------------------------------------------ one rung

    def _rung(self, entrants: Sequence[str], until: int, reach: float = RESERVE) -> None:
        for candidate in entrants:
            if self._done.get(candidate, 0) >= until:
                continue
            if self._affords(candidate, until, reach):
                self._advance(candidate, until)
            elif candidate not in self._losses:
                self._tell(candidate, "skipped", "the budget has no room for it beside finishing the leader")

    def _refine(self, until: int, extras: Sequence[str]) -> None:
        """With budget to spare: closer and closer around whoever leads, then what is left of the extras."""
        while True:
            beside = [c for c in self._neighbours() if self._affords(c, until, WHOLE)]
            if not beside:
                break
            self._advance(beside[0], until)
        self._rung(extras, until, WHOLE)

    def _affords_all(self, until: int) -> bool:
        """Whether everyone alive can be compared further, equally far, and the leader still be trained to its end."""
        if len(self._losses) < 2:
            return False
        leader, price = self._leader(), self.runners.price
        further = sum(price(candidate, until) for candidate in self._alive())
        return self._has(further + price(leader, self.updates, ends=True) - price(leader, until))

    def _affords_comparing(self, candidates: Sequence[str], until: int, reach: float = RESERVE) -> bool:
        """Whether the first of them can come far enough when all of them are asked on the way."""
        first, *others = candidates
        if any(self._done.get(other, 0) >= until for other in others):
            return True
        asked = self.runners.asking_price(first) + sum(self.runners.price(other, until) for other in others)
        wanted = max(until, round(reach * self.updates))
        return self._has(asked + self.runners.price(first, wanted, ends=True))

    def _neighbours(self) -> list[str]:
        """Untried freeze depths halfway from the leader to the tried ones beside it."""
        order = [*self.order]
        tried = [order.index(candidate) for candidate in self._done if candidate in order]
        leader = self._leader() if self._losses else ""
        if leader not in order:
            return []
        at = order.index(leader)
        beside = [max((t for t in tried if t < at), default=-1), min((t for t in tried if t > at), default=len(order))]
        halfway = {(at + other) // 2 for other in beside}
        return [order[n] for n in sorted(halfway) if 0 <= n < len(order) and n not in tried]

    def _halve(self, number: int) -> None:
        """Give up the worse half, but for those that cannot be told from the leader."""
        ranked = sorted(self._alive(), key=self._mean)
        half = max(1, -(-len(ranked) // 2))
        kept = [c for place, c in enumerate(ranked) if place < half or self._is_tied(ranked[0], c, DOUBT)]
        for candidate in ranked:
            gap, error = self._gap(ranked[0], candidate)
            difference = f"its loss is {gap:.4f} ± {error:.4f} above that of {ranked[0]} on the same examples"
            if candidate in kept:
                place = _place(ranked, candidate)
                self._tell(candidate, "kept", f"{place} of {len(ranked)}" + (f"; {difference}" if gap else ""), number)
            else:
                self._tell(candidate, "pruned", difference, number)
                del self._losses[candidate]

    def _finish(self) -> list[str]:
        """Train one candidate to its end, or as far as the budget goes.

        What is left then goes into others of those that were kept, as far as they too can be trained to their ends.
        """
        finished: list[str] = []
        while rest := [candidate for candidate in self._alive() if candidate not in finished]:
            chosen, tied = self._to_be_finished(rest)
            last = self._furthest(chosen)
            if finished and last < self.updates:
                break
            if self._advance(chosen, last, last):
                self.tied = self.tied if finished else tied
                finished.append(chosen)
                self._tell_finished(chosen, _why(tied))
        return finished

    def _finish_straight(self, candidate: str) -> list[str]:
        """Train one candidate, in one leg, as far as the budget goes: there is no room to compare it with others."""
        last = max(self._furthest(candidate), rungs(self.updates)[0])
        if not self._advance(candidate, last, last):
            return []
        self._tell_finished(candidate, "the budget has no room to compare others with it")
        self.tied = [candidate]
        return [candidate]

    def _to_be_finished(self, rest: Sequence[str]) -> tuple[str, list[str]]:
        """Of those that cannot be told from the leader the one that trains most: it has most still to learn.

        Returns it, and all that cannot be told from the leader, the leader first.

        Plans that train little are early near what they will reach, so equal losses at a rung speak for the others:
        they are in doubt within two standard errors, plans that train less within one. One that could not come far
        before the budget ends is passed over.
        """
        leader = min(rest, key=self._mean)
        price = {candidate: self.runners.whole_price(candidate) for candidate in rest}
        in_doubt = [c for c in rest if self._is_tied(leader, c, DOUBT if price[c] > price[leader] else 1.0)]
        tied = sorted(in_doubt, key=self._mean)
        reach = {candidate: self._furthest(candidate) for candidate in tied}
        wanted = min(RESERVE * self.updates, max(reach.values()))
        far = [candidate for candidate in tied if reach[candidate] >= wanted]
        return max(far, key=lambda candidate: (price[candidate], candidate)), tied

    # ------------------------------------------------------------ what it knows

    def _advance(self, candidate: str, until: int, last: int | None = None) -> bool:
        self.spent_flops += self.runners.price(candidate, until, ends=last is not None)
        losses = self.runners.advance(candidate, until, last or self.updates)
        self._done[candidate] = until
        if losses is None:
            self._losses.pop(candidate, None)
            self._tell(candidate, "failed", "its loss was no longer finite")
            return False
        self._losses[candidate] = losses
        return True

    def _furthest(self, candidate: str) -> int:
        """The most updates that the budget lets it reach."""
        done, price = self._done.get(candidate, 0), self.runners.price
        beyond = bisect_right(
            range(done + 1, self.updates + 1), False, key=lambda n: not self._has(price(candidate, n, ends=True))
        )
        return done + beyond

    def _has(self, flops: int) -> bool:
        return self.spent_flops + flops <= self.budget_flops

    def _affords(self, candidate: str, until: int, reach: float = RESERVE) -> bool:
        """Whether the leader can still reach its end afterwards, or near it, and the candidate could if it led.

        The very first one is always trained.
        """
        if not self._losses:
            return True
        leader, half = self._leader(), round(RESERVE * self.updates)
        wanted = max(self._done[leader], until if candidate == leader else 0, round(reach * self.updates))
        both = self.runners.price(candidate, until) + self.runners.price(leader, wanted)
        return self._has(both) and self._has(self.runners.price(candidate, max(until, half)))

    def _alive(self) -> list[str]:
        return list(self._losses)

    def _leader(self) -> str:
        return min(self._losses, key=self._mean)

    def _mean(self, candidate: str) -> float:
        return float(self._losses[candidate].mean())

    def _gap(self, leader: str, candidate: str) -> tuple[float, float]:
        """Mean paired difference of the losses and its standard error."""
        return paired_gap(self._losses[candidate], self._losses[leader])

    def _is_tied(self, leader: str, candidate: str, errors: float) -> bool:
        gap, error = self._gap(leader, candidate)
        return gap <= errors * error

    def _tell_finished(self, candidate: str, why: str) -> None:
        last = self._done[candidate]
        short = f"; the budget ended after {last} of {self.updates} updates" if last < self.updates else ""
        self._tell(candidate, "finished", f"{why}{short}")

    def tell(self, standing: Standing) -> None:
        """Put a decision on record."""
        self.standings.append(standing)
        self.told(standing)

    def _tell(self, candidate: str, decision: str, reason: str, rung: int | None = None) -> None:
        standing = Standing.model_validate(
            {
                "candidate": candidate,
                "rung": rung,
                "updates": self._done.get(candidate, 0),
                "loss": self._mean(candidate) if candidate in self._losses else None,
                "decision": decision,
                "reason": reason,
            }
        )
        self.tell(standing)


def paired_gap(losses_N: Losses, of_leader_N: Losses) -> tuple[float, float]:
    """Mean paired difference to the leader's losses on the same examples, and its standard error.

    >>> paired_gap(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
    (2.0, 1.0)
    """
    difference_N = losses_N - of_leader_N
    return float(difference_N.mean()), float(difference_N.std(ddof=1) / np.sqrt(len(difference_N)))


def rungs(updates: int) -> list[int]:
    """Updates after which half of the candidates are given up.

    The first is not earlier than a quarter of the run: while a fitted head and a rising learning rate jolt the
    backbone, the plans that train least, at the slowest rate, look best (`docs/log.md`).

    >>> [rungs(updates) for updates in (1, 2, 8, 100)]
    [[1], [1], [2, 4], [25, 50]]
    """
    return sorted({-(-updates // 4), -(-updates // 2)})


def spread(order: Sequence[str], most: int) -> list[str]:
    """Some of a sequence, both ends among them.

    >>> spread("abcdefg", 4)
    ['a', 'c', 'e', 'g']
    """
    if len(order) <= most:
        return list(order)
    return [order[round(n * (len(order) - 1) / (most - 1))] for n in range(most)]


def _why(tied: Sequence[str]) -> str:
    """Why one of those that cannot be told from the leader, who stands first, was finished."""
    if len(tied) == 1:
        return "no other is within the paired noise"
    return f"of those within the paired noise of {tied[0]} it trains most ({', '.join(tied)})"


def _place(ranked: Sequence[str], candidate: str) -> str:
    place = ranked.index(candidate) + 1
    return {1: "lowest loss", 2: "second lowest loss", 3: "third lowest loss"}.get(place, f"{place}th lowest loss")


def ordered(plans: Mapping[str, Sequence[str]]) -> list[str]:
    """Candidates by how little they freeze; for plans of equal length, by name.

    >>> ordered({"depth-2": ["a", "b"], "full": [], "depth-1": ["a"]})
    ['full', 'depth-1', 'depth-2']
    """
    return sorted(plans, key=lambda id: (len(plans[id]), id))
