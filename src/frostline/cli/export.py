"""`frostline export`: the chosen model, to be handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frostline.cli.look import StudyArgument


def export_command(
    study: StudyArgument,
    out: Annotated[Path, typer.Argument(help="Folder to write: a new one, or an empty one.", metavar="OUT")],
    delta: Annotated[
        bool, typer.Option("--delta", help="Only what was trained, bound to the base model by hash.")
    ] = False,
) -> None:
    """Write the chosen model of a finished study with its model card and a README that says how to load it.

    A transformers model is saved as transformers saves it; of a module:function model all weights are written. Run it
    where the search ran: the base model is loaded from where it was.

    Example:

      frostline export studies/spam exported/spam

      frostline export studies/spam exported/spam-delta --delta
    """
    from frostline.exporting.write import export_study

    files = export_study(study, out, delta=delta)
    typer.echo(f"Exported to {out}: {', '.join(files)}")
