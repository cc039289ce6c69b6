"""The race as a picture: its data, its words and its table say what the record says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.core.records import StudyRecord
from frostline.report.parts import Figure
from frostline.report.race_view import LABELS, race_figure, race_sentence, race_table
from report.samples import ALONE, CLOSE_RACE, HUNDRED, LOST, NO_ROOM, USUAL_RACE, WIDE, Decision, raced


def _drawn(study: StudyRecord) -> Figure:
    figure = race_figure(study)
    assert figure is not None
    return figure


def _data(study: StudyRecord) -> dict[str, Any]:
    """As the page reads it; a number that is not finite would not pass."""
    data: dict[str, Any] = json.loads(json.dumps(dict(_drawn(study).data), allow_nan=False))
    return data


@pytest.mark.parametrize("decisions", [USUAL_RACE, CLOSE_RACE, HUNDRED, ALONE, WIDE])
def test_every_decision_about_a_trained_candidate_is_a_point(decisions: tuple[Decision, ...]) -> None:
    """Candidate, updates, loss and decision stand in the picture as in the record, in its order."""
    points = _data(raced(decisions))["points"]
    recorded = [(d[0], d[2], d[3], d[4]) for d in decisions if d[4] != "skipped"]

    assert [(p["candidate"], p["updates"], p["loss"], p["decision"]) for p in points] == recorded


def test_the_table_of_the_picture_has_every_decision() -> None:
    """The table holds also what is not drawn: who was skipped, and why."""
    study = raced(USUAL_RACE)
    table = _drawn(study).table

    assert table == race_table(study)
    assert [(row.cells[1], row.cells[4], row.cells[5]) for row in table.rows] == [
        (d[0], d[4], d[5]) for d in USUAL_RACE
    ]
    assert {row.cells[0] for row in table.rows if row.cells[4] == "skipped"} == {"not begun"}


def test_rungs_stand_where_candidates_were_compared() -> None:
    """Two rungs; the trial of learning rates ends where the first of them does."""
    assert _data(raced(USUAL_RACE))["rungs"] == [{"updates": 75, "rungs": [0, 1]}, {"updates": 150, "rungs": [2]}]


def test_trials_of_one_plan_are_one_group() -> None:
    """Each trial knows its plan, its label gives its rate, and a later decision about it is no trial."""
    data = _data(raced(USUAL_RACE))
    trials = [number for number, point in enumerate(data["points"]) if point["trial"]]

    assert [data["points"][number]["trial"] for number in trials] == ["depth-6"] * 3
    assert {label["text"] for label in data["labels"] if label["point"] in trials} == {
        "@1.7e-05",
        "@5.0e-05",
        "@1.5e-04",
    }
    assert "depth-6@1.5e-04" in {label["text"] for label in data["labels"]}


@pytest.mark.parametrize(
    ("chosen", "accented", "said"),
    [
        ("depth-4", "depth-4", ""),
        ("depth-4@wise-0.75", "depth-4", "The chosen depth-4@wise-0.75 comes from the weights of depth-4."),
        ("depth-6@rewound", "depth-4", "The chosen depth-6@rewound comes from the weights of depth-4."),
        ("probe-3", "", "The chosen probe-3 took no part in it."),
    ],
)
def test_the_accent_is_on_the_weights_that_were_taken(chosen: str, accented: str, said: str) -> None:
    """On the chosen candidate, on the run it comes from, or on nobody; the words say which."""
    figure = _drawn(raced(USUAL_RACE, chosen))
    points = _data(raced(USUAL_RACE, chosen))["points"]

    assert {point["candidate"] for point in points if point["chosen"]} == {accented} - {""}
    assert said in figure.alt


def test_blocks_that_were_put_back_are_told_and_not_drawn() -> None:
    """They are rows of the table and a sentence; nobody trained them, so they are no points, nor counted as raced."""
    worse = ("depth-6@rewound", None, 300, 0.0401, "pruned", "its loss is 0.0099 ± 0.0012 above that of depth-4")
    good = ("depth-5@rewound", None, 300, 0.0300, "kept", "its loss is 0.0002 ± 0.0012 below that of depth-4")
    figure, without = _drawn(raced((*USUAL_RACE, worse, good))), _drawn(raced(USUAL_RACE))

    assert figure.data == without.data
    assert [row.cells[0] for row in figure.table.rows[-2:]] == ["put back", "put back"]
    assert "depth-6@rewound is worse, depth-5@rewound is as good." in figure.alt
    assert figure.alt.startswith(without.alt.partition(" Skipped")[0])


def test_the_words_tell_the_story() -> None:
    """Who raced, who was given up where, who was finished after how many updates, who was skipped and why."""
    assert _drawn(raced(USUAL_RACE)).alt == (
        "Of 9 candidates, 5 were pruned (2 in the learning-rate trial, 2 at rung 1, 1 at rung 2), 1 failed and 2 were "
        "skipped; depth-4 was finished after 300 updates with a loss of 0.0302 on the select split. Skipped: full and "
        f"norms, each because {NO_ROOM}."
    )


_ENDS = st.sampled_from(["pruned", "failed", "skipped", "kept", "finished"])


@given(ends=st.lists(_ENDS, min_size=2, max_size=30).filter(lambda ends: set(ends) != {"skipped"}))
def test_the_words_count_every_candidate_once(ends: list[str]) -> None:
    """Whatever became of them, the numbers in the sentence add up to all candidates."""
    decisions = [
        (f"depth-{n}", 1 if end in ("pruned", "kept") else None, 10, 0.5, end, "why") for n, end in enumerate(ends)
    ]
    alt = _drawn(raced(decisions, "depth-0")).alt
    counted = [
        int(n)
        for n in re.findall(r"(\d+) (?:was pruned|were pruned|failed|was skipped|were skipped|was kept|were kept)", alt)
    ]

    assert sum(counted) + alt.count("was finished after") == len(ends) == int(re.findall(r"(\d+) candidates", alt)[0])


def test_who_was_skipped_first_and_trained_later_was_not_skipped() -> None:
    """What became of a candidate is the last that was decided about its training."""
    early: Decision = ("depth-4", None, 0, None, "skipped", NO_ROOM)

    assert "kipped" not in _drawn(raced([early, *ALONE])).alt
    assert "kipped" in _drawn(raced([("full", *early[1:]), *ALONE])).alt


def test_many_skipped_are_not_all_listed() -> None:
    """The sentence stays a sentence; the table has all names."""
    skipped: list[Decision] = [(f"norms-{n}", None, 0, None, "skipped", NO_ROOM) for n in range(90)]
    figure = _drawn(raced([*skipped, *ALONE]))

    assert "norms-10 and 79 more, each because" in figure.alt and "norms-11" not in figure.alt
    assert len(figure.table.rows) == 92


def test_without_a_race_there_is_no_picture() -> None:
    """Every candidate trained to its end: nothing to draw. All skipped: a table, no picture."""
    skipped: Decision = ("full", None, 0, None, "skipped", NO_ROOM)

    assert race_figure(raced([])) is None and race_table(raced([])) is None
    assert race_figure(raced([skipped])) is None and race_table(raced([skipped])) is not None


def test_a_race_of_one_reads_as_one() -> None:
    """No comparison is claimed where there was none."""
    assert _drawn(raced(ALONE)).alt == (
        "One candidate raced; depth-4 was finished after 100 updates with a loss of 0.3000 on the select split."
    )


def test_without_any_finite_loss_nothing_is_invented() -> None:
    """Missing and infinite losses stay undefined, in the data and in words."""
    study = raced(LOST)
    data = _data(study)

    assert [point["loss"] for point in data["points"]] == [None] * 3
    assert not data["logarithmic"]
    assert "without a finite loss" in _drawn(study).alt
    assert all("no finite loss" in point["tip"] for point in data["points"])


def test_of_a_hundred_candidates_few_are_named_and_the_chosen_is_among_them() -> None:
    """Names beyond a dozen would hide what they name."""
    data = _data(raced(HUNDRED))

    assert len(data["labels"]) == LABELS
    assert data["labels"][0]["text"] == "depth-4"


def test_no_candidate_is_named_twice_on_its_line() -> None:
    """A label stands at the end of a line, not at each of its points."""
    texts = [label["text"] for label in _data(raced(USUAL_RACE))["labels"]]

    assert len(texts) == len(set(texts))


@pytest.mark.parametrize(("decisions", "logarithmic"), [(WIDE, True), (USUAL_RACE, False), (HUNDRED, False)])
def test_the_scale_is_logarithmic_only_for_a_wide_spread(decisions: tuple[Decision, ...], logarithmic: bool) -> None:
    """Equal steps are equal factors where one loss is far above another, and only there."""
    assert _data(raced(decisions))["logarithmic"] is logarithmic


def test_a_loss_of_zero_forbids_a_logarithm() -> None:
    """A loss of zero has no place on a logarithmic scale."""
    zero: Decision = ("depth-4", None, 100, 0.0, "finished", "")

    assert _data(raced([*WIDE[:-1], zero]))["logarithmic"] is False


def test_the_tip_gives_place_loss_and_reason() -> None:
    """Decision, rung, updates, loss and reason, each from the record."""
    points = {(p["candidate"], p["updates"]): p["tip"] for p in _data(raced(USUAL_RACE))["points"]}

    assert points["depth-7", 75] == [
        "pruned: rung 1, after 75 updates",
        "loss 0.1122 on the select split",
        USUAL_RACE[9][5],
    ]
    assert points["depth-2", 75][:2] == ["failed: after 75 updates", "no finite loss"]
    assert points["depth-6@1.7e-05", 75][0] == "pruned: learning-rate trial, after 75 updates"


def test_the_sentence_counts_who_was_begun_and_finished() -> None:
    """Skipped candidates were not begun; two that were finished are two."""
    assert "Candidates begun: 7; finished: 1." in race_sentence(raced(USUAL_RACE))
    assert "Candidates begun: 7; finished: 2." in race_sentence(raced(CLOSE_RACE))
    assert race_sentence(raced([])) == ""
