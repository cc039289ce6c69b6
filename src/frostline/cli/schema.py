"""`frostline schema`: the JSON schemas of what frostline writes."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.core.errors import BadInputError, suggestion


def schema_command(
    name: Annotated[str, typer.Argument(help="report (report.json) or verdict (check --json).", metavar="NAME")] = (
        "report"
    ),
) -> None:
    """Print the JSON schema of report.json, or of what check --json and judge --json print.

    Example:

      frostline schema report > report.schema.json
    """
    from json import dumps

    from frostline.report.schema import NAMES, json_schema

    known = next((each for each in NAMES if each == name), None)
    if known is None:
        raise BadInputError(f"There is no schema {name!r}. {suggestion(name, NAMES)}")
    typer.echo(dumps(json_schema(known), indent=2))
