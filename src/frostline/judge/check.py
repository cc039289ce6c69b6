"""`frostline check`: the verdict on predictions that were made anywhere, by anything.

Knows labels and counts only, so it answers at once and never imports torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import DataError, FloorError, suggestion
from frostline.core.predictions import Predictions
from frostline.core.records import Confusion, Floor, Task, Verdict
from frostline.judge.evidence import Evidence
from frostline.judge.floors import parse_floor
from frostline.judge.verdict import judge
from frostline.measure.measures import measure, measure_confusion
from frostline.measure.threshold import best_threshold

SPLIT = "given"
"""What the judged examples are called: nobody said which split they are."""


def check(
    y_true: Iterable[Hashable],
    y_pred: Iterable[Hashable],
    y_score: Iterable[float] | None = None,
    *,
    positive: Hashable | None = None,
    floors: Sequence[str | Floor] = (),
) -> Verdict:
    """Judge predictions.

    Args:
        y_true: True labels; compared as text, so 1 and "1" are the same label.
        y_pred: Predicted labels, in the same order.
        y_score: Score of the positive class in [0, 1], in the same order. With two classes only: it
            tells whether moving the threshold would do more than unfreezing.
        positive: The label to be found; needed with two classes, left out with more.
        floors: Demands such as "recall>=0.8"; empty for the defaults.

    Returns:
        The verdict, with metrics, floors and findings.

    Raises:
        DataError: Labels or scores cannot be used.
        FloorError: A floor cannot be read.

    >>> verdict = check(["spam"] * 100 + ["ham"] * 100, ["spam"] * 99 + ["ham"] * 101, positive="spam")
    >>> verdict.verdict, verdict.confusion
    ('READY', {'tp': 99, 'fn': 1, 'fp': 0, 'tn': 100})
    """
    true, predicted = list(map(str, y_true)), list(map(str, y_pred))
    _require_same_length("y_pred", len(predicted), len(true))
    task = task_of(true, predicted, None if positive is None else str(positive))
    number = {label: position for position, label in enumerate(task.labels)}
    predictions = Predictions(
        task=task,
        true_N=np.array([number[label] for label in true], dtype=np.int64),
        predicted_N=np.array([number[label] for label in predicted], dtype=np.int64),
    )
    found = None
    if y_score is not None:
        if task.positive_index is None:
            raise DataError(f"Scores are read with two classes only, and there are {len(task.labels)}. Leave them out.")
        found = best_threshold(predictions.true_N == task.positive_index, _scores(y_score, len(true)))
    evidence = Evidence(task=task, measures=measure(predictions, SPLIT), threshold=found)
    return judge(evidence, read_floors(floors))


def check_counts(
    tp: int, fn: int, fp: int, tn: int, *, positive: str = "positive", floors: Sequence[str | Floor] = ()
) -> Verdict:
    """Judge the four counts of a binary confusion matrix.

    Args:
        tp: Positives found.
        fn: Positives missed.
        fp: False alarms.
        tn: Negatives left alone.
        positive: What the positive class is called.
        floors: Demands such as "recall>=0.8"; empty for the defaults.

    Raises:
        DataError: A count is negative, or one of the two classes has no examples.
        FloorError: A floor cannot be read.

    >>> check_counts(tp=12, fn=88, fp=12, tn=4888, positive="fraud").verdict
    'NOT READY'
    """
    for name, count in {"tp": tp, "fn": fn, "fp": fp, "tn": tn}.items():
        if count < 0:
            raise DataError(f"The count {name}={count} is negative. Counts are whole numbers from 0 on.")
    negative = "negative" if positive == "positive" else f"not {positive}"
    for label, support, cells in ((positive, tp + fn, "tp and fn"), (negative, fp + tn, "fp and tn")):
        if support == 0:
            raise DataError(f"No example is {label!r} ({cells} are both 0). Both classes are needed to judge a model.")
    task = Task(labels=(positive, negative), positive=positive)
    confusion = Confusion(labels=task.labels, counts=((tp, fn), (fp, tn)), positive=positive)
    return judge(Evidence(task=task, measures=measure_confusion(confusion, SPLIT)), read_floors(floors))


def task_of(true: Sequence[str], predicted: Sequence[str], positive: str | None) -> Task:
    """The task that labels speak of.

    Raises:
        DataError: One class only, or a positive label that is missing, unknown or one of many.
    """
    occurring = sorted(set(true))
    labels = tuple(sorted({*true, *predicted}))
    if not occurring:
        raise DataError("There are no examples to judge. Give at least one of each class.")
    if len(occurring) == 1:
        raise DataError(
            f"All {len(true):,} true labels are {occurring[0]!r}: with one class only there is nothing to tell apart. "
            "Give examples of at least two classes."
        )
    if positive is None and len(labels) == 2:
        raise DataError(
            f"There are two classes, {labels[0]!r} and {labels[1]!r}: say which one is to be found by naming it as "
            f"positive; the rarer one is {min(occurring, key=true.count)!r}."
        )
    if positive is not None and positive not in occurring:
        raise DataError(f"The positive label {positive!r} is no true label here. {suggestion(positive, occurring)}")
    if positive is not None and len(labels) > 2:
        raise DataError(_too_many(positive, labels, occurring, predicted))
    return Task(labels=labels, positive=positive)


def rarer_label(true: Sequence[str]) -> str | None:
    """The rarer of two labels; None with more classes, or when both occur equally often.

    >>> rarer_label(["ham", "spam", "ham"])
    'spam'
    """
    counts = Counter(true).most_common()
    return counts[1][0] if len(counts) == 2 and counts[0][1] > counts[1][1] else None


def read_floors(floors: Sequence[str | Floor]) -> list[Floor]:
    """Floors given as text or as values.

    Raises:
        FloorError: A floor cannot be read, or two are about one metric.
    """
    if isinstance(floors, str):
        raise FloorError(f"floors is the text {floors!r}, but must be a list: write floors=[{floors!r}].")
    read = [parse_floor(floor) if isinstance(floor, str) else floor for floor in floors]
    for metric, count in Counter(floor.metric for floor in read).items():
        if count > 1:
            raise FloorError(f"There are {count} floors for {metric}. Keep the one that is meant.")
    return read


def _too_many(positive: str, labels: Sequence[str], occurring: Sequence[str], predicted: Sequence[str]) -> str:
    alien = sorted(set(labels) - set(occurring))
    if len(occurring) == 2:
        row = predicted.index(alien[0]) + 1
        return (
            f"Prediction {row} is {alien[0]!r}, which is neither {occurring[0]!r} nor {occurring[1]!r}, the true "
            "labels. Write predictions and truth with the same labels."
        )
    return (
        f"A positive label ({positive!r}) was named, but there are {len(labels)} classes: {', '.join(labels)}. "
        "Leave it out to judge all classes, or relabel the others as one."
    )


def _scores(given: Iterable[float], examples: int) -> NDArray[np.float64]:
    try:
        scores_N = np.asarray(list(given), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"y_score holds something that is no number ({error}). Give one score in [0, 1] each."
        ) from error
    if scores_N.ndim != 1:
        raise DataError(
            f"y_score has the shape {scores_N.shape}. Give one score each: the probability of the positive class."
        )
    _require_same_length("y_score", len(scores_N), examples)
    outside = np.flatnonzero(~((scores_N >= 0) & (scores_N <= 1)))
    if len(outside):
        raise DataError(
            f"Score {outside[0] + 1} is {scores_N[outside[0]]:g}, outside [0, 1]. Give probabilities of the positive "
            "class, not logits."
        )
    return scores_N


def _require_same_length(name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise DataError(f"{name} has {found:,} entries and y_true has {wanted:,}. Give one for each example.")
