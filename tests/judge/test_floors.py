"""Floors: what can be read, what is refused with a sentence, and what becomes of them together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from builders import make_forgetting, make_study
from frostline.core.errors import FloorError
from frostline.core.records import Confusion, Floor, FloorResult, Forgetting, Task
from frostline.judge.evidence import Evidence
from frostline.judge.floors import default_floors, parse_floor
from frostline.judge.gate import LEVEL, hold_against, holm_levels
from frostline.measure.forgetting import drop_bounds, examples_to_show
from frostline.measure.intervals import bonett_price
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
        ("recall<=0.8", "METRIC>=NUMBER"),
        ("old_accuracy_drop>=0.02", "old_accuracy_drop<=0.02"),
        ("old_accuracy_drop<=-0.02", "lies in [0, 1)"),
        ("old_accuracy_drop<=2", "lies in [0, 1)"),
        ("old_acuracy_drop<=0.02", "Did you mean 'old_accuracy_drop'?"),
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


# ---------------------------------------------------------------- what the old task may lose


def dropped(forgotten: Forgetting | None, *floors: str, level: float = LEVEL) -> list[FloorResult]:
    study = make_study(forgetting={} if forgotten is None else {"depth-4": forgotten})
    evidence = Evidence(task=study.data.task, measures=study.test[0].measures, study=study)
    return list(hold_against([parse_floor(text) for text in floors], evidence, level))


@pytest.mark.parametrize("text", ["old_accuracy_drop<=0.02", " old_accuracy_drop <= 2 % ", "old_accuracy_drop<=.02"])
def test_ceiling_is_read_in_every_spelling(text: str) -> None:
    """The one demand that is an upper limit."""
    assert parse_floor(text) == Floor(metric="old_accuracy_drop", floor=0.02, at_most=True)


@pytest.mark.parametrize(("lost", "met"), [(10, "yes"), (40, "cannot tell"), (120, "no")])
def test_ceiling_is_read_at_the_one_sided_bound(lost: int, met: str) -> None:
    """2,000 examples, 8 gained: 10 lost are shown to be below .02, 120 above it, 40 neither."""
    [drop] = dropped(make_forgetting(lost), "old_accuracy_drop<=0.02")
    low, high = bonett_price(lost, 8, 2_000, confidence=0.9)

    assert drop.met == met
    assert drop.value == pytest.approx((lost - 8) / 2_000)
    assert drop.bound == pytest.approx(high)
    assert (drop.met == "yes") == (high <= 0.02) and (drop.met == "no") == (low > 0.02)
    assert f"{100 * (lost - 8) / 2_000:.1f} points on 2,000 examples" in drop.sentence


def test_ceiling_says_how_many_examples_would_tell() -> None:
    """With the number that it asks for, in the same proportions, the floor is met; with a tenth less it is not."""
    [drop] = dropped(make_forgetting(3, 2, examples=200), "old_accuracy_drop<=0.02")
    needed = examples_to_show(make_forgetting(3, 2, examples=200), 0.02, confidence=0.95)
    assert needed is not None and f"{needed - 200:,} more examples of the old task ({needed:,} in all)" in drop.sentence

    def met(examples: int) -> str:
        lost, gained = (round(examples * count / 200) for count in (3, 2))
        [answer] = dropped(make_forgetting(lost, gained, examples=examples), "old_accuracy_drop<=0.02")
        return answer.met

    assert (drop.met, met(needed), met(round(0.9 * needed))) == ("cannot tell", "yes", "cannot tell")


def test_drop_above_the_ceiling_is_not_told_to_wait_for_more() -> None:
    """More of the same would not show it."""
    [drop] = dropped(make_forgetting(50, 8), "old_accuracy_drop<=0.02")

    assert (drop.met, drop.more_needed) == ("cannot tell", "")
    assert "more examples alone would not show it" in drop.sentence


def test_old_task_that_was_not_measured_cannot_be_told() -> None:
    """Never taken for 0: neither met nor missed, with the option that would measure it."""
    [drop] = dropped(None, "old_accuracy_drop<=0.02")

    assert (drop.met, drop.value, drop.bound) == ("cannot tell", None, None)
    assert "the old task was not measured" in drop.sentence and "--old-data" in drop.sentence


def test_predictions_alone_say_nothing_of_an_old_task() -> None:
    """`frostline check` refuses the demand in a sentence."""
    with pytest.raises(FloorError, match="predictions alone say nothing") as refused:
        held(85, 15, 10, 90, "old_accuracy_drop<=0.02")

    assert "--old-data" in str(refused.value)


def test_ceiling_and_floors_share_one_level() -> None:
    """Holm over both kinds: beside a floor that fails, a ceiling met by a hair alone is met no more."""
    hair = make_forgetting(39, 8)
    just = f"old_accuracy_drop<={drop_bounds(hair).upper(0.95) + 1e-6:.6f}"
    alone, *_ = dropped(hair, just)
    beside, *_ = dropped(hair, just, "recall>=0.97")

    assert (alone.met, beside.met) == ("yes", "cannot tell")
    assert alone.bound is not None and beside.bound is not None and beside.bound > alone.bound


@given(lost=st.integers(0, 200), gained=st.integers(0, 200), confidence=st.floats(0.5, 0.999))
def test_bounds_of_the_drop_lie_around_it_and_widen(lost: int, gained: int, confidence: float) -> None:
    """Law: two one-sided bounds at 97.5 % are the displayed interval, and more confidence is never nearer."""
    found = make_forgetting(lost, gained)
    bounds = drop_bounds(found)

    assert (bounds.lower(0.975), bounds.upper(0.975)) == pytest.approx((found.drop.low, found.drop.high))
    assert bounds.upper(confidence) <= bounds.upper(0.9995)
    assert bounds.lower(confidence) >= bounds.lower(0.9995)


# ---------------------------------------------------------------- test labels read several times


def test_reading_the_test_labels_again_tightens_every_floor() -> None:
    """At half of the level the bounds are those of 97.5 %, and each sentence says so and why."""
    once = dropped(make_forgetting(), "recall>=0.8", "old_accuracy_drop<=0.02")
    twice = dropped(make_forgetting(), "recall>=0.8", "old_accuracy_drop<=0.02", level=LEVEL / 2)
    said = "at the tightened level of 2.5 %, because the test labels were read 2 times."

    assert all(said in answer.sentence for answer in twice)
    assert not any("tightened" in answer.sentence for answer in once)
    assert once[0].bound is not None and twice[0].bound is not None and twice[0].bound < once[0].bound


def test_a_floor_met_by_a_hair_is_not_met_after_a_second_reading() -> None:
    """183 of 215 shows .80 once; by Bonferroni over two readings it does not."""
    confusion = Confusion(labels=TASK.labels, counts=((183, 32), (10, 90)), positive="spam")
    evidence = Evidence(task=TASK, measures=measure_confusion(confusion, "test"))
    met = [hold_against([parse_floor("recall>=0.8")], evidence, LEVEL / readings)[0].met for readings in (1, 2)]

    assert met == ["yes", "cannot tell"]
