"""The chosen plan drawn as the stack of blocks, with what every freeze depth scored beside it.

The row of a block carries the score of the plan whose frozen part ends right after that block,
so that reading down the stack is reading up the freeze depth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor

from frostline.core.records import Candidate, Estimate, Run, StudyRecord
from frostline.report import words
from frostline.report.parts import Mark, Row, Table

_GRID = 20
"""Axes begin and end on a twentieth of the unit."""


@dataclass(frozen=True, slots=True)
class Span:
    """An interval and its middle on an axis, in hundredths of the axis."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one candidate reached on the select split, and what it cost."""

    candidate: str
    value: str
    interval: str
    cost: str
    mark: Mark
    span: Span | None
    """None when the metric or its interval is undefined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRow:
    """One block."""

    name: str
    parameters: str
    width: float
    """Its parameters, in hundredths of the largest block's."""
    frozen: bool
    frost_line: bool
    """The leading frozen run ends here."""
    score: Score | None
    """Of the plan that freezes up to and with this block; None when none was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """The chosen plan."""

    candidate: str
    sentence: str
    reason: str
    metric: str
    axis: tuple[str, str]
    """Where the axis of the intervals begins and ends."""
    unfrozen: Score | None
    """Of the plan that freezes nothing."""
    rows: tuple[StackRow, ...]
    cost_note: str
    candidates: Table


def build_plan_view(study: StudyRecord) -> PlanView:
    """Lay out the chosen plan and the score of every depth.

    Args:
        study: All evidence.

    Returns:
        Rows in execution order; percentages and positions are final.
    """
    chosen = study.candidate(study.choice.candidate)
    by_depth = leading_plans(study)
    axis = axis_around(estimate for c in by_depth.values() if (estimate := select_estimate(study, c.id)))
    scores = {depth: _score(study, candidate, axis) for depth, candidate in by_depth.items()}
    largest = max(block.parameters for block in study.blocks)
    rows = tuple(
        StackRow(
            name=block.name,
            parameters=words.parameters(block.parameters),
            width=100 * block.parameters / largest if largest else 0.0,
            frozen=block.name in chosen.frozen,
            frost_line=depth == chosen.freeze_depth,
            score=scores.get(depth),
        )
        for depth, block in enumerate(study.blocks, start=1)
    )
    return PlanView(
        candidate=chosen.id,
        sentence=chosen.plan,
        reason=f"{study.choice.reason} {_corrected(study)}".strip(),
        metric=words.metric_name(study.choice.metric),
        axis=(words.metric_value(study.choice.metric, axis[0]), words.metric_value(study.choice.metric, axis[1])),
        unfrozen=scores.get(0),
        rows=rows,
        cost_note="Work is a share of the full fine-tune's." if _reference_flops(study) else "",
        candidates=_candidates(study),
    )


def _corrected(study: StudyRecord) -> str:
    """How good the chosen candidate is on the split that chose it, seen without the luck of the choosing."""
    metric, estimate = study.choice.metric, study.choice.corrected
    if estimate is None or estimate.value is None:
        return ""
    return (
        f"On the select split its {words.metric_name(metric)} is {words.estimate_text(metric, estimate)}, an interval "
        "that is corrected for the choosing."
    )


def leading_plans(study: StudyRecord) -> dict[int, Candidate]:
    """The plans that freeze a leading run of blocks and nothing else, by depth; the chosen one goes first."""
    names = tuple(block.name for block in study.blocks)
    plans: dict[int, Candidate] = {}
    for candidate in sorted(study.candidates, key=lambda c: c.id != study.choice.candidate):
        if not candidate.ends_after and frozenset(candidate.frozen) == frozenset(names[: candidate.freeze_depth]):
            plans.setdefault(candidate.freeze_depth, candidate)
    return dict(sorted(plans.items()))


def select_estimate(study: StudyRecord, candidate: str) -> Estimate | None:
    """The metric the choice was made by, on the select split; None when the run failed."""
    result = study.result(candidate, "select")
    return None if result is None else result.measures.metrics.get(study.choice.metric)


def axis_around(estimates: Iterable[Estimate]) -> tuple[float, float]:
    """The shortest axis on a grid of twentieths that holds every interval.

    >>> axis_around([Estimate(value=0.85, low=0.767, high=0.907)])
    (0.75, 0.95)
    >>> axis_around([])
    (0.0, 1.0)
    """
    ends = [end for e in estimates for end in (e.low, e.value, e.high) if end is not None]
    if not ends:
        return 0.0, 1.0
    low, high = floor(min(ends) * _GRID), ceil(max(ends) * _GRID)
    return low / _GRID, max(high, low + 1) / _GRID


def mark_of(study: StudyRecord, candidate: str) -> Mark:
    """Whether a candidate was chosen, or could not be told from the best."""
    if candidate == study.choice.candidate:
        return "chosen"
    return "tied" if candidate in study.choice.tied else ""


def run_flops(run: Run) -> int:
    """Work of one run: training and its evaluations."""
    return run.train_flops + run.evaluate_flops


def _reference_flops(study: StudyRecord) -> int:
    return 0 if study.reference is None else run_flops(study.run_of(study.reference))


def _cost(study: StudyRecord, run: Run) -> str:
    full = _reference_flops(study)
    return words.share(run_flops(run), full) if full else words.flops(run_flops(run))


def _score(study: StudyRecord, candidate: Candidate, axis: tuple[float, float]) -> Score:
    metric, run = study.choice.metric, study.run_of(candidate.id)
    estimate = select_estimate(study, candidate.id)
    return Score(
        candidate=candidate.id,
        value=_value(study, run, estimate),
        interval=words.estimate_interval(metric, estimate),
        cost="put back" if candidate.is_rewound else _cost(study, run),
        mark=mark_of(study, candidate.id),
        span=_span(estimate, axis),
    )


def _value(study: StudyRecord, run: Run, estimate: Estimate | None) -> str:
    if run.status == "failed":
        return f"{words.UNDEFINED} (failed: {run.ended})"
    value = words.estimate_value(study.choice.metric, estimate)
    return f"{value} (paused after {run.updates:,} updates)" if run.status == "paused" else value


def _span(estimate: Estimate | None, axis: tuple[float, float]) -> Span | None:
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    start, end = axis
    low, value, high = (100 * (x - start) / (end - start) for x in (estimate.low, estimate.value, estimate.high))
    return Span(low, value, high)


def _candidates(study: StudyRecord) -> Table:
    metric = study.choice.metric
    estimates = [estimate for c in study.candidates if (estimate := select_estimate(study, c.id))]
    notes = ("Measured on the select split, which trained nothing. Tied: not to be told from the best candidate.",)
    return Table(
        caption="Every candidate that was tried",
        columns=(
            "Candidate",
            "Freeze depth",
            "Trains",
            words.heading(metric),
            "95 % interval",
            "Best epoch",
            "Work",
            "Time",
            "",
        ),
        align="lrrrrrrrl",
        rows=tuple(_candidate_row(study, candidate) for candidate in study.candidates),
        note=" ".join((*notes, words.methods(e.method for e in estimates))).strip(),
    )


def _candidate_row(study: StudyRecord, candidate: Candidate) -> Row:
    run, mark = study.run_of(candidate.id), mark_of(study, candidate.id)
    estimate = select_estimate(study, candidate.id)
    return Row(
        (
            candidate.id,
            f"{candidate.freeze_depth} of {len(study.blocks)}",
            words.percent(candidate.trainable_share),
            _value(study, run, estimate),
            words.estimate_interval(study.choice.metric, estimate),
            str(run.best_epoch),
            words.flops(run_flops(run)),
            words.duration(run.seconds_s),
            mark,
        ),
        mark,
    )
