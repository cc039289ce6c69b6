"""The study: all its evidence in one record."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from frostline.core.records.base import Record
from frostline.core.records.forgotten import Confirmation, DialPoint, Drift, Forgetting
from frostline.core.records.given import Block, DataSummary
from frostline.core.records.happened import (
    Candidate,
    CheapScore,
    Choice,
    Cost,
    HeadRate,
    Opening,
    Probe,
    ReplaySummary,
    Result,
    Run,
    Standing,
)
from frostline.core.records.measured import Comparison, SelectSlice, Slice, ThresholdChoice


class StudyRecord(Record):
    """All evidence of one study: enough to judge and to render it without torch."""

    schema_: Literal["frostline.study/1"] = Field("frostline.study/1", alias="schema")
    name: str
    created: str
    """UTC, ISO 8601."""
    command: str
    """How to run it again."""
    settings: dict[str, str | int | float | bool | None]
    model: str
    data: DataSummary
    blocks: tuple[Block, ...]
    """In execution order."""
    candidates: tuple[Candidate, ...]
    runs: tuple[Run, ...]
    """One per candidate that was trained, in the order of `candidates`."""
    select: tuple[Result, ...]
    """Every candidate and baseline on the select split."""
    probes: tuple[Probe, ...]
    """On the select split, by depth."""
    head_rates: tuple[HeadRate, ...] = ()
    """Learning rates of the head that were tried; empty when it does not start from a fitted probe."""
    evidence: tuple[CheapScore, ...] = ()
    """What was known before any training, beside two rankings that know nothing."""
    race: tuple[Standing, ...] = ()
    """Every decision of the race, in order; empty when every candidate was trained to its end."""
    choice: Choice
    reference: str | None
    """Candidate that freezes nothing, when it was trained and did not fail."""
    test: tuple[Result, ...]
    """The chosen candidate, the reference and the baselines on the test split."""
    test_without_overlap: tuple[Result, ...] = ()
    """The same without the test examples that stand in an earlier split; empty when there are none."""
    comparisons: tuple[Comparison, ...]
    """On the test split: the chosen against the reference and each baseline; on the select split: against the best."""
    forgetting: dict[str, Forgetting] = Field(default_factory=dict)
    """By finalist; empty when no data of the old task were given, or no finalist can be asked for it."""
    dial: tuple[DialPoint, ...] = ()
    """Between the pretrained and the fine-tuned weights of the winner; empty without data of the old task."""
    confirmations: tuple[Confirmation, ...] = ()
    """Of the chosen and the runner-up; empty when one seed was asked for."""
    drift: dict[str, Drift] = Field(default_factory=dict)
    """By finalist, when the old task was not measured but the original head is at hand."""
    thresholds: dict[str, ThresholdChoice] = Field(default_factory=dict)
    """By finalist, when an aim was stated; else the most probable class is answered."""
    slices: tuple[Slice, ...] = ()
    """Of the test split, for the chosen candidate."""
    slices_from: str = ""
    """What the slices are: "column 'source'", "8 clusters of the frozen embedding"; empty when there are none."""
    select_slices: tuple[SelectSlice, ...] = ()
    """The same parts of the select split, for every candidate; empty in records of earlier versions, too."""
    openings: tuple[Opening, ...]
    earlier_openings: tuple[Opening, ...] = ()
    """By other studies, of the same test examples, before this study's."""
    cost: Cost
    replay: ReplaySummary | None = None
    """None when replay was switched off or nothing is frozen."""
    environment: dict[str, str]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    def candidate(self, id: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.id == id)

    def was_trained(self, candidate: str) -> bool:
        return any(run.candidate == candidate for run in self.runs)

    def run_of(self, candidate: str) -> Run:
        return next(run for run in self.runs if run.candidate == candidate)

    def result(self, name: str, split: Literal["select", "test"]) -> Result | None:
        return next((result for result in getattr(self, split) if result.name == name), None)

    def comparison(self, first: str, second: str, split: str) -> Comparison | None:
        return next(
            (c for c in self.comparisons if (c.first, c.second, c.split) == (first, second, split)),
            None,
        )
