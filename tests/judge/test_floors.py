"""Floors: what can be read, what is refused with a sentence, and what becomes of them together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from frostline.core.errors import FloorError
from frostline.core.records import Confusion, Floor, FloorResult, Task
from frostline.judge.evidence import Evidence
from frostline.judge.floors import default_floors, parse_floor
from frostline.judge.gate import hold_against, holm_levels
from frostline.measure.measures import measure_confusion
from frostline.measure.metrics import METRICS

TASK = Task(labels=("spam", "ham"), positive="spam")


def held(tp: int, fn: int, fp: int, tn: int, *floors: str) -> list[FloorResult]:
    confusion = Confusion(labels=TASK.labels, counts=((tp, fn), (fp, tn)), positive="spam")
    evidence = Evidence(task=TASK, measures=measure_confusion(confusion, "test"))
    return list(hold_against([parse_floor(text) for text in floors], evidence))


@pytest.mark.parametrize("text", ["recall>=0.8", " recall >= 0.8 ", "recall>=80%", "recall >= 80.0 %", "recall>=.8"])
def test_floor_is_read_in_every_spelling(text: str) -> None:
    """Spaces and percentages mean the same demand."""
    assert parse_floor(text) == Floor(metric="recall", floor=0.8)


@given(metric=st.sampled_from(METRICS), floor=st.floats(0.001, 0.999))
def test_floor_survives_being_written_and_read(metric: str, floor: float) -> None:
    """What is printed can be read again."""
    assert parse_floor(f"{metric}>={floor!r}") == Floor(metric=metric, floor=floor)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recal>=0.8", "Did you mean 'recall'?"),
        ("recall", "METRIC>=NUMBER"),
        ("recall>0.8", "METRIC>=NUMBER"),
        ("recall>=high", "METRIC>=NUMBER"),
        ("recall>=80", "between 0 and 1"),
        ("recall>=1", "between 0 and 1"),
        ("recall>=0", "between 0 and 1"),
        ("", "METRIC>=NUMBER"),
    ],
)
def test_floor_that_cannot_be_read_is_a_sentence(text: str, said: str) -> None:
    """The error repeats what was asked and says what can be written."""
    with pytest.raises(FloorError) as refused:
        parse_floor(text)

    assert said in str(refused.value) and repr(text) in str(refused.value)


def test_default_floors_say_that_they_are() -> None:
    """Nobody asked for them, so they are marked."""
    assert all(floor.default for floor in default_floors(TASK))


def test_observed_85_of_100_cannot_claim_80_and_says_what_would() -> None:
    """The golden case: bound .778, 215 positives in all, 115 more than there are."""
    [recall] = held(85, 15, 10, 90, "recall>=0.8")

    assert recall.met == "cannot tell"
    assert f"{recall.bound:.3f}" == "0.778"
    assert recall.more_needed == "115 more examples of 'spam' (215 in all)"
    assert recall.more_needed in recall.sentence


def test_same_rate_on_215_positives_is_met() -> None:
    """The clean twin: with the number it asked for, the floor is met."""
    [recall] = held(183, 32, 10, 90, "recall>=0.8")

    assert recall.met == "yes"


def test_floor_far_above_the_upper_bound_is_ruled_out() -> None:
    """12 of 100 is not uncertain about 80 %."""
    [recall] = held(12, 88, 12, 4888, "recall>=0.8")

    assert recall.met == "no"
    assert f"{recall.bound:.2f}" == "0.07"


def test_value_under_its_floor_is_not_told_to_wait_for_more() -> None:
    """78 of 100 cannot be ruled out, but more of the same would not show 80 %."""
    [recall] = held(78, 22, 5, 95, "recall>=0.8")

    assert recall.met == "cannot tell"
    assert recall.more_needed == ""
    assert "not above the floor" in recall.sentence


def test_undefined_metric_is_neither_met_nor_missed() -> None:
    """A precision without predictions cannot be told, and the sentence gives the reason."""
    [precision] = held(0, 100, 0, 100, "precision>=0.5")

    assert (precision.met, precision.value, precision.bound) == ("cannot tell", None, None)
    assert "nothing was predicted as 'spam'" in precision.sentence


def test_several_floors_are_harder_to_meet_than_one() -> None:
    """A floor met alone by a hair is not met beside another that fails: Holm."""
    alone, *_ = held(183, 32, 40, 60, "recall>=0.8")
    beside, *_ = held(183, 32, 40, 60, "recall>=0.8", "accuracy>=0.79")

    assert alone.met == "yes"
    assert beside.met == "cannot tell"
    assert alone.bound is not None and beside.bound is not None and beside.bound < alone.bound


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_the_textbook_rejects(p_values: list[float]) -> None:
    """Reading each p-value against its own level is the step-down procedure of statsmodels."""
    theirs = multipletests(p_values, alpha=0.05, method="holm")[0]

    assert [p <= level for p, level in zip(p_values, holm_levels(p_values), strict=True)] == list(theirs)


@given(
    cells=st.tuples(*[st.integers(1, 300)] * 4),
    metrics=st.lists(st.sampled_from(METRICS), min_size=1, max_size=4, unique=True),
    floor=st.floats(0.05, 0.95),
)
def test_answer_is_that_of_the_displayed_bound(cells: tuple[int, ...], metrics: list[str], floor: float) -> None:
    """Whoever reads the bound beside the floor comes to the answer that is printed."""
    for result in held(*cells, *(f"{metric}>={floor}" for metric in metrics)):
        assert result.bound is not None
        assert (result.met == "yes") == (result.bound >= result.floor)
