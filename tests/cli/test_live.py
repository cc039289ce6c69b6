"""The race on the terminal: a table that is drawn anew, and plain lines where nothing can be."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from test_race import ask

from frostline.cli.live import RaceTable, Region
from frostline.cli.progress import BarProgress, PlainProgress, terminal_progress
from frostline.cli.time_left import TimeLeft
from frostline.core.progress import Progress, in_words
from frostline.core.records import Standing

SECOND = "depth-2@5.0e-02"
STANDINGS = tuple(
    Standing.model_validate(dict(zip(Standing.model_fields, values, strict=True)))
    for values in (
        ("depth-2@1.7e-02", 0, 20, 0.3312, "pruned", f"{SECOND} has a lower loss after as many updates"),
        (SECOND, 0, 20, 0.2911, "kept", "its learning rate is carried over to every other plan"),
        ("plan-1", None, 0, None, "skipped", "the budget has no room for it beside finishing the leader"),
        ("depth-3", None, 11, None, "failed", "its loss was no longer finite"),
        ("full", 1, 20, 0.2811, "kept", "lowest loss of 3"),
        (SECOND, 1, 20, 0.2911, "kept", "second lowest loss of 3"),
        ("depth-1", 1, 20, 0.3011, "pruned", "its loss is 0.0200 ± 0.0051 above that of full on the same [examples]"),
    )
)
CANDIDATES = {standing.candidate for standing in STANDINGS}
SCREEN_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def told(standings: tuple[Standing, ...] = STANDINGS) -> RaceTable:
    table = RaceTable()
    for standing in standings:
        table.decided(standing)
    table.spent(0.43)
    return table


def lines_of(shown: RaceTable | Region, width: int, height: int = 50) -> list[str]:
    console = Console(record=True, width=width, height=height, file=io.StringIO())
    console.print(shown)
    return console.export_text().splitlines()


def row_of(candidate: str, lines: list[str]) -> str:
    return next(line for line in lines if re.match(rf"[> ] {re.escape(candidate)}(\s|$)", line))


@pytest.mark.parametrize("width", [60, 100, 160])
def test_every_candidate_has_its_row_within_the_width(width: int) -> None:
    """Each one once, with its reason, whole at 160 columns and else cut; no line is longer than the screen is wide."""
    lines = lines_of(told(), width)

    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) == 1 + len(CANDIDATES) + 1
    for standing in {standing.candidate: standing for standing in STANDINGS}.values():
        row = row_of(standing.candidate, lines)
        assert standing.decision in row
        assert standing.reason[:10] in row
        assert standing.reason in row or (width < 160 and row.rstrip().endswith("…"))
    assert "43% of the budget" in lines[-1]


@pytest.mark.parametrize("width", range(1, 61, 7))
def test_no_screen_is_too_narrow(width: int) -> None:
    """Columns go before names do, and a name that is alone and still too long is folded, not cut."""
    lines = lines_of(told(), width)

    assert max(cell_len(line) for line in lines) <= width
    if width >= 2 + len(SECOND):
        assert all(row_of(candidate, lines) for candidate in CANDIDATES)


def test_only_the_leader_is_marked_and_comes_first() -> None:
    """Of those still in the race, the lowest loss; once one is finished, that one, whatever another shows."""
    finished = STANDINGS[5].model_copy(update={"decision": "finished", "rung": None})
    for standings, leader in ((STANDINGS, "full"), ((*STANDINGS, finished), SECOND)):
        lines = lines_of(told(standings), 100)

        assert lines[1].startswith(f"> {leader} ")
        assert sum(line.startswith("> ") for line in lines) == 1


def test_a_candidate_in_training_counts_its_updates() -> None:
    """From the last decision on, or from where a run says that it goes on after a crash; the next one takes over."""
    table = told()
    assert table.begins("one pass of the pretrained backbone") is None
    for candidate in ("depth-4", "full"):
        assert table.begins(f"{candidate}-seed-0, epoch 3 of 8") == candidate
        table.advances(candidate)
    lines = lines_of(table, 100)

    assert re.search(r" 21 +0\.2811 +training +epoch 3 of 8", row_of("full", lines))
    assert re.search(r" 1 +- +trained +waits", row_of("depth-4", lines))

    table.heard("depth-4: goes on after 35 of 80 updates")
    assert re.search(r" 35 +- +training", row_of("depth-4", lines_of(table, 100)))


def test_the_region_follows_the_screen() -> None:
    """Made once: as wide as the screen is by then, never higher; leader and bar stay, the rest is counted."""
    progress = BarProgress(Console(file=io.StringIO()))
    table, bars = told(), progress._bars
    bars.add_task("depth-2@5.0e-02-seed-0, epoch 3 of 8", total=10)
    region = Region(table, bars)
    widths = [max(map(cell_len, lines_of(region, width))) for width in (160, 60, 160)]

    assert widths[1] <= 60 < widths[0] == widths[2] <= 160
    for height in (8, 9, 10, 30):
        lines = lines_of(region, 100, height)
        assert len(lines) < height
        assert lines[1].startswith("> full")
        assert "epoch 3 of 8" in lines[-1]
        assert ("not shown: " in "".join(lines)) == (height < 11)


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def listened(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Progress:
    """What listens where standard error is that stream. Set in the test: pytest changes streams between phases."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", stream)
    return terminal_progress()


