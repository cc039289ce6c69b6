"""Every candidate that was trained, to choose from: its curves, its mistakes and its parts on the select split.

A study may hold a hundred candidates of a hundred classes, so the data are short: four digits, of a confusion
matrix only the cells that hold something, and of the parts only what differs between candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from frostline.core.records import Confusion, Epoch, Run, StudyRecord
from frostline.measure.curves import read_curve
from frostline.report import words
from frostline.report.parts import Json, Row, Table
from frostline.report.slices_view import select_slices_table

WHOLE = 12
"""Classes up to which a confusion matrix is drawn whole; of more, the commonest mistakes are listed."""
LISTED = 40
"""Mistakes that are listed."""
_SHARED = 3
"""Cells of a part that are the same for every candidate: its name, its examples, those in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatesView:
    """What `candidates` of `templates/live.js` draws, and the chosen one's tables for who has no scripts."""

    names: tuple[str, ...]
    """The chosen one first."""
    chosen: str
    orientation: str
    """How to read the matrix, and which class is the positive one."""
    data: Mapping[str, Json]
    table: Table
    parts: Table | None
    """None when the select split was not parted."""


def candidates_view(study: StudyRecord) -> CandidatesView | None:
    """Every candidate with a run.

    Args:
        study: All evidence.

    Returns:
        The choice with its data; None when only one candidate was trained, for then there is nothing to choose.
    """
    chosen = study.choice.candidate
    runs = sorted(study.runs, key=lambda run: run.candidate != chosen)
    shown = study.result(chosen, "select")
    if len(runs) < 2 or shown is None:
        return None
    labels, positive = shown.measures.confusion.labels, shown.measures.confusion.positive
    named = "" if positive is None else f" The positive class is {positive}."
    return CandidatesView(
        names=tuple(run.candidate for run in runs),
        chosen=chosen,
        orientation=f"Rows are the true class, columns the answered class.{named}",
        data={
            "labels": list(labels),
            "whole": WHOLE,
            "listed": LISTED,
            "shared": _SHARED,
            "runs": [_packed(study, run, labels) for run in runs],
        },
        table=confusion_table(shown.measures.confusion, chosen),
        parts=select_slices_table(study, chosen),
    )


def confusion_table(confusion: Confusion, candidate: str) -> Table:
    """A confusion matrix on the select split: whole where it is small, else its commonest mistakes.

    Args:
        confusion: Rows are the true class.
        candidate: Whose it is.

    >>> small = Confusion(labels=("ham", "spam"), counts=((8, 2), (1, 9)), positive="spam")
    >>> [row.cells for row in confusion_table(small, "full").rows]
    [('truly ham', '8', '2', '10'), ('truly spam', '1', '9', '10')]
    """
    caption = f"Confusion of {candidate} on the select split"
    if len(confusion.labels) <= WHOLE:
        rows = tuple(
            Row((f"truly {label}", *map(words.count, row), words.count(sum(row))))
            for label, row in zip(confusion.labels, confusion.counts, strict=True)
        )
        columns = ("True class", *(f"answered {label}" for label in confusion.labels), "all")
        return Table(caption=caption, columns=columns, align=f"l{'r' * (len(columns) - 1)}", rows=rows)
    mistakes = sorted((cell for cell in _cells(confusion) if cell[0] != cell[1]), key=lambda cell: -cell[2])
    names, more = confusion.labels, max(0, len(mistakes) - LISTED)
    return Table(
        caption=f"{caption}: the commonest mistakes",
        columns=("True class", "Answered", "Examples"),
        align="llr",
        rows=tuple(Row((names[true], names[said], words.count(count))) for true, said, count in mistakes[:LISTED]),
        note=f"{words.count(more)} more pairs of classes were mistaken, none of them more often." if more else "",
    )


def _packed(study: StudyRecord, run: Run, labels: tuple[str, ...]) -> dict[str, Json]:
    result = study.result(run.candidate, "select")
    confusion = result.measures.confusion if result else None
    # A result of another task's labels cannot share their list.
    known = confusion if confusion is not None and confusion.labels == labels else None
    parts = select_slices_table(study, run.candidate)
    return {
        "name": run.candidate,
        "epochs": [_short(epoch) for epoch in run.epochs],
        "best": run.best_epoch,
        "ended": run.ended,
        "seen": [[sight.first_epoch, sight.last_epoch, sight.kind] for sight in read_curve(run)],
        "cells": None if known is None else [number for cell in _cells(known) for number in cell],
        "parts": None if parts is None else [list(row.cells[_SHARED:]) for row in parts.rows],
    }


def _short(epoch: Epoch) -> list[Json]:
    values = (epoch.train_loss, epoch.train_accuracy, epoch.stop_loss, epoch.stop_accuracy)
    return [epoch.epoch, *(None if value is None else float(f"{value:.4g}") for value in values)]


def _cells(confusion: Confusion) -> list[tuple[int, int, int]]:
    """True class, answered class and count of every cell that holds something, row by row."""
    return [(true, said, count) for true, row in enumerate(confusion.counts) for said, count in enumerate(row) if count]
