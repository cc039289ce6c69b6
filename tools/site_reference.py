"""The reference pages, made from the code: every command as typer knows it, every public name with its docstring.

Keeps no list of commands, options or names, so that none can be forgotten.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from textwrap import dedent
from typing import Any

import typer

import frostline
from frostline.cli import app as cli

_SECTIONS = {name: name for name in ("Attributes", "Raises", "Returns", "Yields")} | {"Args": "Arguments"}
_STARS: dict[object, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def cli_page() -> str:
    """One section for each command: its help, its arguments and its options."""
    group: Any = typer.main.get_command(cli.app)
    parts = ["# Command line", group.help, _exit_codes()]
    parts += [_command(name, command) for name, command in group.commands.items() if not command.hidden]
    return "\n\n".join(parts) + "\n"


def _exit_codes() -> str:
    """The line of the module that owns them."""
    return next(line for line in (cli.__doc__ or "").splitlines() if line.startswith("Exit codes"))


def api_page() -> str:
    """One section for each public name: signature and docstring; of a class also its public members."""
    parts = [
        "# Python",
        "Everything in `frostline.__all__`, by name. `import frostline as fl` loads none of it before it is used.",
    ]
    parts += [section for name in frostline.__all__ for section in _described(name, getattr(frostline, name))]
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: Any) -> str:
    context = command.make_context(f"frostline {name}", [], resilient_parsing=True)
    parts = [f"## frostline {name}", f"```text\n{context.get_usage()}\n```", _help(command.help or "")]
    for kind in ("argument", "option"):
        records = [p.get_help_record(context) for p in command.params if p.param_type_name == kind]
        rows = [f"| {_cell(record[0], code=True)} | {_cell(record[1])} |" for record in records if record]
        if rows:
            parts.append("\n".join([f"| {kind} | |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _cell(text: str, *, code: bool = False) -> str:
    """Text as it is, safe in a table."""
    return (f"`{text}`" if code else text.replace("<", "&lt;").replace("*", r"\*")).replace("|", r"\|")


def _help(text: str) -> str:
    """Help as Markdown: what is indented in it are commands."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text))
    shown = (f"```text\n{dedent(part)}\n```" if part.startswith("  ") else part for part in paragraphs)
    return "\n\n".join(shown).replace("\n```\n\n```text\n", "\n")


def _described(name: str, value: Any) -> Iterator[str]:
    yield f"## fl.{name}"
    yield _signature(f"fl.{name}", value, bound=False, returns=not inspect.isclass(value))
    yield _docstring(value)
    if inspect.isclass(value):
        for method, found in vars(value).items():
            if (method == "__call__" or not method.startswith("_")) and inspect.getdoc(found):
                yield from _member(value, method, found)


def _member(owner: type, name: str, found: Any) -> Iterator[str]:
    function = found.__func__ if isinstance(found, classmethod | staticmethod) else found
    if not inspect.isfunction(function) and not isinstance(found, property):
        return
    if inspect.isfunction(function) and _is_internal(owner, function):
        return
    yield f"### {owner.__name__}.{name}".replace("__", r"\_\_")
    if inspect.isfunction(function):
        yield _signature(name, function, bound=not isinstance(found, staticmethod), returns=True)
    yield _docstring(found)


def _is_internal(owner: type, function: Any) -> bool:
    """Whether a method asks for what users do not hold: a class of the owner's own room that is not public."""
    room = ".".join(owner.__module__.split(".")[:2])
    public = {getattr(frostline, name) for name in frostline.__all__}
    asked = (p.annotation for p in inspect.signature(function).parameters.values() if p.default is p.empty)
    known = inspect.unwrap(function).__globals__
    named = [known.get(word) for annotation in asked for word in re.findall(r"\w+", _type(annotation))]
    return any(inspect.isclass(c) and c not in public and f"{c.__module__}.".startswith(f"{room}.") for c in named)


def _signature(name: str, value: Any, *, bound: bool, returns: bool) -> str:
    """A call as it is written, on one line where it fits; without `self` or `cls` when it is `bound`."""
    signature = inspect.signature(value)
    written = list(_parameters(list(signature.parameters.values())[bound:]))
    result = signature.return_annotation
    end = f") -> {_type(result)}" if returns and result is not signature.empty else ")"
    line = f"{name}({', '.join(written)}{end}"
    if len(line) > 100:
        line = f"{name}(\n    " + ",\n    ".join(written) + f",\n{end}"
    return f"```python\n{line}\n```"


def _parameters(parameters: Sequence[inspect.Parameter]) -> Iterator[str]:
    """Parameters as they are written, the bare star before keywords included."""
    star = False
    for parameter in parameters:
        star = star or parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            star = True
            yield "*"
        stars = _STARS.get(parameter.kind, "")
        typed = "" if parameter.annotation is parameter.empty else f": {_type(parameter.annotation)}"
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        yield stars + parameter.name + typed + default


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _docstring(value: Any) -> str:
    """A Google-style docstring as Markdown: sections become lists, examples become code."""
    lines = (inspect.getdoc(value) or "").splitlines()
    written: list[str] = []
    section = ""
    for line in lines:
        if line.rstrip(":") in _SECTIONS and line.endswith(":"):
            section = line.rstrip(":")
            written += ["", f"**{_SECTIONS[section]}**", ""]
        elif section and line and not line.startswith(" "):
            section = ""
            written.append(line)
        elif section:
            written.append(_listed(line, section))
        else:
            written.append(line)
    return _fenced("\n".join(written))


def _listed(line: str, section: str) -> str:
    """A line of a section; each name in it opens an item."""
    match = re.match(r"^ {4}([*\w.]+): (.*)$", line)
    if match and section not in ("Returns", "Yields"):
        return f"- `{match[1]}`: {match[2]}"
    return line.strip() if section in ("Returns", "Yields") else f"  {line.strip()}".rstrip()


def _fenced(text: str) -> str:
    """Examples, from the first prompt to the next empty line, as code."""
    return re.sub(
        r"^(>>> (?:.+\n?)+)", lambda match: f"\n```pycon\n{match[1].rstrip()}\n```\n", text, flags=re.MULTILINE
    )
