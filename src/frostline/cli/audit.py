"""`frostline audit`: what stands against the data, before any model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frostline.cli.options import (
    GroupColumn,
    Json,
    LabelColumn,
    Positive,
    SliceColumn,
    SplitColumn,
    TextColumn,
    TimeColumn,
)

if TYPE_CHECKING:
    from rich.console import Console

    from frostline.core.errors import InvalidEvidence
    from frostline.core.records import DataSummary, Finding

SCHEMA = "frostline.audit/1"

SHOWN = 6
"""How many classes get a column; of more, the rarest do."""

EXIT_CODES = {"CLEAN": 0, "ISSUE": 1, "INVALID": 5}


def audit_command(
    data: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet; or folder of splits or images.")],
    positive: Positive = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    group_column: GroupColumn = None,
    split_column: SplitColumn = None,
    time_column: TimeColumn = None,
    slice_column: SliceColumn = None,
    seed: Annotated[int, typer.Option(help="Decides the splits that are carved.")] = 0,
    json: Json = False,
) -> None:
    """Look for leakage and its like: copies, near-duplicates, giveaways, time, labels, too few positives.

    The splits are those that `frostline search` makes with the same options. Test labels are counted by class only.

    Exit code: 0 nothing stands against the data, 1 an issue does, 2 bad input, 3 internal error, 5 INVALID: nothing
    that is measured on them can be trusted.

    Examples:

      frostline audit messages.csv --positive spam

      frostline audit reviews/ --time-column written --json
    """
    from frostline.core.errors import InvalidEvidence
    from frostline.data.sources import load_data
    from frostline.judge.data_checks import audit_findings

    try:
        summary = load_data(
            data,
            text_column=text_column,
            label_column=label_column,
            group_column=group_column,
            split_column=split_column,
            time_column=time_column,
            slice_column=slice_column,
            positive=positive,
            seed=seed,
        ).summary
    except InvalidEvidence as error:
        if not json:
            raise
        _show_json("INVALID", None, [_refused(error)])
        raise typer.Exit(EXIT_CODES["INVALID"]) from error
    answers = audit_findings(summary)
    verdict = verdict_of(answers)
    if json:
        _show_json(verdict, summary, fired(answers))
    else:
        from rich.console import Console

        print_audit(verdict, summary, answers, Console())
    raise typer.Exit(EXIT_CODES[verdict])


def verdict_of(findings: Sequence[Finding]) -> str:
    """CLEAN when nothing stands against the data, ISSUE, or INVALID when the evidence itself is broken."""
    if any(finding.breaks_evidence for finding in findings):
        return "INVALID"
    return "ISSUE" if any(finding.outcome == "issue" for finding in findings) else "CLEAN"


def fired(findings: Sequence[Finding]) -> list[Finding]:
    """Issues, then notes."""
    return [finding for outcome in ("issue", "note") for finding in findings if finding.outcome == outcome]


def print_audit(verdict: str, data: DataSummary, answers: Sequence[Finding], console: Console) -> None:
    """Print an audit: the answer, the splits, the findings with what to do, and what was looked at without one.

    Args:
        verdict: As `verdict_of` gives it.
        data: What was read.
        answers: Of every check that was asked.
        console: Where to; whether it is a terminal decides on rules and bold heads.
    """
    from frostline.report import terminal

    terminal.title(f"{verdict}: {_sentence(verdict)}", console)
    _splits(data, console)
    for finding in fired(answers):
        terminal.title(f"{finding.severity} {finding.code} {finding.name}", console)
        terminal.sentence(finding.sentence, console, indent=2)
        if finding.next:
            terminal.sentence(f"Next: {finding.next}", console, indent=2)
    terminal.title("Looked at", console)
    for finding in answers:
        if finding.outcome not in ("issue", "note"):
            terminal.sentence(f"{finding.code} {finding.name}: {finding.sentence}", console, indent=2)
    for suspect in data.audit.suspects:
        sample = f", such as {suspect.sample[0]}" if suspect.sample else ""
        terminal.sentence(
            f"Images of {suspect.later} that look like one of {suspect.earlier}: {suspect.examples}{sample}. They may "
            "be one picture saved twice or two that are much alike: look at them.",
            console,
            indent=2,
        )
    terminal.title("Read", console)
    for note in data.notes:
        terminal.sentence(note, console, indent=2)


def _splits(data: DataSummary, console: Console) -> None:
    from frostline.report import terminal

    judged = data.split("test").per_class
    shown = data.task.labels if len(judged) <= SHOWN else sorted(judged, key=lambda label: judged[label])[:SHOWN]
    console.print()
    grid = terminal.grid(("Split", "Examples", *shown, "From"), f"nr{'r' * len(shown)}l", console)
    for split in data.splits:
        counts = (f"{split.per_class[label]:,}" for label in shown)
        grid.add_row(*terminal.cells((split.name, f"{split.examples:,}", *counts, split.origin)))
    console.print(grid)
    if len(judged) > len(shown):
        least = min(judged[label] for label in judged if label not in shown)
        terminal.sentence(f"{len(judged) - SHOWN} more classes have at least {least:,} test examples each.", console)


def _sentence(verdict: str) -> str:
    if verdict == "INVALID":
        return "nothing that is measured on these data can be trusted."
    return "something stands against the data." if verdict == "ISSUE" else "nothing stands against the data."


def _refused(error: InvalidEvidence) -> Finding:
    """Splits that cannot even be read apart, as the finding that they amount to."""
    from frostline.core.records import Finding
    from frostline.judge.checks.exact_duplicates import exact_duplicates

    return Finding(
        code=exact_duplicates.code,
        name=exact_duplicates.name,
        severity="issue",
        outcome="issue",
        sentence=str(error),
        next="Give other data for one of the two splits, or leave it out.",
        breaks_evidence=True,
    )


def _show_json(verdict: str, data: DataSummary | None, findings: Sequence[Finding]) -> None:
    from json import dumps

    document = {
        "schema": SCHEMA,
        "verdict": verdict,
        "exit_code": EXIT_CODES[verdict],
        "data": None if data is None else data.model_dump(mode="json"),
        "findings": [finding.model_dump(mode="json") for finding in findings],
    }
    typer.echo(dumps(document, indent=2, ensure_ascii=False))
