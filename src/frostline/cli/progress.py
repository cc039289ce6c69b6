"""Progress on the terminal: a table and bars where there is one, plain lines elsewhere. Both go to standard error."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from frostline.cli.live import RaceTable, Region
from frostline.cli.terminal import is_quiet
from frostline.cli.time_left import TimeLeft
from frostline.core.progress import Progress, Silent, Step, in_words
from frostline.core.records import Standing


def terminal_progress() -> Progress:
    """What suits standard error: plain lines in a pipe and on a terminal that cannot redraw; nothing with --quiet."""
    if is_quiet():
        return Silent()
    console = Console(stderr=True)
    return BarProgress(console) if sys.stderr.isatty() and console.is_interactive else PlainProgress()


SHARE_WORTH_A_LINE = 0.1
"""Of the budget, spent since plain lines last told how long a race still takes."""


class PlainProgress:
    """One line for each thing said or decided, and for each stretch of work when it is done."""

    def __init__(self, time_left: TimeLeft | None = None) -> None:
        self._time_left = time_left or TimeLeft()
        self._told_at = 0.0

    def say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)  # noqa: T201, this is the terminal's side

    @contextmanager
    def step(self, what: str, parts: int) -> Iterator[Step]:
        began = perf_counter()
        self._time_left.works()
        yield _Uncounted()
        self.say(f"  {what}: {perf_counter() - began:.0f} s")

    def decided(self, standing: Standing) -> None:
        self.say(in_words(standing))

    def spent(self, share: float) -> None:
        self._time_left.spent(share)
        left = self._time_left.in_words()
        if left is not None and share - self._told_at >= SHARE_WORTH_A_LINE:
            self._told_at = share
            self.say(f"  {share:.0%} of the budget spent, {left}")


class _Uncounted:
    def advance(self) -> None:
        """A pipe is told only when the whole stretch is done."""


class BarProgress:
    """A region that is redrawn: the race's table, if there is one, and bars for the work under way.

    What is said scrolls by above it. It is there during a step, and during a race from its first decision to its end,
    when the table is printed once more, to stay.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Bars(*columns, console=console)
        """Never started: its bars are drawn by the region, since a console has only one that is live."""
        self._table = RaceTable()
        self._live: Live | None = None

    def say(self, sentence: str) -> None:
        self._end_race_before(sentence)
        self._table.heard(sentence)
        self._console.print(sentence, highlight=False, markup=False)

    @contextmanager
    def step(self, what: str, parts: int) -> Iterator[Step]:
        self._end_race_before(what)
        candidate = self._table.begins(what)
        task = self._bars.add_task(what, total=parts)
        self._open()
        clean = False
        try:
            yield _Bar(self._bars, task, self._table, candidate)
            clean = True
        finally:
            self._bars.remove_task(task)
            # Between two steps of a race its table stays in place.
            if not self._bars.tasks and not (clean and self._table.is_on):
                self._close()

    def decided(self, standing: Standing) -> None:
        self._table.decided(standing)
        self._open()

    def spent(self, share: float) -> None:
        self._table.spent(share)

    def _end_race_before(self, told: str) -> None:
        if self._table.is_over(told) and not self._bars.tasks:
            self._close()

    def _open(self) -> None:
        if self._live is None:
            self._live = Live(
                Region(self._table, self._bars),
                console=self._console,
                transient=True,
                # Standard output may be a file that waits for a document.
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()
            # An error between two steps of a race passes no step on its way out.
            atexit.register(self._close)
        self._live.refresh()

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            atexit.unregister(self._close)
        if self._table.is_on:
            self._console.print(self._table)
        self._table = RaceTable()


class _Bar:
    def __init__(self, bars: Bars, task: TaskID, table: RaceTable, candidate: str | None) -> None:
        self._bars, self._task, self._table, self._candidate = bars, task, table, candidate

    def advance(self) -> None:
        self._bars.advance(self._task)
        if self._candidate is not None:
            self._table.advances(self._candidate)
