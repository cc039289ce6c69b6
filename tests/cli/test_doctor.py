"""`frostline doctor`: faults planted in the installation are named with their cure, and nothing makes it fail."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import requires as true_requires
from importlib.metadata import version as true_version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from frostline.cli import installation
from frostline.cli.app import app
from frostline.core.openings import TestOpenings
from frostline.core.records import Opening


def answers() -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code, and what is said of each thing by its group and name."""
    result = CliRunner().invoke(app, ["doctor", "--json"])
    document = json.loads(result.stdout)
    assert document["schema"] == "frostline.doctor/1"
    assert (document["exit_code"], document["healthy"]) == (result.exit_code, result.exit_code == 0)
    return result.exit_code, {f"{answer['group']} {answer['name']}": answer for answer in document["answers"]}


def page() -> str:
    return CliRunner().invoke(app, ["doctor"]).stdout


def problems(found: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, answer in found.items() if answer["problem"] and answer["decides"]]


@pytest.fixture(autouse=True)
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation in which everything needed is there, whatever this machine has."""
    monkeypatch.setattr(installation, "find_spec", lambda name: None)


def without(monkeypatch: pytest.MonkeyPatch, *missing: str, **other: str) -> None:
    """Packages that are not installed, or in another version."""

    def version(name: str) -> str:
        if name in missing:
            raise PackageNotFoundError(name)
        return other.get(name.replace("-", "_")) or true_version(name)

    monkeypatch.setattr(installation, "version", version)


def test_a_sound_installation_has_no_fault() -> None:
    """Exit code 0; every package that the metadata asks for has its version, and device and room are said."""
    code, found = answers()

    assert code == 0 and problems(found) == []
    assert found["needed torch"]["found"] == true_version("torch")
    assert {"needed python", "needed frostline", "needed numpy", "hf transformers", "dev pytest"} <= set(found)
    assert {"device cpu", "device cuda", "device mps"} <= set(found)
    assert {"room free disk", "room free memory", "room test openings"} <= set(found)
    asked = {r.name for line in true_requires("frostline") or () if (r := installation.parse_requirement(line))}
    assert asked <= {name.split()[1] for name in found}
    assert page().rstrip().endswith("Everything needed is there.")


def test_a_needed_package_that_is_missing_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, with the command that installs it."""
    without(monkeypatch, "scipy")
    code, found = answers()

    assert (code, problems(found)) == (2, ["needed scipy"])
    assert found["needed scipy"]["found"] == "missing"
    assert "pip install 'scipy>=" in found["needed scipy"]["problem"]
    assert "Something needed is missing or broken" in page()


def test_a_package_that_is_too_old_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, not by letter: 2.9 is older than 2.10."""
    without(monkeypatch, torch="2.9.1+cpu")
    code, found = answers()

    assert (code, problems(found)) == (2, ["needed torch"])
    assert found["needed torch"]["found"].startswith("2.9.1+cpu, older than 2.10")


def test_an_extra_that_is_missing_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0, but it says what is missing and how to install it."""
    extras = ['transformers>=5.0; extra == "hf"', 'numpy>=2.0; extra == "docs"']
    monkeypatch.setattr(installation, "requires", lambda name: ["rich>=13.9", *extras])
    without(monkeypatch, "transformers")
    code, found = answers()

    assert code == 0
    assert found["hf transformers"]["found"] == "missing"
    assert found["hf transformers"]["problem"] == "Run `pip install 'frostline[hf]'`."
    assert "Extra hf: not complete. Run `pip install 'frostline[hf]'`." in page()
    assert "Extra docs: complete" in page()


def test_frostline_itself_may_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from a folder on the path, it has no metadata to read."""

    def requires(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "requires", requires)
    code, found = answers()

    assert code == 2 and "not installed as a package" in found["needed packages"]["found"]


def plant(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """A torchvision whose import runs this source."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(installation, "find_spec", importlib.util.find_spec)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)


