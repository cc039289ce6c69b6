"""What all records share: their base, the closed sets of words, the exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

SplitName = Literal["train", "stop", "select", "test"]
Severity = Literal["issue", "note"]
Outcome = Literal["issue", "note", "passed", "not applicable", "ignored"]
VerdictName = Literal["READY", "NOT READY", "INCONCLUSIVE", "INVALID"]
Met = Literal["yes", "no", "cannot tell"]

EXIT_CODES: Mapping[VerdictName, int] = {"READY": 0, "NOT READY": 1, "INCONCLUSIVE": 4, "INVALID": 5}


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid")
