"""The shapes a page is made of: tables and figures, as plain data.

Both renderings, HTML and terminal, draw from these, so they cannot say different things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mark = Literal["", "chosen", "tied", "good", "bad", "unsure"]
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; its first cell names it."""

    cells: tuple[str, ...]
    mark: Mark = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under headings."""

    caption: str
    columns: tuple[str, ...]
    align: str
    """One letter for each column: l for words, r for numbers."""
    rows: tuple[Row, ...]
    note: str = ""
    """What a reader must know to read the numbers; empty when the headings say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart: what it says in words, its numbers as a table, and what draws it."""

    id: str
    """Name of the function in `templates/charts.js`, or `race.js`, that draws it."""
    title: str
    alt: str
    """What the chart shows, for a reader who cannot see it."""
    data: Mapping[str, Json]
    table: Table
