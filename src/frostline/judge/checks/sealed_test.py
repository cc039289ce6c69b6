"""FRL503: the test labels were read again after they had been seen."""

from __future__ import annotations

from frostline.core.records import StudyRecord
from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import counted, listed

NAMED = 3
"""How many earlier studies a sentence names."""


@check(code="FRL503", name="test-opened-more-than-once", severity="issue")
def opened_more_than_once(evidence: Evidence) -> Answer:
    """Were the test labels read only once?"""
    study = evidence.needs_study()
    openings = study.openings
    if not openings:
        raise NotApplicable("the test labels have not been read")
    different = len({frozenset(opening.contenders) for opening in openings})
    if different > 1:
        return issue(
            f"The test labels were read {counted(len(openings), 'time')}, first at {openings[0].at}, for {different} "
            "different sets of contenders: each reading let the later choice see the test split.",
            "Judge the final candidate on labelled examples that no study has read.",
        )
    if study.earlier_openings:
        return _read_before(study)
    if len(openings) == 1:
        return passed(f"The test labels were read once, at {openings[0].at}, and by no other study of this user.")
    return note(
        f"The test labels were read {counted(len(openings), 'time')}, first at {openings[0].at}, always for the same "
        "contenders.",
        "Treat the numbers as right, and do not change the plan because of them.",
    )


def _read_before(study: StudyRecord) -> Answer:
    earlier = study.earlier_openings
    names = listed(f"{opening.study or 'a study'} at {opening.at}" for opening in earlier[-NAMED:])
    return note(
        f"Other studies had read the same test examples {counted(len(earlier), 'time')} before, the last of them "
        f"{names}: whoever saw their numbers may have changed the plan because of them, so every floor is read at "
        f"1/{len(earlier) + 1} of the usual level.",
        "Keep labelled examples aside that no study has read, and judge the final candidate on them.",
    )
