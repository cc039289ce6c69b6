"""FRL504: examples that are judged were seen before, but for a word or a pixel."""

from __future__ import annotations

from frostline.core.records import Overlap
from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import counted, listed, percent

TOLERATED = 0.01
"""Share of a split from which on near-duplicates make what is measured there worthless, as copies do."""

KINDS = ("near text", "near image")


@check(code="FRL504", name="near-duplicates-across-splits", severity="issue")
def near_duplicates(evidence: Evidence) -> Answer:
    """Does an example stand in two splits, but for a word or a pixel?"""
    audit = evidence.data().audit
    overlaps = [overlap for overlap in audit.overlaps if overlap.examples and overlap.kind in KINDS]
    if not overlaps:
        kept = counted(audit.near_clusters, "cluster")
        together = (
            f"; {kept} of near-duplicates {_was(audit.near_clusters)} kept in one split" if audit.near_clusters else ""
        )
        return passed(f"No near-duplicates were found in two splits{together}.")
    sentence = f"{'; '.join(map(_said, overlaps))}."
    advice = (
        f"Read the pairs, take the near-duplicates out of {listed(sorted({o.later for o in overlaps}))}, and run "
        "again; or give the data undivided, and frostline keeps them together."
    )
    worst = {overlap.later for overlap in overlaps if overlap.share >= TOLERATED}
    if worst:
        return issue(sentence, advice, breaks_evidence="test" in worst)
    return note(sentence, advice)


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _said(overlap: Overlap) -> str:
    example = f", such as {overlap.sample[0]}" if overlap.sample else ""
    return (
        f"{counted(overlap.examples, 'example')} of {overlap.later} ({percent(overlap.share)}) "
        f"{'is' if overlap.examples == 1 else 'are'} nearly the same as one of {overlap.earlier}{example}"
    )
