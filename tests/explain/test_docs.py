"""The page on replay shows what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "replay.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_snippets_run_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    """As they are printed, each with the names of those before it; what a comment says is printed is printed."""
    assert len(SNIPPETS) == 3
    names: dict[str, object] = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, "replay.md", "exec"), names)

    printed = capsys.readouterr().out
    assert "replayed 9 of 9 batches, 100.0 % of the examples" in printed
    assert "of the forward pass is computed once per example" in printed
