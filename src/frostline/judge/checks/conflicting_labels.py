"""FRL507: the same input with two labels."""

from __future__ import annotations

from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import counted, listed


@check(code="FRL507", name="conflicting-labels", severity="note")
def conflicting_labels(evidence: Evidence) -> Answer:
    """Does every input have one label?"""
    audit = evidence.data().audit
    if not audit.conflicting:
        return passed("No input occurs with two labels.")
    sample = f", such as {listed(audit.conflicting_sample)}" if audit.conflicting_sample else ""
    return note(
        f"{counted(audit.conflicting, 'input')} {'occurs' if audit.conflicting == 1 else 'occur'} with different "
        f"labels{sample}; one was kept of each, whichever came first.",
        "Read these inputs and settle the label of each, or take all of its rows out.",
    )
