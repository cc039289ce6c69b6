"""FRL208: what the pretrained model could do, it can no longer."""

from __future__ import annotations

from frostline.core.records import DialPoint, Drift, Forgetting
from frostline.judge.ceiling import forgotten_by_chosen
from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import estimate_text, percent, points

BUDGET = 0.02
"""What the accuracy on the old task may lose when nothing else was demanded."""
ALIKE = 0.80
"""Share of new inputs to which the old head must give the answer it gave, when there is nothing else to go by."""


@check(code="FRL208", name="old-task-forgotten", severity="issue")
def old_task_forgotten(evidence: Evidence) -> Answer:
    """Can the model still do what it was pretrained for?"""
    study, chosen = evidence.needs_study(), evidence.chosen().id
    found = forgotten_by_chosen(evidence)
    if found is None:
        moved = study.drift.get(chosen)
        if moved is None:
            raise NotApplicable("the old task was not measured; --old-data measures it")
        return _by_proxy(moved, evidence)
    low, high = found.drop.low, found.drop.high
    if low is None or high is None:
        raise NotApplicable("the drop on the old task has no interval")
    said = f"{_said(chosen, found)}.{_beside_full(evidence)}"
    if low > BUDGET:
        return issue(f"More was forgotten than the {points(BUDGET)} allowed: {said}", _keep_more(evidence))
    if high > BUDGET:
        return note(f"Whether more than {points(BUDGET)} were forgotten cannot be told: {said}", _tell(found))
    return passed(f"No more than {points(BUDGET)} were forgotten: {said}")


def _said(name: str, found: Forgetting) -> str:
    return (
        f"on {found.examples:,} examples of the old task {name} has {estimate_text('accuracy', found.after)}, "
        f"as pretrained it had {estimate_text('accuracy', found.before)}: a drop of {_drop(found)}"
    )


def _drop(found: Forgetting) -> str:
    value, low, high = ((100 * (side or 0.0)) for side in (found.drop.value, found.drop.low, found.drop.high))
    return f"{value:.1f} points ({low:.1f} to {high:.1f})"


def _beside_full(evidence: Evidence) -> str:
    """Whether freezing forgets less is no question of its own: nothing follows from it but this sentence."""
    study = evidence.needs_study()
    full = None if study.reference in (None, evidence.chosen().id) else study.forgetting.get(study.reference or "")
    return "" if full is None else f" Full fine-tuning dropped by {_drop(full)}."


def _by_proxy(moved: Drift, evidence: Evidence) -> Answer:
    share = moved.same_answer
    said = (
        f"The old task was not measured; --old-data measures it. On {moved.examples:,} new inputs the old head gives "
        f"the answer it gave before to {_share(share.value, share.low, share.high)}: a proxy, which needs no labels "
        "and cannot tell right from wrong"
    )
    if share.value is not None and share.value < ALIKE:
        return note(f"{said}. Below {percent(ALIKE)} much of what it knew has moved.", _keep_more(evidence))
    return passed(f"{said}.")


def _share(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "an unknown share"
    return f"{percent(value)} ({percent(low)} to {percent(high)})"


def _tell(found: Forgetting) -> str:
    return f"Give more examples of the old task than these {found.examples:,}."


def _keep_more(evidence: Evidence) -> str:
    """Weights nearer to the pretrained ones when they were measured to do, else more frozen blocks by name."""
    study, chosen = evidence.needs_study(), evidence.chosen()
    metric = study.choice.metric
    kept = [point for point in study.dial if point.forgetting.drop.high is not None and 0 < point.share < 1]
    kept = [point for point in kept if (point.forgetting.drop.high or 0.0) <= BUDGET]
    if kept:
        best = max(kept, key=lambda point: _value(point, metric))
        return (
            f"Take the weights {percent(best.share)} of the way from the pretrained to the fine-tuned ones "
            f"({best.candidate}): they drop by {_drop(best.forgetting)} on the old task and have "
            f"{estimate_text(metric, best.select.metrics[metric])} on the select split."
        )
    free = [block.name for block in study.blocks if not block.head and block.name not in chosen.frozen]
    more = f"Freeze {free[0]!r} as well" if free else "Lower the learning rate"
    return f"{more}, or train on examples of the old task along with the new."


def _value(point: DialPoint, metric: str) -> float:
    value = point.select.metrics[metric].value
    return -1.0 if value is None else value
