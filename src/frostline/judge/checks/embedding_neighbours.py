"""FRL509: a judged example that the pretrained model hardly tells from a training example."""

from __future__ import annotations

from frostline.core.records import Overlap
from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import counted, percent


@check(code="FRL509", name="embedding-neighbours", severity="note")
def embedding_neighbours(evidence: Evidence) -> Answer:
    """Is a later example all but the same as a training example, in the eyes of the pretrained model?"""
    audit = evidence.needs_study().data.audit
    suspected = [overlap for overlap in audit.overlaps if overlap.kind == "embedding" and overlap.examples]
    if not suspected:
        return passed("No later example was found that the pretrained model hardly tells from a training example.")
    return note(
        f"{'; '.join(map(_said, suspected))}. That they mean the same to it does not make their content the same.",
        "Read or look at the pairs. Take those out that are copies, and run the search again; keep those that are two "
        "examples of one thing, and expect the model to do better on them than on new ones.",
    )


def _said(overlap: Overlap) -> str:
    example = f", such as {overlap.sample[0]}" if overlap.sample else ""
    verb = "lies" if overlap.examples == 1 else "lie"
    return (
        f"{counted(overlap.examples, 'example')} of {overlap.later} ({percent(overlap.share)}) {verb} far nearer to an "
        f"example of {overlap.earlier} than training examples lie to each other{example}"
    )
