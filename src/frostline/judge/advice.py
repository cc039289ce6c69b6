"""What to change next, by name: blocks to unfreeze, a plan that did better, a threshold."""

from __future__ import annotations

from frostline.core.records import Candidate, Result, StudyRecord
from frostline.judge.evidence import Evidence
from frostline.judge.wording import NAMES, estimate_text, percent

WORTHWHILE_F1 = 0.05
"""A moved threshold is proposed when it would gain at least this much F1."""


def adapt(evidence: Evidence) -> str:
    """How to give the model more room: move the threshold if that helps, else unfreeze, else retrain."""
    moved, freed = move_threshold(evidence), unfreeze(evidence)
    return f"{moved} If that is not enough, {freed[0].lower()}{freed[1:]}" if moved else freed


def move_threshold(evidence: Evidence) -> str:
    """A better threshold with what it would give; empty when scores are unknown or it would gain little."""
    threshold, current = evidence.threshold, evidence.metric("f1").value
    if threshold is None or current is None or threshold.f1 < current + WORTHWHILE_F1:
        return ""
    return (
        f"Move the threshold before unfreezing anything: answering {evidence.asked_class} from a score of "
        f"{threshold.at:.3g} on gives recall {percent(threshold.recall)} and precision {percent(threshold.precision)} "
        "on these examples; fix it on other examples than those that judge it."
    )


def unfreeze(evidence: Evidence) -> str:
    """Which blocks to unfreeze, quoting a shallower plan that was measured to do better."""
    study = evidence.study
    if study is None:
        return (
            "Adjust which layers are frozen (unfreeze the last frozen blocks first), or retrain with more "
            f"examples of {_rarest(evidence)}."
        )
    chosen = study.candidate(study.choice.candidate)
    if not chosen.frozen:
        return f"Nothing is frozen in {chosen.id}: retrain longer or with more examples of {_rarest(evidence)}."
    better = _better_shallower(study, chosen)
    if better is not None:
        return _quote(study, chosen, better)
    return (
        f"Unfreeze {chosen.frozen[-1]!r}, the last frozen block of {chosen.id}, first; no shallower plan did better on "
        f"the select split, so more examples of {_rarest(evidence)} may help more."
    )


def _quote(study: StudyRecord, chosen: Candidate, better: Result) -> str:
    candidate = study.candidate(better.name)
    freed = [name for name in chosen.frozen if name not in candidate.frozen]
    metrics = better.measures.metrics
    return (
        f"Unfreeze {', '.join(map(repr, freed))}: that is candidate {better.name}, which on the select split had "
        f"{estimate_text('recall', metrics['recall'])} and {estimate_text('f1', metrics['f1'])}."
    )


def _better_shallower(study: StudyRecord, chosen: Candidate) -> Result | None:
    """The best candidate on the select split that freezes less, when it beats the chosen one there."""
    metric, own = study.choice.metric, study.result(chosen.id, "select")
    floor = -1.0 if own is None else _value(own, metric)
    shallower = {c.id for c in study.candidates if set(c.frozen) < set(chosen.frozen)}
    results = [r for r in study.select if r.name in shallower and _value(r, metric) > floor]
    return max(results, key=lambda result: _value(result, metric), default=None)


def _value(result: Result, metric: str) -> float:
    value = result.measures.metrics[metric].value
    return -1.0 if value is None else value


def _rarest(evidence: Evidence) -> str:
    supports = evidence.supports
    return repr(evidence.task.positive or min(supports, key=lambda label: supports[label]))


def floor_text(metric: str, evidence: Evidence) -> str:
    """A metric with the class it is of, as it stands in a sentence."""
    if metric in ("accuracy", "balanced_accuracy", "mcc"):
        return NAMES[metric]
    if evidence.task.positive is None:
        return f"{NAMES[metric]} (mean over the classes)"
    return f"{NAMES[metric]} of {evidence.asked_class}"
