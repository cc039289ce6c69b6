"""The site's search answers when the site is opened from a folder, without a server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from docs.site import built
from report.devtools import tab
from report.test_browser import QUIET

ASK = """(() => {
  const field = document.querySelector("[data-md-component=search-query]");
  field.focus();
  field.value = "calibration";
  field.dispatchEvent(new Event("input", {bubbles: true}));
  field.dispatchEvent(new KeyboardEvent("keyup", {bubbles: true}));
})()"""
ANSWER = "document.querySelector('[data-md-component=search-result]').innerText"


@pytest.mark.browser
def test_a_word_finds_its_check(tmp_path: Path) -> None:
    """From a file: address a browser runs no worker; what stands for it loads the index, and nothing complains."""
    site = built(tmp_path / "site", [])
    with tab(tmp_path, QUIET) as page:
        page.open(site / "checks" / "FRL101.html")
        page.run(ASK)
        end = time.monotonic() + 30
        while "FRL106" not in (said := page.run(ANSWER)) and time.monotonic() < end:
            time.sleep(0.2)

        assert "FRL106" in said
        assert page.complaints == []
