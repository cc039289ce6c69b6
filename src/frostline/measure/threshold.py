"""The decision threshold that serves an aim best, chosen on examples that do not judge it.

Shape letters: N examples, T thresholds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import AimError
from frostline.core.predictions import Predictions
from frostline.core.records import Estimate, ThresholdChoice
from frostline.measure.curve import USUAL, Thresholds, f1_values
from frostline.measure.measures import confusion_of, estimate
from frostline.measure.metrics import Floats

_EXAMPLES = 'Write "f1", "recall@precision>=0.9", "precision@recall>=0.8" or "cost:fn=20,fp=1".'
_RATE = re.compile(r"\s*(recall|precision)\s*@\s*(recall|precision)\s*>=\s*(\d*\.?\d+)\s*(%?)\s*")
_COST = re.compile(r"\s*cost\s*:\s*(fn|fp)\s*=\s*(\d*\.?\d+)\s*,\s*(fn|fp)\s*=\s*(\d*\.?\d+)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a threshold is chosen for."""

    text: str
    """In words: "highest F1"."""
    best: Literal["f1", "recall", "precision", "cost"]
    """What is made as high as can be; a cost, as low."""
    at_least: float | None = None
    """Of precision when `best` is recall, of recall when it is precision."""
    miss_cost: float = 0.0
    false_alarm_cost: float = 0.0


def parse_aim(text: str) -> Aim:
    """Read what a threshold is to be chosen for.

    Args:
        text: "f1", "recall@precision>=0.9", "precision@recall>=80%" or "cost:fn=20,fp=1".

    Raises:
        AimError: It has another form, or asks for what is no rate or no cost.

    >>> parse_aim("recall@precision>=0.9").text
    'highest recall at a precision of at least 90.0 %'
    """
    if text.strip().lower() == "f1":
        return Aim(text="highest F1", best="f1")
    if match := _RATE.fullmatch(text):
        return _rate_aim(text, *match.groups())
    if match := _COST.fullmatch(text):
        return _cost_aim(text, *match.groups())
    raise AimError(f"The aim {text!r} cannot be read. {_EXAMPLES}")


def _rate_aim(text: str, best: str, other: str, digits: str, unit: str) -> Aim:
    at_least = float(digits) / 100 if unit else float(digits)
    if best == other:
        raise AimError(f"The aim {text!r} names {best} twice: one is made high, the other is held. {_EXAMPLES}")
    if not 0 < at_least <= 1:
        raise AimError(f"The aim {text!r} demands a {other} of {at_least:g}, but it lies in (0, 1]. {_EXAMPLES}")
    words = f"highest {best} at a {other} of at least {100 * at_least:.1f} %"
    return Aim(text=words, best="recall" if best == "recall" else "precision", at_least=at_least)


def _cost_aim(text: str, first: str, first_cost: str, second: str, second_cost: str) -> Aim:
    costs = {first: float(first_cost), second: float(second_cost)}
    if len(costs) != 2 or min(costs.values()) <= 0:
        raise AimError(f"The aim {text!r} needs one cost above 0 for fn (a miss) and one for fp. {_EXAMPLES}")
    words = f"lowest cost, {costs['fn']:g} for a miss and {costs['fp']:g} for a false alarm"
    return Aim(text=words, best="cost", miss_cost=costs["fn"], false_alarm_cost=costs["fp"])


def choose_threshold(predictions: Predictions, aim: Aim) -> ThresholdChoice:
    """The best threshold for an aim on these examples, which must not be those that judge it.

    Of equals the one nearest to .5. Of thresholds with the same recall (or precision) under a demand, the one that
    is also better in the other.

    Args:
        predictions: Of two classes, with probabilities, on the select split.
        aim: What it is chosen for.

    Raises:
        AimError: There are several classes, no scores or no positive example, or no threshold reaches the demand.

    >>> from frostline.core.records import Task
    >>> spam = np.array([0.1, 0.3, 0.2, 0.4])
    >>> answers = Predictions.from_probabilities(
    ...     Task(labels=("ham", "spam"), positive="spam"), np.array([0, 0, 1, 1]), np.stack([1 - spam, spam], axis=1)
    ... )
    >>> choice = choose_threshold(answers, parse_aim("f1"))
    >>> f"{choice.at:.2f} {choice.select['recall'].value} {choice.default['recall'].value}"
    '0.15 1.0 0.0'
    """
    positive_N, scores_N = _two_classes(predictions)
    thresholds = Thresholds.of(positive_N, scores_N)
    if aim.best == "cost":
        thresholds = _with_none(thresholds, float(scores_N.max()))
    positives = int(positive_N.sum())
    at = _best(thresholds, positives, aim)
    chosen, usual = predictions.with_threshold(at), predictions.with_threshold(USUAL)
    return ThresholdChoice(
        at=at,
        aim=aim.text,
        select=_three(chosen),
        default=_three(usual),
        cost_per_1000=_cost_per_1000(chosen, aim),
    )


