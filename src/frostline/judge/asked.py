"""The verdict on a study by what its user asked for, read from text."""

from __future__ import annotations

from collections.abc import Sequence

from frostline.core.records import StudyRecord, Verdict
from frostline.core.settings import Settings
from frostline.judge.check import read_floors
from frostline.judge.ignored import parse_ignored
from frostline.judge.verdict import judge_study


def judge_as_asked(
    study: StudyRecord, settings: Settings, floors: Sequence[str] = (), ignored: Sequence[str] = ()
) -> Verdict:
    """Judge a study by its settings' floors and ignored checks, or by others that replace them.

    Args:
        study: All evidence.
        settings: What the study was asked.
        floors: Demands such as `recall>=0.8` that replace those of the settings.
        ignored: Checks to ignore, as `CODE=reason`, that replace those of the settings.

    Raises:
        FloorError: A floor or an ignored check cannot be read.
    """
    return judge_study(study, read_floors(floors or settings.floors), parse_ignored(ignored or settings.ignore))
