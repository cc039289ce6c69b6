"""Laws of the six metrics, and the cases in which there is nothing to compute.

Their values against scikit-learn stand in `test_differential`, those worked out by hand in `test_goldens`.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import BINARY, TOPICS, make_predictions, spam_counts
from frostline.core.predictions import Predictions
from frostline.core.records import Confusion, Task
from frostline.measure.measures import measure, measure_confusion, one_against_rest
from frostline.measure.metrics import METRICS, Margins, metric_values, why_undefined

Counts = list[list[int]]


@st.composite
def tables(draw: st.DrawFn, largest: int = 30) -> Counts:
    """Confusion counts of two to four classes, empty rows and columns among them."""
    classes = draw(st.integers(2, 4))
    cell = st.one_of(st.just(0), st.integers(0, largest))
    return draw(
        st.lists(st.lists(cell, min_size=classes, max_size=classes), min_size=classes, max_size=classes).filter(
            lambda rows: sum(map(sum, rows)) > 0
        )
    )


def confusion(counts: Counts) -> Confusion:
    labels = tuple("abcd"[: len(counts)])
    return Confusion(labels=labels, counts=tuple(map(tuple, counts)), positive="b" if len(counts) == 2 else None)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=50)
@given(counts=tables())
def test_reason_and_none_go_together(metric: str, counts: Counts) -> None:
    """A reason is given exactly when there is no value."""
    estimate = measure_confusion(confusion(counts), "test").metrics[metric]

    assert (estimate.value is None) == bool(why_undefined(metric, confusion(counts)))


@given(counts=tables())
def test_interval_holds_its_value(counts: Counts) -> None:
    """Limits lie in the metric's range with the value between them, also at the edges."""
    for metric, estimate in measure_confusion(confusion(counts), "test").metrics.items():
        if estimate.value is not None:
            assert estimate.low is not None and estimate.high is not None
            lowest = -1 if metric == "mcc" else 0
            assert lowest <= estimate.low <= estimate.value <= estimate.high <= 1
            assert estimate.method


@given(counts=tables(largest=9), factor=st.integers(2, 50))
def test_more_of_the_same_changes_no_value(counts: Counts, factor: int) -> None:
    """Multiplying all counts leaves every metric as it is."""
    larger = Margins.of(np.array(counts) * factor)
    for metric in METRICS:
        assert metric_values(metric, larger, None) == pytest.approx(
            metric_values(metric, Margins.of(counts), None), nan_ok=True
        )


def test_undefined_is_never_zero() -> None:
    """A model that never answers "spam" has a recall of 0 and no precision at all."""
    metrics = measure(make_predictions(BINARY, spam_counts(0, 10, 0, 90)), "test").metrics

    assert metrics["recall"].value == 0
    assert metrics["precision"].value is None
    assert metrics["precision"].undefined == "nothing was predicted as 'spam'"
    assert metrics["mcc"].undefined == "only one class was predicted"


def test_class_without_examples_leaves_the_macro_mean_undefined() -> None:
    """A mean over classes with one undefined class is undefined, and the reason names the class."""
    counts = ((5, 0, 0, 0), (0, 5, 0, 0), (0, 0, 5, 0), (0, 0, 0, 0))
    metrics = measure(make_predictions(TOPICS, counts), "test").metrics

    assert metrics["recall"].undefined == "no example is 'other'"
    assert metrics["balanced_accuracy"].value is None
    assert metrics["accuracy"].value == 1


@given(counts=tables())
def test_one_class_against_the_rest_keeps_every_example(counts: Counts) -> None:
    """The binary view of one class has the same total and the same recall."""
    whole = confusion(counts)
    for number in range(len(counts)):
        part = one_against_rest(whole, number)
        assert part.total == whole.total
        assert part.binary is not None and part.binary["tp"] == counts[number][number]


@pytest.mark.parametrize("broken", [float("nan"), None])
def test_loss_without_finite_probabilities_is_none(broken: float | None) -> None:
    """No probabilities, or one that is not finite: there is no loss."""
    task = Task(labels=("a", "b"), positive="b")
    scores = None if broken is None else np.array([[broken, 0.5], [0.5, 0.5]])
    predictions = Predictions(task=task, true_N=np.array([0, 1]), predicted_N=np.array([0, 1]), probabilities_NC=scores)

    assert measure(predictions, "test").loss is None
