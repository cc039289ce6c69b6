"""The command group: a mistyped command or option gets a sentence with the nearest one.

typer carries its own copy of click in newer versions, so neither's classes are named here: what both have is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from typer.core import TyperGroup

from frostline.cli.terminal import one_run
from frostline.core.errors import BadInputError, suggestion

OTHER_NAMES = {"--lr": "--learning-rate", "--output": "--out"}
"""What other tools call an option, where the nearest word would mislead."""


class FrostlineGroup(TyperGroup):
    """Raises BadInputError where typer would print a box."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with one_run():
            return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _sentence_for_options(self):
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _sentence_for_options(self):
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands and not name.startswith("-") and not ctx.resilient_parsing:
            raise BadInputError(f"There is no command {name!r}. {suggestion(name, self.commands)}")
        return super().resolve_command(ctx, args)


@contextmanager
def _sentence_for_options(group: TyperGroup) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Only an option that does not exist is raised with what it may have meant.
        if not hasattr(error, "possibilities"):
            raise
        context, option = vars(error)["ctx"], str(vars(error)["option_name"])
        sentence = f"{context.command_path} has no option {option!r}. {_advice(option, context, group)}"
        raise BadInputError(sentence) from error


def _advice(option: str, context: Any, group: TyperGroup) -> str:
    """The nearest option; else where it belongs, before the command or behind it; else where to look."""
    program, command = context.find_root().command_path, context.command
    if command is not group and option in _options(group):
        return f"It stands before the command: {program} {option} {command.name}."
    owners = [name for name, each in group.commands.items() if option in _options(each)]
    if command is group and owners:
        return f"It stands behind a command that has it, such as: {program} {owners[0]} {option}."
    near = [OTHER_NAMES[option]] if OTHER_NAMES.get(option) in _options(command) else []
    near = near or get_close_matches(option, _options(command), n=1)
    return f"Did you mean {near[0]!r}?" if near else f"`{context.command_path} --help` lists its options."


def _options(command: Any) -> list[str]:
    """Every way to write an option of a command."""
    return [
        "--help",
        *(
            written
            for parameter in command.params
            if parameter.param_type_name == "option"
            for written in (*parameter.opts, *parameter.secondary_opts)
        ),
    ]
