"""One model on the parts of a split: what it is worth where training saw little, or nothing.

A slice is whatever its name says: a value of a column, a cluster of an embedding. Knows only the names.

Shape letters: N examples, S slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.core.predictions import Predictions
from frostline.core.records import Comparison, Difference, SelectSlice, Slice, Task
from frostline.measure.compare import compare
from frostline.measure.corrections import benjamini_hochberg
from frostline.measure.independent import fisher_midp, newcombe
from frostline.measure.measures import confusion_of, estimate, measure

FEWEST = 5
"""Slices of fewer examples are taken together."""
MOST = 50
"""Slices shown at most, those that take others together among them."""

FEW = f"other, fewer than {FEWEST} examples each"
FEW_NEW = f"new, fewer than {FEWEST} examples each"
BEYOND = f"other, beyond the {MOST - 3} first"
"""Names of slices that take others together: small ones met in training, small ones never met, too many."""

_METHOD = "Newcombe's hybrid score interval, mid-p of Fisher's exact test"


def sliced(
    chosen: Predictions,
    names_N: Sequence[str],
    in_training: Mapping[str, int],
    *,
    reference: Predictions | None,
    names: tuple[str, str],
    seed: int,
) -> tuple[Slice, ...]:
    """Measure a model on every slice of the test split.

    Args:
        chosen: What it answered.
        names_N: The slice of each example.
        in_training: Examples of the train split by slice; a slice that is missing has none.
        reference: What another model answered to the same examples; None when there is no other.
        names: What the two models are called.
        seed: Of the comparison with the other.

    Returns:
        Slices that training never met first, then by size; those that take others together last. Each with its metrics,
        and with recall of the positive class (accuracy with several classes) minus that of all other examples:
        interval, two-sided p-value, and the same after Benjamini and Hochberg over the slices. Empty when all
        examples are in one slice, which says nothing beyond the whole.

    Raises:
        ValueError: There is not one name an example, or the two models answered different examples.

    Source: Newcombe (1998), method 10, for the interval; Lydersen et al. (2009) for the p-value; Benjamini & Hochberg
        (1995), Controlling the false discovery rate, J. R. Stat. Soc. B 57, 289-300.

    >>> from frostline.core.records import Task
    >>> task, true = Task(labels=("ham", "spam"), positive="spam"), np.tile([0, 1], 40)
    >>> answers = Predictions(task=task, true_N=true, predicted_N=np.where(np.arange(80) < 60, true, 0))
    >>> parts = sliced(answers, ["sms"] * 60 + ["chat"] * 20, {"sms": 300}, reference=None, names=("a", "b"), seed=0)
    >>> [(part.name, part.in_training, part.against_rest.value) for part in parts]
    [('chat', 0, -1.0), ('sms', 300, 1.0)]
    """
    groups = _groups(names_N, in_training, examples=len(chosen))
    against = [_against_rest(chosen, group.inside_N) for group in groups]
    corrected = benjamini_hochberg([difference.p for difference in against])
    return tuple(
        Slice(
            name=group.name,
            examples=int(group.inside_N.sum()),
            in_training=group.in_training,
            measures=measure(chosen.take(group.inside_N), "test"),
            against_rest=difference.model_copy(update={"adjusted_p": adjusted_p}),
            against_reference=_against(chosen, reference, group.inside_N, names, seed),
        )
        for group, difference, adjusted_p in zip(groups, against, corrected, strict=True)
    )


def sliced_on_select(
    answers: Mapping[str, Predictions], names_N: Sequence[str], in_training: Mapping[str, int]
) -> tuple[SelectSlice, ...]:
    """Measure every candidate on every slice of the select split, to look at.

    Args:
        answers: By candidate, all to the same examples; at least one.
        names_N: The slice of each example.
        in_training: Examples of the train split by slice; a slice that is missing has none.

    Returns:
        Slices in the order of `sliced`, each with the metrics of `slice_metrics` for each candidate. They are compared
        with nothing: the candidate was chosen on these examples. Empty when all examples are in one slice.

    Raises:
        ValueError: There is not one name an example.

    >>> from frostline.core.records import Task
    >>> task, true = Task(labels=("a", "b", "c")), np.tile([0, 1, 2], 20)
    >>> answers = Predictions(task=task, true_N=true, predicted_N=np.where(np.arange(60) < 45, true, 0))
    >>> parts = sliced_on_select({"full": answers}, ["sms"] * 45 + ["chat"] * 15, {"sms": 300})
    >>> [(part.name, part.examples, part.metrics["full"]["accuracy"].value) for part in parts]
    [('chat', 15, 0.3333333333333333), ('sms', 45, 1.0)]
    """
    first = next(iter(answers.values()))
    return tuple(
        SelectSlice(
            name=group.name,
            examples=int(group.inside_N.sum()),
            in_training=group.in_training,
            metrics={
                candidate: {
                    metric: estimate(metric, confusion_of(given.take(group.inside_N)))
                    for metric in slice_metrics(given.task)
                }
                for candidate, given in answers.items()
            },
        )
        for group in _groups(names_N, in_training, examples=len(first))
    )


def slice_metrics(task: Task) -> tuple[str, ...]:
    """What a slice is shown with: one that lacks a class has no mean over the classes, so of several their accuracy.

    >>> slice_metrics(Task(labels=("ham", "spam"), positive="spam"))
    ('recall', 'precision')
    """
    return ("accuracy",) if task.positive is None else ("recall", "precision")


@dataclass(frozen=True, slots=True)
class _Group:
    """A slice as it is shown: one name, or several together."""

    name: str
    inside_N: NDArray[np.bool_]
    in_training: int


def _groups(names_N: Sequence[str], in_training: Mapping[str, int], *, examples: int) -> tuple[_Group, ...]:
    """In the order in which they are shown; none when there is only one."""
    if len(names_N) != examples:
        raise ValueError(f"{examples} examples have {len(names_N)} names of slices: give one to each")
    group_of = _grouped(names_N, in_training)
    groups_N = np.array([group_of[name] for name in names_N])
    trained: Counter[str] = Counter()
    for name, group in group_of.items():
        trained[group] += in_training.get(name, 0)
    ordered = dict.fromkeys(group_of.values())
    if len(ordered) < 2:
        return ()
    return tuple(_Group(name, groups_N == name, trained[name]) for name in ordered)


def _grouped(names_N: Sequence[str], in_training: Mapping[str, int]) -> dict[str, str]:
    """The slice that each name is shown in, in the order in which slices are shown."""
    counts = Counter(names_N)
    by_weight = sorted(counts, key=lambda name: (in_training.get(name, 0) > 0, -counts[name], name))
    large = [name for name in by_weight if counts[name] >= FEWEST]
    most = MOST if len(large) == len(counts) <= MOST else MOST - 3
    shown = {name: name for name in large[:most]}
    pooled = dict.fromkeys(large[most:], BEYOND)
    small = [name for name in by_weight if counts[name] < FEWEST]
    return shown | {name: FEW if in_training.get(name, 0) else FEW_NEW for name in small} | pooled


def _against_rest(predictions: Predictions, inside_N: NDArray[np.bool_]) -> Difference:
    """Recall of the positive class, or accuracy, inside minus outside."""
    positive = predictions.task.positive_index
    asked_N = np.ones(len(predictions), dtype=bool) if positive is None else predictions.true_N == positive
    right_N = predictions.predicted_N == predictions.true_N
    (hits, size), (others, rest) = (
        (int((right_N & part).sum()), int(part.sum())) for part in (asked_N & inside_N, asked_N & ~inside_N)
    )
    if size == 0 or rest == 0:
        return Difference(value=None)
    low, high = newcombe((hits, size), (others, rest))
    p = fisher_midp((hits, size), (others, rest))
    return Difference(value=hits / size - others / rest, low=low, high=high, p=p, method=_METHOD)


def _against(
    chosen: Predictions,
    reference: Predictions | None,
    inside_N: NDArray[np.bool_],
    names: tuple[str, str],
    seed: int,
) -> Comparison | None:
    if reference is None:
        return None
    return compare(chosen.take(inside_N), reference.take(inside_N), names=names, split="test", seed=seed)
