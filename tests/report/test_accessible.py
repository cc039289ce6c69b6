"""The page by axe-core's rules for WCAG 2.2 A and AA and for good practice, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import make_study
from frostline.core.records import StudyRecord, Verdict
from frostline.report.html import render_html
from report.devtools import Tab, tab
from report.large import large_study
from report.looking import VIEWS
from report.pages import FOLLOWED, compared, shown
from report.samples import USUAL_RACE, judged, raced
from report.test_browser import QUIET
from watch.ledgers import concluded, serving, trained, working

pytestmark = pytest.mark.browser
Pair = tuple[StudyRecord, Verdict]
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
ASKED = "axe.run().then((all) => all.violations.flatMap((v) => v.nodes.map((n) => [v.id, v.impact, n.html])))"
SERIOUS = {"serious", "critical"}
# axe leaves out text in drawings and text of one letter, as most counts of a large matrix are.
FAINT = """(() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / (colour.startsWith("color(") ? 1 : 255));
    const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const apart = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const style = getComputedStyle, paper = style(document.body).backgroundColor;
  const drawn = [...document.querySelectorAll("svg text")].filter((text) => text.textContent.trim());
  const counted = [...document.querySelectorAll(".confusion .right, .confusion .wrong")];
  const lines = [...document.querySelectorAll("#curves [aria-label=line] path")];
  const seen = [
    ...drawn.map((text) => [text.textContent, 4.5, style(text).fill, paper]),
    ...counted.map((cell) => [cell.textContent, 4.5, style(cell).color, style(cell).backgroundColor]),
    ...lines.map((line) => ["a line", 3, style(line).stroke, paper]),
  ];
  return [seen.length, seen.filter(([, least, one, other]) => apart(one, other) < least)];
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("browser"), QUIET) as opened:
        yield opened


def _findings(browser: Tab, page: str, folder: Path, *, dark: bool) -> list[tuple[str, str]]:
    """Of a page that is a file."""
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    browser.open(file, dark=dark)
    return _findings_on(browser)


def _findings_on(browser: Tab) -> list[tuple[str, str]]:
    """Rule and element of each serious or critical finding on the page that is open, with all that folds opened."""
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


@pytest.mark.parametrize("view", ["light", "dark"])
@pytest.mark.parametrize("page", ["compare", "compare-many", "watch"])
def test_pages_beside_the_report_have_no_serious_finding(page: str, view: str, browser: Tab, tmp_path: Path) -> None:
    """Studies side by side, as columns and as rows, and a finished study that is followed."""
    with shown(page, browser, VIEWS[view], tmp_path / "shown"):
        assert _findings_on(browser) == []
        assert browser.run(FAINT)[1] == []


@pytest.mark.parametrize("view", ["light", "dark"])
def test_the_page_of_a_running_study_has_no_serious_finding(view: str, browser: Tab, tmp_path: Path) -> None:
    """Before anything is trained, while candidates are trained, and after its server ended; every line can be told."""
    with working(tmp_path / "study") as ledger, serving(tmp_path / "study") as server:
        VIEWS[view].open(browser, server.address, ready="document.querySelector('#facts b') !== null")
        assert _findings_on(browser) == []
        for number in range(12):
            trained(ledger, f"depth-{number}-seed-0", 1)
        ledger.add_run(concluded(make_study(failed=["depth-2"]), "depth-2"))
        browser.wait_for(FOLLOWED)
        assert _findings_on(browser) == []
        lines, faint = browser.run(FAINT)
        assert lines > 24 and faint == []
    browser.wait_for("!document.getElementById('problem').hidden")
    assert _findings_on(browser) == []


@pytest.mark.parametrize("view", ["light", "dark"])
def test_the_largest_page_has_no_serious_finding(view: str, browser: Tab, tmp_path: Path) -> None:
    """A hundred candidates, thirty epochs, a hundred classes: also each of the many counts can be read."""
    assert _findings(browser, render_html(*large_study()), tmp_path, dark=VIEWS[view].dark) == []
    texts, faint = browser.run(FAINT)
    assert texts > 400 and faint == []


def test_a_planted_fault_beside_the_report_is_found(browser: Tab, tmp_path: Path) -> None:
    """A region without a name, and words, counts and lines too pale to be seen."""
    page = compared(2).replace("--muted: #566472", "--muted: #c9ced3", 1).replace('lang="en"', "", 1)
    assert {"color-contrast", "html-has-lang"} <= {rule for rule, _ in _findings(browser, page, tmp_path, dark=False)}

    page = render_html(*large_study(4, 13))
    _findings(browser, page.replace("--ice: #a9d2ee", "--ice: #17222d", 1), tmp_path, dark=False)
    assert browser.run(FAINT)[1]
    with shown("watch", browser, VIEWS["light"], tmp_path / "shown"):
        browser.run("document.querySelectorAll('#curves path').forEach((one) => one.setAttribute('stroke', '#edc949'))")
        assert {text for text, *_ in browser.run(FAINT)[1]} == {"a line"}


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