def _two_classes(predictions: Predictions) -> tuple[NDArray[np.bool_], Floats]:
    positive = predictions.task.positive_index
    if positive is None:
        raise AimError(
            f"A threshold is chosen between two classes, and there are {len(predictions.task.labels)}. Leave the aim "
            "out: the most probable class is answered."
        )
    if predictions.probabilities_NC is None:
        raise AimError("A threshold is chosen from scores, and only labels are known. Give the scores too.")
    positive_N = predictions.true_N == positive
    if not positive_N.any():
        raise AimError(
            f"No example to choose a threshold on is {predictions.task.positive!r}. Give examples of both classes."
        )
    if not np.isfinite(predictions.probabilities_NC).all():
        raise AimError("A threshold cannot be chosen: some scores are not finite. Train again at a lower rate.")
    return positive_N, predictions.probabilities_NC[:, positive]


def _with_none(thresholds: Thresholds, highest: float) -> Thresholds:
    """The same and one above all scores: where false alarms are dear, answering nothing may cost least."""
    above = (highest + 1) / 2 if highest < 1 else float(np.nextafter(1.0, 2.0))
    return Thresholds(np.append(above, thresholds.at_T), np.append(0, thresholds.tp_T), np.append(0, thresholds.fp_T))


def _best(thresholds: Thresholds, positives: int, aim: Aim) -> float:
    tp_T, fp_T = thresholds.tp_T, thresholds.fp_T
    distance_T = np.abs(thresholds.at_T - USUAL)
    if aim.best == "f1":
        ranked = np.lexsort((distance_T, -f1_values(tp_T, fp_T, positives)))
    elif aim.best == "cost":
        ranked = np.lexsort((distance_T, aim.miss_cost * (positives - tp_T) + aim.false_alarm_cost * fp_T))
    else:
        recall_T, precision_T = tp_T / positives, tp_T / (tp_T + fp_T)
        wanted, held = (recall_T, precision_T) if aim.best == "recall" else (precision_T, recall_T)
        allowed = held >= (aim.at_least or 0.0)
        if not allowed.any():
            raise AimError(_unreached(thresholds, recall_T, precision_T, aim))
        ranked = np.lexsort((distance_T, -held, -wanted, ~allowed))
    return float(thresholds.at_T[ranked[0]])


def _unreached(thresholds: Thresholds, recall_T: Floats, precision_T: Floats, aim: Aim) -> str:
    """Only a precision can be out of reach: answering everything has a recall of 1."""
    best = int(np.lexsort((-recall_T, -precision_T))[0])
    return (
        f"The {aim.text} cannot be had: no threshold reaches it on the examples it is chosen on. The highest precision "
        f"there is {100 * precision_T[best]:.1f} %, with recall {100 * recall_T[best]:.1f} %, from a score of "
        f"{thresholds.at_T[best]:.3g} on. Demand less, or train for more."
    )


def _three(predictions: Predictions) -> dict[str, Estimate]:
    confusion = confusion_of(predictions)
    return {metric: estimate(metric, confusion) for metric in ("recall", "precision", "f1")}


def _cost_per_1000(predictions: Predictions, aim: Aim) -> float | None:
    if aim.best != "cost":
        return None
    positive = predictions.task.positive_index
    wrong_N, missed_N = predictions.true_N != predictions.predicted_N, predictions.true_N == positive
    misses, false_alarms = int((wrong_N & missed_N).sum()), int((wrong_N & ~missed_N).sum())
    return 1000 * (aim.miss_cost * misses + aim.false_alarm_cost * false_alarms) / len(predictions)