@pytest.mark.parametrize(
    "source",
    ["raise RuntimeError('operator torchvision::nms does not exist')", "import no_such_part_of_torch", "1 / 0"],
)
def test_a_torchvision_of_another_torch_is_a_fault(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named with what it said, and the cure is to uninstall it."""
    plant(tmp_path, monkeypatch, source)
    code, found = answers()

    assert (code, problems(found)) == (2, ["needed torchvision"])
    assert "does not fit the installed torch" in found["needed torchvision"]["found"]
    assert "pip uninstall torchvision" in found["needed torchvision"]["problem"]


def test_a_torchvision_that_fits_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not used, and in nobody's way."""
    plant(tmp_path, monkeypatch, "")
    without(monkeypatch, torchvision="0.28.0")
    code, found = answers()

    assert (code, found["needed torchvision"]["found"]) == (0, "0.28.0, not used")


def test_a_torch_that_cannot_be_imported_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a half-finished installation: its error is shown, and all else is still said."""
    monkeypatch.setitem(sys.modules, "torch", None)
    code, found = answers()

    assert (code, problems(found)) == (2, ["device torch"])
    assert "cannot be imported" in found["device torch"]["found"]
    assert "room test openings" in found


@pytest.mark.parametrize("kind", ["a file in its place", "a file above it", "no database"])
def test_a_count_of_openings_that_cannot_be_kept_is_a_fault(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place is named, and the variable that changes it."""
    folder = tmp_path / "above" / "state"
    if kind == "no database":
        folder.mkdir(parents=True)
        (folder / "openings.sqlite").write_text("not a database, but long enough to be read as one" * 20)
    else:
        occupied = folder if kind == "a file in its place" else folder.parent
        occupied.parent.mkdir(exist_ok=True)
        occupied.write_text("")
    monkeypatch.setenv("FROSTLINE_STATE", str(folder))
    code, found = answers()

    assert (code, problems(found)) == (2, ["room test openings"])
    assert str(folder) in found["room test openings"]["found"]
    assert "FROSTLINE_STATE" in found["room test openings"]["problem"]


def test_a_folder_without_write_permission_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that is mounted read-only."""
    monkeypatch.setattr(installation.os, "access", lambda path, mode: False)
    code, found = answers()

    assert (code, problems(found)) == (2, ["room test openings"])
    assert "is not writable" in found["room test openings"]["found"]


def test_a_count_that_is_kept_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With openings in it, or in a folder that is not made yet; looking makes none."""
    TestOpenings().add(Opening(at="2026-01-01T00:00:00+00:00", test_sha256="5f", contenders=("full",)))
    assert answers()[0] == 0

    later = tmp_path / "not" / "yet"
    monkeypatch.setenv("FROSTLINE_STATE", str(later))
    code, found = answers()
    assert code == 0 and str(later) in found["room test openings"]["found"]
    assert not (tmp_path / "not").exists()


def breaking(*arguments: object) -> Any:
    raise RuntimeError("planted\nfault")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("requires", "needed packages"),
        ("version", "needed packages"),
        ("find_spec", "needed torchvision"),
        ("_devices", "device torch"),
        ("shutil.disk_usage", "room free disk"),
        ("os.sysconf", "room free memory"),
        ("state_folder", "room test openings"),
    ],
)
def test_whatever_breaks_becomes_an_answer(place: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One question that fails is told in one line, is a fault, and leaves the others their answers."""
    holder = {"shutil.disk_usage": shutil, "os.sysconf": installation.os}.get(place, installation)
    monkeypatch.setattr(holder, place.split(".")[-1], breaking)
    code, found = answers()

    assert (code, problems(found)) == (2, [name])
    assert found[name]["found"] == "cannot be told (RuntimeError: planted fault)"
    assert {"needed python", "needed frostline"} <= set(found)


def test_help_and_schema_load_no_torch() -> None:
    """The commands of this page leave the start as quick as it was: only doctor itself imports torch."""
    program = (
        "import atexit, sys\n"
        "heavy = ('torch', 'numpy', 'pydantic', 'sqlite3', 'importlib.metadata')\n"
        "atexit.register(lambda: print('LOADED', [name for name in heavy if name in sys.modules]))\n"
        "from frostline.cli.app import main\n"
        "main()\n"
    )

    def loaded(*arguments: str) -> str:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]

    assert loaded("--help") == "LOADED []"
    assert loaded("schema", "verdict").startswith("LOADED [") and "torch" not in loaded("schema", "verdict")
