"""Progress on the terminal: bars where there is a terminal, plain lines in a pipe. Both go to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from frostline.core.progress import Progress, Step


def terminal_progress() -> Progress:
    """What suits standard error."""
    return BarProgress(Console(stderr=True)) if sys.stderr.isatty() else PlainProgress()


class PlainProgress:
    """One line for each thing said and for each stretch of work when it is done."""

    def say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)  # noqa: T201, this is the terminal's side

    @contextmanager
    def step(self, what: str, parts: int) -> Iterator[Step]:
        began = perf_counter()
        yield _Uncounted()
        self.say(f"  {what}: {perf_counter() - began:.0f} s")


class _Uncounted:
    def advance(self) -> None:
        """A pipe is told only when the whole stretch is done."""


class BarProgress:
    """A bar for the stretch of work under way, lines above it for what was said."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False, markup=False)

    @contextmanager
    def step(self, what: str, parts: int) -> Iterator[Step]:
        columns = (
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=self._console, transient=True) as bars:
            yield _Bar(bars, bars.add_task(what, total=parts))


class _Bar:
    def __init__(self, bars: Bars, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self) -> None:
        self._bars.advance(self._task)
