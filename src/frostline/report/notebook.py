"""A finished study in a notebook: one HTML fragment, without a script, readable on a light and on a dark page."""

from __future__ import annotations

from html import escape

from frostline.core.records import StudyRecord, Verdict
from frostline.report.parts import Mark, Table
from frostline.report.verdict_view import build_verdict_view
from frostline.report.words import plain

# Half transparent, so that they suit whatever the page's background is; the text keeps the page's colour.
_TINTS: dict[Mark, str] = {
    "good": "rgba(46,160,67,.25)",
    "bad": "rgba(218,54,51,.28)",
    "unsure": "rgba(210,153,34,.28)",
}
_CELL = "padding:.15em .6em;text-align:left"


def result_html(study: StudyRecord, verdict: Verdict, plan: str) -> str:
    """The verdict, the floors, the chosen plan and the metrics of a study.

    Args:
        study: All evidence.
        verdict: The answer to it.
        plan: The chosen plan, as an HTML fragment.

    Returns:
        An HTML fragment; what comes from data is escaped.
    """
    view = build_verdict_view(verdict)
    name = f"<span style='padding:.1em .5em;background:{_TINTS[view.tone]}'><b>{view.name}</b></span>"
    reasons = "".join(f"<li>{_text(reason)}</li>" for reason in view.reasons)
    after = f"<p>Next: {_text(view.next)}</p>" if view.next else ""
    return (
        f"<div><p>{name} {_text(study.name)}: {_text(view.sentence)}</p><ul>{reasons}</ul>{after}"
        f"<p>Chosen plan: {_text(study.choice.candidate)}. {_text(study.choice.reason)}</p>{plan}"
        f"{_table(view.floors, columns=5)}{_table(view.metrics, columns=3)}</div>"
    )


def _table(table: Table, columns: int) -> str:
    head = "".join(f"<th scope=col style='{_CELL}'>{_text(column)}</th>" for column in table.columns[:columns])
    body = "".join(_row(row.cells[:columns], _TINTS.get(row.mark, "")) for row in table.rows)
    caption = f"<caption>{_text(table.caption)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(cells: tuple[str, ...], tint: str) -> str:
    style = f"{_CELL};background:{tint}" if tint else _CELL
    shown = "".join(f"<td style='{style}'>{_text(cell)}</td>" for cell in cells)
    return f"<tr>{shown}</tr>"


def _text(text: str) -> str:
    return escape(plain(text))
