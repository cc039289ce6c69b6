"""Every page looks as it did, in light, in dark, on a phone and on paper, and nothing on it is laid out wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from frostline.report.html import render_html
from report.devtools import Tab, tab
from report.large import large_study
from report.looking import LAYOUT, VIEWS, View, differences, kept, look, looks, photograph
from report.pages import PAGES, shown, written
from report.test_browser import QUIET

pytestmark = pytest.mark.browser
LIGHT, DARK, PHONE = VIEWS["light"], VIEWS["dark"], VIEWS["phone"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("browser"), QUIET) as opened:
        yield opened


def _changed(browser: Tab, page: str, view: str) -> list[str]:
    """In what the page that is open looks other than that page in that view is to look."""
    like = kept(page)[view]
    return differences(like, looks(browser, photograph(browser), like))


def _open(browser: Tab, page: str, folder: Path, view: View) -> None:
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    view.open(browser, file)


def _wrong(browser: Tab, view: View) -> list[str]:
    found: list[str] = browser.run(f"({LAYOUT})({view.width})")
    return found


def _styled(rule: str) -> str:
    """The report with one more rule at the end of its style sheet."""
    return written("report").replace("</style>", f"{rule}</style>", 1)


def _without_a_figure() -> str:
    page = written("report")
    begins = page.index("<figure>", page.index('id="depth"'))
    return page[:begins] + page[page.index("</figure>", begins) + len("</figure>") :]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_looks_as_it_did_and_is_laid_out_well(page: str, view: str, browser: Tab, tmp_path: Path) -> None:
    """Nothing is missing, empty or in other colours; nothing is too wide, without a size, or over other text.

    If it is meant to look otherwise: `make looks`, look at the pictures, and commit what changed.
    """
    browser.complaints.clear()
    with shown(page, browser, VIEWS[view], tmp_path / "shown"):
        assert _wrong(browser, VIEWS[view]) == []
        assert _changed(browser, page, view) == []
    assert browser.complaints == []


def test_nothing_that_can_be_moved_is_printed(browser: Tab, tmp_path: Path) -> None:
    """Slider, list and the links between parts are on the screen and not on paper."""
    shown_there = "[...document.querySelectorAll('input, select, nav')].filter((one) => one.checkVisibility()).length"
    _open(browser, written("report"), tmp_path, LIGHT)
    on_screen = browser.run(shown_there)
    browser.print_at(VIEWS["print"].width)

    assert on_screen == 3 and browser.run(shown_there) == 0


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("classes", [12, 13])
def test_many_classes_fit_every_view(classes: int, view: str, browser: Tab, tmp_path: Path) -> None:
    """A matrix that is too wide scrolls by itself; on paper it is narrow, or named where it is not."""
    _open(browser, render_html(*large_study(candidates=4, classes=classes)), tmp_path, VIEWS[view])

    assert _wrong(browser, VIEWS[view]) == []
    told = browser.run("[...document.querySelectorAll('.on-paper')].some((note) => note.checkVisibility())")
    assert told == (view == "print" and classes == 13)


@pytest.mark.parametrize("rule", ["* { letter-spacing: .15px; }", "* { letter-spacing: -.15px; }"])
@pytest.mark.parametrize("view", VIEWS)
def test_letters_of_another_width_are_no_change(rule: str, view: str, browser: Tab, tmp_path: Path) -> None:
    """What another hinting does, and more: lines break elsewhere, and every part still looks as it did."""
    _open(browser, _styled(rule), tmp_path, VIEWS[view])

    assert _changed(browser, "report", view) == []


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("a figure is gone", "chart depth is missing."),
        ("a drawing is empty", "chart depth has lost 100% of what stood in one place."),
        ("a table is empty", r"mistakes has lost \d+% of what stood in one place."),
        ("no style sheet", r"verdict is (lighter|darker|\d+ pixels high)"),
    ],
)
def test_a_planted_fault_is_seen(fault: str, told: str, view: str, browser: Tab, tmp_path: Path) -> None:
    """What is missing, empty or bare is told of by the part that it is in."""
    page = {
        "a figure is gone": _without_a_figure(),
        "a drawing is empty": _styled("[data-chart=depth] svg { visibility: hidden; }"),
        "a table is empty": _styled("#mistakes .scroll:nth-of-type(2) { visibility: hidden; }"),
        "no style sheet": re.sub(r"<style>.*?</style>", "", written("report"), count=1, flags=re.DOTALL),
    }[fault]
    _open(browser, page, tmp_path, VIEWS[view])
    changed = _changed(browser, "report", view)

    assert [sentence for sentence in changed if re.match(told, sentence)], changed


def test_a_dark_page_that_stays_light_is_seen(browser: Tab, tmp_path: Path) -> None:
    """Every part of it is lighter than it is to be, and every part of a light page that is dark is darker."""
    _open(browser, written("report"), tmp_path, LIGHT)
    stayed_light = _changed(browser, "report", "dark")
    _open(browser, written("report"), tmp_path, DARK)
    turned_dark = _changed(browser, "report", "light")

    for changed in (stayed_light, turned_dark):
        assert {s.partition(" is lighter or darker")[0] for s in changed if "lighter or darker" in s} == set(
            kept("report")["light"]
        )


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("#depth figure { width: 1600px; }", "The page is"),
        ("#depth p { font-size: 0; }", 'Text without a size: "If the curve stays flat'),
        ("#depth p { height: 0; }", "Text over text: "),
        ("#plan { transform: translateX(80vw); }", "Text beyond the right edge: "),
    ],
)
@pytest.mark.parametrize("view", VIEWS)
def test_a_planted_fault_of_the_layout_is_told(rule: str, told: str, view: str, browser: Tab, tmp_path: Path) -> None:
    """What is too wide, without a size or over other text is quoted."""
    _open(browser, _styled(rule), tmp_path, VIEWS[view])

    assert [sentence for sentence in _wrong(browser, VIEWS[view]) if sentence.startswith(told)]


def test_a_look_tells_how_light_and_how_full_a_part_is() -> None:
    """Of a white part whose lower half has black stripes: its ground is white, a third of each patch there is ink."""
    part = np.full((240, 240), 255, dtype=np.uint8)
    part[120::3] = 0
    seen = look(part)

    assert seen.light_RC.tolist() == [[255, 255], [170, 170]]
    assert seen.ink_RC.tolist() == [[0, 0], [85, 85]]
    assert look(part, like=look(part[:, :120])).light_RC.tolist() == [[255], [170]]
