"""What mkdocs asks while it builds the site: pages that are not files, and nav entries for whole folders.

Knows where pages come from, nothing of what they say. The two reference pages come from the code
(`site_reference`), the benchmark notes from the folder where the benchmarks keep them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from site_reference import api_page, cli_page

ROOT = Path(__file__).resolve().parents[1]
NOTES = "benchmarks/notes/"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder in the place of its name."""
    config.nav = [_filled(entry) for entry in config.nav or ()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not below docs/."""
    for path in sorted((ROOT / NOTES).glob("*.md")):
        files.append(File.generated(config, NOTES + path.name, content=path.read_text(encoding="utf-8")))
    files.append(File.generated(config, "reference/cli.md", content=cli_page()))
    files.append(File.generated(config, "reference/api.md", content=api_page()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links to the notes, which in the repository lead out of docs/, into links within the site.

    Lists within lists are indented by two columns, as GitHub reads them; Python-Markdown asks for four.
    """
    up = "../" * page.file.src_uri.count("/")
    linked = markdown.replace(f"](../{up}{NOTES}", f"]({up}{NOTES}")
    parts = re.split(r"(^```.*?^```)", linked, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub(r"^  (?=[-*] )", "    ", part, flags=re.MULTILINE) for part in parts[::2]]
    return "".join(parts)


def _filled(entry: Any) -> Any:
    """A nav entry; where it names a folder, with the pages of that folder instead: newest note first, else by name."""
    if not isinstance(entry, dict):
        return entry
    return {
        title: _pages(where) if isinstance(where, str) and where.endswith("/") else where
        for title, where in entry.items()
    }


def _pages(folder: str) -> list[str]:
    here = ROOT / folder if folder == NOTES else ROOT / "docs" / folder
    names = sorted((path.name for path in here.glob("*.md")), reverse=folder == NOTES)
    return [folder + name for name in sorted(names, key=lambda name: name != "index.md")]
