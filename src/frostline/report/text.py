"""The verdict and the study in a terminal or a pipe, readable at 80 columns.

A terminal gets colour and rules; a pipe gets plain lines. Needs neither jinja2 nor a browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from frostline.core.records import Finding, StudyRecord, Verdict
from frostline.report.parts import Mark, Table
from frostline.report.plan_view import PlanView, Score
from frostline.report.verdict_view import ConfusionView, VerdictView, build_verdict_view
from frostline.report.view import ReportView, build_view
from frostline.report.words import plain

_STYLES: dict[Mark, str] = {"": "", "good": "green", "bad": "red", "unsure": "yellow", "chosen": "bold", "tied": ""}
_WIDEST_MATRIX = 5
"""Classes beyond which a confusion matrix no longer fits 80 columns."""


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print a verdict: banner, floors, metrics, confusion, findings.

    Args:
        verdict: The answer.
        console: Where to; whether it is a terminal decides on colour and rules.
    """
    view = build_verdict_view(verdict)
    _banner(view, console)
    _evidence(view, console)


def print_study(study: StudyRecord, verdict: Verdict, console: Console) -> None:
    """Print a study: the verdict, the chosen plan among all depths, the evidence and what it cost.

    Args:
        study: All evidence.
        verdict: The answer to it.
        console: Where to; whether it is a terminal decides on colour and rules.
    """
    view = build_view(study, verdict)
    _banner(view.verdict, console)
    _plan(view.plan, console)
    _table(view.beside, console)
    _evidence(view.verdict, console)
    _closing(view, console)


def _banner(view: VerdictView, console: Console) -> None:
    _line(Text(view.name, style=f"bold {_STYLES[view.tone]}"), console)
    _sentence(view.sentence, console)
    for reason in view.reasons:
        _sentence(f"- {reason}", console, indent=2)
    if view.next:
        _sentence(f"Next: {view.next}", console)


def _evidence(view: VerdictView, console: Console) -> None:
    _table(view.floors, console, columns=5)
    _table(view.metrics, console, columns=3)
    _confusion(view.confusion, console)
    if view.per_class and len(view.confusion.labels) > 2:
        _table(view.per_class, console, stacked=True)
    _findings(view.findings, console)


def _plan(plan: PlanView, console: Console) -> None:
    _title("The chosen plan", console)
    _sentence(f"{plan.candidate}: {plan.sentence}.", console)
    _sentence(plan.reason, console)
    console.print()
    grid = _grid(("Block", "State", "Parameters", f"{plan.metric} (95 % interval)", "Work", ""), "llrrrl", console)
    if plan.unfrozen:
        grid.add_row(*_cells(("nothing frozen", "", "", *_score(plan.unfrozen))))
    for row in plan.rows:
        style = "cyan" if row.frozen else "yellow"
        state = Text("frozen" if row.frozen else "trains", style=style)
        name, parameters, *score = _cells((row.name, row.parameters, *_score(row.score)))
        grid.add_row(name, state, parameters, *score, style=_STYLES[row.score.mark] if row.score else "")
        if row.frost_line:
            grid.add_row(Text("~~ frost line ~~", style="bold cyan"))
    console.print(grid)
    _sentence(
        f"A row's {plan.metric} is that of the plan that freezes down to and with its block, on the select split. "
        f"{plan.cost_note}",
        console,
    )


def _score(score: Score | None) -> tuple[str, str, str]:
    if score is None:
        return "", "", ""
    interval = f" ({score.interval})" if score.interval else ""
    return f"{score.value}{interval}", score.cost, score.mark


def _confusion(view: ConfusionView, console: Console) -> None:
    _title("Confusion matrix", console)
    if len(view.labels) > _WIDEST_MATRIX:
        _sentence(f"{len(view.labels)} classes are too many for a terminal: see the report, or use --json.", console)
        return
    _sentence(view.orientation, console)
    console.print()
    grid = _grid(("", *(f"answered {label}" for label in view.labels), "all"), f"l{'r' * len(view.labels)}r", console)
    for row in view.rows:
        cells = (f"{cell.count} ({cell.rate}) {cell.meaning}".rstrip() for cell in row.cells)
        grid.add_row(*_cells((f"truly {row.label}", *cells, row.total)))
    console.print(grid)


def _findings(findings: Sequence[Finding], console: Console) -> None:
    _title("Findings", console)
    if not findings:
        _sentence("No check found anything to object to.", console)
    for finding in findings:
        style = "bold red" if finding.severity == "issue" else "bold yellow"
        _line(Text.assemble((finding.severity, style), f" {finding.code} {plain(finding.name)}"), console)
        _sentence(finding.sentence, console, indent=2)
        if finding.next:
            _sentence(f"Next: {finding.next}", console, indent=2)


def _closing(view: ReportView, console: Console) -> None:
    console.print()
    for fact in view.facts[2:]:
        _sentence(f"{fact.title}: {fact.value} ({fact.detail}).", console)
    for sentence in filter(None, (view.forgotten, view.raced, view.replayed)):
        _sentence(sentence, console)


def _table(table: Table, console: Console, columns: int | None = None, stacked: bool = False) -> None:
    _title(table.caption, console)
    grid = _grid(table.columns[:columns], table.align[:columns], console)
    for row in table.rows:
        cells = [cell.replace(" (", "\n(") if stacked else cell for cell in row.cells[:columns]]
        grid.add_row(*_cells(cells), style=_STYLES[row.mark])
    console.print(grid)
    if table.note:
        _sentence(table.note, console)


def _grid(columns: Sequence[str], align: str, console: Console) -> Grid:
    rules = box.SIMPLE_HEAD if console.is_terminal else None
    grid = Grid(box=rules, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, side in zip(columns, align, strict=True):
        grid.add_column(Text(plain(column)), justify="right" if side == "r" else "left", overflow="fold")
    return grid


def _cells(cells: Sequence[str]) -> list[Text]:
    # Text, not str: rich would read markup such as "[red]" in a label.
    return [Text("\n").join(Text(plain(line)) for line in cell.split("\n")) for cell in cells]


def _title(words: str, console: Console) -> None:
    console.print()
    _line(Text(words, style="bold"), console)


def _sentence(words: str, console: Console, indent: int = 0) -> None:
    space = " " * indent
    # Wrapped here, since rich pads what it indents, and a unit must not be torn from its number.
    kept = plain(words).replace(" %", "\N{NO-BREAK SPACE}%")
    lines = fill(kept, console.width, initial_indent=space, subsequent_indent=space, break_on_hyphens=False)
    _line(Text(lines.replace("\N{NO-BREAK SPACE}", " ")), console)


def _line(words: Text, console: Console) -> None:
    console.print(words, highlight=False)
