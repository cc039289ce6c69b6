"""FRL304: a run that broke down is not a bad result, it is no result."""

from __future__ import annotations

from frostline.core.records import Run
from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import counted, listed

_ADVICE = "Train it again with a lower learning rate or with gradient clipping; until then it counts as not tried."


@check(code="FRL304", name="non-finite-loss", severity="issue")
def non_finite_loss(evidence: Evidence) -> Answer:
    """Did every run keep a finite loss?"""
    study = evidence.needs_study()
    broken = [run for run in study.runs if _broke(run)]
    if not broken:
        return passed(f"All {counted(len(study.runs), 'run')} kept a finite loss.")
    said = "; ".join(f"{run.candidate}: {run.ended}" for run in broken)
    ids = {run.candidate for run in broken}
    full = {candidate.id for candidate in study.candidates if not candidate.frozen}
    if study.choice.candidate in ids:
        return issue(f"The chosen run broke down ({said}).", _ADVICE)
    if ids & full:
        return issue(f"The full fine-tuning that all plans are compared with broke down ({said}).", _ADVICE)
    return note(
        f"{counted(len(broken), 'run')} broke down and took no part ({said}).", f"{listed(sorted(ids))}: {_ADVICE}"
    )


def _broke(run: Run) -> bool:
    return run.status == "failed" or any(epoch.stop_loss is None for epoch in run.epochs)
