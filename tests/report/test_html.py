"""The page itself: offline, inert, readable by machines that read aloud."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from frostline.core.records import StudyRecord, Verdict
from frostline.report.html import render_html
from report.samples import HOSTILE

Pair = tuple[StudyRecord, Verdict]
EVERY = ["clean", "faulty", "replayed", "several_classes", "hostile"]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Every element with its attributes and the text right inside it, in order; knows what was left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.stack: list[tuple[str, int]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.stack.append((tag, len(self.elements) - 1))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.stack:
            self.elements[self.stack[-1][1]][2].append(data)

    def all(self, *tags: str) -> list[tuple[str, dict[str, str | None], str]]:
        return [(tag, attributes, "".join(text)) for tag, attributes, text in self.elements if tag in tags]


@pytest.fixture(params=EVERY)
def page(request: pytest.FixtureRequest) -> Page:
    return Page(render_html(*request.getfixturevalue(request.param)))


def test_only_the_three_known_scripts_may_run(page: Page) -> None:
    """The policy names the hash of each script in the page and allows nothing else, not even an image."""
    policy = next(a["content"] for _, a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    scripts = [text for _, attributes, text in page.all("script") if "type" not in attributes]
    hashes = {f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts}
    directives = {name: set(values) for name, *values in map(str.split, (policy or "").split(";"))}

    assert len(scripts) == 3
    assert directives == {
        "default-src": {"'none'"},
        "script-src": hashes,
        "style-src": {"'unsafe-inline'"},
        "base-uri": {"'none'"},
        "form-action": {"'none'"},
    }


def test_nothing_is_fetched(page: Page) -> None:
    """No element points outside the page; links go to parts of it only."""
    pointers = [
        attributes[name]
        for _, attributes, _ in page.all(*{tag for tag, _, _ in page.elements})
        for name in ("src", "href", "action", "data", "poster", "srcset", "background")
        if name in attributes
    ]

    assert pointers and all(pointer and pointer.startswith("#") for pointer in pointers)
    assert "url(" not in "".join(text for _, _, text in page.all("style"))


def test_a_hostile_name_stays_text(hostile: Pair) -> None:
    """A class label, a file name, a model and a finding that are markup appear as text and nowhere as an element."""
    text = render_html(*hostile)
    page = Page(text)

    assert HOSTILE not in text
    assert not page.all("img")
    assert len(page.all("script")) == 4
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]
    assert HOSTILE in "".join("".join(own) for _, _, own in page.elements)


def test_the_hostile_name_survives_inside_the_data(hostile: Pair) -> None:
    """The embedded data is escaped, not altered: it still parses, and holds the name as it is."""
    page = Page(render_html(*hostile))
    data = next(own for _, attributes, own in page.all("script") if attributes.get("type") == "application/json")

    assert "<" not in data
    assert set(json.loads(data)) == {"depth", "curves", "contenders", "costs"}


def test_every_table_says_what_it_is(page: Page) -> None:
    """Each table has a caption, and each heading cell says whether it heads a row or a column."""
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(attributes.get("scope") in {"row", "col"} for _, attributes, _ in page.all("th"))


def test_every_chart_has_words_and_numbers(page: Page) -> None:
    """Each chart says in words what it shows and gives its table."""
    charts = [attributes for _, attributes, _ in page.all("div") if "data-chart" in attributes]

    assert [attributes["data-chart"] for attributes in charts] == ["depth", "curves", "contenders", "costs"]
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in charts)
    assert sum("The numbers of this chart" in own for _, _, own in page.all("summary")) == 4


def test_headings_descend_one_step_at_a_time(page: Page) -> None:
    """One first heading, and no level is skipped on the way down."""
    levels = [int(tag[1]) for tag, _, _ in page.all("h1", "h2", "h3", "h4")]

    assert levels.count(1) == 1 and levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_every_element_is_closed_and_every_link_arrives(page: Page) -> None:
    """The markup is balanced, ids are unique, and the links of the page lead somewhere."""
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]

    assert page.stack == []
    assert len(ids) == len(set(ids))
    assert {(a["href"] or "").removeprefix("#") for _, a, _ in page.all("a")} <= set(ids)


def test_the_page_is_small_and_the_same_every_time(clean: Pair) -> None:
    """Under 2 MB, and free of the clock: two renderings are equal."""
    text = render_html(*clean)

    assert len(text.encode()) < 2_000_000
    assert text == render_html(*clean)


def test_the_verdict_comes_first_and_the_words_are_explained(clean: Pair) -> None:
    """The verdict stands before any number, the validation split is named, and the orientation is stated."""
    body = re.sub(r"\s+", " ", render_html(*clean).split("<body>")[1].split("<script")[0])

    assert body.index("READY") < body.index("Floors:") < body.index('id="plan"') < body.index('id="findings"')
    assert "validation (stop split)" in body
    assert "The positive class is spam." in body
    assert "frost line" in body


def test_licences_of_what_the_page_carries_travel_with_it(clean: Pair) -> None:
    """The charting code inside the page comes with its licence texts."""
    text = render_html(*clean)

    assert "Observable Plot 0.6.17" in text and "D3 7.9.2" in text
    assert "Permission to use, copy, modify, and/or distribute this software" in text
