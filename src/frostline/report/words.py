"""Numbers as a reader sees them: the only place of this room where a fraction becomes a percentage.

Knows no record but `Estimate` and `Difference`; knows neither HTML nor terminals.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from frostline.core.errors import plain as plain  # beside the other ways to write a thing for a reader
from frostline.core.records import Difference, Estimate
from frostline.judge.floors import OLD_DROP
from frostline.judge.wording import NAMES

UNDEFINED = "undefined"

# Matthews' coefficient runs from -1 to 1: a percentage of it would mean nothing.
_NOT_RATES = frozenset({"mcc"})


def metric_name(metric: str) -> str:
    """A metric's name in running text.

    >>> metric_name("balanced_accuracy"), metric_name("f1")
    ('balanced accuracy', 'F1')
    """
    return NAMES.get(metric, metric.replace("_", " "))


def heading(metric: str) -> str:
    """A metric's name at the head of a row or column.

    >>> heading("balanced_accuracy"), heading("mcc")
    ('Balanced accuracy', 'MCC')
    """
    name = metric_name(metric)
    return name[:1].upper() + name[1:]


def percent(rate: float | None, digits: int = 1) -> str:
    """A rate as a percentage; the ends of the scale are kept for rates that reach them.

    Args:
        rate: A fraction, or None when it is undefined.
        digits: Digits behind the point.

    Returns:
        The text, with its unit.

    >>> percent(0.85), percent(1.0), percent(0.99999), percent(0.0), percent(1e-9), percent(None)
    ('85.0 %', '100.0 %', '> 99.9 %', '0.0 %', '< 0.1 %', 'undefined')
    """
    if rate is None or not isfinite(rate):
        return UNDEFINED
    text, step = f"{100 * rate:.{digits}f}", 10.0**-digits
    if rate < 1 and float(text) == 100:
        return f"> {100 - step:.{digits}f} %"
    if rate > 0 and float(text) == 0:
        return f"< {step:.{digits}f} %"
    return f"{text} %"


def share(part: float, whole: float) -> str:
    """A part of a whole as a percentage; undefined when there is no whole.

    >>> share(85, 100), share(0, 0)
    ('85.0 %', 'undefined')
    """
    return percent(part / whole) if whole else UNDEFINED


def metric_value(metric: str, value: float | None) -> str:
    """One value of a metric in that metric's own form.

    >>> metric_value("recall", 0.85), metric_value("mcc", 0.2381)
    ('85.0 %', '0.238')
    """
    return number(value) if metric in _NOT_RATES else percent(value)


def demand(metric: str, floor: float) -> str:
    """What was demanded of a metric.

    >>> demand("recall", 0.8), demand("old_accuracy_drop", 0.02)
    ('>= 80.0 %', '<= 2.0 %')
    """
    sign = "<=" if metric == OLD_DROP else ">="
    return f"{sign} {metric_value(metric, floor)}"


def bound_beside(metric: str, bound: float | None, floor: float) -> str:
    """A bound with as many digits as it takes to tell it from the floor it is held against.

    >>> bound_beside("recall", 0.778, 0.8), bound_beside("recall", 0.79996, 0.8)
    ('77.8 %', '79.996 %')
    """
    if bound is None or metric in _NOT_RATES or bound == floor:
        return metric_value(metric, bound)
    texts = (percent(bound, digits) for digits in range(1, 6) if percent(bound, digits) != percent(floor, digits))
    return next(texts, percent(bound, 6))


def estimate_value(metric: str, estimate: Estimate | None) -> str:
    """The value of an estimate, or why there is none.

    >>> estimate_value("precision", Estimate(value=None, undefined="nothing was predicted spam"))
    'undefined (nothing was predicted spam)'
    """
    if estimate is None:
        return f"{UNDEFINED} (not measured)"
    if estimate.value is None:
        return f"{UNDEFINED} ({estimate.undefined or 'no reason recorded'})"
    return metric_value(metric, estimate.value)


def estimate_interval(metric: str, estimate: Estimate | None) -> str:
    """The interval of an estimate; empty when the estimate itself is undefined.

    >>> estimate_interval("recall", Estimate(value=0.85, low=0.767, high=0.907))
    '76.7 to 90.7 %'
    """
    if estimate is None or estimate.value is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"interval {UNDEFINED}"
    low, high = metric_value(metric, estimate.low), metric_value(metric, estimate.high)
    return f"{low.removesuffix(' %')} to {high}"


def score_texts(estimate: Estimate) -> tuple[str, str]:
    """Value and interval of a metric that is no rate of examples, each with three digits.

    >>> score_texts(Estimate(value=0.9312, low=0.9, high=0.96))
    ('0.931', '0.900 to 0.960')
    """
    if estimate.value is None:
        return f"{UNDEFINED} ({estimate.undefined or 'no reason recorded'})", ""
    if estimate.low is None or estimate.high is None:
        return number(estimate.value), f"interval {UNDEFINED}"
    return number(estimate.value), f"{number(estimate.low)} to {number(estimate.high)}"


def estimate_text(metric: str, estimate: Estimate | None) -> str:
    """An estimate in one piece.

    >>> estimate_text("f1", Estimate(value=0.872, low=0.82, high=0.91))
    '87.2 % (82.0 to 91.0 %)'
    """
    interval = estimate_interval(metric, estimate)
    value = estimate_value(metric, estimate)
    return f"{value} ({interval})" if interval else value


def difference_text(metric: str, difference: Difference | None) -> str:
    """A paired difference with its interval: percentage points, or plain for what is no rate.

    The unit stands in the heading above it.

    >>> difference_text("f1", Difference(value=0.012, low=-0.003, high=0.027))
    '+1.2 (-0.3 to +2.7)'
    """
    if difference is None or difference.value is None:
        return UNDEFINED
    scale, form = (1, "+.3f") if metric in _NOT_RATES else (100, "+.1f")
    value = f"{scale * difference.value:{form}}"
    if difference.low is None or difference.high is None:
        return f"{value} (interval {UNDEFINED})"
    return f"{value} ({scale * difference.low:{form}} to {scale * difference.high:{form}})"


def p_value(p: float | None) -> str:
    """A p-value; small ones are named as small, never as zero.

    >>> p_value(0.0412), p_value(1e-9), p_value(None)
    ('0.041', '< 0.001', 'undefined')
    """
    if p is None:
        return UNDEFINED
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number such as a loss.

    >>> number(0.12345), number(None)
    ('0.123', 'undefined')
    """
    return UNDEFINED if value is None or not isfinite(value) else f"{value:.{digits}f}"


