"""The largest report there is meant to be (a hundred candidates, thirty epochs, a hundred classes) obeys its reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from frostline.core.records import StudyRecord, Verdict
from frostline.report.html import render_html
from report.devtools import Tab, tab
from report.large import large_study, large_study_of_two
from report.looking import LAYOUT, VIEWS
from report.test_browser import QUIET

pytestmark = pytest.mark.browser
Pair = tuple[StudyRecord, Verdict]
CHOICE = "document.querySelector('#candidate')"
DRAWN = "document.querySelector('[data-live=candidates] .chart').innerHTML"
COMMONEST = (
    "[...document.querySelector('[data-live=candidates] table').tBodies[0].rows]"
    ".map((row) => [...row.cells].map((cell) => cell.textContent))"
)
SLIDER, READING = "document.querySelector('#threshold')", "document.querySelector('output').textContent"
TIPS = "[...document.querySelectorAll('[aria-label=tip]')].map((tip) => tip.textContent).join('')"


@pytest.fixture(scope="module")
def study() -> Pair:
    return large_study()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("browser"), QUIET) as opened:
        yield opened


@pytest.fixture
def page(browser: Tab, study: Pair, tmp_path: Path) -> tuple[Tab, Path]:
    """The page is open."""
    return _open(browser, study, tmp_path)


def _open(browser: Tab, study: Pair, folder: Path) -> tuple[Tab, Path]:
    browser.complaints.clear()
    browser.requests.clear()
    file = folder / "report.html"
    file.write_text(render_html(*study), encoding="utf-8")
    browser.open(file)
    return browser, file


def test_choosing_a_candidate_shows_its_own_curves_and_mistakes(page: tuple[Tab, Path], study: Pair) -> None:
    """By keyboard, down the list and to its end: another drawing, and the commonest mistakes as they were recorded."""
    browser, _ = page
    browser.run(f"{CHOICE}.focus()")
    drawn = {browser.run(DRAWN)}
    for key, number in (("ArrowDown", 1), ("ArrowDown", 2), ("End", 99)):
        browser.press(key)
        name = browser.run(f"{CHOICE}.value")
        assert name == study[0].candidates[number].id
        result = study[0].result(name, "select")
        assert result is not None
        confusion = result.measures.confusion
        counts = {
            (truth, answer): count
            for truth, row in zip(confusion.labels, confusion.counts, strict=True)
            for answer, count in zip(confusion.labels, row, strict=True)
            if truth != answer
        }
        told = [(truth, answer, int(count)) for truth, answer, count in browser.run(COMMONEST)]
        assert [count for *_, count in told] == sorted(counts.values(), reverse=True)[: len(told)]
        assert all(counts[truth, answer] == count for truth, answer, count in told)
        assert told and browser.run(DRAWN) not in drawn
        drawn.add(browser.run(DRAWN))
    assert len(drawn) == 4
    _is_quiet(page)


@pytest.mark.parametrize("chart", ["depth", "curves", "contenders"])
def test_a_point_under_the_pointer_tells_its_values(chart: str, page: tuple[Tab, Path]) -> None:
    """Nothing away from the drawings; at a dot, its values; away again, nothing."""
    browser, _ = page
    browser.point(2, 2)
    assert browser.run(TIPS) == ""
    x, y = browser.run(
        f"(() => {{ const dots = document.querySelectorAll('[data-chart={chart}] [aria-label=dot] circle');"
        "const dot = dots[dots.length - 1]; dot.scrollIntoView({behavior: 'instant', block: 'center'});"
        "const box = dot.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    browser.point(x, y)
    assert "%" in browser.run(TIPS) or "epoch" in browser.run(TIPS)
    browser.point(2, 2)
    assert browser.run(TIPS) == ""
    _is_quiet(page)


def test_the_threshold_of_a_study_of_two_classes_obeys(browser: Tab, tmp_path: Path) -> None:
    """As many candidates and epochs; by keyboard to both ends, and the reading, the drawing and the counts follow."""
    page = _open(browser, large_study_of_two(), tmp_path)
    point = "document.querySelector('[data-live=operating] .chart').innerHTML"
    browser.run(f"{SLIDER}.focus()")
    seen = []
    for key in ("Home", "ArrowRight", "End"):
        browser.press(key)
        seen.append((browser.run(READING), browser.run(point), browser.run(f"{SLIDER}.valueAsNumber")))

    assert [at for *_, at in seen] == [0, 1, browser.run(f"Number({SLIDER}.max)")]
    found, missed = (re.search(r"(\d+) found, (\d+) missed", reading) for reading in (seen[0][0], seen[2][0]))
    assert found and found[2] == "0" and missed and int(missed[1]) < int(found[1])
    assert len({drawing for _, drawing, _ in seen}) == len({reading for reading, *_ in seen}) == 3
    _is_quiet(page)


def test_a_hundred_classes_have_no_threshold(page: tuple[Tab, Path]) -> None:
    """A threshold belongs to one positive class, so no slider is shown where there is none."""
    assert page[0].run(SLIDER) is None


def test_nothing_is_laid_out_wrong(page: tuple[Tab, Path]) -> None:
    """On the desk; `test_looks.py` asks the same of smaller pages in every view."""
    browser, _ = page

    assert browser.run(f"({LAYOUT})({VIEWS['light'].width})") == []


def test_a_request_and_an_error_would_be_noticed(page: tuple[Tab, Path]) -> None:
    """A picture from elsewhere that was planted in the page is seen as it is asked for, and so is its refusal."""
    browser, _ = page
    _is_quiet(page)
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x.png\">')")
    browser.wait_for("document.images[0].complete")

    assert "http://127.0.0.1:9/x.png" in browser.requests
    assert "Content Security Policy" in "".join(browser.complaints)


def _is_quiet(page: tuple[Tab, Path]) -> None:
    browser, file = page
    assert browser.complaints == []
    assert {address for address in browser.requests if not address.startswith(("about:", "data:"))} <= {file.as_uri()}
