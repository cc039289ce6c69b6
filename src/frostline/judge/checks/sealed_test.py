"""FRL503: the test labels were read again after they had been seen."""

from __future__ import annotations

from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import counted


@check(code="FRL503", name="test-opened-more-than-once", severity="issue")
def opened_more_than_once(evidence: Evidence) -> Answer:
    """Were the test labels read only once?"""
    openings = evidence.needs_study().openings
    if not openings:
        raise NotApplicable("the test labels have not been read")
    if len(openings) == 1:
        return passed(f"The test labels were read once, at {openings[0].at}.")
    different = len({frozenset(opening.contenders) for opening in openings})
    seen = f"The test labels were read {counted(len(openings), 'time')}, first at {openings[0].at}"
    if different == 1:
        return note(
            f"{seen}, always for the same contenders.",
            "Treat the numbers as right, and do not change the plan because of them.",
        )
    return issue(
        f"{seen}, for {different} different sets of contenders: each reading let the later choice see the test split.",
        "Judge the final candidate on labelled examples that no study has read.",
    )
