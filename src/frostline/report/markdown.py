"""The verdict and a study as Markdown for the page of a CI job, and the pieces that the model card shares with it.

What comes from data, labels and file names among it, is escaped: it stays text, on its line and in its cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from frostline.core.errors import StudyError
from frostline.core.records import Finding, StudyRecord, Verdict
from frostline.report import words
from frostline.report.parts import Table
from frostline.report.verdict_view import ConfusionView
from frostline.report.view import build_view

LIMIT_BYTES = 1_000_000
"""Of a job summary. GitHub refuses one of more than 1 MiB, and shows nothing of it then."""

_LONGEST_TEXT = 1000
_MOST_ROWS = 50
_WIDEST_MATRIX = 12
"""Classes beyond which the most common mistakes tell more than the whole matrix."""
_COMMON_MISTAKES = 20

_ESCAPED = str.maketrans(
    {
        **{mark: f"\\{mark}" for mark in "\\`*_[]|~$"},
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
    }
)
_OPENING_MARK = re.compile(r"^(\d*)([#+=-]|(?<=\d)[.)])")
"""What begins a heading, a list or a rule at the beginning of a line."""
_WWW = re.compile(r"\b(www)\.", re.IGNORECASE)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no web address that becomes a link, one line.

    >>> escaped("50 % | <b>free</b>: *now*")
    '50 % \\\\| &lt;b&gt;free&lt;/b&gt;: \\\\*now\\\\*'
    >>> escaped("# https://example.org")
    '\\\\# https&#58;//example.org'
    """
    return _OPENING_MARK.sub(r"\1\\\2", _inline(text))


def _inline(text: str) -> str:
    """The same where no line begins: in a cell."""
    line = words.plain(text).strip()
    line = line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT]}…"
    return _WWW.sub(r"\1&#46;", line.translate(_ESCAPED).replace("://", "&#58;//"))


def as_table(table: Table) -> str:
    """A table with its caption and its note; of a long one the beginning."""
    rules = ("---:" if side == "r" else ":---" for side in table.align)
    lines = [f"**{escaped(table.caption)}**", "", _row(table.columns), f"|{'|'.join(rules)}|"]
    lines += [_row(row.cells) for row in table.rows[:_MOST_ROWS]]
    left_out = len(table.rows) - _MOST_ROWS
    notes = [f"{words.count(left_out)} more rows are in the report."] if left_out > 0 else []
    notes += [escaped(table.note)] if table.note else []
    return "\n".join([*lines, *(["", " ".join(notes)] if notes else [])])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(_inline, cells))} |"


def items(sentences: Sequence[str]) -> str:
    """Sentences as a list; of a long one the beginning."""
    lines = [f"- {escaped(sentence)}" for sentence in sentences[:_MOST_ROWS]]
    left_out = len(sentences) - _MOST_ROWS
    return "\n".join([*lines, *([f"- {words.count(left_out)} more are in the report."] if left_out > 0 else [])])


def code(command: str) -> str:
    """A command to copy: nothing in it is escaped, and nothing in it ends the block."""
    line = words.plain(command)
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{line}\n{fence}"


def confusion(verdict: Verdict, view: ConfusionView) -> str:
    """The confusion matrix with its orientation; of many classes the most common mistakes."""
    if len(view.labels) > _WIDEST_MATRIX:
        return _mistakes(verdict)
    lines = [
        escaped(view.orientation),
        "",
        _row(("", *(f"answered {label}" for label in view.labels), "all")),
        f"|:---|{'---:|' * (len(view.labels) + 1)}",
    ]
    for row in view.rows:
        cells = (f"{cell.count} ({cell.rate}) {cell.meaning}".rstrip() for cell in row.cells)
        lines.append(_row((f"truly {row.label}", *cells, row.total)))
    return "\n".join(lines)


def _mistakes(verdict: Verdict) -> str:
    labels = cast(tuple[str, ...], verdict.confusion["labels"])
    counts = cast(tuple[tuple[int, ...], ...], verdict.confusion["counts"])
    found = [(n, true, told) for true, row in enumerate(counts) for told, n in enumerate(row) if n and true != told]
    common = sorted(found, key=lambda mistake: -mistake[0])[:_COMMON_MISTAKES]
    lines = [
        f"Of {words.count(len(labels))} classes the most common mistakes; the whole matrix is in the report.",
        "",
        _row(("Truly", "Answered", "Examples")),
        "|:---|:---|---:|",
        *(_row((labels[true], labels[told], words.count(n))) for n, true, told in common),
    ]
    return "\n".join(lines)


def finding_items(findings: Sequence[Finding]) -> str:
    """Findings with what to do about each."""
    lines = []
    for finding in findings[:_MOST_ROWS]:
        what = f"{finding.outcome} {finding.code} {finding.name.replace('-', ' ')}"
        lines.append(f"- **{escaped(what)}**: {escaped(finding.sentence)}")
        if finding.next:
            lines.append(f"  Next: {escaped(finding.next)}")
    return "\n".join(lines) or "No check found anything to object to."


def job_summary(study: StudyRecord, verdict: Verdict) -> str:
    """A study for the page of a CI job: the verdict first, and the command to run next last.

    Args:
        study: All evidence.
        verdict: The answer to it.

    Returns:
        Markdown of at most `LIMIT_BYTES` in UTF-8; parts that have no room are named at its end.
    """
    view = build_view(study, verdict)
    shown = view.verdict
    next_step = [f"**Next:** {escaped(shown.next)}"] if shown.next else []
    command = [code(shown.command)] if shown.command else []
    head = "\n\n".join(
        (
            f"## {shown.name}: {escaped(view.name)}",
            escaped(shown.sentence),
            *([items(shown.reasons[:_COMMON_MISTAKES])] if shown.reasons else []),
            f"Chosen plan: {escaped(view.plan.candidate)}, {escaped(view.plan.sentence)}.",
        )
    )
    parts = {
        "Floors": as_table(shown.floors),
        "Metrics on the test split": as_table(shown.metrics),
        "Confusion matrix": confusion(verdict, shown.confusion),
        "Findings": finding_items(shown.findings),
    }
    return _within(head, parts, "\n\n".join((*next_step, *command)))


def _within(head: str, parts: dict[str, str], end: str) -> str:
    """Head, end, and the parts for which there is room between them."""
    room = LIMIT_BYTES - 1000 - len((head + end).encode())
    kept, left_out = [head], []
    for title, part in parts.items():
        section = f"### {title}\n\n{part}"
        size = len(section.encode()) + 2
        if size <= room:
            kept.append(section)
            room -= size
        else:
            left_out.append(title)
    if left_out:
        kept.append(f"Too long for this page, and in the report: {words.listed(tuple(left_out))}.")
    return "\n\n".join(filter(None, (*kept, end))) + "\n"


def append_summary(path: Path, study: StudyRecord, verdict: Verdict) -> None:
    """Append the summary to a file, as GITHUB_STEP_SUMMARY wants it: others may have written there before.

    Args:
        path: The file; made when missing.
        study: All evidence.
        verdict: The answer to it.

    Raises:
        StudyError: The file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(job_summary(study, verdict))
    except OSError as error:
        raise StudyError(
            f"The summary cannot be written to {path} ({error.strerror}). Give --summary a file in an existing "
            "folder, such as $GITHUB_STEP_SUMMARY."
        ) from error
