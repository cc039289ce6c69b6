"""`frostline audit-freeze`: a user's own training, run under the proof; every misuse gets a sentence."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from frostline.cli.audit_freeze import audit_freeze_command
from frostline.core.errors import BadInputError, PlanError

app = typer.Typer()
app.command()(audit_freeze_command)

HEADER = """
import torch
from torch import nn
import frostline as fl

def build():
    backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    return nn.Sequential(backbone, nn.Linear(4, 1))

def fit(model):
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    for step in range(2):
        model(torch.randn(8, 3)).sum().backward()
        optimizer.step()
    print("trained")
"""

LEAKING = """
def train():
    model = build()
    model[0].requires_grad_(False)
    yield model
    fit(model)
"""

CLEAN = """
def train():
    model = fl.freeze(build(), "0")
    yield model
    fit(model)
"""

FREEZES_LATE = """
def train():
    model = build()
    yield model
    fl.freeze(model, "0")
    fit(model)
"""

WITH_OPTIMIZER = """
def train():
    model = fl.freeze(build(), "0")
    optimizer = torch.optim.AdamW(model.parameters())
    yield model, optimizer
    fit(model)
"""


@pytest.fixture(autouse=True)
def _imports_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield
    for name in [name for name in sys.modules if name not in known and name.startswith("audited")]:
        del sys.modules[name]


def script(folder: Path, body: str) -> Path:
    file = folder / "audited.py"
    file.write_text(HEADER + body, encoding="utf-8")
    return file


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def refusal(*arguments: str | Path) -> str:
    error = run(*arguments).exception
    assert isinstance(error, BadInputError), error
    return str(error)


def test_a_leak_is_printed_and_exits_with_1(tmp_path: Path) -> None:
    """`requires_grad = False` leaks through batch norm and dropout; the training's own output is no part of it."""
    result = run(script(tmp_path, LEAKING))

    assert result.exit_code == 1
    assert result.stdout.startswith("The freeze leaks: 5 findings")
    assert "0.1.running_mean" in result.stdout
    assert "trained" not in result.stdout
    assert "trained" in result.stderr


def test_a_freeze_that_holds_exits_with_0(tmp_path: Path) -> None:
    """The clean twin."""
    result = run(script(tmp_path, CLEAN))

    assert result.exit_code == 0
    assert result.stdout.startswith("The freeze held: 7 frozen tensors")


def test_json_is_one_document(tmp_path: Path) -> None:
    """Kind, name and cause of every leak, and which questions were put."""
    file = script(tmp_path, LEAKING)
    result = run(f"{file}:train", "--json")
    document = json.loads(result.stdout)

    assert result.exit_code == document["exit_code"] == 1
    assert (document["schema"], document["holds"], document["frozen_tensors"]) == ("frostline.freeze-audit/1", False, 7)
    assert {leak["kind"] for leak in document["leaks"]} == {"changed", "batch-dependent", "random"}
    assert all(leak["name"].startswith("0.") and leak["cause"] for leak in document["leaks"])
    assert document["probed"] == ["0"]


def test_an_optimizer_that_is_yielded_is_asked(tmp_path: Path) -> None:
    """`yield model, optimizer` also audits what the optimizer lists."""
    result = run(script(tmp_path, WITH_OPTIMIZER))

    assert result.exit_code == 1
    assert "optimizer: 0.0.weight" in result.stdout


def test_a_tool_that_freezes_late_is_audited_by_what_is_expected(tmp_path: Path) -> None:
    """What freezes when the training begins is named with --expect; unnamed, there would be nothing to audit."""
    file = script(tmp_path, FREEZES_LATE)

    assert run(file, "--expect", "0").exit_code == 0
    assert "say with --expect" in refusal(file)
    assert run(script(tmp_path, LEAKING), "--expect", "0").exit_code == 1


def test_an_installed_function_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:function` is looked up from the working folder, as `python -m` does."""
    script(tmp_path, CLEAN)
    monkeypatch.chdir(tmp_path)

    assert run("audited:train").exit_code == 0


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("def train():\n    return build()\n", "must be a generator .* it yielded nothing"),
        ("def train():\n    yield 3\n", "of class int"),
        (
            "def train():\n    yield build()\n    raise ValueError('no data')\n",
            "ValueError: no data .*audited.py, line 19",
        ),
        ("def train():\n    missing\n    yield build()\n", "NameError: .*'missing'"),
        ("def train(folder):\n    yield build()\n", "TypeError: .*folder"),
        ("def trains():\n    yield build()\n", "no function 'train'. Did you mean 'trains'"),
        ("import absent_library\n", "ModuleNotFoundError: .*absent_library"),
        ("raise SystemExit(2)\n", "SystemExit: 2"),
        ("def train(\n", "SyntaxError"),
    ],
)
def test_a_script_that_cannot_be_audited_gets_a_sentence(tmp_path: Path, body: str, sentence: str) -> None:
    """What the user's code did is said with its place, and never as a traceback."""
    said = refusal(script(tmp_path, body))

    assert re.search(sentence, said), said
    assert "\n" not in said


def test_targets_that_do_not_exist_get_a_sentence(tmp_path: Path) -> None:
    """No such script, no such module, no such pattern."""
    assert "There is no script" in refusal(tmp_path / "none.py")
    assert "There is no Python module 'no_such_place'" in refusal("no_such_place:train")
    error = run(script(tmp_path, CLEAN), "--expect", "backbone").exception
    assert isinstance(error, PlanError)
    assert "'backbone'" in str(error)


def test_help_explains_the_protocol() -> None:
    """The help alone is enough to write the function."""
    text = run("--help").stdout

    assert "yield model, optimizer" in text
    assert "Lightning" in text
