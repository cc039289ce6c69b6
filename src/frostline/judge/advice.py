"""What to change next, by name: blocks to unfreeze, a plan that did better, a threshold."""

from __future__ import annotations

from frostline.core.records import Candidate, Result, StudyRecord
from frostline.judge.evidence import Evidence
from frostline.judge.wording import NAMES, block_range, estimate_text, listed, percent, value_text
from frostline.measure.curve import Threshold, best_f1

WORTHWHILE_F1 = 0.05
"""A moved threshold is proposed when it would gain at least this much F1."""


def adapt(evidence: Evidence) -> str:
    """How to give the model more room: move the threshold if that helps, else unfreeze, else retrain."""
    moved, freed = move_threshold(evidence), unfreeze(evidence)
    return f"{moved} If that is not enough, {freed[0].lower()}{freed[1:]}" if moved else freed


def better_threshold(evidence: Evidence) -> Threshold | None:
    """The threshold with the highest F1; None when scores are unknown, an aim was stated, or it would gain little.

    In a study it is looked for on the select split, never on the test split.
    """
    best, current = best_f1(evidence.tuned_on.curve), evidence.tuned_on.metrics["f1"].value
    if best is None or current is None or evidence.aimed_threshold is not None:
        return None
    return best if best.f1 >= current + WORTHWHILE_F1 else None


def move_threshold(evidence: Evidence) -> str:
    """A better threshold with what it would give; empty when there is none."""
    best = better_threshold(evidence)
    if best is None:
        return ""
    how = (
        "fix it on other examples than those that judge it"
        if evidence.study is None
        else "a search with --aim f1 fixes it there, before the test split is opened"
    )
    return (
        f"Move the threshold before unfreezing anything: answering {evidence.asked_class} from a score of "
        f"{best.at:.3g} on gives recall {percent(best.recall)} and precision {percent(best.precision)} "
        f"{evidence.tuned_where}; {how}."
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
    better = better_shallower(study, chosen)
    if better is not None:
        return _quote(study, chosen, better)
    return (
        f"Unfreeze {chosen.frozen[-1]!r}, the last frozen block of {chosen.id}, first; no shallower plan did better on "
        f"the select split, so more examples of {_rarest(evidence)} may help more."
    )


def _quote(study: StudyRecord, chosen: Candidate, better: Result) -> str:
    """What the plan that freezes less was measured to do, beside the chosen one on the same examples."""
    candidate, own = study.candidate(better.name), study.result(chosen.id, "select")
    freed = block_range([name for name in chosen.frozen if name not in candidate.frozen])
    metrics = dict.fromkeys(("recall", study.choice.metric))
    return (
        f"Unfreeze {freed}: that is candidate {better.name}, which on the select split "
        f"{listed(_raised(metric, own, better) for metric in metrics)}."
    )


def _raised(metric: str, own: Result | None, better: Result) -> str:
    after = better.measures.metrics[metric]
    before = None if own is None else own.measures.metrics[metric].value
    if after.value is None or before is None:
        return f"had {estimate_text(metric, after)}"
    verb = "raised" if after.value > before else "left" if after.value == before else "lowered"
    interval = estimate_text(metric, after).removeprefix(f"{NAMES[metric]} ")
    return f"{verb} {NAMES[metric]} from {value_text(metric, before)} to {interval}"


def better_shallower(study: StudyRecord, chosen: Candidate) -> Result | None:
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
    return repr(evidence.asked_label or min(supports, key=lambda label: supports[label]))


def floor_text(metric: str, evidence: Evidence) -> str:
    """A metric with the class it is of, as it stands in a sentence."""
    if metric in ("accuracy", "balanced_accuracy", "mcc", "old_accuracy_drop"):
        return NAMES[metric]
    if evidence.asked_label is None:
        return f"{NAMES[metric]} (mean over the {'classes' if evidence.assigned is None else 'labels'})"
    return f"{NAMES[metric]} of {evidence.asked_class}"
