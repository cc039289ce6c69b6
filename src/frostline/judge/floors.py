"""Floors: demands on a metric, read from text."""

from __future__ import annotations

import re

from frostline.core.errors import FloorError, suggestion
from frostline.core.records import Floor, Task
from frostline.measure.metrics import METRICS

_FORM = re.compile(r"\s*([A-Za-z_0-9]+)\s*>=\s*([+-]?\d*\.?\d+)\s*(%?)\s*")
_EXAMPLE = "Write for example recall>=0.8 or 'precision >= 90%'."


def parse_floor(text: str) -> Floor:
    """Read one floor.

    Args:
        text: A metric, `>=` and a fraction or a percentage.

    Raises:
        FloorError: It has another form, names an unknown metric or demands what no model can give.

    >>> parse_floor("recall >= 80%")
    Floor(metric='recall', floor=0.8, default=False)
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise FloorError(f"The floor {text!r} cannot be read: it must be METRIC>=NUMBER. {_EXAMPLE}")
    metric, digits, unit = match.groups()
    if metric not in METRICS:
        raise FloorError(f"The floor {text!r} names no known metric: {metric!r}. {suggestion(metric, METRICS)}")
    floor = float(digits) / 100 if unit else float(digits)
    if not 0 < floor < 1:
        raise FloorError(
            f"The floor {text!r} demands {floor:g}, but a floor lies between 0 and 1, both left out: "
            f"no number of examples can show a perfect metric. {_EXAMPLE}"
        )
    return Floor(metric=metric, floor=floor)


def default_floors(task: Task) -> tuple[Floor, ...]:
    """What is demanded when the user demands nothing: of the positive class, or of the mean over classes.

    >>> [f"{floor.metric} {floor.floor}" for floor in default_floors(Task(labels=("a", "b"), positive="b"))]
    ['recall 0.8', 'precision 0.8']
    """
    return tuple(Floor(metric=metric, floor=0.8, default=True) for metric in ("recall", "precision"))
