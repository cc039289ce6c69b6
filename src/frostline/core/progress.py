"""How a long job tells what it does, without knowing who listens."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Step(Protocol):
    """One stretch of work with a known number of parts."""

    def advance(self) -> None: ...


class Progress(Protocol):
    """A listener: a progress bar, plain lines, or nobody."""

    def say(self, sentence: str) -> None:
        """Something a user wants to know."""

    def step(self, what: str, parts: int) -> AbstractContextManager[Step]:
        """Work that is about to begin."""


class _Nothing:
    def advance(self) -> None:
        """Nobody listens."""


class Silent:
    """Nobody listens: what a library call gets by default."""

    def say(self, sentence: str) -> None:
        """Nobody listens."""

    def step(self, what: str, parts: int) -> AbstractContextManager[Step]:
        return nullcontext(_Nothing())
