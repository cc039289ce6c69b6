"""Everything that happened in a study, as the record that is judged, shown and kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from frostline.choosing import Chosen
from frostline.core.environment import environment
from frostline.core.predictions import Predictions
from frostline.core.records import Confirmation, Cost, DataSummary, Drift, Forgetting, Result, Run, StudyRecord
from frostline.core.settings import Settings
from frostline.evidence import candidate_record, cheap_scores, dial_points, equally_far, probe_records, results
from frostline.finals import Finals, comparisons
from frostline.patterns import Patterns, select_slices_of, slices_of
from frostline.train.baselines import Baseline
from frostline.train.budgeted import Raced
from frostline.train.cost import study_cost
from frostline.train.race import Race
from frostline.train.start import Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What a study did and found, before it is measured and written down."""

    settings: Settings
    race: Race
    start: Start
    notes: tuple[str, ...]
    """What was guessed of data and model."""
    budget_flops: int | None
    raced: Raced | None
    """None when every candidate was trained to its end."""
    runs: Mapping[str, Run]
    chosen: Chosen
    baselines: tuple[Baseline, ...]
    patterns: Patterns
    finals: Finals
    before: Predictions | None
    """Of the old task, as pretrained."""
    forgotten: Mapping[str, Forgetting]
    moved: Mapping[str, Drift]
    old_flops: int
    """Spent on the old task, or on how far the answers moved."""
    confirmed: tuple[Confirmation, ...]
    began_s: float
    """On the clock of `time.perf_counter`, earlier processes taken into account."""


def record_of(happened: Happened) -> StudyRecord:
    """Measure what was answered, and put everything on record."""
    race, start, finals, settings = happened.race, happened.start, happened.finals, happened.settings
    chosen, runs, patterns = happened.chosen, happened.runs, happened.patterns
    sentences = {baseline.name: baseline.sentence for baseline in happened.baselines}
    probes = probe_records(race, start, race.data.labels[race.data.rows["select"]])
    losses = equally_far(happened.raced, chosen.select, race.plans)
    full = runs[finals.reference] if finals.reference and happened.budget_flops is None else None
    return StudyRecord(
        name=race.folder.path.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=f"frostline search {race.folder.settings} --out {race.folder.path}-again",
        settings=_plain(settings),
        model=race.model.source,
        data=_audited(happened),
        blocks=tuple(race.blocks),
        candidates=tuple(candidate_record(race, id) for id in race.plans if id in runs),
        runs=tuple(runs.values()),
        select=results(race, finals.select, "select", sentences, scored=(chosen.candidate,)),
        probes=probes,
        head_rates=start.head_rates,
        evidence=cheap_scores(race, start, probes, losses, full),
        race=() if happened.raced is None else happened.raced.standings,
        choice=chosen.choice,
        reference=finals.reference,
        test=results(race, finals.test, "test", sentences, scored=finals.finalists),
        test_without_overlap=_without_overlap(happened, sentences),
        comparisons=comparisons(chosen.choice, finals, margin=settings.margin, seed=settings.seed),
        forgetting=dict(happened.forgotten),
        dial=dial_points(chosen.dial, happened.before, settings.seed),
        drift=dict(happened.moved),
        confirmations=happened.confirmed,
        slices=slices_of(finals, patterns.parts, seed=settings.seed),
        slices_from=patterns.parts.words if patterns.parts else "",
        select_slices=select_slices_of(chosen.select, patterns.parts),
        thresholds=dict(finals.thresholds),
        openings=tuple(race.ledger.openings()),
        earlier_openings=finals.earlier,
        cost=_cost(happened),
        replay=race.activations.summary(runs) if race.activations else None,
        environment=environment(str(next(race.model.module.parameters()).device)),
    )


def _cost(happened: Happened) -> Cost:
    return study_cost(
        happened.race,
        happened.start,
        happened.runs,
        time.perf_counter() - happened.began_s,
        happened.budget_flops,
        old_flops=happened.old_flops,
        confirm_flops=sum(confirmation.flops for confirmation in happened.confirmed),
    )


def _without_overlap(happened: Happened, sentences: Mapping[str, str]) -> tuple[Result, ...]:
    """The test split without what training has seen; empty when it has seen nothing of it."""
    overlap = happened.race.data.overlap_test
    if happened.patterns.seen_before is not None:
        overlap = overlap | happened.patterns.seen_before
    if not overlap.any():
        return ()
    clean = {name: predictions.take(~overlap) for name, predictions in happened.finals.test.items()}
    return results(happened.race, clean, "test without overlap", sentences)


def _audited(happened: Happened) -> DataSummary:
    """What is known of the data at the end: what was guessed on the way, and what the pretrained features showed."""
    summary, notes = happened.race.data.summary, happened.notes
    if happened.start.head_fitted:
        notes += ("Every candidate starts from the same head: a linear probe on the pretrained features, tempered.",)
    audit = summary.audit.model_copy(update={"overlaps": (*summary.audit.overlaps, *happened.patterns.overlaps)})
    return summary.model_copy(update={"notes": (*summary.notes, *notes), "audit": audit})


def _plain(settings: Settings) -> dict[str, Any]:
    """The settings as one line each."""
    values = settings.model_dump(mode="json")
    return {name: ", ".join(value) if isinstance(value, list) else value for name, value in values.items()}
