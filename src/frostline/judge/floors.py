"""Floors: demands on a metric, read from text. A loss has a ceiling instead, which is read the same way."""

from __future__ import annotations

import re

from frostline.core.errors import FloorError, suggestion
from frostline.core.records import Floor, Task
from frostline.measure.metrics import METRICS

OLD_DROP = "old_accuracy_drop"
"""What the accuracy on the old task may lose by fine-tuning: the one demand that is an upper limit."""

_FORM = re.compile(r"\s*([A-Za-z_0-9]+)\s*(>=|<=)\s*([+-]?\d*\.?\d+)\s*(%?)\s*")
_EXAMPLE = "Write for example recall>=0.8 or 'precision >= 90%'."
_OLD_EXAMPLE = f"Write for example {OLD_DROP}<=0.02."


def parse_floor(text: str) -> Floor:
    """Read one floor.

    Args:
        text: A metric, `>=` and a fraction or a percentage; or `old_accuracy_drop`, `<=` and such a number.

    Raises:
        FloorError: It has another form, names an unknown metric or demands what no model can give.

    >>> parse_floor("recall >= 80%")
    Floor(metric='recall', floor=0.8, at_most=False, default=False)
    >>> parse_floor("old_accuracy_drop<=0.02").at_most
    True
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise FloorError(f"The floor {text!r} cannot be read: it must be METRIC>=NUMBER. {_EXAMPLE}")
    metric, relation, digits, unit = match.groups()
    if metric not in (*METRICS, OLD_DROP):
        known = suggestion(metric, (*METRICS, OLD_DROP))
        raise FloorError(f"The floor {text!r} names no known metric: {metric!r}. {known}")
    floor = float(digits) / 100 if unit else float(digits)
    if metric == OLD_DROP:
        return _ceiling(text, relation, floor)
    if relation == "<=":
        raise FloorError(f"The floor {text!r} limits {metric} from above: it must be METRIC>=NUMBER. {_EXAMPLE}")
    if not 0 < floor < 1:
        raise FloorError(
            f"The floor {text!r} demands {floor:g}, but a floor lies between 0 and 1, both left out: "
            f"no number of examples can show a perfect metric. {_EXAMPLE}"
        )
    return Floor(metric=metric, floor=floor)


def _ceiling(text: str, relation: str, most: float) -> Floor:
    if relation == ">=":
        raise FloorError(f"The floor {text!r} demands that the old task be forgotten: it must be <=. {_OLD_EXAMPLE}")
    if not 0 <= most < 1:
        raise FloorError(
            f"The floor {text!r} allows {most:g}, but a drop that is allowed lies in [0, 1). {_OLD_EXAMPLE}"
        )
    return Floor(metric=OLD_DROP, floor=most, at_most=True)


def default_floors(task: Task) -> tuple[Floor, ...]:
    """What is demanded when the user demands nothing: of the positive class, or of the mean over classes.

    >>> [f"{floor.metric} {floor.floor}" for floor in default_floors(Task(labels=("a", "b"), positive="b"))]
    ['recall 0.8', 'precision 0.8']
    """
    return tuple(Floor(metric=metric, floor=0.8, default=True) for metric in ("recall", "precision"))
