"""What a search would cost, predicted before anything is trained."""

from __future__ import annotations

from frostline.core.records.base import Record
from frostline.core.records.happened import Candidate


class ForecastRow(Record):
    """One candidate, if it were trained for all epochs."""

    candidate: Candidate
    ordinary_flops: int
    """Training and evaluating it, nothing replayed; 0 when its head is only fitted."""
    replayed_flops: int | None
    """The same with its frozen prefix replayed; None when that would not be tried."""
    seconds_s: float | None
    """Of the ordinary way, on this machine; without the optimizer's steps. None when the speed is not known."""
    activation_bytes: int | None
    """What its frozen prefix gives for every example of train, stop and select; None when it would not be kept."""


class Ending(Record):
    """How far the leader of a race could be trained, if it led from the start."""

    candidate: str
    plan: str
    """In words."""
    updates: int | None
    """Steps of the optimizer that the budget lets it reach; None when there is no room to try it at all."""
    tried: int
    """Candidates that are trained on the way, itself among them when it is."""


class BudgetForecast(Record):
    """Where the budget of a race would go."""

    budget_flops: int
    held_back_flops: int
    """Of it, for what is not predicted: verifying what is replayed."""
    rewound_flops: int
    """Of it, for asking the winner again with its first blocks put back."""
    rate_flops: int | None
    """Of trying learning rates; None when one was given, no plan trains more than its head, or there is no room."""
    rates: int
    """Learning rates that the budget has room to try."""
    starters: tuple[str, ...]
    """Candidates that the race begins with."""
    rung_flops: int
    """Of bringing the starters to the first rung; the one on which learning rates are tried is there already."""
    rung_updates: int
    """Steps of the optimizer up to the first rung."""
    updates: int
    """Of one whole run."""
    endings: tuple[Ending, ...]
    """If full fine-tuning led, if a freeze about half as deep as can be did, and if the deepest did."""


class Forecast(Record):
    """What would be tried, what it would cost and what the budget allows. Nothing in it was trained."""

    epochs: int
    """Of every run, unless early stopping ends it before."""
    full_flops: int
    """One ordinary full fine-tune: the unit of budgets."""
    flops_per_s: float | None
    """Of one timed training step; None when it has no FLOPs that could be counted."""
    start_flops: int
    """What comes before any training, but for examining what can be replayed, which is not known beforehand."""
    rows: tuple[ForecastRow, ...]
    replay_off: str = ""
    """Why no frozen prefix would be replayed, as the end of a sentence; empty when some may be."""
    sweep_flops: int
    """Every candidate for all epochs, the ordinary way."""
    replayed_sweep_flops: int
    """The same, with every frozen prefix replayed where that would be tried."""
    budget: BudgetForecast | None
    """None when every candidate is to be trained to its end."""
