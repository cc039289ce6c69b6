"""Claims about the package: importing it costs nothing, and its public names are all there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import frostline


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after a statement."""
    script = f"import sys\n{statement}\nprint(*sorted(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_frostline_imports_nothing_heavy() -> None:
    """`import frostline` names things: neither torch nor numpy is loaded."""
    loaded = modules_after("import frostline")

    assert "frostline" in loaded
    assert not loaded & {"torch", "numpy", "scipy", "sklearn", "pydantic", "transformers", "rich"}


def test_heavy_imports_are_seen() -> None:
    """The planted fault: a statement that does import numpy is found out."""
    assert "numpy" in modules_after("import frostline.core.predictions")


@pytest.mark.parametrize(
    "module",
    ["core.ledger", "core.predictions", "core.records", "core.settings", "core.study_folder", "plan.freeze_plan"],
)
def test_cold_modules_do_without_torch(module: str) -> None:
    """Records, ledgers and plans are read on machines without torch."""
    assert "torch" not in modules_after(f"import frostline.{module}")


@pytest.mark.parametrize("name", frostline.__all__)
def test_every_public_name_loads(name: str) -> None:
    """What `__all__` promises is there."""
    assert getattr(frostline, name).__name__ == name


def test_all_is_complete_and_sorted() -> None:
    """`__all__`, the table of homes and `dir()` name the same things."""
    assert frostline.__all__ == sorted(frostline.__all__) == sorted(frostline._HOME)
    assert set(dir(frostline)) == {*frostline.__all__, "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A slip of the pen fails as it does on any module."""
    with pytest.raises(AttributeError, match="no attribute 'freez'"):
        frostline.freez  # noqa: B018
