"""`frostline audit-freeze`: another tool's freezing, put to the proof."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from inspect import isgenerator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frostline.cli.options import Json
from frostline.core.errors import BadInputError, suggestion

if TYPE_CHECKING:
    from frostline.plan.prove import FreezeProof

DEFAULT_FUNCTION = "train"


def audit_freeze_command(
    target: Annotated[
        str,
        typer.Argument(
            help="path/to/script.py:function or package.module:function; the function is train when left out.",
            metavar="SCRIPT_OR_FACTORY",
        ),
    ],
    expect: Annotated[
        list[str] | None,
        typer.Option(help="Pattern of what should be frozen, whether it is or not. May be given several times."),
    ] = None,
    json: Json = False,
) -> None:
    """Run your own training under the proof and say what leaked out of its freeze. Works with any tool.

    The function takes no arguments and is a generator: it yields the model, or the model and its optimizer,
    when it is ready to train, and trains when it is resumed. A few steps are enough. With plain PyTorch:

      def train():
          model = build(); model.backbone.requires_grad_(False)
          optimizer = AdamW(model.head.parameters())
          yield model, optimizer
          fit(model, optimizer)

    With a tool that freezes when the training begins, such as a Lightning callback, name what it should freeze
    with --expect:

      def train():
          model = Classifier()
          yield model
          Trainer(max_steps=10, callbacks=[FreezeBackbone()]).fit(model, loader())

    Exit code: 0 nothing leaked, 1 something leaked, 2 bad input.

    Examples:

      frostline audit-freeze train.py

      frostline audit-freeze my_project.training:train --expect backbone --json
    """
    # What the training prints is no part of the answer.
    with redirect_stdout(sys.stderr):
        proof = audit(target, _find(target), expect or ())
    typer.echo(_document(target, proof) if json else repr(proof))
    raise typer.Exit(0 if proof.holds else 1)


def audit(target: str, function: Callable[[], Any], expect: Sequence[str] = ()) -> FreezeProof:
    """Run a training function under the proof.

    Args:
        target: What the user called it, for sentences.
        function: A generator function as the command's help describes it.
        expect: Patterns of what should be frozen.

    Raises:
        BadInputError: The function does not follow the protocol, ends in an exception, or froze nothing.
        PlanError: A pattern of `expect` matches nothing.
    """
    from torch import nn

    from frostline.plan.prove import prove_frozen

    with _sentence_for(target):
        training = function()
        ready = next(training, None) if isgenerator(training) else None
    model, optimizer = ready if isinstance(ready, tuple) and len(ready) == 2 else (ready, None)
    if not isinstance(model, nn.Module):
        found = "nothing" if ready is None else f"an object of class {type(ready).__name__}"
        raise BadInputError(
            f"{target} must be a generator that yields the model, or (model, optimizer), when it is ready to train; "
            f"it yielded {found}. `frostline audit-freeze --help` has examples."
        )
    with prove_frozen(model, optimizer=optimizer, expect=expect, report=True) as proof, _sentence_for(target):
        next(training, None)
    if not proof.frozen_tensors and not proof.leaks:
        raise BadInputError(
            f"Nothing of the {type(model).__name__} that {target} yields is frozen, so there is nothing to audit. "
            "Freeze it before the yield, or say with --expect what the training itself freezes."
        )
    return proof


def _find(target: str) -> Callable[[], Any]:
    name, _, function_name = target.rpartition(":")
    if not name or not function_name.isidentifier():
        name, function_name = target, DEFAULT_FUNCTION
    with _sentence_for(target):
        module = _from_file(Path(name)) if name.endswith(".py") else _from_environment(name)
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise BadInputError(
            f"{target}: {name} has no function {function_name!r}. {suggestion(function_name, known)} "
            f"Name it as {name}:FUNCTION."
        )
    return function  # type: ignore[no-any-return]  # callable() narrows to object


def _from_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise BadInputError(f"There is no script {file}. Give the path of a Python file, or package.module:function.")
    sys.path.insert(0, str(file.parent.resolve()))  # as `python script.py` does: it may import what lies beside it
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


def _from_environment(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            raise BadInputError(
                f"There is no Python module {name!r} here or in the environment. Run from the folder that holds it, "
                "install it, or give the path of a script."
            ) from error
        raise


@contextmanager
def _sentence_for(target: str) -> Iterator[None]:
    """An error of the user's own code as one sentence that says where it arose."""
    try:
        yield
    except BadInputError:
        raise
    except (Exception, SystemExit) as error:
        told = " ".join(str(error).split())
        raise BadInputError(
            f"{target} ended in {type(error).__name__}: {told}{_place(error)}. Let it run by itself first."
        ) from error


def _place(error: BaseException) -> str:
    """The line of the user's own code that an error came from, when there is one."""
    foreign = (__file__, "<frozen", "site-packages")
    own = [f for f in traceback.extract_tb(error.__traceback__) if not any(part in f.filename for part in foreign)]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def _document(target: str, proof: FreezeProof) -> str:
    from dataclasses import asdict
    from json import dumps

    content = {
        "schema": "frostline.freeze-audit/1",
        "target": target,
        "exit_code": 0 if proof.holds else 1,
        "holds": proof.holds,
        "frozen_tensors": proof.frozen_tensors,
        "leaks": [asdict(leak) for leak in proof.leaks],
        "probed": list(proof.probed),
        "not_probed": dict(proof.not_probed),
    }
    return dumps(content, indent=2)
