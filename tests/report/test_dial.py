"""Claims about the picture of the dial: picture, table and words agree, the chosen is marked, nothing is invented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import make_study
from frostline.core.records import StudyRecord
from frostline.report.html import render_html
from frostline.report.old_task_view import dial_figure
from frostline.report.words import estimate_text
from report.devtools import Tab, tab
from report.samples import SHARES, dialled, judged
from report.test_accessible import _findings
from report.test_browser import QUIET, _open

DRAWN = re.compile(r'data-chart="dial".*?>((?:<svg.*?</svg>)+)', re.DOTALL)


def test_without_an_old_task_there_is_no_picture() -> None:
    """Nothing was asked, nothing is drawn, and the page says so by having no such chart."""
    assert dial_figure(make_study()) is None
    assert 'data-chart="dial"' not in render_html(*judged(make_study()))


@pytest.mark.parametrize("chosen", [0.0, 0.75, 1.0])
def test_picture_table_and_words_say_the_same(chosen: float) -> None:
    """Two points and one row for each setting, with the recorded intervals; the chosen one is marked in all three."""
    study = dialled(chosen)
    figure = dial_figure(study)
    assert figure is not None
    points = figure.data["points"]
    assert isinstance(points, list) and len(points) == 2 * len(figure.table.rows) == 2 * len(SHARES)
    for setting, (new, old), row in zip(
        study.dial, zip(points[::2], points[1::2], strict=True), figure.table.rows, strict=True
    ):
        f1, kept = setting.select.metrics["f1"], setting.forgetting.after
        assert new == _point("new", setting.share, setting.share == chosen, f1)
        assert old == _point("old", setting.share, setting.share == chosen, kept)
        assert row.cells[1:3] == (estimate_text("f1", f1), estimate_text("accuracy", kept))
        assert row.mark == ("chosen" if setting.share == chosen else "")
        said = f"Chosen: {100 * setting.share:.0f} % of the way, with F1 {row.cells[1]}"
        assert (said in figure.alt) == (setting.share == chosen)


def _point(task: str, share: float, chosen: bool, estimate: object) -> dict[str, object]:
    values = {name: getattr(estimate, name) for name in ("value", "low", "high")}
    return {"task": task, "share": share, "chosen": chosen, **values}


def test_where_no_setting_was_chosen_none_is_marked() -> None:
    """Neither a point nor a row, nor a word."""
    figure = dial_figure(dialled(None))

    assert figure is not None and "Chosen" not in figure.alt
    assert not any(point["chosen"] for point in figure.data["points"])  # type: ignore[union-attr, index, call-overload]
    assert {row.mark for row in figure.table.rows} == {""}


def test_what_is_undefined_stays_undefined() -> None:
    """An MCC of an end that answers one class only is no 0: nothing in the picture, its reason in words and table."""
    figure = dial_figure(dialled(found=0, metric="mcc"))

    assert figure is not None
    assert figure.data["points"][0]["value"] is None  # type: ignore[index, call-overload]
    assert figure.table.rows[0].cells[1].startswith("undefined (") and "is undefined (" in figure.alt


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("browser"), QUIET) as opened:
        yield opened


@pytest.mark.browser
@pytest.mark.parametrize(
    ("study", "drawings", "dots"),
    [
        (dialled(), 1, 10),
        (dialled(metric="mcc"), 2, 10),
        (dialled(found=0, metric="mcc"), 2, 9),
        (dialled(None), 1, 10),
    ],
    ids=["F1", "MCC", "undefined", "none chosen"],
)
def test_every_defined_estimate_is_drawn(study: StudyRecord, drawings: int, dots: int, tmp_path: Path) -> None:
    """A dot and a bar each; one chart where both tasks are rates, two where they are not; the chosen one is filled."""
    document, complaints = _open(render_html(*judged(study)), tmp_path)
    (drawn,) = DRAWN.findall(document)
    groups = re.findall(r'<g aria-label="(dot|rule)".*?</g>', drawn, re.DOTALL)
    marks = "".join(re.findall(r'<g aria-label="dot".*?</g>', drawn, re.DOTALL))
    chosen = any(point.candidate == study.choice.candidate for point in study.dial)

    assert complaints == []
    assert drawn.count("<svg") == drawings and "dot" in groups and "rule" in groups
    assert len(re.findall(r"<(?:circle|path)", marks)) == dots
    assert marks.count('fill="var(--warm-deep)"') == (2 if chosen else 0)
    assert drawn.count(">pretrained<") == drawn.count(">fine-tuned<") == drawings
    assert "NaN" not in drawn and "undefined" not in drawn


@pytest.mark.browser
def test_a_point_under_the_pointer_tells_setting_value_and_interval(browser: Tab, tmp_path: Path) -> None:
    """Nothing before; then what the table says, of the task that is pointed at."""
    study, file = dialled(), tmp_path / "report.html"
    file.write_text(render_html(*judged(study)), encoding="utf-8")
    tip = "[...document.querySelectorAll('[data-chart=dial] [aria-label=tip]')].map((t) => t.textContent).join('')"
    browser.open(file)
    x, y = browser.run(
        "(() => { const filled = '[data-chart=dial] [aria-label=dot] [fill=\"var(--warm-deep)\"]';"
        "const chosen = document.querySelector(filled);"
        "chosen.scrollIntoView({behavior: 'instant', block: 'center'});"
        "const b = chosen.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    before = browser.run(tip)
    browser.point(x, y)
    f1 = study.dial[3].select.metrics["f1"]
    assert f1.value is not None and f1.low is not None

    assert before == ""
    said = browser.run(tip).replace("\N{NO-BREAK SPACE}", " ")
    assert all(text in said for text in ("75.0 % fine-tuned, chosen", f"F1 on the new task {100 * f1.value:.1f} %"))
    assert f"95 % interval {100 * f1.low:.1f} %" in said
    assert browser.run("document.querySelectorAll('svg [tabindex], svg[tabindex]').length") == 0


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_with_a_dial_has_no_serious_finding(dark: bool, browser: Tab, tmp_path: Path) -> None:
    """By axe-core, with the table opened; on a phone it does not scroll sideways."""
    page = render_html(*judged(dialled()))

    assert _findings(browser, page, tmp_path, dark=dark) == []
    browser.open(tmp_path / "report.html", width=390, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") <= 390
