"""FRL205: a plan that freezes more does as well, for less."""

from __future__ import annotations

import shlex
from statistics import stdev

from frostline.core.records import Candidate, Forgetting, StudyRecord
from frostline.judge.checks.seeds_disagree import SPREAD, TRAININGS
from frostline.judge.evidence import Evidence
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import NAMES, listed, percent, points

CHEAPER = 0.20
"""Part of the work of training that must be saved."""


@check(code="FRL205", name="too-little-frozen", severity="note")
def too_little_frozen(evidence: Evidence) -> Answer:
    """Is there no plan that freezes more, does as well, and is cheaper, steadier or forgets less?"""
    study, chosen = evidence.needs_study(), evidence.chosen()
    # A network that ends early, or weights between two, are not the same model with more frozen.
    freeze_more = [c for c in study.candidates if set(chosen.frozen) < set(c.frozen) and not c.ends_after]
    deeper = [c for c in freeze_more if c.id in study.choice.tied or _no_worse(study, c.id, chosen.id)]
    if not deeper:
        return passed(f"No candidate that does as well as {chosen.id} on the select split freezes more.")
    found = [(candidate, _reasons(evidence, chosen, candidate)) for candidate in deeper]
    better, reasons = max(found, key=lambda pair: (len(pair[1]), len(pair[0].frozen)))
    if not reasons:
        names = listed(candidate.id for candidate in deeper)
        return passed(
            f"As good as {chosen.id} on the select split, with more frozen: {names}; not shown to be cheaper by "
            f"{percent(CHEAPER)}, steadier, or to forget less."
        )
    as_good = "is tied with" if better.id in study.choice.tied else "was measured no worse than"
    return note(
        f"Too little may be frozen: {better.id} {as_good} {chosen.id} on the select split and freezes more; "
        f"{'; '.join(reasons)}.",
        f"Take {better.id} ({better.plan}): search again with --plans {shlex.quote(','.join(better.frozen))}.",
    )


def _no_worse(study: StudyRecord, id: str, chosen: str) -> bool:
    """By the metric of the choice, as measured; outside a race whoever is no worse is tied as a rule."""
    values = (study.result(name, "select") for name in (id, chosen))
    other, own = (None if found is None else found.measures.metrics[study.choice.metric].value for found in values)
    return other is not None and own is not None and other >= own


def _reasons(evidence: Evidence, chosen: Candidate, deeper: Candidate) -> list[str]:
    study = evidence.needs_study()
    said = (_cheaper(study, chosen, deeper), _forgets_less(study, chosen, deeper), _steadier(evidence, chosen, deeper))
    return [reason for reason in said if reason]


def _cheaper(study: StudyRecord, chosen: Candidate, deeper: Candidate) -> str:
    own, other = _work(study, chosen.id), _work(study, deeper.id)
    if not own or not other or other > (1 - CHEAPER) * own:
        return ""
    return f"training takes {percent(1 - other / own)} less work a step ({other:.2e} FLOPs, not {own:.2e})"


def _work(study: StudyRecord, id: str) -> float | None:
    """FLOPs of training by step, nothing replayed: runs of a race may have ended at different lengths."""
    if not study.was_trained(id):
        return None
    run = study.run_of(id)
    steps = run.updates or len(run.epochs) - 1
    return run.ordinary_train_flops / steps if run.status != "failed" and steps > 0 else None


def _forgets_less(study: StudyRecord, chosen: Candidate, deeper: Candidate) -> str:
    own, other = _forgotten(study, chosen.id), _forgotten(study, deeper.id)
    if own is None or other is None or own.drop.value is None or other.drop.value is None:
        return ""
    # Both intervals are apart: more than a paired comparison would ask, but that was not made.
    if own.drop.low is None or other.drop.high is None or other.drop.high >= own.drop.low:
        return ""
    lost, kept = (f"{100 * drop:.1f}" for drop in (own.drop.value, other.drop.value))
    return f"on the old task it drops by {kept} points, not {lost}"


def _forgotten(study: StudyRecord, id: str) -> Forgetting | None:
    on_dial = (point.forgetting for point in study.dial if point.candidate == id)
    return study.forgetting.get(id) or next(on_dial, None)


def _steadier(evidence: Evidence, chosen: Candidate, deeper: Candidate) -> str:
    own, other = (list(evidence.over_seeds(candidate.id).values()) for candidate in (chosen, deeper))
    if min(len(own), len(other)) < TRAININGS or not stdev(own) > SPREAD >= stdev(other):
        return ""
    name = NAMES[evidence.needs_study().choice.metric]
    varies, varied = points(stdev(other)), points(stdev(own))
    return f"over {len(other)} seeds its {name} has a standard deviation of {varies}, not {varied}"
