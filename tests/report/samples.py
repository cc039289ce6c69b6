"""Studies that were judged, and studies whose names are hostile."""

from __future__ import annotations

import json

from frostline.core.records import StudyRecord, Verdict
from frostline.judge.floors import default_floors
from frostline.judge.verdict import judge_study

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def judged(study: StudyRecord) -> tuple[StudyRecord, Verdict]:
    """A study with the verdict the judge gives it on the default floors."""
    return study, judge_study(study, default_floors(study.data.task))


def renamed(study: StudyRecord, **names: str) -> StudyRecord:
    """The study with names replaced wherever they stand, as if the user's data had held them."""
    text = study.model_dump_json()
    for old, new in names.items():
        text = text.replace(old, json.dumps(new)[1:-1])
    return StudyRecord.model_validate_json(text)
