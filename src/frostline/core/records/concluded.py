"""What is concluded: findings, floors met or not, the verdict."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from frostline.core.records.base import Met, Outcome, Record, Severity, VerdictName
from frostline.core.records.measured import ClassMeasures, Estimate


class Finding(Record):
    """What one check answered."""

    code: str
    name: str
    severity: Severity
    outcome: Outcome
    sentence: str
    """With the numbers. For "not applicable", the reason."""
    next: str = ""
    """What to do: blocks, threshold or data by name. Empty when nothing is needed."""
    breaks_evidence: bool = False
    """The measurement itself cannot be trusted: INVALID."""
    withholds_ready: bool = False
    """Too little is known to claim READY while this stands: INCONCLUSIVE at best."""


class FloorResult(Record):
    metric: str
    floor: float
    value: float | None
    bound: float | None
    """One-sided 95 % lower bound, corrected for the number of floors; of what may be lost, the upper one."""
    met: Met
    default: bool = False
    sentence: str
    more_needed: str = ""
    """When it cannot be told: which cases would tell, such as "115 more examples of 'spam' (215 in all)"."""


class Verdict(Record):
    """The answer, with its reasons in order."""

    schema_: Literal["frostline.verdict/1"] = Field("frostline.verdict/1", alias="schema")
    verdict: VerdictName
    exit_code: int
    sentence: str
    """One sentence a colleague understands."""
    reasons: tuple[str, ...]
    positive: str | None
    average: Literal["binary", "macro", "multilabel"]
    confusion: dict[str, int] | dict[str, tuple[str, ...] | tuple[tuple[int, ...], ...]]
    """`tp fn fp tn`, or `labels` and `counts` with rows = true, columns = predicted."""
    metrics: dict[str, Estimate]
    scored: dict[str, Estimate] = Field(default_factory=dict)
    """As in `Measures.scored`."""
    per_class: tuple[ClassMeasures, ...] = ()
    floors: tuple[FloorResult, ...]
    findings: tuple[Finding, ...]
    """Issues and notes, issues first."""
    checks: tuple[Finding, ...]
    """Every check that was asked, whatever its outcome."""
    next: str
    """The next thing to do."""
    would_change: tuple[str, ...] = ()
    """What would change this verdict, in order: each floor or finding with what it takes."""
    command: str = ""
    """The next command to run; empty when none follows."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)
