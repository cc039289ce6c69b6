"""The site: every page can be reached, every link leads somewhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mkdocs.config import load_config

from docs.site import ROOT, built

FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
LEFT_OUT: frozenset[str] = frozenset()
"""Pages that are left out of the nav on purpose; none is."""


class Fetched(HTMLParser):
    """Addresses on other hosts that a browser would ask by itself when it opens a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(FETCHED.get(tag, "")) or ""
        if re.match(r"(https?:)?//", address):
            self.addresses.append(address)


def targets(nav: object) -> Iterator[str]:
    """The pages that a nav names, at any depth."""
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav.values() if isinstance(nav, Mapping) else nav:  # type: ignore[attr-defined]
            yield from targets(entry)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The site and what was warned of; built once, since it takes some seconds."""
    warnings: list[str] = []
    return built(tmp_path_factory.mktemp("site"), warnings), warnings


def test_every_page_is_in_the_nav_once() -> None:
    """Pages, checks, design notes and benchmark notes of the repository, and the two that are made from the code."""
    import site_hooks

    config = site_hooks.on_config(load_config(str(ROOT / "mkdocs.yml")))

    named = list(targets(config.nav))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    notes = {path.relative_to(ROOT).as_posix() for path in (ROOT / "benchmarks" / "notes").glob("*.md")}
    assert len(named) == len(set(named))
    assert set(named) == pages - LEFT_OUT | notes | {"reference/cli.md", "reference/api.md"}
    assert {"checks/FRL101.md", "design/0001-first-architecture.md"} < set(named)


def test_the_index_of_a_folder_comes_first_and_the_newest_note() -> None:
    """Folders in the nav are filled in an order that a reader expects."""
    import site_hooks

    assert site_hooks._pages("checks/")[:2] == ["checks/index.md", "checks/FRL101.md"]
    notes = site_hooks._pages("benchmarks/notes/")
    assert notes == sorted(notes, reverse=True)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_without_a_network(site: tuple[Path, list[str]]) -> None:
    """Links, anchors and nav hold: mkdocs warns of each that does not, and of nothing here."""
    out, warnings = site
    assert warnings == []
    assert (out / "index.html").is_file() and (out / "checks" / "FRL101.html").is_file()
    assert (out / "search" / "search_index.json").is_file()


@pytest.mark.slow
def test_no_page_fetches_anything_from_elsewhere(site: tuple[Path, list[str]]) -> None:
    """No script, style, font or image of another host, neither in a page nor in a style sheet."""
    pages = list(site[0].rglob("*.html"))
    assert len(pages) > 50
    assert {page.name: found for page in pages if (found := Fetched(page.read_text(encoding="utf-8")).addresses)} == {}
    for style in site[0].rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.slow
def test_faults_are_found(tmp_path: Path) -> None:
    """A page outside the nav, a link to no page and a link to no heading are each warned of."""
    docs = shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (docs / "orphan.md").write_text("# Orphan\n\n[page](nowhere.md) and [heading](data.md#no-such-heading)\n")
    warnings: list[str] = []

    built(tmp_path / "site", warnings, docs_dir=str(docs))

    said = "\n".join(warnings)
    assert "orphan.md" in said and "nowhere.md" in said and "no-such-heading" in said


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ["https://cdn.example/x.js"]),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', ["//fonts.example/x.css"]),
        ('<a href="https://example.org">a link to follow</a><img src="logo.png">', []),
    ],
)
def test_what_would_be_fetched_is_found(page: str, found: list[str]) -> None:
    """Scripts and styles of other hosts are; links that a reader may follow are not."""
    assert Fetched(page).addresses == found


def test_links_to_notes_and_lists_in_lists_are_turned() -> None:
    """Links that lead out of docs/ in the repository stay within the site; code is left alone."""
    import site_hooks

    class Where:
        src_uri = "design/0001.md"

    class Page:
        file = Where()

    text = "[n](../../benchmarks/notes/a.md)\n\n- one\n  - two\n\n```text\n  - three\n```\n"
    assert site_hooks.on_page_markdown(text, Page()) == (  # type: ignore[arg-type]
        "[n](../benchmarks/notes/a.md)\n\n- one\n    - two\n\n```text\n  - three\n```\n"
    )