def test_a_capable_terminal_gets_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it can be redrawn, it is, without colour as well."""
    assert isinstance(listened(Terminal(), monkeypatch), BarProgress)
    assert isinstance(listened(Terminal(), monkeypatch, NO_COLOR="1"), BarProgress)


@pytest.mark.parametrize(
    ("stream", "environment"),
    [
        (Terminal, {"TERM": "dumb"}),
        (Terminal, {"TERM": "unknown"}),
        (io.StringIO, {}),
        (io.StringIO, {"FORCE_COLOR": "1"}),
    ],
)
def test_elsewhere_plain_lines_tell_the_same(
    stream: type[io.StringIO], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dumb terminal and a pipe: one whole sentence for each decision, and no screen code."""
    written = stream()
    progress = listened(written, monkeypatch, **environment)
    with progress.step("full-seed-0, epoch 1 of 8", 1) as step:
        step.advance()
    for standing in STANDINGS:
        progress.spent(0.5)
        progress.decided(standing)

    assert isinstance(progress, PlainProgress)
    assert written.getvalue().splitlines() == ["  full-seed-0, epoch 1 of 8: 0 s", *map(in_words, STANDINGS)]


def screen() -> Console:
    return Console(force_terminal=True, file=io.StringIO(), width=140, height=60, _environ={"TERM": "xterm"})


