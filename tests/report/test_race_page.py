"""The picture of the race on the page: drawn, legible at every width, reached by keyboard and pointer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from frostline.core.records import StudyRecord, Verdict
from frostline.report.html import render_html
from report.devtools import Tab, tab
from report.samples import ALONE, CLOSE_RACE, HOSTILE, HUNDRED, LOST, USUAL_RACE, WIDE, Decision, judged, raced
from report.test_browser import QUIET

pytestmark = pytest.mark.browser
Pair = tuple[StudyRecord, Verdict]
RACES = {"usual": USUAL_RACE, "close": CLOSE_RACE, "hundred": HUNDRED, "lost": LOST, "alone": ALONE, "wide": WIDE}
CHART = "[data-chart=race]"
FRAME = f"document.querySelector('{CHART}').getBoundingClientRect()"
BOXES = f"""[...document.querySelectorAll('{CHART} .names text')].map((text) => {{
  const box = text.getBoundingClientRect();
  return [text.textContent, box.left, box.top, box.right, box.bottom];
}})"""
TIP = "(() => { const tip = document.querySelector('.tip'); return tip.hidden ? null : tip.innerText.split('\\n'); })()"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("browser"), QUIET) as opened:
        yield opened


@pytest.fixture
def show(browser: Tab, tmp_path: Path) -> Tab:
    """The usual race, in a window of 1280 pixels."""
    _open(browser, USUAL_RACE, tmp_path)
    return browser


def _open(browser: Tab, decisions: tuple[Decision, ...], folder: Path, **window: int) -> None:
    browser.complaints.clear()
    file = folder / "report.html"
    file.write_text(render_html(*judged(raced(decisions))), encoding="utf-8")
    browser.open(file, **window)
    browser.run(f"document.querySelector('{CHART}').scrollIntoView({{behavior: 'instant', block: 'center'}})")


def test_each_decision_has_its_mark_and_each_candidate_its_line(show: Tab) -> None:
    """Four kept, five pruned, one failed, one finished with its ring; a line for each of the six with a loss."""
    groups = show.run(
        f"[...document.querySelectorAll('{CHART} [aria-label=dot]')].map((group) => group.children.length)"
    )
    lines = show.run(f"document.querySelectorAll('{CHART} [aria-label=line] path').length")

    assert groups == [4, 5, 1, 1, 1]
    assert lines == len({d[0] for d in USUAL_RACE if d[3] is not None}) == 6
    assert show.complaints == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("which", RACES)
def test_names_lie_inside_the_picture_and_apart(which: str, width: int, browser: Tab, tmp_path: Path) -> None:
    """No name is cut off or stands on another, the page does not scroll sideways, and nothing complains."""
    _open(browser, RACES[which], tmp_path, width=width)
    boxes = browser.run(BOXES)
    left, right = browser.run(f"(({{left, right}}) => [left, right])({FRAME})")

    assert "depth-4" in [text for text, *_ in boxes]
    assert all(left - 1 <= box[1] and box[3] <= right + 1 for box in boxes)
    # Boxes of a line are higher than its letters.
    touching = [
        (one[0], other[0])
        for one, other in combinations(boxes, 2)
        if one[1] < other[3] and other[1] < one[3] and one[2] < other[4] - 3 and other[2] < one[4] - 3
    ]
    assert touching == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert "NaN" not in browser.run(f"document.querySelector('{CHART}').innerHTML")
    assert browser.complaints == []


def test_the_keyboard_walks_along_every_decision(show: Tab) -> None:
    """On focus a tip gives the first decision; arrows lead to each of the others; Escape closes it."""
    assert show.run(TIP) is None
    show.run("document.querySelector('.walk').focus()")
    seen = [show.run(TIP)]
    drawn = [d for d in USUAL_RACE if d[4] != "skipped"]
    for _ in drawn[1:]:
        show.press("ArrowRight")
        seen.append(show.run(TIP))

    assert [(tip[0], tip[1].partition(":")[0], tip[3]) for tip in seen] == [(d[0], d[4], d[5]) for d in drawn]
    spoken = show.run("document.querySelector('.walk').getAttribute('aria-valuetext')")
    assert spoken == "; ".join(seen[-1])
    assert show.run(f"document.querySelectorAll('{CHART} .focus').length") == 1
    show.press("Home")
    assert show.run(TIP) == seen[0]
    show.press("Escape")
    assert show.run(TIP) is None


def test_the_pointer_finds_the_nearest_decision(show: Tab) -> None:
    """Beside the winner's ring the tip is the winner's; away from the picture there is none."""
    ring = show.run(
        f"(() => {{ const all = document.querySelectorAll('{CHART} [aria-label=dot]');"
        "const box = all[all.length - 1].getBoundingClientRect(); return [box.left, box.top]; })()"
    )
    show.point(ring[0] - 6, ring[1] - 4)
    tip = show.run(TIP)
    show.point(2, 2)

    assert tip[:2] == ["depth-4", "finished: after 300 updates"]
    assert show.run(TIP) is None


def test_a_hostile_reason_stays_text(browser: Tab, tmp_path: Path) -> None:
    """A name and a reason that are markup are shown as they are, and nothing in them runs."""
    hostile: Decision = (HOSTILE, 1, 25, 0.5, "pruned", HOSTILE)
    _open(browser, (hostile, *ALONE), tmp_path)
    browser.run("document.querySelector('.walk').focus()")

    assert browser.run(TIP)[0] == HOSTILE
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.complaints == []


def test_without_a_race_the_page_has_no_picture_of_one(browser: Tab, clean: Pair, tmp_path: Path) -> None:
    """Where every candidate was trained to its end, the part on the race is missing as a whole."""
    file = tmp_path / "report.html"
    file.write_text(render_html(*clean), encoding="utf-8")
    browser.open(file)

    assert browser.run(f"document.querySelectorAll('{CHART}, .walk').length") == 0
    assert browser.run("document.querySelectorAll('[data-chart] svg').length") == 10
