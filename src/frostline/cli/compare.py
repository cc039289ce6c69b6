"""`frostline compare`: finished studies of one data set side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frostline.cli.options import Json

if TYPE_CHECKING:
    from frostline.report.compare_view import Judged


def compare_command(
    studies: Annotated[
        list[Path], typer.Argument(help="Folders of finished studies, two or more.", metavar="STUDY...")
    ],
    html: Annotated[Path | None, typer.Option(help="Also write one offline HTML page.", metavar="FILE")] = None,
    json: Json = False,
) -> None:
    """Show finished studies of one data set side by side. Needs no torch and no model.

    Gives no verdict of its own: it says what each study says, and what must be known to read it.

    Example:

      frostline compare studies/spam studies/spam-large

      frostline compare studies/* --html comparison.html
    """
    from frostline.core.errors import StudyError
    from frostline.report.compare_view import compare_document, compare_studies

    if len(studies) < 2:
        raise StudyError(f"Only {studies[0]} was given, and it takes two studies to compare. Name another one.")
    read = [(study, _judged(study)) for study in studies]
    # Folders of one name are told apart by their paths.
    short = len({study.resolve().name for study in studies}) == len(studies)
    named = [(path.resolve().name if short else str(path), found) for path, found in read]
    view = compare_studies(named)
    if html is not None:
        from frostline.core.files import write_text_atomically
        from frostline.report.html import render_page

        write_text_atomically(html, render_page("compare.html", view=view))
    if json:
        from json import dumps

        typer.echo(dumps(compare_document(named), indent=2, ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console

    from frostline.report.compare_text import print_comparison

    print_comparison(view, Console())
    if html is not None:
        typer.echo(f"Page: {html}")


def _judged(study: Path) -> Judged:
    from frostline.core.settings import read_settings
    from frostline.core.study_folder import StudyFolder, read_record
    from frostline.judge.asked import judge_as_asked
    from frostline.report.compare_view import Judged

    record = read_record(study)
    return Judged(record, judge_as_asked(record, read_settings(StudyFolder(study).settings)))
