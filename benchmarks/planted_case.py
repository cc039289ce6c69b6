"""What a planted case is, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from numpy.random import Generator

from frostline.core.records import Finding

NOT_READY = frozenset({"NOT READY"})
ANY_OK = frozenset({"READY", "INCONCLUSIVE"})
"""A note alone does not decide, and a healthy case with few examples cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was said of one case."""

    verdict: str
    outcomes: Mapping[str, str]
    """By code: issue, note, passed or not applicable."""
    sentences: Mapping[str, str]
    """Of what fired."""

    @property
    def fired(self) -> set[str]:
        return {code for code, outcome in self.outcomes.items() if outcome in ("issue", "note")}

    @property
    def issues(self) -> set[str]:
        return {code for code, outcome in self.outcomes.items() if outcome == "issue"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault; without codes a healthy kind."""

    name: str
    codes: tuple[str, ...]
    """Checks of which one must fire."""
    plant: Callable[[Generator], Outcome]
    expected: frozenset[str] = ANY_OK
    """Verdicts that are right."""


def answered(verdict: str, checks: Iterable[Finding]) -> Outcome:
    listed = list(checks)
    return Outcome(
        verdict=verdict,
        outcomes={finding.code: finding.outcome for finding in listed},
        sentences={finding.code: finding.sentence for finding in listed if finding.outcome in ("issue", "note")},
    )
