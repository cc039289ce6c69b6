"""The stored libraries are what their projects published."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

PUBLISHED = {
    "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
    "plot.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_stored_library_is_unchanged_and_recorded(name: str) -> None:
    """Its hash is that of the published file, and the design note gives it."""
    content = files("frostline.report").joinpath("vendor", name).read_bytes()
    note = Path(__file__).parents[2] / "docs" / "design" / "0003-charts.md"

    assert sha256(content).hexdigest() == PUBLISHED[name]
    assert PUBLISHED[name] in note.read_text(encoding="utf-8")
    assert f"{len(content):,}" in note.read_text(encoding="utf-8")
