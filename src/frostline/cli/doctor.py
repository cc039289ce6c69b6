"""`frostline doctor`: is everything there?"""

from __future__ import annotations

import typer

from frostline.cli.options import Json


def doctor_command(json: Json = False) -> None:
    """Look over the installation: packages, devices, free room, and where readings of test labels are counted.

    Exit code: 0 all is well, 2 something needed is missing or broken. An extra that is not installed is no fault.

    Example:

      frostline doctor
    """
    from frostline.cli.installation import as_json, as_text, examine, exit_code

    answers = examine()
    typer.echo(as_json(answers) if json else as_text(answers))
    raise typer.Exit(exit_code(answers))
