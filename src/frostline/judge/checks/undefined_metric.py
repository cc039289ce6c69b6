"""FRL105: a metric that does not exist for these counts."""

from __future__ import annotations

from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import NAMES, listed


@check(code="FRL105", name="undefined-metric", severity="note")
def undefined_metric(evidence: Evidence) -> Answer:
    """Is every metric defined?"""
    reasons: dict[str, list[str]] = {}
    for metric, estimate in evidence.measures.metrics.items():
        if estimate.value is None:
            reasons.setdefault(estimate.undefined, []).append(NAMES[metric])
    if not reasons:
        return passed("Every metric is defined.")
    undefined = "; ".join(f"{listed(metrics)}: {reason}" for reason, metrics in reasons.items())
    return note(
        f"Undefined, which is not 0: {undefined}.",
        "Judge on examples of every class; if a class is never predicted, unfreeze the last frozen blocks, or retrain.",
    )
