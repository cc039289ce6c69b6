"""Giveaways: what tells the label beside the matter itself, looked for in the train split alone.

Three kinds: one feature or one word that nearly always goes with a class; an id among the
features; and the position of an example (its row, the number in its file's name), which no model sees but which tells
how the data were made.

Knows inputs, labels and places; nothing of splits but which rows train. Shape letters: N examples, V words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from frostline.core.records import Giveaway, Task
from frostline.data.examples import Examples

TELLING = 0.98
"""Balanced accuracy of one feature or one word alone from which on it is a giveaway."""

ENOUGH = 30
"""Examples of each class below which nothing is said: by chance alone some feature may tell a few apart."""

PLACED = 0.8
"""How far on the way from guessing to certainty a position must come: balanced accuracy .90 with two classes."""

LEAVES = 8
"""Ranges into which a position is cut."""

FOLDS = 5

WORD = r"\w+|[^\w\s]"
"""A word, or one sign that is no letter: that too can be a giveaway, such as a currency sign that one source writes."""


def find_giveaways(
    examples: Examples, labels: NDArray[np.int64], train: NDArray[np.int64], task: Task
) -> tuple[Giveaway, ...]:
    """Look for giveaways among the examples that train.

    Args:
        examples: All that were kept.
        labels: Their class numbers.
        train: Positions of the train split, in the order of the files.
        task: Names of the classes.

    Returns:
        The most telling first; empty with fewer than 30 training examples of some class.
    """
    labels_N = labels[train]
    if np.bincount(labels_N, minlength=len(task.labels)).min() < ENOUGH:
        return ()
    found: list[Giveaway] = []
    if examples.kind == "table":
        found += _in_features(examples, train, labels_N, task)
    if examples.kind == "text":
        found += _in_words([str(examples.inputs[row]) for row in train], labels_N, task)
    found += _in_positions(examples, train, labels_N)
    return tuple(sorted(found, key=lambda giveaway: -giveaway.balanced_accuracy))


def best_threshold(values_N: NDArray[np.floating], positive_N: NDArray[np.bool_]) -> tuple[float, float]:
    """The threshold of one feature that parts two classes best, whichever lies above it.

    Returns:
        The threshold, and the balanced accuracy of answering by it.

    >>> best_threshold(np.array([1.0, 2.0, 8.0, 9.0]), np.array([False, False, True, True]))
    (5.0, 1.0)
    """
    order = np.argsort(values_N, kind="stable")
    values, positive = values_N[order], positive_N[order]
    below = np.cumsum(positive) / positive.sum() - np.cumsum(~positive) / (~positive).sum()
    between = np.flatnonzero(np.diff(values) > 0)
    if not len(between):
        return float(values[0]), 0.5
    at = between[np.abs(below[between]).argmax()]
    return float((values[at] + values[at + 1]) / 2), float(0.5 + abs(below[at]) / 2)


def _in_features(
    examples: Examples, train: NDArray[np.int64], labels_N: NDArray[np.int64], task: Task
) -> list[Giveaway]:
    features = np.stack([np.asarray(examples.inputs[row]) for row in train])
    names = examples.columns.features if examples.columns else ()
    found = []
    for column, name in enumerate(names):
        values_N = features[:, column].astype(np.float64)
        if _counts_up(values_N):
            accuracy = _out_of_sample(values_N, labels_N)
            if accuracy >= _placed(len(task.labels)):
                said = f"The column {name!r}, which numbers the rows, tells the class of unseen training examples"
                found.append(_giveaway("id", name, accuracy, labels_N, said))
                continue
        if len(task.labels) == 2:
            threshold, accuracy = best_threshold(values_N, labels_N == 1)
            how = f"being above or below {threshold:.4g}"
        else:
            accuracy, how = _few_ranges(values_N, labels_N), f"its {len(task.labels)} best ranges"
        if accuracy >= TELLING:
            found.append(
                _giveaway("feature", name, accuracy, labels_N, f"The column {name!r} tells the class by {how}")
            )
    return found


def _in_words(texts: Sequence[str], labels_N: NDArray[np.int64], task: Task) -> list[Giveaway]:
    from sklearn.feature_extraction.text import CountVectorizer

    reader = CountVectorizer(binary=True, token_pattern=WORD, lowercase=True)
    held_NV = reader.fit_transform(texts)
    words = reader.get_feature_names_out()
    totals_C = np.bincount(labels_N, minlength=len(task.labels))
    holding_CV = np.stack([np.asarray(held_NV[labels_N == c].sum(axis=0)).ravel() for c in range(len(totals_C))])
    found = []
    classes = [1] if len(totals_C) == 2 else range(len(totals_C))
    for number in classes:
        inside_V = holding_CV[number] / totals_C[number]
        outside_V = (holding_CV.sum(axis=0) - holding_CV[number]) / (totals_C.sum() - totals_C[number])
        accuracy_V = 0.5 + np.abs(inside_V - outside_V) / 2
        for at in np.flatnonzero(accuracy_V >= TELLING):
            word = str(words[at])
            said = (
                f"The word {word!r} stands in {100 * inside_V[at]:.1f} % of the examples of {task.labels[number]!r} "
                f"and in {100 * outside_V[at]:.1f} % of the others, and tells them apart"
            )
            found.append(_giveaway("token", word, float(accuracy_V[at]), labels_N, said))
    return found


def _in_positions(examples: Examples, train: NDArray[np.int64], labels_N: NDArray[np.int64]) -> list[Giveaway]:
    classes = len(np.unique(labels_N))
    if examples.kind == "image":
        numbers_N = _file_numbers([examples.where[row] for row in train])
        if numbers_N is None:
            return []
        accuracy = _out_of_sample(numbers_N, labels_N)
        if accuracy < _placed(classes):
            return []
        said = "The number in the name of a file tells the class of unseen training examples"
        return [_giveaway("file name", "number in the file name", accuracy, labels_N, said)]
    accuracy = _out_of_sample(train.astype(np.float64), labels_N)
    if accuracy < _placed(classes):
        return []
    said = "The row in the file tells the class of unseen training examples"
    return [_giveaway("row order", "row", accuracy, labels_N, said)]


def _giveaway(
    kind: Literal["feature", "token", "id", "file name", "row order"],
    name: str,
    accuracy: float,
    labels_N: NDArray[np.int64],
    said: str,
) -> Giveaway:
    return Giveaway(
        kind=kind,
        name=name,
        balanced_accuracy=accuracy,
        examples=len(labels_N),
        sentence=f"{said} with a balanced accuracy of {100 * accuracy:.1f} %.",
    )


def _placed(classes: int) -> float:
    """What a position must reach: of guessing 1 / classes, `PLACED` of the way to 1."""
    return 1 / classes + PLACED * (1 - 1 / classes)


def _counts_up(values_N: NDArray[np.float64]) -> bool:
    """Whether a column numbers the rows: whole numbers, none twice, in rising or falling order."""
    steps = np.diff(values_N)
    return bool((values_N == np.round(values_N)).all() and ((steps > 0).all() or (steps < 0).all()))


def _out_of_sample(values_N: NDArray[np.float64], labels_N: NDArray[np.int64]) -> float:
    """Balanced accuracy on examples that were not asked, of cutting a position into a few ranges."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(
        max_leaf_nodes=max(LEAVES, len(np.unique(labels_N))), class_weight="balanced", random_state=0
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    answered = cross_val_predict(tree, values_N[:, None], labels_N, cv=folds)
    return float(balanced_accuracy_score(labels_N, answered))


def _few_ranges(values_N: NDArray[np.float64], labels_N: NDArray[np.int64]) -> float:
    """Balanced accuracy of cutting one feature into as many ranges as there are classes."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_leaf_nodes=len(np.unique(labels_N)), class_weight="balanced", random_state=0)
    return float(balanced_accuracy_score(labels_N, tree.fit(values_N[:, None], labels_N).predict(values_N[:, None])))


def _file_numbers(where: Sequence[str]) -> NDArray[np.float64] | None:
    """The last number in the name of each file; None when some file has none."""
    names = [re.findall(r"\d+", place.rpartition("/")[2].rpartition(".")[0]) for place in where]
    return np.array([float(found[-1][:15]) for found in names]) if all(names) else None
