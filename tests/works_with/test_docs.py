"""The page on what a freeze works with shows what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "works-with.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.filterwarnings("ignore:Using `torch.compile.module.` when there are global hooks:UserWarning")
def test_the_snippets_run_one_after_the_other() -> None:
    """As they are printed, each with the names of those before it."""
    assert len(SNIPPETS) == 6
    names: dict[str, object] = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, "works-with.md", "exec"), names)
