"""`frostline judge`, `report` and `blocks`: looking again at what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frostline.cli.options import Floors, Ignored, Json, Summary

StudyArgument = Annotated[Path, typer.Argument(help="Study folder.", metavar="STUDY")]


def judge_command(
    study: StudyArgument,
    floor: Floors = None,
    ignore: Ignored = None,
    summary: Summary = None,
    json: Json = False,
) -> None:
    """Judge a finished study again, with other floors if you like. Needs no torch and no model.

    Example:

      frostline judge studies/spam --floor "recall>=0.9" --floor "precision>=0.95"

      frostline judge studies/spam --summary "$GITHUB_STEP_SUMMARY"
    """
    from rich.console import Console

    from frostline.core.settings import read_settings
    from frostline.core.study_folder import StudyFolder, read_record
    from frostline.judge.asked import judge_as_asked

    record = read_record(study)
    verdict = judge_as_asked(record, read_settings(StudyFolder(study).settings), floor or (), ignore or ())
    if summary is not None:
        from frostline.report.markdown import append_summary

        append_summary(summary, record, verdict)
    if json:
        typer.echo(verdict.model_dump_json(indent=2))
    else:
        from frostline.report.text import print_study

        print_study(record, verdict, Console())
    raise typer.Exit(verdict.exit_code)


def report_command(study: StudyArgument) -> None:
    """Write report.html, report.json, card.md and junit.xml of a finished study again. Needs no torch and no model.

    Example:

      frostline report studies/spam
    """
    from frostline.core.settings import read_settings
    from frostline.core.study_folder import StudyFolder, read_record
    from frostline.judge.asked import judge_as_asked
    from frostline.report.write import write_report

    record = read_record(study)
    write_report(record, judge_as_asked(record, read_settings(StudyFolder(study).settings)), study)
    typer.echo(f"Report: {study / 'report.html'}")


def clean_command(study: StudyArgument) -> None:
    """Delete the stored activations of a study; verdict, report and weights stay. Says how much that freed.

    Example:

      frostline clean studies/spam
    """
    from frostline.core.errors import StudyError
    from frostline.core.sizes import size_text
    from frostline.core.study_folder import StudyFolder

    folder = StudyFolder(study)
    if not folder.ledger.is_file():
        raise StudyError(f"{study} holds no study: ledger.sqlite is missing. Give the folder that --out named.")
    typer.echo(f"Freed {size_text(folder.delete_activations())} in {folder.activations}.")


def blocks_command(
    model: Annotated[str, typer.Argument(help="Folder of a transformers model, or module:function.")],
    weights: Annotated[Path | None, typer.Option(help="Safetensors weights for a module:function model.")] = None,
    image_size: Annotated[int, typer.Option(help="Edge in pixels of the example image, for image models.")] = 224,
    json: Json = False,
) -> None:
    """List a model's blocks in execution order: what freeze plans name.

    Example:

      frostline blocks ./minilm
    """
    from json import dumps

    from frostline.explain.describe import describe_blocks

    found = describe_blocks(model, weights=weights, image_size=image_size)
    if json:
        typer.echo(dumps([block.model_dump() for block in found], indent=2))
        return
    width = max(len(block.name) for block in found)
    typer.echo(f"{'block':<{width}}  {'parameters':>12}  {'forward MFLOPs':>14}  {'output bytes':>12}")
    for block in found:
        mflops = block.forward_flops / 1e6
        typer.echo(f"{block.name:<{width}}  {block.parameters:>12,}  {mflops:>14,.1f}  {block.output_bytes:>12,}")
