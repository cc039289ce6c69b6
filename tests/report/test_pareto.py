"""Claims about the picture of both tasks: who stands on the front, and that picture, table and words agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import make_forgetting, make_study
from frostline.core.records import Estimate
from frostline.report.pareto_view import Both, networks_on_both, pareto_figure, pareto_front


def both(name: str, new: float, old: float) -> Both:
    return Both(name, Estimate(value=new, low=new, high=new), Estimate(value=old, low=old, high=old))


def test_front_leaves_out_who_is_beaten_on_both() -> None:
    """Better on one task stays, worse on both goes, equals stay together."""
    networks = [both("a", 0.9, 0.5), both("b", 0.8, 0.7), both("beaten", 0.8, 0.6), both("twin", 0.9, 0.5)]

    assert [one.name for one in pareto_front(networks)] == ["b", "a", "twin"]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12))
def test_nobody_on_the_front_is_beaten_and_everybody_else_is(values: list[tuple[float, float]]) -> None:
    """The front is never empty, and who is not on it is beaten by somebody on it."""
    networks = [both(str(number), new, old) for number, (new, old) in enumerate(values)]
    front = pareto_front(networks)

    assert front
    assert not any(one.is_beaten_by(other) for one in front for other in networks)
    assert all(any(one.is_beaten_by(other) for other in front) for one in networks if one not in front)


def test_without_an_old_task_there_is_no_picture() -> None:
    """One network, or none, is no front."""
    assert pareto_figure(make_study()) is None


def test_picture_table_and_words_say_the_same() -> None:
    """Every finalist that was asked for both tasks is a point and a row; those on the front stand in the words."""
    study = make_study(forgetting={"depth-4": make_forgetting(), "full": make_forgetting()})
    figure = pareto_figure(study)

    assert figure is not None
    networks = networks_on_both(study)
    points = figure.data["points"]
    assert isinstance(points, list) and len(points) == len(figure.table.rows) == len(networks) == 2
    assert [row.cells[0] for row in figure.table.rows] == ["depth-4", "full"]
    assert all(one.name in figure.alt for one in pareto_front(networks))
    assert figure.data["before"] == pytest.approx(next(iter(study.forgetting.values())).before.value)