def raw(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def left_by(console: Console) -> str:
    """What was printed while no region was live: it has hidden the cursor as long as it was."""
    return SCREEN_CODES.sub("", re.sub(r"\x1b\[\?25l.*?\x1b\[\?25h", "", raw(console), flags=re.DOTALL))


def test_steps_nest_and_leave_nothing_outside_a_race() -> None:
    """An inner bar under an outer one, in one region; no table though a run was trained, and all is gone after."""
    console = screen()
    progress = BarProgress(console)
    with progress.step("full-seed-0, epoch 1 of 8", 2) as outer:
        with progress.step("inner work", 3) as inner:
            inner.advance()
            assert [task.description for task in progress._bars.tasks] == ["full-seed-0, epoch 1 of 8", "inner work"]
        outer.advance()
        assert console._live_stack == [progress._live]

    assert console._live_stack == []
    assert "inner work" in raw(console)
    assert "Candidate" not in raw(console)


def test_an_interrupted_race_gives_the_terminal_back() -> None:
    """After an error in a step no region is live, the cursor is shown, and what was decided stays, once."""
    console = screen()
    progress = BarProgress(console)
    progress.decided(STANDINGS[-1])
    with pytest.raises(KeyboardInterrupt), progress.step("outer", 1), progress.step("full-seed-0, epoch 1 of 8", 2):
        raise KeyboardInterrupt

    assert console._live_stack == []
    assert raw(console).count("\x1b[?25h") == raw(console).count("\x1b[?25l") == 1
    assert left_by(console).count("Candidate") == 1


def test_a_second_finish_does_not_print_the_table_twice() -> None:
    """After one has finished the race may go on: only what is about no candidate ends it."""
    console = screen()
    progress = BarProgress(console)
    for standing in STANDINGS:
        progress.decided(standing)
    for candidate in ("full", SECOND):
        progress.say(f"{candidate}: goes on after 20 of 80 updates")
        with progress.step(f"{candidate}-seed-0, epoch 3 of 8", 1) as step:
            step.advance()
        progress.decided(Standing(candidate=candidate, rung=None, updates=80, loss=0.2, decision="finished", reason=""))
        assert console._live_stack == [progress._live]
    progress.say("chosen: everything is trained")

    assert console._live_stack == []
    assert left_by(console).count("Candidate") == 1


def test_a_race_ends_with_its_table_printed_once(tmp_path: Path) -> None:
    """On a terminal: candidates in training and the time left are seen; one table stays, of every decision."""
    console = screen()
    record = ask(tmp_path, epochs=4).run(BarProgress(console)).record
    last = {standing.candidate: standing for standing in record.race}
    left = left_by(console)
    final = left[left.index("  Candidate") : left.index("\nchosen: ")].splitlines()
    share = re.search(r"(\d+)% of the budget", final[-1])

    assert console._live_stack == []
    assert re.search(r"training\S* +\S*epoch \d of 4", raw(console))
    assert re.search(r"\d% of the budget spent by the last decision; a\S* .* left\b", raw(console))
    assert left.count("Candidate") == 1
    assert {line[2:].split()[0] for line in final[1:-1]} == set(last)
    assert all(standing.decision in row_of(candidate, final) for candidate, standing in last.items())
    assert final[1].startswith(f"> {next(s.candidate for s in record.race if s.decision == 'finished')} ")
    assert share and 0 < int(share[1]) <= 100


class Clock:
    """Stands still until it is moved."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def raced(shares: tuple[float, ...], clock: Clock, progress: PlainProgress) -> None:
    progress.spent(0.0)
    for share in shares:
        with progress.step("full-seed-0, epoch 1 of 8", 1) as step:
            clock.now_s += 60
            step.advance()
        progress.spent(share)
        progress.decided(STANDINGS[-1])


def test_plain_lines_tell_it_at_every_tenth_of_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    """Not at 5 %, and not at every decision."""
    clock = Clock()
    raced((0.05, 0.25, 0.3, 0.5), clock, PlainProgress(TimeLeft(clock)))
    lines = [line for line in capsys.readouterr().err.splitlines() if "left" in line]

    assert lines == ["  25% of the budget spent, about 6 min left", "  50% of the budget spent, about 4 min left"]


def test_the_table_tells_it_until_one_has_finished() -> None:
    """In its last line, beside the share; what is trained after the race has no budget."""
    clock = Clock()
    table = RaceTable(TimeLeft(clock))
    table.decided(STANDINGS[4])
    table.spent(0.0)
    assert "left" not in lines_of(table, 100)[-1]
    table.begins("full-seed-0, epoch 1 of 8")
    clock.now_s += 120
    table.spent(0.5)
    assert lines_of(table, 100)[-1].endswith("50% of the budget spent by the last decision; about 2 min left")
    table.decided(STANDINGS[4].model_copy(update={"decision": "finished", "rung": None}))

    assert "left" not in lines_of(table, 100)[-1]


def rows_of(lines: list[str]) -> list[str]:
    """The table without what stands below it."""
    rows = [line.rstrip() for line in lines]
    return rows[: next(n for n, row in enumerate(rows) if row.startswith("  > leads"))]


def test_the_live_table_survives_a_screen_that_changes() -> None:
    """Narrower, lower and wide again while it is live: its rows are those of a screen that always had that size."""
    console = screen()
    progress = BarProgress(console)
    for standing in STANDINGS:
        progress.decided(standing)
    with progress.step("full-seed-0, epoch 3 of 8", 2) as step:
        live = progress._live
        assert live is not None
        for width, height in ((140, 60), (50, 60), (30, 12), (140, 60)):
            with live._lock:  # else its thread may draw a second time
                console.size = (width, height)
                before = len(raw(console))
                live.refresh()
                drawn = SCREEN_CODES.sub("", raw(console)[before:]).replace("\r", "").splitlines()
            assert rows_of(drawn) == rows_of(lines_of(Region(progress._table, progress._bars), width, height))
            assert max(map(cell_len, drawn)) <= width
            assert len(drawn) <= height
        step.advance()
    progress.decided(STANDINGS[4].model_copy(update={"decision": "finished", "rung": None}))
    progress.say("chosen: everything is trained")

    assert console._live_stack == []
    assert left_by(console).count("Candidate") == 1
