"""What a reader can move on the page: threshold, candidate, pointer; by keyboard, in time, inert to hostile names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import make_forgetting, make_study
from frostline.core.records import StudyRecord, Verdict
from frostline.report.html import render_html
from report.devtools import Tab, tab
from report.large import large_study
from report.samples import HOSTILE, judged
from report.test_browser import QUIET

pytestmark = pytest.mark.browser
Pair = tuple[StudyRecord, Verdict]
OUTPUT = "document.querySelector('output').textContent"
MATRIX = (
    "[...document.querySelectorAll('[data-live=candidates] tbody tr')]"
    ".map((row) => [...row.cells].map((cell) => cell.textContent))"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("browser"), QUIET) as opened:
        yield opened


def _open(browser: Tab, pair: Pair, folder: Path, **window: int) -> None:
    browser.complaints.clear()
    file = folder / "report.html"
    file.write_text(render_html(*pair), encoding="utf-8")
    browser.open(file, **window)


def _choose(browser: Tab, number: int) -> None:
    browser.run(
        f"(() => {{ const s = document.querySelector('#candidate'); s.selectedIndex = {number};"
        "s.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def test_the_slider_begins_at_the_current_threshold_and_obeys_the_keyboard(
    browser: Tab, clean: Pair, tmp_path: Path
) -> None:
    """At first the counts of the select split; one step up finds no more; End leaves one answer or few."""
    _open(browser, clean, tmp_path)
    first = browser.run(OUTPUT)
    browser.run("document.querySelector('#threshold').focus()")
    browser.press("ArrowRight")
    second = browser.run(OUTPUT)
    browser.press("End")
    last = browser.run(OUTPUT)
    found = [int(re.search(r"(\d+) found", text)[1]) for text in (first, second, last)]  # type: ignore[index]

    assert "282 found, 18 missed. " in first and "10 false alarms, 710 rightly left alone. " in first
    assert "The current threshold, 0.5, gives these answers" in first and "current" not in second + last
    assert "Recall 94.0\N{NO-BREAK SPACE}%" in first and "F1 95.3\N{NO-BREAK SPACE}%" in first
    assert 282 >= found[1] >= found[2] and found[2] < 10
    assert browser.run("document.querySelector('#threshold').getAttribute('aria-valuetext')") in last
    assert browser.complaints == []


def test_the_point_on_the_curve_moves_and_the_ring_of_the_current_threshold_stays(
    browser: Tab, clean: Pair, tmp_path: Path
) -> None:
    """Both stand on one spot at first; after Home the dot is elsewhere."""
    spots = (
        "[...document.querySelectorAll('[data-live=operating] [aria-label=dot] circle')]"
        ".map((c) => [c.cx.baseVal.value, c.cy.baseVal.value])"
    )
    _open(browser, clean, tmp_path)
    ring, dot = browser.run(spots)
    browser.run("document.querySelector('#threshold').focus()")
    browser.press("Home")
    still, moved = browser.run(spots)

    assert ring == dot == still
    assert moved[0] > ring[0] + 5 and moved[1] > ring[1] + 50


def test_another_candidate_shows_its_own_matrix_and_curves_beside_the_chosen(
    browser: Tab, clean: Pair, tmp_path: Path
) -> None:
    """For each in the list: the recorded counts, four drawings with both names, no complaint."""
    study = clean[0]
    _open(browser, clean, tmp_path)
    names = browser.run("[...document.querySelectorAll('#candidate option')].map((o) => o.textContent.split(',')[0])")
    assert len(names) == len(study.runs)
    for number, name in enumerate(names):
        _choose(browser, number)
        recorded = study.result(name, "select")
        assert recorded is not None
        assert [[int(cell) for cell in row[1:-1]] for row in browser.run(MATRIX)] == [
            list(row) for row in recorded.measures.confusion.counts
        ]
        drawn = browser.run("document.querySelector('[data-live=candidates] .chart').textContent")
        assert name in drawn and "depth-4, chosen" in drawn
        assert browser.run("document.querySelectorAll('[data-live=candidates] svg').length") == (4 if number else 2)
    assert browser.complaints == []


def test_a_candidate_that_failed_has_no_matrix(browser: Tab, faulty: Pair, tmp_path: Path) -> None:
    """No rows and a sentence, and the drawing holds no broken coordinate."""
    _open(browser, faulty, tmp_path)
    _choose(
        browser,
        browser.run("[...document.querySelectorAll('#candidate option')].findIndex((o) => o.text === 'depth-2')"),
    )

    assert browser.run(MATRIX) == []
    assert "gave no answers" in browser.run("document.querySelector('[data-live=candidates] caption').textContent")
    assert "NaN" not in browser.run("document.querySelector('[data-live=candidates] .chart').innerHTML")


def test_hostile_names_stay_text(browser: Tab, hostile: Pair, tmp_path: Path) -> None:
    """A class that is markup is shown as it is in the reading and in the matrix."""
    _open(browser, hostile, tmp_path)
    _choose(browser, 1)

    assert HOSTILE in browser.run(OUTPUT)
    assert HOSTILE in str(browser.run(MATRIX))
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.complaints == []


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_never_scrolls_sideways(browser: Tab, clean: Pair, tmp_path: Path, width: int) -> None:
    """On a phone and on a desk, with another candidate looked at."""
    _open(browser, clean, tmp_path, width=width)
    _choose(browser, 3)

    assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("chart", "says"),
    [("depth", "F1 "), ("curves", "epoch "), ("contenders", "95 % interval"), ("pareto", "accuracy on the old task")],
)
def test_a_point_under_the_pointer_tells_its_values(browser: Tab, tmp_path: Path, chart: str, says: str) -> None:
    """Nothing before, the values at a dot, and no stop of the keyboard for it."""
    study = make_study(forgetting={name: make_forgetting(lost=n) for n, name in ((10, "depth-4"), (40, "full"))})
    _open(browser, judged(study), tmp_path)
    tip = f"[...document.querySelectorAll('[data-chart={chart}] [aria-label=tip]')].map((t) => t.textContent).join('')"
    x, y = browser.run(
        f"(() => {{ const dots = document.querySelectorAll('[data-chart={chart}] [aria-label=dot] circle');"
        "const dot = dots[dots.length - 1]; dot.scrollIntoView({behavior: 'instant', block: 'center'});"
        "const b = dot.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    before = browser.run(tip)
    browser.point(x, y)

    assert before == "" and says in browser.run(tip)
    assert browser.run("document.querySelectorAll('svg [tabindex], svg[tabindex]').length") == 0
    assert browser.complaints == []


def test_any_of_a_hundred_candidates_can_be_chosen(browser: Tab, tmp_path: Path) -> None:
    """The last one's curves and mistakes are drawn. How long that takes is written in docs/design/0003-charts.md."""
    _open(browser, large_study(), tmp_path)
    _choose(browser, 99)

    assert browser.run("document.querySelectorAll('[data-live=candidates] svg').length") == 4
    assert browser.run("document.querySelector('[data-live=candidates] caption').textContent").startswith(
        "Confusion of plan-99"
    )
