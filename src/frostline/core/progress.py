"""How a long job tells what it does, without knowing who listens."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from frostline.core.records import Standing


class Step(Protocol):
    """One stretch of work with a known number of parts."""

    def advance(self) -> None: ...


class Progress(Protocol):
    """A listener: a live table with a progress bar, plain lines, or nobody."""

    def say(self, sentence: str) -> None:
        """Something a user wants to know."""

    def step(self, what: str, parts: int) -> AbstractContextManager[Step]:
        """Work that is about to begin."""

    def decided(self, standing: Standing) -> None:
        """The race decided about a candidate."""

    def spent(self, share: float) -> None:
        """Of the race's budget, as a fraction, by the decision that comes next."""


def in_words(standing: Standing) -> str:
    """What the race decided, whole, in one sentence.

    >>> in_words(Standing(candidate="full", rung=1, updates=20, loss=0.25, decision="kept", reason="lowest loss"))
    'full kept after 20 updates, loss 0.2500 on the select split: lowest loss'
    """
    loss = "" if standing.loss is None else f", loss {standing.loss:.4f} on the select split"
    return f"{standing.candidate} {standing.decision} after {standing.updates} updates{loss}: {standing.reason}"


class _Nothing:
    def advance(self) -> None:
        """Nobody listens."""


class Silent:
    """Nobody listens: what a library call gets by default."""

    def say(self, sentence: str) -> None:
        """Nobody listens."""

    def step(self, what: str, parts: int) -> AbstractContextManager[Step]:
        return nullcontext(_Nothing())

    def decided(self, standing: Standing) -> None:
        """Nobody listens."""

    def spent(self, share: float) -> None:
        """Nobody listens."""
