"""A forecast in a terminal or a pipe: what would be tried, what it would cost, what the budget allows.

A terminal gets rules and bold heads; a pipe gets plain lines. Every number is a prediction, and the text says so.
"""

from __future__ import annotations

from rich.console import Console

from frostline.core.records.forecast import BudgetForecast, Ending, Forecast, ForecastRow
from frostline.core.sizes import size_text
from frostline.report import terminal
from frostline.report.words import UNDEFINED, count, duration, flops, listed, parameters, percent

_NONE = "-"


def print_forecast(forecast: Forecast, console: Console) -> None:
    """Print a forecast: every candidate with its predicted price, then the budget, or the whole sweep.

    Args:
        forecast: What was predicted.
        console: Where to; whether it is a terminal decides on rules and bold heads.
    """
    terminal.title("Nothing was trained: every number below is predicted", console)
    console.print()
    heads = ("Candidate", "Plan", "Trains", "Ordinary", "Replayed", "Time", "Stored")
    table = terminal.grid(heads, "nlrrrrr", console)
    for row in forecast.rows:
        table.add_row(*terminal.cells(_cells(row, forecast.full_flops)))
    console.print(table)
    for note in _notes(forecast):
        terminal.sentence(note, console)
    if forecast.budget is None:
        _sweep(forecast, console)
    else:
        _budget(forecast, forecast.budget, console)


def _cells(row: ForecastRow, full_flops: int) -> tuple[str, ...]:
    candidate = row.candidate
    return (
        candidate.id,
        candidate.plan,
        parameters(candidate.trainable_parameters),
        _share(row.ordinary_flops, full_flops),
        _NONE if row.replayed_flops is None else _share(row.replayed_flops, full_flops),
        _NONE if row.seconds_s is None else duration(row.seconds_s),
        _NONE if row.activation_bytes is None else size_text(row.activation_bytes),
    )


def _notes(forecast: Forecast) -> list[str]:
    replayed = (
        f"Nothing would be replayed: {forecast.replay_off}."
        if forecast.replay_off
        else "Replayed: where its frozen blocks can be read from the store instead of computed each time, which is "
        "found out only at the start; - where that would not be tried. Stored: at most what the last of its frozen "
        "blocks gives for all examples; candidates share it."
    )
    speed = "" if forecast.flops_per_s is None else f" at {flops(round(forecast.flops_per_s))}/s, timed on one batch"
    return [
        f"Ordinary and Replayed: the predicted work of all {forecast.epochs} epochs, early stopping left out, as a "
        f"share of one ordinary full fine-tune ({flops(forecast.full_flops)}). Time: of the ordinary way on this "
        f"machine{speed}; the optimizer's steps are left out, which count where the network is small.",
        replayed,
    ]


def _sweep(forecast: Forecast, console: Console) -> None:
    terminal.title("The whole sweep", console)
    tunes = forecast.full_flops
    replayed = forecast.replayed_sweep_flops
    cheaper = (
        f", or {_ratio(replayed, tunes)} where all is replayed that may be" if replayed < forecast.sweep_flops else ""
    )
    terminal.sentence(
        f"Every candidate would be trained to its end: predicted {_ratio(forecast.sweep_flops, tunes)} "
        f"ordinary full fine-tunes{cheaper}. Before that, {_ratio(forecast.start_flops, tunes)} for {_START}.",
        console,
    )
    terminal.sentence("With --budget 1 they are raced for the price of one ordinary full fine-tune.", console)


_START = (
    "one pass over the train, stop and select splits, learning rates of the head and the gradients of a sample. "
    "Examining what can be replayed comes on top, and what that costs is unknown beforehand"
)


def _budget(forecast: Forecast, budget: BudgetForecast, console: Console) -> None:
    terminal.title("What the budget allows", console)
    console.print()
    table = terminal.grid(("Predicted price", "Full fine-tunes", "Of the budget"), "lrr", console)
    parts = [("the start", forecast.start_flops)]
    if budget.rate_flops is not None:
        parts.append((f"trying {budget.rates} learning rates", budget.rate_flops))
    parts.append((f"the first rung, as far as there is room: {listed(budget.starters)}", budget.rung_flops))
    parts.append(("asking the winner again with its first blocks put back", budget.rewound_flops))
    parts += [("held back for what is not predicted", budget.held_back_flops), ("the budget", budget.budget_flops)]
    for name, price in parts:
        shares = (_ratio(price, forecast.full_flops), _share(price, budget.budget_flops))
        table.add_row(*terminal.cells((name, *shares)))
    console.print(table)
    terminal.sentence(f"The start: {_START}.", console)
    terminal.sentence(f"The first rung: {count(budget.rung_updates)} of {count(budget.updates)} updates.", console)
    terminal.sentence(
        "Predicted for three candidates, if each led from the start and all others trailed it by depth:", console
    )
    for ending in budget.endings:
        terminal.sentence(
            f"- {ending.candidate}, {ending.plan}: {_end_of(ending, budget, forecast.epochs)}.", console, indent=2
        )


def _end_of(ending: Ending, budget: BudgetForecast, epochs: int) -> str:
    others = f"{ending.tried} {'candidate' if ending.tried == 1 else 'candidates'} tried on the way"
    if ending.updates is None:
        return f"no room to try it; {others}"
    if ending.updates == budget.updates:
        return f"trained to its end; {others}"
    reached = ending.updates / budget.updates
    return f"trained for {reached * epochs:.1f} of {epochs} epochs ({percent(reached)} of its updates); {others}"


def _share(part: int, whole: int) -> str:
    # Rounded first: a price that is summed up epoch by epoch may miss the whole by one operation.
    return percent(round(part / whole, 6)) if whole else UNDEFINED


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else UNDEFINED
