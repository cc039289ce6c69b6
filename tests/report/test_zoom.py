"""Claims about what lies under the pointer and behind a button: the meaning of a word, and a drawing made larger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest

from frostline.report.glossary import GLOSSARY, MEANINGS
from frostline.report.html import render_html
from report.devtools import Tab, tab
from report.pages import everything
from report.test_accessible import _findings_on
from report.test_browser import QUIET

BUTTON = "document.querySelector('button.enlarge[aria-label^=\"Enlarge: Freeze depth\"]')"
WIDE = "document.querySelector('dialog.zoom svg').getBoundingClientRect().width"


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(*everything())


def test_words_in_the_headings_of_tables_are_explained_where_they_stand(page: str) -> None:
    """Every heading that the glossary knows carries its meaning; a heading that it does not know carries none."""
    headings = re.findall(r'<th scope="(?:col|row)" class="[^"]*">(.*?)</th>', page, re.DOTALL)
    told = {unescape(re.sub(r"<[^>]*>", "", heading)).strip(): heading for heading in headings}

    assert {"Recall", "Precision", "F1", "Candidate"} <= told.keys()
    for word, heading in told.items():
        meaning = MEANINGS.get(word.replace("\N{NO-BREAK SPACE}", " "))
        assert (f'title="{meaning}"' in unescape(heading).replace("\N{NO-BREAK SPACE}", " ")) == (meaning is not None)


def test_the_list_at_the_end_holds_every_word(page: str) -> None:
    """Who cannot point reads the same meanings in the list that words link to."""
    listed = page[page.index('<dl class="glossary">') :]

    for words, meaning in GLOSSARY.items():
        assert f"<dt>{words}</dt>".replace(" %", "\N{NO-BREAK SPACE}%") in listed
        assert meaning.replace(" %", "\N{NO-BREAK SPACE}%") in unescape(listed)
    assert 'href="#words"' in page and 'id="words"' in page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, page: str) -> Iterator[Tab]:
    folder = tmp_path_factory.mktemp("zoom")
    with tab(folder, QUIET) as opened:
        (folder / "report.html").write_text(page, encoding="utf-8")
        opened.open(folder / "report.html")
        yield opened


@pytest.mark.browser
def test_a_drawing_is_enlarged_step_by_step_and_closed_by_escape(browser: Tab) -> None:
    """By keyboard: larger than on the page, twice as wide after two steps, smaller again, and the reader is back."""
    on_page = browser.run("document.querySelector('[data-chart=depth] svg').getBoundingClientRect().width")
    browser.run(f"{BUTTON}.focus(); {BUTTON}.click()")
    opened = browser.run(WIDE)
    browser.run("[...document.querySelectorAll('dialog.zoom button')].find((b) => b.textContent === 'Larger').click()")
    browser.run("[...document.querySelectorAll('dialog.zoom button')].find((b) => b.textContent === 'Larger').click()")
    larger, said = browser.run(WIDE), browser.run("document.querySelector('dialog.zoom output').textContent")
    browser.press("-")
    smaller = browser.run(WIDE)

    assert opened > on_page
    assert larger == pytest.approx(2 * opened, rel=0.05) and said == "200\N{NO-BREAK SPACE}%"
    assert smaller == pytest.approx(1.5 * opened, rel=0.05)
    browser.press("Escape")
    assert browser.run("document.querySelectorAll('dialog').length") == 0
    assert browser.run(f"document.activeElement === {BUTTON}")
    assert browser.complaints == []


@pytest.mark.browser
def test_every_figure_can_be_enlarged_and_its_dialog_is_accessible(browser: Tab) -> None:
    """As many buttons as figures with a drawing; axe-core finds nothing serious in the dialog."""
    figures = browser.run(
        "[...document.querySelectorAll('figure')].filter((f) => f.querySelector('.chart svg')).length"
    )
    assert browser.run("document.querySelectorAll('button.enlarge').length") == figures > 5
    browser.run(f"{BUTTON}.click()")
    assert _findings_on(browser) == []
    browser.press("Escape")
