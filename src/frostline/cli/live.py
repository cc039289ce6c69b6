"""The race as a table that is drawn anew while it runs, from the decisions told so far.

Knows no terminal: whoever draws it says how wide and how high it may be, each time. What is being trained is read from
the names that `frostline.train` gives its steps; only decisions tell losses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from frostline.cli.time_left import TimeLeft
from frostline.core.records import Standing

_TRAINING = re.compile(r"(?P<candidate>.+)-seed-\d+, (?P<epoch>epoch \d+ of \d+)")
"""A step of one run by itself, as `frostline.train.loop` names it."""

_GOES_ON = re.compile(r"(?P<candidate>.+): goes on after (?P<updates>\d+) of \d+ updates")
"""What `frostline.train.trainer` says when a run goes on."""

_STYLES = {"training": "cyan", "kept": "green", "finished": "bold green", "failed": "red"}
_ALIVE = ("training", "trained", "kept")
_ORDER = {state: n for n, state in enumerate(("finished", *_ALIVE, "pruned", "failed", "skipped"))}

_EXPENDABLE = ("rung", "updates", "why", "loss", "state")
"""Columns that make room where it is narrow, the first one first."""

_REASON_ROOM = 16
"""Columns of the screen with less than which a reason says nothing."""

_GAP = 2
"""Between two columns."""

_AROUND = 4
"""Lines beside the candidates: header, what is left out, what is below, and the line where the cursor stands."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One candidate, as it stands."""

    candidate: str
    state: str
    why: str
    updates: int = 0
    rung: int | None = None
    loss: float | None = None

    @property
    def cells(self) -> dict[str, str]:
        return {
            "candidate": self.candidate,
            "rung": "-" if self.rung is None else str(self.rung),
            "updates": str(self.updates),
            "loss": "-" if self.loss is None else f"{self.loss:.4f}",
            "state": self.state,
            "why": self.why,
        }


