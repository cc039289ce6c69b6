"""FRL501: examples that are judged were seen before."""

from __future__ import annotations

from frostline.core.records import Overlap
from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import counted, estimate_text, listed, percent

TOLERATED = 0.01
"""Share of a split from which on copies make what is measured there worthless."""


@check(code="FRL501", name="exact-duplicates-across-splits", severity="issue")
def exact_duplicates(evidence: Evidence) -> Answer:
    """Does an example stand in two splits?"""
    audit = evidence.data().audit
    overlaps = [overlap for overlap in audit.overlaps if overlap.examples and overlap.kind == "exact"]
    if not overlaps:
        return passed("No example stands in two splits.")
    sentence = f"{'; '.join(map(_said, overlaps))}.{_without(evidence)}"
    advice = f"Take the copies out of {listed(sorted({o.later for o in overlaps}))} and run the search again."
    worst = {overlap.later for overlap in overlaps if overlap.share >= TOLERATED}
    if worst:
        return issue(sentence, advice, breaks_evidence="test" in worst)
    return note(sentence, advice)


def _said(overlap: Overlap) -> str:
    example = f", such as {overlap.sample[0]}" if overlap.sample else ""
    return (
        f"{counted(overlap.examples, 'example')} of {overlap.later} ({percent(overlap.share)}) also "
        f"{'stands' if overlap.examples == 1 else 'stand'} in {overlap.earlier}{example}"
    )


def _without(evidence: Evidence) -> str:
    study = evidence.study
    if study is None:
        return ""
    clean = next((r for r in study.test_without_overlap if r.name == study.choice.candidate), None)
    if clean is None:
        return ""
    recall, precision = clean.measures.metrics["recall"], clean.measures.metrics["precision"]
    return f" Without them: {estimate_text('recall', recall)}, {estimate_text('precision', precision)}."
