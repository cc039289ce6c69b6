"""How a summary looks: text of 100 columns, and HTML for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

from frostline.core.sizes import size_text

if TYPE_CHECKING:
    from frostline.explain.summary import Summary, SummaryRow

WIDTH = 100
_PLAIN = ("part", "state", "parameters", "mode")
_MEASURED = ("block", "state", "parameters", "forward", "backward", "activations", "optimizer", "mode")
_WIDTHS = {"state": 9, "parameters": 12, "forward": 7, "backward": 8, "activations": 11, "optimizer": 9, "mode": 5}
_LEFT = {"part", "block", "state", "mode"}
_FROZEN_TINT = "rgba(88,166,255,.25)"
_NOTE = "Forward and backward are shares of the FLOPs of one step of full fine-tuning."


def as_text(summary: Summary) -> str:
    """The table, one sentence, and the answers."""
    columns = _columns(summary)
    room = WIDTH - sum(_WIDTHS[column] + 2 for column in columns[1:])
    widths = _WIDTHS | {columns[0]: min(room, max([len(columns[0]), *(len(row.name) for row in summary.rows)]))}
    lines = [_line(columns, columns, widths)]
    lines += [_line(columns, _cells(row), widths) for row in summary.rows]
    lines += wrap(" ".join(_sentences(summary)), WIDTH)
    for answer in summary.answers:
        lines += wrap(answer, WIDTH, initial_indent="- ", subsequent_indent="  ")
    return "\n".join(lines)


def as_html(summary: Summary) -> str:
    """The same, as an HTML fragment; everything that comes from the model is escaped."""
    columns = _columns(summary)
    body = "".join(map(_html_row, summary.rows))
    head = "".join(f"<th scope=col>{column}</th>" for column in columns)
    caption = f"<caption>{escape(' '.join(_sentences(summary)))}</caption>"
    answers = "".join(f"<li>{escape(answer)}</li>" for answer in summary.answers)
    table = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"{table}<ul>{answers}</ul>" if answers else table


def _html_row(row: SummaryRow) -> str:
    # Half transparent, for light and dark pages alike.
    tint = f" style='background:{_FROZEN_TINT}'" if row.frozen else ""
    return f"<tr>{''.join(f'<td{tint}>{escape(cell)}</td>' for cell in _cells(row))}</tr>"


def _columns(summary: Summary) -> tuple[str, ...]:
    return _PLAIN if summary.saving is None else _MEASURED


def _sentences(summary: Summary) -> Sequence[str]:
    return (summary.sentence,) if summary.saving is None else (summary.sentence, _NOTE)


def _cells(row: SummaryRow) -> list[str]:
    state = "frozen" if row.frozen else "trainable" if row.trainable == row.parameters else "partly"
    cells = [row.name, state, f"{row.parameters:,}", "inert" if row.inert else ""]
    if row.cost is not None:
        shares = [_share(row.cost.forward_share), _share(row.cost.backward_share)]
        held = "-" if row.cost.optimizer_bytes is None else size_text(row.cost.optimizer_bytes)
        cells[3:3] = [*shares, size_text(row.cost.activation_bytes), held]
    return cells


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _line(columns: Sequence[str], cells: Sequence[str], widths: dict[str, int]) -> str:
    shown = []
    for column, cell in zip(columns, cells, strict=True):
        width = widths[column]
        # The end of a long path tells more than its beginning.
        short = cell if len(cell) <= width or column not in _LEFT else f"…{cell[-(width - 1) :]}"
        shown.append(f"{short:<{width}}" if column in _LEFT else f"{short:>{width}}")
    return "  ".join(shown).rstrip()