class RaceTable:
    """One row for each candidate that was tried or skipped, the leader first.

    Narrow screens lose columns, never candidates: a reason is cut, a name is folded.
    """

    def __init__(self, time_left: TimeLeft | None = None) -> None:
        self._rows: dict[str, _Row] = {}
        self._time_left = time_left or TimeLeft()
        self._spent: float | None = None
        self._winner: str | None = None
        self.is_on = False
        """Whether anything is known of a race. Training alone is none."""

    def decided(self, standing: Standing) -> None:
        """A decision takes the place of what was known of its candidate."""
        id = standing.candidate
        self.is_on = True
        if standing.decision == "finished":
            self._winner = self._winner or id
        self._rows[id] = _Row(id, standing.decision, standing.reason, standing.updates, standing.rung, standing.loss)

    def spent(self, share: float) -> None:
        """Of the budget, as a fraction."""
        self.is_on = True
        self._spent = share
        self._time_left.spent(share)

    def heard(self, sentence: str) -> None:
        """A run that goes on says how far it is, which decisions of an earlier process do not tell."""
        if goes_on := _GOES_ON.fullmatch(sentence):
            self._enter(goes_on["candidate"], "", int(goes_on["updates"]))

    def begins(self, what: str) -> str | None:
        """The candidate that a step trains; None when it does something else."""
        self._time_left.works()
        training = _TRAINING.fullmatch(what)
        if training is None:
            return None
        self._enter(training["candidate"], training["epoch"])
        return training["candidate"]

    def advances(self, candidate: str) -> None:
        """One update was done."""
        self._rows[candidate] = replace(self._rows[candidate], updates=self._rows[candidate].updates + 1)

    def is_over(self, told: str) -> bool:
        """Whether a sentence or step shows the race to be over: one has finished, and it is about none of them."""
        # Several may be finished, one after the other, and nobody says which one was the last.
        about = any(told.startswith((f"{id}:", f"{id}-seed-")) for id in self._rows)
        return self._winner is not None and not about

    def _enter(self, candidate: str, why: str, updates: int | None = None) -> None:
        for row in self._listed():
            if row.state == "training" and row.candidate != candidate:
                self._rows[row.candidate] = replace(row, state="trained", why="waits for the others of its rung")
        known = self._rows.get(candidate, _Row(candidate, "training", ""))
        done = known.updates if updates is None else updates
        self._rows[candidate] = replace(known, state="training", why=why, updates=done)

    @property
    def leader(self) -> str | None:
        """The first to be finished; until then, of those still in the race, the one with the lowest loss."""
        losses = {row.candidate: row.loss for row in self._listed() if row.state in _ALIVE and row.loss is not None}
        return self._winner or min(losses, key=losses.__getitem__, default=None)

    def _listed(self) -> list[_Row]:
        return list(self._rows.values())  # a copy: the thread that draws must not meet a dict that grows

    def _ranked(self) -> list[_Row]:
        """Who leads, who is still in the race, then the others: whoever came furthest first."""
        leader = self.leader

        def place(row: _Row) -> tuple[bool, int, int, float]:
            group = _ORDER["kept"] if row.state in _ALIVE else _ORDER[row.state]
            return row.candidate != leader, group, -(row.rung or 0), float("inf") if row.loss is None else row.loss

        return sorted(self._listed(), key=place)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.drawn(options.max_width)

    def drawn(self, width: int, height: int | None = None) -> list[Table | Text]:
        """The table, and what is to be said below it, in so much room.

        Args:
            width: In columns of the screen.
            height: In lines; None: whatever it takes.
        """
        rows = self._ranked()
        most = len(rows) if height is None else max(1, height - _AROUND)
        shown, hidden = rows[:most], rows[most:]
        below = ["> leads"]
        if self._spent is not None:
            below.append(f"{self._spent:.0%} of the budget spent by the last decision")
        if self._winner is None and (left := self._time_left.in_words()):
            below.append(left)
        lines = ["; ".join(below)]
        if hidden:
            counts = Counter(row.state for row in hidden)
            lines.insert(0, "not shown: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
        texts = [Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in lines]
        return [_table(shown, self.leader, width), *texts]


def _table(rows: Sequence[_Row], leader: str | None, width: int) -> Table:
    cells = [row.cells for row in rows]
    columns = _fitting(cells, width)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for name, room in columns.items():
        table.add_column(
            f"  {name.capitalize()}" if name == "candidate" else name.capitalize(),
            width=room,
            justify="right" if name in ("rung", "updates", "loss") else "left",
            no_wrap=name != "candidate",
            overflow="fold" if name == "candidate" else "ellipsis",
        )
    for row, texts in zip(rows, cells, strict=True):
        mark = "> " if row.candidate == leader else "  "
        style = "dim" if row.state in ("pruned", "skipped") else ""
        shown = {**texts, "candidate": mark + texts["candidate"]}
        table.add_row(
            *(Text(shown[name], style=_STYLES.get(row.state, "") if name == "state" else "") for name in columns),
            style="bold" if row.candidate == leader else style,
        )
    return table


def _fitting(cells: Sequence[dict[str, str]], width: int) -> dict[str, int]:
    """Columns that go into so much room, with their widths; the reason takes what the others leave."""
    wanted = {name: max(len(name), *(len(row[name]) for row in cells)) for name in cells[0]} if cells else {}
    if not wanted:
        return {"candidate": min(len("  candidate"), width)}
    wanted["candidate"] += 2  # the mark
    reason, wanted["why"] = wanted["why"], min(wanted["why"], _REASON_ROOM)
    for name in _EXPENDABLE:
        if sum(wanted.values()) + _GAP * (len(wanted) - 1) <= width:
            break
        del wanted[name]
    taken = sum(wanted.values()) + _GAP * (len(wanted) - 1)
    if "why" in wanted:
        wanted["why"] = min(reason, wanted["why"] + width - taken)
    else:
        wanted["candidate"] = max(1, min(wanted["candidate"], wanted["candidate"] + width - taken))
    return wanted


class Region:
    """What is under way: the table once there is a race, below it the bars. Drawn in what room there is by then."""

    def __init__(self, table: RaceTable, bars: Bars) -> None:
        self._table, self._bars = table, bars

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._table.is_on:
            yield from self._table.drawn(options.max_width, options.size.height - len(self._bars.tasks))
        if self._bars.tasks:
            yield self._bars
