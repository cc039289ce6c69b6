"""FRL308: training went astray instead of down."""

from __future__ import annotations

from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import counted, listed
from frostline.measure.curves import divergence

_ADVICE = "with a lower --learning-rate"


@check(code="FRL308", name="diverged", severity="issue")
def diverged(evidence: Evidence) -> Answer:
    """Did every run keep its loss below twice its start?"""
    study, chosen = evidence.needs_study(), evidence.chosen_run()
    trained = [run for run in study.runs if len(run.epochs) > 1]
    if not trained:
        raise NotApplicable("no run has an epoch of training")
    seen = divergence(chosen)
    if seen is not None and chosen.best_epoch == 0:
        return issue(
            f"The chosen run diverged, and the weights kept are those from before training. {seen.sentence}",
            f"Train {chosen.candidate} again {_ADVICE}; until then it counts as not tried.",
        )
    if seen is not None:
        return note(
            f"The chosen run diverged. {seen.sentence}",
            f"Epoch {chosen.best_epoch} of {chosen.candidate} was restored; {_ADVICE} later epochs may be better.",
        )
    rivals = [(run.candidate, found) for run in trained if (found := divergence(run)) is not None]
    if rivals:
        said = " ".join(f"{name}: {found.sentence}" for name, found in rivals)
        return note(
            f"{counted(len(rivals), 'run')} diverged. {said}",
            f"Train {listed(name for name, _ in rivals)} again {_ADVICE} before saying that the chosen plan is better.",
        )
    return passed(f"None of {counted(len(trained), 'run')} diverged.")
