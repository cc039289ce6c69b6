"""The verdict and the study in a terminal or a pipe, readable at 80 columns.

A terminal gets colour and rules; a pipe gets plain lines. Needs neither jinja2 nor a browser.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from frostline.core.records import Finding, StudyRecord, Verdict
from frostline.report import terminal
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
    if view.thresholds:
        _table(view.thresholds, console)
    if view.slices and study.settings.get("slice_column"):
        # Clusters have long names and are nobody's column: the page shows them.
        _table(view.slices, console, columns=5)
    _closing(view, console)


def _banner(view: VerdictView, console: Console) -> None:
    terminal.line(Text(view.name, style=f"bold {_STYLES[view.tone]}"), console)
    terminal.sentence(view.sentence, console)
    for reason in view.reasons:
        terminal.sentence(f"- {reason}", console, indent=2)
    if view.next:
        terminal.sentence(f"Next: {view.next}", console)
    if view.command:
        terminal.sentence(f"Run: {view.command}", console)


def _evidence(view: VerdictView, console: Console) -> None:
    _table(view.floors, console, columns=5)
    _table(view.metrics, console, columns=3)
    if view.scored:
        _table(view.scored, console, columns=3)
    _confusion(view.confusion, console)
    if view.per_class and len(view.confusion.labels) > 2:
        _table(view.per_class, console, stacked=True)
    _findings(view.findings, console)
    if view.would_change:
        terminal.title("What would change the verdict", console)
        for sentence in view.would_change:
            terminal.sentence(f"- {sentence}", console, indent=2)


def _plan(plan: PlanView, console: Console) -> None:
    terminal.title("The chosen plan", console)
    terminal.sentence(f"{plan.candidate}: {plan.sentence}.", console)
    terminal.sentence(plan.reason, console)
    console.print()
    grid = terminal.grid(
        ("Block", "State", "Parameters", f"{plan.metric} (95 % interval)", "Work", ""), "llrrrl", console
    )
    if plan.unfrozen:
        grid.add_row(*terminal.cells(("nothing frozen", "", "", *_score(plan.unfrozen))))
    for row in plan.rows:
        style = "cyan" if row.frozen else "yellow"
        state = Text("frozen" if row.frozen else "trains", style=style)
        name, parameters, *score = terminal.cells((row.name, row.parameters, *_score(row.score)))
        grid.add_row(name, state, parameters, *score, style=_STYLES[row.score.mark] if row.score else "")
        if row.frost_line:
            grid.add_row(Text("~~ frost line ~~", style="bold cyan"))
    console.print(grid)
    terminal.sentence(
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
    terminal.title("Confusion matrix", console)
    if len(view.labels) > _WIDEST_MATRIX:
        terminal.sentence(
            f"{len(view.labels)} classes are too many for a terminal: see the report, or use --json.", console
        )
        return
    terminal.sentence(view.orientation, console)
    console.print()
    grid = terminal.grid(
        ("", *(f"answered {label}" for label in view.labels), "all"), f"l{'r' * len(view.labels)}r", console
    )
    for row in view.rows:
        cells = (f"{cell.count} ({cell.rate}) {cell.meaning}".rstrip() for cell in row.cells)
        grid.add_row(*terminal.cells((f"truly {row.label}", *cells, row.total)))
    console.print(grid)


def _findings(findings: Sequence[Finding], console: Console) -> None:
    terminal.title("Findings", console)
    if not findings:
        terminal.sentence("No check found anything to object to.", console)
    for finding in findings:
        style = "bold red" if finding.severity == "issue" else "bold yellow"
        terminal.line(Text.assemble((finding.severity, style), f" {finding.code} {plain(finding.name)}"), console)
        terminal.sentence(finding.sentence, console, indent=2)
        if finding.next:
            terminal.sentence(f"Next: {finding.next}", console, indent=2)


def _closing(view: ReportView, console: Console) -> None:
    console.print()
    for fact in view.facts[2:]:
        terminal.sentence(f"{fact.title}: {fact.value} ({fact.detail}).", console)
    for sentence in filter(None, (view.sliced, view.forgotten, view.raced, view.replayed)):
        terminal.sentence(sentence, console)


def _table(table: Table, console: Console, columns: int | None = None, stacked: bool = False) -> None:
    terminal.title(table.caption, console)
    grid = terminal.grid(table.columns[:columns], table.align[:columns], console)
    for row in table.rows:
        cells = [cell.replace(" (", "\n(") if stacked else cell for cell in row.cells[:columns]]
        grid.add_row(*terminal.cells(cells), style=_STYLES[row.mark])
    console.print(grid)
    if table.note:
        terminal.sentence(table.note, console)
