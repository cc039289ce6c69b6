"""Small cases worked out by hand, in `goldens.toml` beside this file, which is meant to be read by a statistician.

Claimed: for every table all six metrics are the stated fractions, or undefined for the stated reason, and displayed
limits are the stated ones; every bound, number of cases, p-value and paired interval is the stated expression.
Expressions hold within 1e-12 (p-values against a floor, found by halving, too), quoted figures to their digits.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from frostline.core.records import Confusion
from frostline.measure.intervals import (
    bonett_price,
    cases_needed,
    clopper_pearson_lower,
    clopper_pearson_upper,
    mcnemar_midp,
    smallest_level,
    wilson,
)
from frostline.measure.measures import estimate
from frostline.measure.metrics import METRICS

GOLDENS = tomllib.loads(Path(__file__).with_name("goldens.toml").read_text(encoding="utf-8"))
TABLES, FIGURES = GOLDENS["table"], GOLDENS["figure"]
NAMES: dict[str, Any] = {"__builtins__": {}, "sqrt": sqrt, "z": 1.959963984540054, "z90": 1.6448536269514722}
QUOTED, UNDEFINED = "about ", "undefined: "

Golden = dict[str, Any]


def floor_p(successes: int, total: int, floor: float) -> float:
    """One-sided p-value of an observed rate against "at most the floor"."""
    return smallest_level(lambda level: clopper_pearson_lower(successes, total, confidence=level), floor)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        wilson,
        clopper_pearson_lower,
        clopper_pearson_upper,
        cases_needed,
        floor_p,
        mcnemar_midp,
        bonett_price,
    )
}


def agrees(value: float | None, stated: str) -> bool:
    """Whether a value is what a golden states."""
    if value is None or stated.startswith(UNDEFINED):
        return False
    if stated.startswith(QUOTED):
        digits = len(stated.partition(".")[2])
        return f"{value:.{digits}f}".removeprefix("0") == stated.removeprefix(QUOTED)
    return value == pytest.approx(eval(stated, NAMES), abs=1e-12, rel=0)


def confusion_in(golden: Golden) -> Confusion:
    counts = tuple(map(tuple, golden["counts"]))
    return Confusion(labels=tuple(golden["labels"]), counts=counts, positive=golden.get("positive"))


def disagreements(confusion: Confusion, golden: Golden) -> list[str]:
    """Metrics and limits of counts that are not what a golden states."""
    found = []
    for metric in METRICS:
        ours, stated = estimate(metric, confusion), golden[metric]
        reason = stated.removeprefix(UNDEFINED) if stated.startswith(UNDEFINED) else ""
        as_stated = ours.value is None if reason else agrees(ours.value, stated)
        if not as_stated or ours.undefined != reason:
            found.append(f"{metric} is {ours.value} {ours.undefined!r}, stated {stated!r}")
    for metric, limits in golden.get("interval", {}).items():
        ours = estimate(metric, confusion)
        if not all(map(agrees, (ours.low, ours.high), limits)):
            found.append(f"the limits of {metric} are {ours.low} and {ours.high}, stated {limits}")
    return found


@pytest.mark.parametrize("golden", TABLES, ids=lambda golden: golden["says"])
def test_table_has_the_metrics_worked_out_by_hand(golden: Golden) -> None:
    """All six metrics of the counts, and the limits where stated, are those of the file."""
    assert disagreements(confusion_in(golden), golden) == []


@pytest.mark.parametrize("golden", FIGURES, ids=lambda golden: golden["says"])
def test_figure_is_the_one_worked_out_by_hand(golden: Golden) -> None:
    """A bound, number of cases, p-value or interval is that of the file."""
    value = FUNCTIONS[golden["of"]](**golden["given"])
    values, stated = (value, golden["is"]) if isinstance(value, tuple) else ((value,), [golden["is"]])

    assert len(values) == len(stated)
    assert all(map(agrees, values, stated)), f"{values}, stated {stated}"


def test_fifty_or_more_are_stated_and_none_twice() -> None:
    """The file is as large as it is said to be."""
    sentences = [golden["says"] for golden in (*TABLES, *FIGURES)]

    assert len(sentences) == len(set(sentences)) >= 50


def test_rows_taken_for_columns_are_noticed() -> None:
    """The planted fault: the founding matrix with truth and answers exchanged is not the founding matrix."""
    founding = TABLES[0]
    turned = founding | {"counts": list(zip(*founding["counts"], strict=True))}

    assert not disagreements(confusion_in(founding), founding)
    assert len(disagreements(confusion_in(turned), founding)) == 3  # recall, precision, balanced accuracy


@pytest.mark.parametrize(
    ("value", "stated"), [(0.7831, "about .782"), (None, "1/2"), (0.5 + 1e-9, "1/2"), (0.0, "undefined: none")]
)
def test_what_is_stated_can_be_missed(value: float | None, stated: str) -> None:
    """A figure off in its last digit, a missing one and one for what is undefined all fail."""
    assert not agrees(value, stated)
