"""`frostline check`: the verdict on predictions that were made anywhere, by anything.

Knows labels and counts only, so it answers at once and never imports torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import DataError, FloorError, suggestion
from frostline.core.predictions import Predictions
from frostline.core.records import Confusion, Floor, Task, Verdict
from frostline.judge.evidence import Evidence
from frostline.judge.floors import parse_floor
from frostline.judge.sets import SETS, assigned_of
from frostline.judge.verdict import judge
from frostline.measure.measures import measure, measure_confusion
from frostline.measure.multilabel import ASSIGNED, NOT_ASSIGNED, measure_assigned

_SUM_TOLERANCE = 0.01
"""Probabilities from a file are rounded."""

SPLIT = "given"
"""What the judged examples are called: nobody said which split they are."""


def check(
    y_true: Iterable[Hashable] | Iterable[Collection[Hashable]],
    y_pred: Iterable[Hashable] | Iterable[Collection[Hashable]],
    y_score: Iterable[float] | Iterable[Sequence[float]] | None = None,
    *,
    positive: Hashable | None = None,
    floors: Sequence[str | Floor] = (),
) -> Verdict:
    """Judge predictions.

    Args:
        y_true: True labels; compared as text, so 1 and "1" are the same label. Sets, lists or tuples of labels where
            an example carries any number of them.
        y_pred: Predicted labels, in the same order.
        y_score: With two classes the probability of the positive one, in the same order; with several the
            probabilities of all, shape (N, C), columns in the order of the sorted labels. They are measured too, and
            with two classes they tell whether moving the threshold would do more than unfreezing.
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
    given_true, given_predicted = list(y_true), list(y_pred)
    _require_same_length("y_pred", len(given_predicted), len(given_true))
    if any(isinstance(given, SETS) for given in (*given_true, *given_predicted)):
        if y_score is not None or positive is not None:
            raise DataError("With sets of labels neither scores nor a positive label are read. Leave them out.")
        return check_sets(given_true, given_predicted, floors=floors)
    true, predicted = list(map(str, given_true)), list(map(str, given_predicted))
    task = task_of(true, predicted, None if positive is None else str(positive))
    number = {label: position for position, label in enumerate(task.labels)}
    predictions = Predictions(
        task=task,
        true_N=np.array([number[label] for label in true], dtype=np.int64),
        predicted_N=np.array([number[label] for label in predicted], dtype=np.int64),
        probabilities_NC=None if y_score is None else _probabilities(y_score, task, len(true)),
    )
    evidence = Evidence(task=task, measures=measure(predictions, SPLIT, scored=True))
    return judge(evidence, read_floors(floors))


def check_sets(y_true: Iterable[object], y_pred: Iterable[object], *, floors: Sequence[str | Floor] = ()) -> Verdict:
    """Judge predictions of any number of labels for each example.

    Args:
        y_true: The true labels of each example, as a set, list or tuple; compared as text.
        y_pred: The predicted ones, in the same order.
        floors: Demands such as "recall>=0.8", of the mean over the labels; empty for the defaults.

    Raises:
        DataError: An entry is no set of labels, or there are no labels at all.
        FloorError: A floor cannot be read.

    >>> verdict = check_sets([{"a"}, {"a", "b"}, set()] * 60, [{"a"}, {"a", "b"}, set()] * 60)
    >>> verdict.verdict, verdict.metrics["accuracy"].value
    ('READY', 1.0)
    """
    assigned = assigned_of(list(y_true), list(y_pred))
    task = Task(labels=(ASSIGNED, NOT_ASSIGNED), positive=ASSIGNED)
    evidence = Evidence(task=task, measures=measure_assigned(assigned, SPLIT), assigned=assigned)
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


def _probabilities(given: Iterable[object], task: Task, examples: int) -> NDArray[np.float64]:
    """Of every class, shape (N, C), from one score each or from a score per class.

    Raises:
        DataError: They are no probabilities, or there are not as many as there should be.
    """
    try:
        scores = np.asarray(given if isinstance(given, np.ndarray) else list(given), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"y_score holds something that is no number ({error}). Give one score in [0, 1] each."
        ) from error
    positive = task.positive_index
    if positive is None and (scores.ndim != 2 or scores.shape[1] != len(task.labels)):
        raise DataError(
            f"y_score has the shape {scores.shape}, and there are {len(task.labels)} classes "
            f"({', '.join(task.labels)}). Give a probability of each class in this order, shape "
            f"({examples}, {len(task.labels)}), or leave the scores out."
        )
    if positive is not None and scores.ndim != 1:
        raise DataError(
            f"y_score has the shape {scores.shape}. Give one score each: the probability of the positive class."
        )
    _require_same_length("y_score", len(scores), examples)
    outside = np.argwhere(~((scores >= 0) & (scores <= 1)))
    if len(outside):
        raise DataError(
            f"Score {outside[0][0] + 1} is {scores[tuple(outside[0])]:g}, outside [0, 1]. Give probabilities"
            f"{'' if positive is None else ' of the positive class'}, not logits."
        )
    if positive is None:
        return _summing_to_one(scores)
    return np.stack([scores if number == positive else 1 - scores for number in range(2)], axis=1)


def _summing_to_one(scores_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    sums_N1 = scores_NC.sum(axis=1, keepdims=True)
    wrong = np.flatnonzero(np.abs(sums_N1[:, 0] - 1) > _SUM_TOLERANCE)
    if len(wrong):
        raise DataError(
            f"The scores of row {wrong[0] + 1} add up to {sums_N1[wrong[0], 0]:.4g}. Give probabilities that add up to "
            "1 over the classes."
        )
    return np.asarray(scores_NC / sums_N1, dtype=np.float64)


def _require_same_length(name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise DataError(f"{name} has {found:,} entries and y_true has {wanted:,}. Give one for each example.")