def count(value: int) -> str:
    """A whole number with its thousands apart.

    >>> count(11720448)
    '11,720,448'
    """
    return f"{value:,}"


def parameters(value: int) -> str:
    """A number of parameters, short.

    >>> parameters(11_720_448), parameters(770), parameters(12_300)
    ('11.7 M', '770', '12.3 k')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return str(value)


def flops(value: int) -> str:
    """An amount of work, in floating-point operations.

    >>> flops(1_230_000_000_000), flops(240_000_000_000), flops(0)
    ('1.23 TFLOP', '240 GFLOP', '0 FLOP')
    """
    for unit, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            scaled = value / size
            return f"{scaled:.{2 - (scaled >= 10) - (scaled >= 100)}f} {unit}FLOP"
    return f"{value} FLOP"


def duration(seconds_s: float) -> str:
    """A duration in the units a clock has.

    >>> duration(3.21), duration(245), duration(7500)
    ('3.2 s', '4 min 05 s', '2 h 05 min')
    """
    if seconds_s < 60:
        return f"{seconds_s:.1f} s"
    minutes, seconds = divmod(round(seconds_s), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def listed(names: tuple[str, ...]) -> str:
    """Names as a phrase.

    >>> listed(("a", "b", "c")), listed(("a",)), listed(())
    ('a, b and c', 'a', 'none')
    """
    if not names:
        return "none"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def methods(names: Iterable[str]) -> str:
    """How the intervals of a table were computed, each way once, as a note below it.

    >>> methods(["Wilson", "", "Wilson"])
    'Intervals hold 95 %: Wilson.'
    """
    distinct = dict.fromkeys(filter(None, names))
    return f"Intervals hold 95 %: {'; '.join(distinct)}." if distinct else ""
