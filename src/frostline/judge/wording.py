"""How the judge says numbers: rates as percentages, the Matthews correlation as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from frostline.core.records import Estimate

NAMES = {
    "accuracy": "accuracy",
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "MCC",
    "old_accuracy_drop": "drop of the accuracy on the old task",
    "roc_auc": "area under the ROC curve",
    "pr_auc": "average precision",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "log_loss": "log loss",
}
_NO_RATES = ("mcc", "roc_auc", "pr_auc", "brier", "log_loss")


def percent(rate: float) -> str:
    """A fraction for the reader.

    >>> percent(0.98)
    '98.0 %'
    """
    return f"{100 * rate:.1f} %"


def value_text(metric: str, value: float) -> str:
    """A value of a metric on its own scale.

    >>> value_text("recall", 0.85), value_text("mcc", 0.238)
    ('85.0 %', '0.238')
    """
    return f"{value:.3f}" if metric in _NO_RATES else percent(value)


def estimate_text(metric: str, estimate: Estimate) -> str:
    """A metric with its interval, or why it has none.

    >>> estimate_text("recall", Estimate(value=0.12, low=0.07, high=0.198))
    'recall 12.0 % (7.0 % to 19.8 %)'
    """
    name = NAMES[metric]
    if estimate.value is None:
        return f"{name} undefined ({estimate.undefined})"
    if estimate.low is None or estimate.high is None:
        return f"{name} {value_text(metric, estimate.value)}"
    low, high = value_text(metric, estimate.low), value_text(metric, estimate.high)
    return f"{name} {value_text(metric, estimate.value)} ({low} to {high})"


def points(difference: float) -> str:
    """A difference of two rates, without its sign.

    >>> points(-0.053)
    '5.3 points'
    """
    return f"{100 * abs(difference):.1f} points"


def counted(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "message"), counted(2, "class", "classes")
    ('1 message', '2 classes')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def listed(names: Iterable[str]) -> str:
    """Names as a phrase.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def block_range(names: Sequence[str]) -> str:
    """Names of blocks as a phrase, neighbours that differ in their last number only taken together.

    >>> block_range(["embeddings", "encoder.layer.4", "encoder.layer.5", "encoder.layer.6"])
    'embeddings and encoder.layer.4-6'
    """
    runs: list[tuple[str, list[int]]] = []
    for name in names:
        stem, _, number = name.rpartition(".")
        if not number.isdigit():
            runs.append((name, []))
        elif runs and runs[-1][0] == stem and runs[-1][1] and runs[-1][1][-1] + 1 == int(number):
            runs[-1][1].append(int(number))
        else:
            runs.append((stem, [int(number)]))
    said = (stem if not n else f"{stem}.{n[0]}" if len(n) == 1 else f"{stem}.{n[0]}-{n[-1]}" for stem, n in runs)
    return listed(said)


def opened(sentence: str) -> str:
    """The same with a capital first letter; names inside keep theirs.

    >>> opened("recall of 'spam' fell")
    "Recall of 'spam' fell"
    """
    return sentence[:1].upper() + sentence[1:]
