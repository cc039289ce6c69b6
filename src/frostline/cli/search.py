"""`frostline search` and `frostline demo`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frostline.cli.options import (
    Floors,
    GroupColumn,
    Ignored,
    Json,
    LabelColumn,
    Positive,
    SliceColumn,
    SplitColumn,
    Summary,
    TextColumn,
    TimeColumn,
)

if TYPE_CHECKING:
    from frostline.study import Study

Out = Annotated[
    Path | None, typer.Option(help="Study folder; must not hold another study. Default: study; of demo, studies/NAME.")
]
Clean = Annotated[bool, typer.Option("--clean", help="Delete the stored activations when the study is done.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Only say what would be tried, what it would cost and what the budget allows; trains nothing.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the study in that folder.")]


def search_command(
    study: Annotated[Path | None, typer.Argument(help="Study file (TOML); options override it.")] = None,
    model: Annotated[str | None, typer.Option(help="Folder of a transformers model, or module:function.")] = None,
    data: Annotated[str | None, typer.Option(help="CSV, TSV, JSONL or Parquet; or folder of splits or images.")] = None,
    old_data: Annotated[
        str | None, typer.Option(help="Data of the task the model was pretrained for: what is forgotten is measured.")
    ] = None,
    old_model: Annotated[
        str | None, typer.Option(help="The model with its original head, where --model brings none.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Safetensors weights for a module:function model.")] = None,
    positive: Positive = None,
    floor: Floors = None,
    ignore: Ignored = None,
    aim: Annotated[
        str | None,
        typer.Option(
            help="Choose the threshold on the select split: f1, recall@precision>=0.9, precision@recall>=0.8. "
            "Default: none, the more probable class is answered."
        ),
    ] = None,
    cost: Annotated[
        str | None, typer.Option(help="Choose it for the lowest cost of mistakes.", metavar="fn=NUMBER,fp=NUMBER")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="What may be lost against full fine-tuning as if it were nothing. Default: 0.02."),
    ] = None,
    plans: Annotated[
        str | None,
        typer.Option(
            help='depths, surgical, norms, biases, probes, lora, "embeddings,layer[:3]"; several with ";". '
            "Default: depths."
        ),
    ] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    group_column: GroupColumn = None,
    split_column: SplitColumn = None,
    time_column: TimeColumn = None,
    slice_column: SliceColumn = None,
    image_size: Annotated[int | None, typer.Option(help="Edge in pixels to which images are brought.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs a candidate trains. Default: 5.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples per step. Default: 32.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak rate. Default: 5e-5 for a folder, 1e-3 for a factory.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Of the search, in ordinary full fine-tunes: candidates are raced, learning rate included; "
            "all trains every candidate to its end. Default: 1.0.",
            metavar="NUMBER|all",
        ),
    ] = None,
    layer_decay: Annotated[
        float | None, typer.Option(help="Factor on the learning rate from each block to the one before. Default: 1.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Learning rate after the warm-up: linear or cosine. Default: linear.")
    ] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="Share of the truth spread over all classes in the loss. Default: 0.")
    ] = None,
    class_weights: Annotated[
        str | None,
        typer.Option(help="Weigh classes alike in the loss: balanced, off, auto (when one is rare). Default: auto."),
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Parts of a batch that go through the network in turn. Default: 1.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto: bfloat16 where a CUDA device has it; float32 everywhere. Default: auto.")
    ] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without a lower validation loss. Default: 2.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides splits, order and fresh weights. Default: 0.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="Train chosen and runner-up again until there are so many; 3 for a claim. Default: 1."),
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help="Random augmentation of images in training: shift, flip or both, with a comma.")
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option(
            help="Where outputs of frozen blocks are kept: auto, memory, disk; off computes them each time. "
            "Default: auto.",
            metavar="PLACE",
        ),
    ] = None,
    activations_gib: Annotated[
        float | None,
        typer.Option(help="Most that they may take. Default: a quarter of the free memory, half of the free disk."),
    ] = None,
    activations_half: Annotated[
        bool, typer.Option("--activations-half", help="Keep them as float16: half the size, no longer exact.")
    ] = False,
    out: Out = None,
    resume: Resume = False,
    clean: Clean = False,
    dry_run: DryRun = False,
    summary: Summary = None,
    json: Json = False,
) -> None:
    """Try freeze plans on your data, choose one, train it and judge it on a sealed test split.

    Leaves a study folder with the evidence, the trained weights, report.html and a verdict.

    Examples:

      frostline search --model ./minilm --data messages.csv --positive spam --floor "recall>=0.8"

      frostline search --model my_models:resnet --weights resnet.safetensors --data photos/

      frostline search --model ./minilm --data messages.csv --positive spam --dry-run

      frostline search study/study.toml --resume
    """
    from frostline.core.settings import Settings, read_toml
    from frostline.study import Study

    given = {
        "model": model,
        "data": data,
        "old_data": old_data,
        "old_model": old_model,
        "weights": weights,
        "positive": positive,
        "floors": floor or None,
        "ignore": ignore or None,
        "aim": _aim(aim, cost),
        "margin": margin,
        "plans": plans,
        "text_column": text_column,
        "label_column": label_column,
        "group_column": group_column,
        "split_column": split_column,
        "time_column": time_column,
        "slice_column": slice_column,
        "image_size": image_size,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "budget": budget,
        "layer_decay": layer_decay,
        "schedule": schedule,
        "label_smoothing": label_smoothing,
        "class_weights": class_weights,
        "accumulate": accumulate,
        "precision": precision,
        "patience": patience,
        "seed": seed,
        "seeds": seeds,
        "augment": augment,
        "activations": activations,
        "activations_gib": activations_gib,
        "activations_half": activations_half or None,
    }
    _require_study_file(study, out, model, resume=resume)
    asked = (read_toml(study) if study else {}) | {name: value for name, value in given.items() if value is not None}
    folder = out or (study.parent if study and resume else Path("study"))
    asked_for = Study.of(Settings.checked(**asked), out=folder, resume=resume)
    if dry_run:
        _forecast(asked_for, json)
    else:
        _run(asked_for, json, clean=clean, summary=summary)


def _require_study_file(study: Path | None, out: Path | None, model: str | None, *, resume: bool) -> None:
    """A study folder given where its study file is needed is answered with the command that resumes it."""
    from frostline.core.errors import StudyError
    from frostline.core.study_folder import StudyFolder

    if study is not None and study.is_dir():
        file = StudyFolder(study).settings
        if not file.is_file():
            raise StudyError(f"{study} is a folder without study.toml. Give a study file, or --model and --data.")
        raise StudyError(f"{study} is a study folder: go on with frostline search {file} --resume")
    if study is None and model is None and resume:
        folder = out or Path("study")
        file = StudyFolder(folder).settings
        if file.is_file():
            raise StudyError(f"{folder} is a study folder: go on with frostline search {file} --resume")


def _aim(aim: str | None, cost: str | None) -> str | None:
    """One aim of the two ways to state it."""
    from frostline.core.errors import AimError

    if aim is not None and cost is not None:
        raise AimError(f"--aim {aim} and --cost {cost} both say what the threshold is for. Give one of them.")
    return aim if cost is None else f"cost:{cost}"


def demo_command(
    name: Annotated[str, typer.Argument(help="Which demonstration: spam or signs.")] = "spam",
    out: Out = None,
    resume: Resume = False,
    json: Json = False,
    export: Annotated[Path | None, typer.Option(help="Only write the data of the demo (spam, signs) there.")] = None,
) -> None:
    """Run the main job on embedded real data.

    spam: the SMS Spam Collection and the MiniLM sentence encoder. signs: photographs of hands and a small network
    trained on Fashion-MNIST, whose images are the old task: what fine-tuning forgets is measured.

    Examples:

      frostline demo spam --out studies/spam

      frostline demo signs

      frostline demo signs --export sign-digits
    """
    from shlex import quote

    from frostline.demos import export_data, study_of

    if export is not None:
        path, model = export_data(name, export)
        positive = " --positive spam" if name == "spam" else ""
        typer.echo(f"Wrote {path}. A model that goes with it: {model}")
        typer.echo(f"Run: frostline search --model {quote(model)} --data {quote(str(path))}{positive} --epochs 4")
        return
    folder = out or Path("studies") / name
    _run(study_of(name, folder, resume=resume), json)


def _forecast(study: Study, as_json: bool) -> None:
    from frostline.cli.progress import terminal_progress

    forecast = study.forecast(terminal_progress())
    if as_json:
        typer.echo(forecast.model_dump_json(indent=2))
    else:
        from rich.console import Console

        from frostline.report.forecast_text import print_forecast

        print_forecast(forecast, Console())


def _run(study: Study, as_json: bool, *, clean: bool = False, summary: Path | None = None) -> None:
    from rich.console import Console

    from frostline.cli.progress import terminal_progress

    try:
        result = study.run(terminal_progress())
    except KeyboardInterrupt:
        typer.echo("\nStopped. What was acknowledged is kept: the same command with --resume goes on.", err=True)
        raise typer.Exit(130) from None
    if clean:
        study.folder.delete_activations()
    if summary is not None:
        from frostline.report.markdown import append_summary

        append_summary(summary, result.record, result.verdict)
    if as_json:
        from json import dumps

        from frostline.report.document import search_document

        typer.echo(dumps(search_document(result.record, result.verdict), indent=2, ensure_ascii=False))
    else:
        from frostline.report.text import print_study

        print_study(result.record, result.verdict, Console())
        typer.echo(f"\nReport: {result.folder / 'report.html'}")
    raise typer.Exit(result.verdict.exit_code)
