"""Several studies in a terminal or a pipe, readable at 80 columns."""

from __future__ import annotations

from rich.console import Console

from frostline.report import terminal
from frostline.report.compare_view import CompareView
from frostline.report.parts import Table


def print_comparison(view: CompareView, console: Console) -> None:
    """Print the tables and what must be known to read them.

    Args:
        view: The studies.
        console: Where to; whether it is a terminal decides on colour and rules.
    """
    terminal.sentence(f"{len(view.names)} studies of {view.source}", console)
    for table in view.tables:
        _print(table, console)
    console.print()
    for note in view.notes:
        terminal.sentence(f"- {note}", console)


def _print(table: Table, console: Console) -> None:
    terminal.title(table.caption, console)
    grid = terminal.grid(table.columns, table.align, console)
    for row in table.rows:
        grid.add_row(*terminal.cells(row.cells))
    console.print(grid)
