"""Words and grids for a terminal or a pipe: rules and bold heads in the one, plain lines in the other."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from frostline.report.words import plain


def grid(columns: Sequence[str], align: str, console: Console) -> Grid:
    """An empty grid under headings.

    Args:
        align: One letter for each column: l for words, r for numbers, n for names that are never torn.
    """
    rules = box.SIMPLE_HEAD if console.is_terminal else None
    made = Grid(box=rules, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, side in zip(columns, align, strict=True):
        made.add_column(
            Text(plain(column)), justify="right" if side == "r" else "left", no_wrap=side == "n", overflow="fold"
        )
    return made


def cells(texts: Sequence[str]) -> list[Text]:
    """What goes into one row."""
    # Text, not str: rich would read markup such as "[red]" in a label.
    return [Text("\n").join(Text(plain(line)) for line in text.split("\n")) for text in texts]


def title(words: str, console: Console) -> None:
    """An empty line and a heading."""
    console.print()
    line(Text(words, style="bold"), console)


def sentence(words: str, console: Console, indent: int = 0) -> None:
    """A sentence, wrapped to the width there is."""
    space = " " * indent
    # Wrapped here, since rich pads what it indents, and a unit must not be torn from its number.
    kept = plain(words).replace(" %", "\N{NO-BREAK SPACE}%")
    lines = fill(kept, console.width, initial_indent=space, subsequent_indent=space, break_on_hyphens=False)
    line(Text(lines.replace("\N{NO-BREAK SPACE}", " ")), console)


def line(words: Text, console: Console) -> None:
    """Words as they are styled."""
    console.print(words, highlight=False)
