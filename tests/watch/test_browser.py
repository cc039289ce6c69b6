"""The page in a real browser: it draws what the ledger holds and follows what is added."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import make_study
from frostline.report.write import write_report
from report.devtools import Tab, tab
from report.samples import HOSTILE, judged, renamed
from watch.ledgers import concluded, epoch, finish, serving, trained, working

pytestmark = pytest.mark.browser
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
PATIENCE_S = 15.0


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Tab]:
    with tab(tmp_path / "browser", QUIET) as opened:
        yield opened


def show(page: Tab, address: str) -> None:
    page.ask("Page.navigate", url=address)


def until(page: Tab, script: str, wanted: Any) -> Any:
    """The value of an expression, as soon as it is the wanted one, or the last one when it never is."""
    deadline = time.monotonic() + PATIENCE_S
    while (value := page.run(script)) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return value


DOTS = "document.querySelectorAll('#curves svg circle').length"
STATES = (
    "[...document.querySelectorAll('#runs tr')].map(row => row.cells[0].textContent + ': ' + row.cells[1].textContent)"
)


def test_curves_follow_the_ledger(page: Tab, tmp_path: Path) -> None:
    """Two curves are drawn; an epoch and a conclusion that are added while the page is open appear in it."""
    with working(tmp_path / "study") as ledger, serving(tmp_path / "study") as server:
        trained(ledger, "full-seed-0", 1)
        show(page, server.address)
        assert until(page, DOTS, 4) == 4
        assert page.run("document.querySelectorAll('#curves svg').length") == 2
        assert "NaN" not in page.run("document.querySelector('#curves').innerHTML")
        assert page.run(STATES) == ["full: open"]

        ledger.add_epoch("full-seed-0", epoch(2))
        assert until(page, DOTS, 6) == 6
        ledger.add_run(concluded(make_study(), "full"))
        trained(ledger, "depth-4-seed-0", 0)
        assert until(page, STATES, ["full: finished", "depth-4: open"]) == ["full: finished", "depth-4: open"]
        assert page.complaints == []


def test_a_loss_that_is_not_finite_leaves_a_gap(page: Tab, tmp_path: Path) -> None:
    """The finite points are drawn and nothing complains."""
    with working(tmp_path / "study") as ledger, serving(tmp_path / "study") as server:
        trained(ledger, "full-seed-0", 1)
        ledger.add_epoch("full-seed-0", epoch(2).model_copy(update={"stop_loss": None}))
        show(page, server.address)
        assert until(page, DOTS, 5) == 5
        assert "NaN" not in page.run("document.querySelector('#curves').innerHTML")
        assert page.complaints == []


def test_a_finished_study_leads_to_its_report(page: Tab, tmp_path: Path) -> None:
    """Verdict and link are shown; the report behind the link draws its charts under its own policy."""
    record, verdict = judged(make_study())
    finish(tmp_path / "study", record)
    write_report(record, verdict, tmp_path / "study")
    with serving(tmp_path / "study") as server:
        show(page, server.address)
        assert until(page, "document.getElementById('verdict-name')?.textContent", "READY") == "READY"
        assert page.run("document.querySelector('#report').hidden") is False
        page.run("document.querySelector('#report a').click()")
        assert until(page, "document.querySelectorAll('[data-chart=curves] svg').length", 4) == 4
        assert page.complaints == []


def test_names_never_become_code(page: Tab, tmp_path: Path) -> None:
    """Labels and plans that hold markup are shown as text, and nothing of them runs."""
    finish(tmp_path / "study", renamed(make_study(), spam=HOSTILE, embeddings=HOSTILE))
    with serving(tmp_path / "study") as server:
        show(page, server.address)
        until(page, "document.getElementById('judged')?.hidden", False)
        assert HOSTILE in page.run("document.querySelector('main').textContent")
        assert page.run("document.querySelectorAll('img').length") == 0
        assert page.complaints == []


def test_a_server_that_ended_is_named(page: Tab, tmp_path: Path) -> None:
    """The page says that nobody answers any more."""
    finish(tmp_path / "study", make_study())
    with serving(tmp_path / "study") as server:
        show(page, server.address)
        until(page, "document.getElementById('judged')?.hidden", False)
    told = "document.getElementById('problem').hidden"
    assert until(page, told, False) is False
    assert re.search("no longer running", page.run("document.getElementById('problem').textContent"))
