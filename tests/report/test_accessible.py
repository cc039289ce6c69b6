"""The page by axe-core's rules for WCAG 2.2 A and AA and for good practice, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frostline.core.records import StudyRecord, Verdict
from frostline.report.html import render_html
from report.devtools import Tab, tab
from report.samples import USUAL_RACE, judged, raced
from report.test_browser import QUIET

pytestmark = pytest.mark.browser
Pair = tuple[StudyRecord, Verdict]
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
ASKED = "axe.run().then((all) => all.violations.flatMap((v) => v.nodes.map((n) => [v.id, v.impact, n.html])))"
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("browser"), QUIET) as opened:
        yield opened


def _findings(browser: Tab, page: str, folder: Path, *, dark: bool) -> list[tuple[str, str]]:
    """Rule and element of each serious or critical finding, with everything that folds opened."""
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    browser.open(file, dark=dark)
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.run(AXE)
    answer: dict[str, Any] = browser.ask(
        "Runtime.evaluate",
        expression=ASKED,
        awaitPromise=True,
        returnByValue=True,
    )
    assert "exceptionDetails" not in answer, answer
    return [(rule, html) for rule, impact, html in answer["result"]["value"] if impact in SERIOUS]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("which", ["clean", "faulty", "several_classes", "replayed"])
def test_the_page_has_no_serious_finding(
    which: str, dark: bool, browser: Tab, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Names, roles, contrast, headings and regions: nothing serious or critical, folded parts included."""
    assert _findings(browser, render_html(*request.getfixturevalue(which)), tmp_path, dark=dark) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_of_a_race_has_no_serious_finding(dark: bool, browser: Tab, tmp_path: Path) -> None:
    """The same with the picture of a race, which has a slider of its own."""
    assert _findings(browser, render_html(*judged(raced(USUAL_RACE))), tmp_path, dark=dark) == []


def test_a_planted_fault_is_found(browser: Tab, clean: Pair, tmp_path: Path) -> None:
    """A list without its label and words too pale to read are named, each by its rule."""
    page = (
        render_html(*clean)
        .replace('<label for="candidate">', "<label>", 1)
        .replace("--muted: #566472", "--muted: #c9ced3", 1)
    )
    rules = {rule for rule, _ in _findings(browser, page, tmp_path, dark=False)}

    assert {"select-name", "color-contrast"} <= rules


def test_the_focus_is_seen_on_everything_that_takes_it(browser: Tab, clean: Pair, tmp_path: Path) -> None:
    """Tab reaches the slider and the list, and wherever it stops the element has an outline."""
    file = tmp_path / "report.html"
    file.write_text(render_html(*clean), encoding="utf-8")
    browser.open(file)
    where = (
        "(() => { const e = document.activeElement, s = getComputedStyle(e);"
        "return [e.id, e.tagName, s.outlineStyle, parseFloat(s.outlineWidth)]; })()"
    )
    seen = []
    for _ in range(80):
        browser.ask("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        browser.ask("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        seen.append(browser.run(where))
        if seen[-1][1] == "BODY":
            break

    stops = [stop for stop in seen if stop[1] != "BODY"]
    assert {"threshold", "candidate"} <= {id for id, *_ in stops}
    assert [stop for stop in stops if stop[2] == "none" or stop[3] < 2] == []
