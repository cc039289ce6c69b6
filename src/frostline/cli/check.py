"""`frostline check`: the verdict on a predictions file, or on four counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frostline.cli.options import Floors, Json
from frostline.core.errors import BadInputError, DataError, suggestion

if TYPE_CHECKING:
    from frostline.core.records import Verdict
    from frostline.data.tables import Table

_COUNTS = ("tp", "fn", "fp", "tn")


def check_command(
    file: Annotated[Path | None, typer.Argument(help="CSV, TSV, JSONL or Parquet with one row per example.")] = None,
    label_column: Annotated[str, typer.Option(help="Column of the true labels.")] = "label",
    prediction_column: Annotated[str, typer.Option(help="Column of the predicted labels.")] = "prediction",
    score_column: Annotated[
        str | None, typer.Option(help="Column of the positive class's score in [0, 1]; with two classes only.")
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(help="Between the labels of a cell, when an example carries any number of them; such as ';'."),
    ] = None,
    counts: Annotated[str | None, typer.Option(help="Counts instead of a file.", metavar="tp=N,fn=N,fp=N,tn=N")] = None,
    positive: Annotated[
        str | None, typer.Option(help="Label to be found. With two classes the rarer one is taken when left out.")
    ] = None,
    floor: Floors = None,
    json: Json = False,
) -> None:
    """Judge predictions made by any model, at once and without torch.

    Exit code: 0 READY, 1 NOT READY, 2 bad input, 3 internal error, 4 INCONCLUSIVE, 5 INVALID.

    Examples:

      frostline check predictions.csv --positive fraud --floor "recall>=0.8"

      frostline check --counts tp=85,fn=15,fp=10,tn=90

      frostline check topics.csv --separator ";"
    """
    if (file is None) == (counts is None):
        raise BadInputError(
            "Give either a predictions file or --counts, not "
            f"{'both' if file else 'neither'}: frostline check predictions.csv, or frostline check "
            "--counts tp=85,fn=15,fp=10,tn=90."
        )
    if counts is not None:
        from frostline.judge.check import check_counts

        verdict = check_counts(**parse_counts(counts), positive=positive or "positive", floors=floor or ())
    elif file is not None:
        columns = (label_column, prediction_column, score_column)
        if separator is None:
            verdict = _check_file(file, columns, positive, floor or ())
        else:
            verdict = _check_sets(file, columns, separator, positive, floor or ())
    _show(verdict, json)
    raise typer.Exit(verdict.exit_code)


def parse_counts(text: str) -> dict[str, int]:
    """Read the four counts of a binary confusion matrix.

    Args:
        text: `tp=85,fn=15,fp=10,tn=90`, in any order.

    Raises:
        DataError: One of the four is missing, given twice or no whole number.

    >>> parse_counts("tp=85, fn=15, fp=10, tn=90")
    {'tp': 85, 'fn': 15, 'fp': 10, 'tn': 90}
    """
    pairs = [re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*", part) for part in text.split(",")]
    named = [match.group(1).lower() for match in pairs if match]
    if len(named) != len(pairs) or sorted(named) != sorted(_COUNTS):
        raise DataError(
            f"The counts {text!r} cannot be read: tp, fn, fp and tn are needed, once each, as whole numbers. "
            "Write for example --counts tp=85,fn=15,fp=10,tn=90."
        )
    read = {name: int(match.group(2)) for name, match in zip(named, pairs, strict=True) if match}
    return {name: read[name] for name in _COUNTS}


def _check_file(
    file: Path, columns: tuple[str, str, str | None], positive: str | None, floors: Sequence[str]
) -> Verdict:
    from frostline.data.tables import read_table
    from frostline.judge.check import check

    table = read_table(file)
    _require_columns(table, columns)
    true, predicted = table.filled(columns[0]), table.filled(columns[1])
    scores = None if columns[2] is None else _numbers(table, columns[2])
    return check(true, predicted, scores, positive=positive or _rarer(true, predicted), floors=floors)


def _check_sets(
    file: Path, columns: tuple[str, str, str | None], separator: str, positive: str | None, floors: Sequence[str]
) -> Verdict:
    from frostline.data.tables import read_table
    from frostline.judge.check import check_sets

    if not separator.strip() or columns[2] is not None or positive is not None:
        raise BadInputError(
            "--separator parts the labels of a cell, so it cannot be empty, and neither --score-column nor --positive "
            "goes with it: write --separator ';' alone."
        )
    table = read_table(file)
    _require_columns(table, columns)
    true, predicted = (
        [[label.strip() for label in cell.split(separator) if label.strip()] for cell in table.column(name)]
        for name in columns[:2]
        if name is not None
    )
    return check_sets(true, predicted, floors=floors)


def _require_columns(table: Table, columns: tuple[str, str, str | None]) -> None:
    for option, name in zip(("--label-column", "--prediction-column", "--score-column"), columns, strict=True):
        if name is not None and name not in table.columns:
            raise DataError(
                f"{table.name} has no column {name!r}. {suggestion(name, table.columns)} Name it with {option}."
            )


def _numbers(table: Table, column: str) -> list[float]:
    numbers: list[float] = []
    for row, cell in enumerate(table.filled(column)):
        try:
            number = float(cell)
        except ValueError:
            number = float("nan")
        if not 0 <= number <= 1:
            raise DataError(
                f"{table.where(row)} holds {cell!r} in column {column!r} where a score is needed. "
                "Write the probability of the positive class, between 0 and 1."
            )
        numbers.append(number)
    return numbers


def _rarer(true: Sequence[str], predicted: Sequence[str]) -> str | None:
    """The positive label when none was named: never taken without saying so."""
    from frostline.judge.check import rarer_label

    rarer = rarer_label(true)
    if rarer is None or len({*true, *predicted}) != 2:
        return None
    typer.echo(f"No --positive was given: {rarer!r}, the rarer label, is taken as the positive one.", err=True)
    return rarer


def _show(verdict: Verdict, json: bool) -> None:
    if json:
        typer.echo(verdict.model_dump_json(indent=2))
        return
    from rich.console import Console

    from frostline.report.text import print_verdict

    print_verdict(verdict, Console())
