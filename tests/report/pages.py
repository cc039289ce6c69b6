"""The pages that are looked at: a report with every part, studies side by side, and a finished study that is followed.

Run as a module it renews what is kept of their looks, and writes what they look like into a folder for people to see.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from builders import make_forgetting, make_study
from frostline.core.records import StudyRecord, Verdict
from frostline.report.compare_view import Judged, compare_studies
from frostline.report.html import render_html, render_page
from frostline.report.write import write_report
from report.devtools import Tab, tab
from report.looking import VIEWS, View, keep, looks, photograph
from report.samples import USUAL_RACE, dialled, judged, parted, raced, with_everything
from report.test_browser import QUIET
from watch.ledgers import finish, serving

PAGES = ("report", "compare", "compare-many", "watch")
FOLLOWED = "document.querySelectorAll('#curves svg').length === 2"
"""Whether the page of `frostline watch` has got its first answer."""


@cache
def written(page: str) -> str:
    """A page that is a file."""
    return render_html(*everything()) if page == "report" else compared(2 if page == "compare" else 6)


def everything() -> tuple[StudyRecord, Verdict]:
    """The report with every part, settings of the dial and parts of the select split among them."""
    study, verdict = with_everything()
    shown = {"dial": dialled().dial, "select_slices": parted().select_slices, "slices_from": parted().slices_from}
    return study.model_copy(update=shown), verdict


def compared(studies: int) -> str:
    """The page of `frostline compare`, of two studies by turns."""
    both = (make_study(forgetting={"depth-4": make_forgetting(lost=40, gained=0)}), make_study(chosen="depth-6"))
    named = [(f"study-{number}", Judged(*judged(both[number % 2]))) for number in range(studies)]
    return render_page("compare.html", view=compare_studies(named))


@contextmanager
def shown(page: str, browser: Tab, view: View, folder: Path) -> Iterator[None]:
    """One of the pages is open."""
    if page == "watch":
        study, verdict = judged(raced(USUAL_RACE))
        if not folder.exists():
            finish(folder, study)
            write_report(study, verdict, folder)
        with serving(folder) as server:
            view.open(browser, server.address, ready=FOLLOWED)
            yield
    else:
        folder.mkdir(exist_ok=True)
        file = folder / "page.html"
        file.write_text(written(page), encoding="utf-8")
        view.open(browser, file)
        yield


def main(out: Path) -> None:
    """Renew the looks of every page in every view, and write what they look like as PNG."""
    out.mkdir(exist_ok=True)
    with TemporaryDirectory() as temporary, tab(Path(temporary), QUIET) as browser:
        for page in PAGES:
            seen = {}
            for name, view in VIEWS.items():
                with shown(page, browser, view, Path(temporary) / page):
                    photo = photograph(browser)
                    seen[name] = looks(browser, photo)
                photo.save(out / f"{page}-{name}.png")
            keep(page, seen)
    sys.stdout.write(f"Look at them: {out}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
