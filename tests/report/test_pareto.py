"""Claims about the picture of both tasks: who stands on the front, and that picture, table and words agree."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import make_forgetting, make_study
from frostline.core.records import Estimate
from frostline.report.html import render_html
from frostline.report.pareto_view import Both, networks_on_both, pareto_figure, pareto_front
from report.devtools import Tab, tab
from report.samples import judged
from report.test_browser import QUIET
from report.test_dial import dialled

WRITTEN = (
    "[...document.querySelectorAll('[data-chart=pareto] .names text')].map((name) => { const b ="
    " name.getBoundingClientRect(); return [name.textContent, b.left, b.right, b.top, b.bottom]; })"
)


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("browser"), QUIET) as opened:
        yield opened


def _covered(browser: Tab) -> list[set[str]]:
    """Pairs of names of which one stands on the other, by more than the air of a line."""
    return [
        {one[0], other[0]}
        for one, other in combinations(browser.run(WRITTEN), 2)
        if min(one[2], other[2]) - max(one[1], other[1]) > 2 and min(one[4], other[4]) - max(one[3], other[3]) > 4
    ]


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_no_name_stands_on_another_or_leaves_the_page(browser: Tab, width: int, tmp_path: Path) -> None:
    """Seven networks, two of them close together: the chosen one is always named, and names on one heap are noticed."""
    forgotten = {"depth-4": make_forgetting(150, 18), "full": make_forgetting(430, 50)}
    study, file = dialled().model_copy(update={"forgetting": forgotten}), tmp_path / "report.html"
    file.write_text(render_html(*judged(study)), encoding="utf-8")
    browser.open(file, width=width)
    names = browser.run(WRITTEN)

    assert "depth-4" in {name for name, *_ in names} and len(names) >= 4
    assert _covered(browser) == []
    assert all(left >= 0 and right <= width for _, left, right, *_ in names)
    browser.run(
        "document.querySelectorAll('[data-chart=pareto] .names text').forEach((name) => { name.setAttribute('y', 99);"
        "name.setAttribute('x', 99); })"
    )
    assert len(_covered(browser)) == len(list(combinations(names, 2)))
