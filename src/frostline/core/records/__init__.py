"""The values that cross rooms: immutable, checked when built, written to JSON as they are.

Knows no tensor, no model, no file. Rates are fractions in [0, 1]; durations end in `_s`,
sizes in `_bytes`, work in `_flops`. What is undefined or was not finite is None, never 0.
"""

from frostline.core.records.asked import Floor, Task
from frostline.core.records.base import EXIT_CODES, Met, Outcome, Record, Severity, SplitName, VerdictName
from frostline.core.records.concluded import Finding, FloorResult, Verdict
from frostline.core.records.forgotten import Confirmation, DialPoint, Forgetting
from frostline.core.records.given import Audit, Block, DataSummary, Overlap, SplitSummary
from frostline.core.records.happened import (
    Candidate,
    CheapScore,
    Choice,
    Cost,
    Epoch,
    Fit,
    HeadRate,
    Opening,
    Probe,
    Proof,
    ReplayedRun,
    ReplaySummary,
    Result,
    Run,
    Standing,
)
from frostline.core.records.measured import ClassMeasures, Comparison, Confusion, Difference, Estimate, Measures
from frostline.core.records.study import StudyRecord

__all__ = [
    "EXIT_CODES",
    "Audit",
    "Block",
    "Candidate",
    "CheapScore",
    "Choice",
    "ClassMeasures",
    "Comparison",
    "Confirmation",
    "Confusion",
    "Cost",
    "DataSummary",
    "DialPoint",
    "Difference",
    "Epoch",
    "Estimate",
    "Finding",
    "Fit",
    "Floor",
    "FloorResult",
    "Forgetting",
    "HeadRate",
    "Measures",
    "Met",
    "Opening",
    "Outcome",
    "Overlap",
    "Probe",
    "Proof",
    "Record",
    "ReplaySummary",
    "ReplayedRun",
    "Result",
    "Run",
    "Severity",
    "SplitName",
    "SplitSummary",
    "Standing",
    "StudyRecord",
    "Task",
    "Verdict",
    "VerdictName",
]
