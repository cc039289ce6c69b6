"""FRL401: a model of seconds does as well."""

from __future__ import annotations

from frostline.core.records import Comparison, Difference
from frostline.judge.evidence import NOISE_P, Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import opened
from frostline.measure.compare import difference_clause

MAJORITY = "majority"


@check(code="FRL401", name="no-better-than-simple-baseline", severity="issue")
def no_better_than_simple_baseline(evidence: Evidence) -> Answer:
    """Is the model better than a simple one, by more than noise?"""
    study = evidence.needs_study()
    metric = study.choice.metric
    simple = {r.name for r in study.test if r.kind == "baseline" and r.name != MAJORITY}
    found = [
        (comparison, comparison.differences[metric])
        for comparison in study.comparisons
        if comparison.split == "test" and comparison.first == study.choice.candidate and comparison.second in simple
    ]
    known = [pair for pair in found if pair[1].value is not None]
    if not known:
        raise NotApplicable("no simple baseline was compared on the test split")
    return _answer(*min(known, key=lambda pair: pair[1].value or 0.0), metric)


def _answer(comparison: Comparison, difference: Difference, metric: str) -> Answer:
    seen = difference_clause(comparison, metric)
    if difference.p is not None and difference.p < NOISE_P:
        if (difference.value or 0.0) > 0:
            return passed(f"{opened(seen)}.")
        return issue(f"Worse than a simple model: {seen}.", f"Use {comparison.second}; it is cheaper and better.")
    return note(
        f"Hardly worth it: {seen}.",
        f"Use {comparison.second} unless something else speaks for the larger model, or judge on more examples.",
    )
