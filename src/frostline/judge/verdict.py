"""The answer: READY, NOT READY, INCONCLUSIVE or INVALID, with its reasons, the deciding one first.

INVALID: the evidence itself is broken. NOT READY: a floor is ruled out, or an issue stands.
INCONCLUSIVE: neither, but too little is known. READY: every floor is met and nothing stands against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from frostline.core.errors import StudyError
from frostline.core.records import EXIT_CODES, Confusion, Finding, Floor, FloorResult, StudyRecord, Verdict, VerdictName
from frostline.judge.advice import adapt, floor_text
from frostline.judge.evidence import Evidence
from frostline.judge.floors import OLD_DROP, default_floors
from frostline.judge.gate import LEVEL, hold_against
from frostline.judge.ignored import with_ignored
from frostline.judge.onward import next_command, would_change
from frostline.judge.registry import CHECKS
from frostline.judge.wording import estimate_text, listed, value_text

Counts = dict[str, int] | dict[str, tuple[str, ...] | tuple[tuple[int, ...], ...]]


def judge_study(study: StudyRecord, floors: Sequence[Floor] = (), ignored: Mapping[str, str] | None = None) -> Verdict:
    """Judge the chosen candidate of a study by its test split.

    Args:
        study: All evidence.
        floors: What is demanded; empty for the defaults.
        ignored: Codes of checks whose findings the user ignores, with the reason.

    Raises:
        StudyError: The chosen candidate was not measured on the test split.
    """
    result = study.result(study.choice.candidate, "test")
    if result is None:
        raise StudyError(
            f"The study {study.name!r} holds no test result of its chosen candidate {study.choice.candidate!r}. "
            "Run the search again with --resume to finish it."
        )
    return judge(Evidence(task=study.data.task, measures=result.measures, study=study), floors, ignored)


def judge(evidence: Evidence, floors: Sequence[Floor] = (), ignored: Mapping[str, str] | None = None) -> Verdict:
    """Hold evidence against all checks and floors.

    Args:
        evidence: A study, or predictions alone.
        floors: What is demanded; empty for the defaults.
        ignored: Codes of checks whose findings the user ignores, with the reason.

    Returns:
        The verdict with every check that was asked, whatever its outcome.
    """
    readings = 1 if evidence.study is None else 1 + len(evidence.study.earlier_openings)
    results = hold_against(floors or default_floors(evidence.task), evidence, LEVEL / readings)
    checks = with_ignored([check.ask(evidence) for check in CHECKS], ignored or {})
    fired = [finding for finding in checks if finding.outcome in ("issue", "note")]
    findings = tuple(sorted(fired, key=lambda finding: (not finding.breaks_evidence, finding.outcome != "issue")))
    name = _name(results, findings)
    return Verdict(
        verdict=name,
        exit_code=EXIT_CODES[name],
        sentence=_sentence(name, results, findings, evidence),
        reasons=_reasons(name, results, findings, evidence),
        positive=evidence.task.positive,
        average=evidence.measures.average,
        confusion=_counts(evidence.measures.confusion),
        metrics=evidence.measures.metrics,
        scored=evidence.measures.scored,
        per_class=evidence.measures.per_class,
        floors=results,
        findings=findings,
        checks=checks,
        next=_next(name, results, findings, evidence),
        would_change=would_change(name, results, findings, evidence),
        command=next_command(name, findings, evidence),
    )


def _name(floors: Sequence[FloorResult], findings: Sequence[Finding]) -> VerdictName:
    if any(finding.breaks_evidence for finding in findings):
        return "INVALID"
    if any(floor.met == "no" for floor in floors) or any(finding.outcome == "issue" for finding in findings):
        return "NOT READY"
    if any(floor.met == "cannot tell" for floor in floors) or any(finding.withholds_ready for finding in findings):
        return "INCONCLUSIVE"
    return "READY"


def _sentence(name: VerdictName, floors: Sequence[FloorResult], findings: Sequence[Finding], evidence: Evidence) -> str:
    """The verdict in one breath; the reasons hold the numbers."""
    if name == "INVALID":
        return f"The evidence cannot be trusted: {_names(f for f in findings if f.breaks_evidence)}."
    if name == "READY":
        shown = listed(f"{floor_text(f.metric, evidence)} {_demand(f)}" for f in floors)
        return f"Fit for production by what was demanded: {shown}, shown with confidence."
    if name == "NOT READY":
        short = [
            f"{floor_text(f.metric, evidence)} is {value_text(f.metric, f.value)} (demanded: {_demand(f)})"
            for f in floors
            if f.met == "no" and f.value is not None
        ]
        return f"Not fit for production: {listed(short or [_names(f for f in findings if f.outcome == 'issue')])}."
    unclear = [f"{floor_text(f.metric, evidence)} {_demand(f)}" for f in floors if f.met == "cannot tell"]
    if unclear:
        return f"Cannot be told yet: these examples do not show {listed(unclear)}, nor rule it out."
    return f"Cannot be told yet: {_names(f for f in findings if f.withholds_ready)}."


def _demand(floor: FloorResult) -> str:
    return f"{'at most' if floor.metric == OLD_DROP else 'at least'} {value_text(floor.metric, floor.floor)}"


def _names(findings: Iterable[Finding]) -> str:
    return listed(f"{finding.name.replace('-', ' ')} ({finding.code})" for finding in findings)


def _reasons(
    name: VerdictName, floors: Sequence[FloorResult], findings: Sequence[Finding], evidence: Evidence
) -> tuple[str, ...]:
    if name == "READY":
        skill = estimate_text("balanced_accuracy", evidence.metric("balanced_accuracy"))
        return (
            *(floor.sentence for floor in floors),
            f"No issue stands, and there is skill beyond a constant answer: {skill}.",
        )
    broken = [finding.sentence for finding in findings if finding.breaks_evidence]
    ruled_out = [floor.sentence for floor in floors if floor.met == "no"]
    issues = [finding.sentence for finding in findings if finding.outcome == "issue" and not finding.breaks_evidence]
    unclear = [floor.sentence for floor in floors if floor.met == "cannot tell"]
    withheld = [finding.sentence for finding in findings if finding.withholds_ready]
    return (*broken, *ruled_out, *issues, *unclear, *withheld)


def _next(name: VerdictName, floors: Sequence[FloorResult], findings: Sequence[Finding], evidence: Evidence) -> str:
    """The advice of what decided; a floor's sentence already says how many examples are missing."""
    if name == "READY":
        nothing = "Nothing needs to change."
        if evidence.study is not None and not evidence.study.confirmations:
            return f"{nothing} Before you claim it to others, see whether other seeds say the same."
        return next((finding.next for finding in findings if finding.next), nothing)
    deciding = [finding.next for finding in findings if finding.outcome == "issue" and finding.next]
    if deciding:
        return deciding[0]
    if name == "NOT READY":
        return adapt(evidence)
    withheld = [finding.next for finding in findings if finding.withholds_ready and finding.next]
    return withheld[0] if withheld else _more_evidence(floors, evidence)


def _more_evidence(floors: Sequence[FloorResult], evidence: Evidence) -> str:
    unclear = next(floor for floor in floors if floor.met == "cannot tell")
    return f"Judge again with {unclear.more_needed}." if unclear.more_needed else adapt(evidence)


def _counts(confusion: Confusion) -> Counts:
    matrix: dict[str, tuple[str, ...] | tuple[tuple[int, ...], ...]] = {
        "labels": confusion.labels,
        "counts": confusion.counts,
    }
    return confusion.binary or matrix
