"""One model on the parts of a split: what it is worth where training saw little, or nothing.

A slice is whatever its name says: a value of a column, a cluster of an embedding. Knows only the names.

Shape letters: N examples, S slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from frostline.core.predictions import Predictions
from frostline.core.records import Comparison, Difference, Slice
from frostline.measure.compare import compare
from frostline.measure.corrections import benjamini_hochberg
from frostline.measure.independent import fisher_midp, newcombe
from frostline.measure.measures import measure

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
    if len(names_N) != len(chosen):
        raise ValueError(f"{len(chosen)} examples have {len(names_N)} names of slices: give one to each")
    group_of = _grouped(names_N, in_training)
    groups_N = np.array([group_of[name] for name in names_N])
    trained: Counter[str] = Counter()
    for name, group in group_of.items():
        trained[group] += in_training.get(name, 0)
    ordered = list(dict.fromkeys(group_of.values()))
    if len(ordered) < 2:
        return ()
    against = [_against_rest(chosen, groups_N == group) for group in ordered]
    corrected = benjamini_hochberg([difference.p for difference in against])
    return tuple(
        Slice(
            name=group,
            examples=int((groups_N == group).sum()),
            in_training=trained[group],
            measures=measure(chosen.take(groups_N == group), "test"),
            against_rest=difference.model_copy(update={"adjusted_p": adjusted_p}),
            against_reference=_against(chosen, reference, groups_N == group, names, seed),
        )
        for group, difference, adjusted_p in zip(ordered, against, corrected, strict=True)
    )


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
