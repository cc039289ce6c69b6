"""The page in a real browser: charts are drawn, nothing complains, nothing planted runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from frostline.core.records import StudyRecord, Verdict
from frostline.report.html import render_html

pytestmark = pytest.mark.browser
Pair = tuple[StudyRecord, Verdict]
# The browser's own chatter about missing system services is no message of the page.
COMPLAINT = re.compile(r"CONSOLE|Content Security Policy|Uncaught", re.IGNORECASE)
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
)


def _open(page: str, folder: Path) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what the page complained about."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "These tests need Chromium on the PATH."
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    command = [browser, *QUIET, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if COMPLAINT.search(line)]


@pytest.mark.parametrize("which", ["clean", "faulty", "replayed", "several_classes", "hostile"])
def test_every_chart_is_drawn_without_a_complaint(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """One drawing for depth and costs, four for curves and contenders; none holds a broken coordinate."""
    document, complaints = _open(render_html(*request.getfixturevalue(which)), tmp_path)
    drawn = dict(re.findall(r'data-chart="(\w+)".*?>((?:<svg.*?</svg>)+)', document, re.DOTALL))

    assert complaints == []
    assert {name: charts.count("<svg") for name, charts in drawn.items()} == {
        "depth": 1,
        "curves": 4,
        "contenders": 4,
        "costs": 1,
    }
    assert "NaN" not in "".join(drawn.values())


def test_a_planted_script_is_refused_and_the_test_would_see_it(clean: Pair, tmp_path: Path) -> None:
    """A script that got into the page does not run, and the browser's complaint about it is noticed."""
    planted = "<script>document.title = 'planted'</script></main>"
    document, complaints = _open(render_html(*clean).replace("</main>", planted), tmp_path)

    assert "<title>planted</title>" not in document
    assert complaints


def test_a_changed_library_is_not_run(clean: Pair, tmp_path: Path) -> None:
    """One changed letter in a script breaks its hash: no chart is drawn, and the tables still stand."""
    document, complaints = _open(render_html(*clean).replace("d3js.org v7", "d3js.org v8", 1), tmp_path)

    assert complaints
    assert "<svg" not in document
    assert "The numbers of this chart" in document
