"""What follows from a verdict: what would change it, and the next command to run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from frostline.core.records import Finding, FloorResult, StudyRecord, VerdictName
from frostline.judge.advice import better_shallower, floor_text, move_threshold
from frostline.judge.evidence import Evidence
from frostline.judge.floors import OLD_DROP
from frostline.judge.wording import opened, points, value_text

DATA_CODES = ("FRL501", "FRL504", "FRL505", "FRL506")
"""Checks that speak of the data: what they found is looked at with `frostline audit`."""

ROOM_CODES = frozenset({"FRL101", "FRL103", "FRL202", "FRL203", "FRL204", "FRL207", "FRL302", "FRL401"})
"""Checks whose findings may be mended by giving the model more room, or another threshold."""

CLAIM_SEEDS = 3
"""Trainings of the chosen candidate that a claim should rest on."""


def would_change(
    name: VerdictName, floors: Sequence[FloorResult], findings: Sequence[Finding], evidence: Evidence
) -> tuple[str, ...]:
    """What it takes for another verdict, in order of weight, one sentence each."""
    if name == "READY":
        return tuple(_slack(floor, evidence) for floor in floors if floor.bound is not None)
    broken = [finding for finding in findings if finding.breaks_evidence]
    standing = [finding for finding in findings if finding.outcome == "issue" and not finding.breaks_evidence]
    withheld = [finding for finding in findings if finding.withholds_ready]
    return (
        *(f"INVALID stands until this is mended: {_remedy(finding)}" for finding in broken),
        *(_missing(floor, evidence) for floor in floors if floor.met != "yes"),
        *(f"NOT READY stands while {finding.code} does: {_remedy(finding)}" for finding in standing),
        *(f"READY is withheld while {finding.code} stands: {_remedy(finding)}" for finding in withheld),
    )


def _remedy(finding: Finding) -> str:
    return finding.next or finding.sentence


def _slack(floor: FloorResult, evidence: Evidence) -> str:
    name, demand = floor_text(floor.metric, evidence), value_text(floor.metric, floor.floor)
    bound = value_text(floor.metric, floor.bound or 0.0)
    stricter = "below" if floor.metric == OLD_DROP else "above"
    return f"A floor {stricter} {bound} for {name} would not be met; that of {demand} is, by {_gap(floor)}."


def _gap(floor: FloorResult) -> str:
    gap = abs((floor.bound or 0.0) - floor.floor)
    return f"{gap:.3f}" if floor.metric == "mcc" else points(gap)


def _missing(floor: FloorResult, evidence: Evidence) -> str:
    name, demand = opened(floor_text(floor.metric, evidence)), value_text(floor.metric, floor.floor)
    if floor.more_needed:
        return f"{name}: {floor.more_needed} would show the floor of {demand}, if it goes on like this."
    if floor.bound is None:
        return f"{name} must be measured, or be defined, before the floor of {demand} can be met."
    verb = "fall" if floor.metric == OLD_DROP else "rise"
    return f"{name} must {verb} until its bound, now {value_text(floor.metric, floor.bound)}, reaches {demand}."


def next_command(name: VerdictName, findings: Sequence[Finding], evidence: Evidence) -> str:
    """The command that does the next thing; empty when it is no command of frostline, such as labelling examples."""
    study = evidence.study
    if study is None:
        asked = f" --positive {shlex.quote(evidence.asked_label)}" if evidence.asked_label else ""
        return f"frostline search --model MODEL --data DATA{asked}" if name == "NOT READY" else ""
    if name == "INVALID":
        from_data = any(finding.breaks_evidence and finding.code in DATA_CODES for finding in findings)
        return f"frostline audit {shlex.quote(study.data.source)}" if from_data else ""
    if name == "NOT READY":
        standing = {finding.code for finding in findings if finding.outcome == "issue"}
        # What forgets too much or has a broken curve is not mended by freezing less.
        return _another_search(study, evidence) if not standing or standing & ROOM_CODES else ""
    if name == "READY" and not study.confirmations:
        return f"{study.command} --seeds {CLAIM_SEEDS}"
    return ""


def _another_search(study: StudyRecord, evidence: Evidence) -> str:
    """With a moved threshold, with the plan that did better, or with room for more plans: whatever was measured."""
    if move_threshold(evidence):
        return f"{study.command} --aim f1"
    chosen = study.candidate(study.choice.candidate)
    better = better_shallower(study, chosen)
    if better is not None:
        frozen = ",".join(study.candidate(better.name).frozen)
        return f"{study.command} --plans {shlex.quote(frozen) if frozen else 'full'}"
    return f"{study.command} --budget 2" if study.cost.budget_flops is not None else ""
