"""Shares with their Monte Carlo error, tables of them with one aim, and how `statistics_hold.py` prints."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter

from scipy.stats import beta

STARTED = perf_counter()


@dataclass(slots=True)
class Share:
    """How often something happened."""

    hits: int = 0
    of: int = 0

    def add(self, happened: bool) -> None:
        self.hits += bool(happened)
        self.of += 1

    def limits(self, level: float) -> tuple[float, float]:
        """Exact two-sided limits (Clopper and Pearson), by scipy alone: the code under test does not test itself."""
        low = beta.ppf(level / 2, self.hits, self.of - self.hits + 1) if self.hits else 0.0
        high = beta.ppf(1 - level / 2, self.hits + 1, self.of - self.hits) if self.hits < self.of else 1.0
        return float(low), float(high)

    @property
    def value(self) -> float:
        return self.hits / self.of

    def __str__(self) -> str:
        low, high = self.limits(0.05)
        return f"{self.value:.3f} ({low:.3f}-{high:.3f})"


@dataclass(slots=True)
class Table:
    """Shares that have one aim in common."""

    title: str
    shares: dict[str, Share] = field(default_factory=dict)

    def missed(self, *, at_most: float = 1.0, at_least: float = 0.0) -> list[str]:
        """Those beyond the aim by more than chance explains anywhere in the table."""
        level = 0.1 / max(1, len(self.shares))  # two-sided: one half of it lies on the side that matters
        found = []
        for name, share in self.shares.items():
            low, high = share.limits(level)
            if low > at_most or high < at_least:
                found.append(f"{self.title}: {name} {share}")
        return found


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def progress(text: str) -> None:
    print(f"  {perf_counter() - STARTED:4.0f} s  {text}", file=sys.stderr, flush=True)


def pooled(shares: Iterable[Share]) -> Share:
    listed = list(shares)
    return Share(sum(share.hits for share in listed), sum(share.of for share in listed))
