"""FRL104: one of precision and recall is bought with the other."""

from __future__ import annotations

from frostline.judge.advice import adapt, move_threshold
from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import estimate_text, listed, opened, points

GAP = 0.20
"""Difference between precision and recall that is worth a word."""


@check(code="FRL104", name="precision-recall-imbalance", severity="note")
def precision_recall_imbalance(evidence: Evidence) -> Answer:
    """Are precision and recall balanced?"""
    precision, recall = evidence.defined("precision"), evidence.defined("recall")
    said = opened(listed(estimate_text(metric, evidence.metric(metric)) for metric in ("precision", "recall")))
    if abs(precision - recall) <= GAP:
        return passed(f"{said}: not more than {points(GAP)} apart.")
    if precision > recall:
        return note(f"{said}: few false alarms are bought with many misses.", adapt(evidence))
    advice = move_threshold(evidence) or (
        f"Raise the threshold above which {evidence.asked_class} is answered, or train with more examples that look "
        "like it and are not."
    )
    return note(f"{said}: few misses are bought with many false alarms.", advice)
