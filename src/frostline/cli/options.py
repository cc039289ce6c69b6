"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output and nothing else.")]
Floors = Annotated[
    list[str] | None,
    typer.Option("--floor", help="Demand, such as recall>=0.8. May be given several times.", metavar="METRIC>=NUMBER"),
]
Ignored = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        help="Check whose finding shall not decide, with the reason. Several times.",
        metavar="FRLnnn=REASON",
    ),
]
Summary = Annotated[
    Path | None,
    typer.Option("--summary", help="Append the verdict as Markdown to this file, for the page of a CI job."),
]
Positive = Annotated[str | None, typer.Option(help="Label whose recall and precision are judged.")]
TextColumn = Annotated[str | None, typer.Option(help="Column of the texts; guessed when left out.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the labels; guessed when left out.")]
GroupColumn = Annotated[str | None, typer.Option(help="Rows of one group never straddle two splits.")]
SplitColumn = Annotated[str | None, typer.Option(help="Column that says train, validation or test.")]
TimeColumn = Annotated[str | None, typer.Option(help="Splits that are carved follow it: train earliest, test latest.")]
SliceColumn = Annotated[
    str | None, typer.Option(help="Metrics for each of its values; those unseen in training are marked.")
]
