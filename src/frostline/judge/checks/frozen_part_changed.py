"""FRL502: what was called frozen moved."""

from __future__ import annotations

from frostline.core.records import Proof, Run
from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, issue, passed
from frostline.judge.wording import counted


@check(code="FRL502", name="frozen-part-changed", severity="issue")
def frozen_part_changed(evidence: Evidence) -> Answer:
    """Did everything frozen stay bit-identical, outside the optimizer and in evaluation mode?"""
    study = evidence.needs_study()
    broken = [run for run in study.runs if not run.proof.holds]
    if broken:
        return issue(
            f"The freeze was broken: {'; '.join(map(_said, broken))}.",
            "Find what writes to frozen tensors (code that changes parameters or buffers directly, a second "
            "optimizer, a call of train() on a frozen part), mend it and run the search again.",
            breaks_evidence=True,
        )
    tensors = study.run_of(study.choice.candidate).proof.frozen_tensors
    return passed(
        f"All {counted(len(study.runs), 'run')} kept their frozen part bit-identical by content hash; "
        f"{study.choice.candidate} froze {counted(tensors, 'tensor')}."
    )


def _said(run: Run) -> str:
    return f"in {run.candidate}, {_fault(run.proof)}"


def _fault(proof: Proof) -> str:
    for names, what in (
        (proof.changed, "changed"),
        (proof.optimizer_holds, "stood in the optimizer"),
        (proof.training_mode, "ran in training mode"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"{names[0]!r}{more} {what}"
    return "the content hash of the frozen part changed"
