"""FRL506: what trains is from later than what judges."""

from __future__ import annotations

from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import counted, listed, percent

TOLERATED = 0.01
"""Share of the training, stopping and choosing examples up to which a few stray dates are a note only."""


@check(code="FRL506", name="later-than-test", severity="issue")
def later_than_test(evidence: Evidence) -> Answer:
    """Is everything that trains or chooses older than what judges?"""
    data = evidence.data()
    late = data.audit.later_than_test
    if late is None:
        raise NotApplicable("no time column was named, so nothing is known of time")
    if not late:
        return passed("Nothing that trains or chooses is later than the earliest test example.")
    others = sum(split.examples for split in data.splits if split.name != "test")
    sample = f": {listed(data.audit.later_sample)}" if data.audit.later_sample else ""
    sentence = (
        f"{counted(late, 'example')} of train, stop and select ({percent(late / others)}) "
        f"{'is' if late == 1 else 'are'} later than the earliest test example{sample}."
    )
    advice = (
        "Give the data undivided with --time-column: the splits then follow time. Or move what is later to the test."
    )
    return issue(sentence, advice) if late >= TOLERATED * others else note(sentence, advice)
