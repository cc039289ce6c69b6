"""`junit.xml`: the verdict as test cases, for whatever shows test results."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from frostline.core.records import Finding, FloorResult, StudyRecord, Verdict
from frostline.report.words import bound_beside, demand, metric_name, plain

# A pipeline that stays green while nobody can tell would read as READY, so "cannot tell" fails, by its own type.
_FAILURES = {"no": "NOT MET", "cannot tell": "INCONCLUSIVE"}


def render_junit(study: StudyRecord, verdict: Verdict) -> str:
    """The verdict, each floor and each check as one test case each.

    Failures: a verdict other than READY, a floor that is not met or of which it cannot be told, an issue.
    Skipped: a check that is not applicable or that the user ignores, with the reason. A note passes and is printed.

    Args:
        study: All evidence.
        verdict: The answer to it.

    Returns:
        XML text. It depends on the two records alone.
    """
    cases = [_verdict_case(verdict), *map(_floor_case, verdict.floors), *map(_check_case, verdict.checks)]
    counts = {
        "tests": str(len(cases)),
        "failures": _number_of("failure", cases),
        "errors": "0",
        "skipped": _number_of("skipped", cases),
        "time": f"{study.cost.seconds_s:.3f}",
    }
    root = ElementTree.Element("testsuites", {"name": "frostline", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": plain(study.name), "timestamp": study.created, **counts})
    suite.extend(cases)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _number_of(kind: str, cases: Iterable[ElementTree.Element]) -> str:
    return str(sum(case.find(kind) is not None for case in cases))


def _verdict_case(verdict: Verdict) -> ElementTree.Element:
    case = _case("frostline.verdict", "READY")
    told = [*verdict.reasons, *([f"Next: {verdict.next}"] if verdict.next else [])]
    if verdict.verdict != "READY":
        _answer(case, "failure", verdict.sentence, told, type=verdict.verdict)
    else:
        _print(case, [verdict.sentence, *told])
    return case


def _floor_case(floor: FloorResult) -> ElementTree.Element:
    case = _case("frostline.floors", f"{metric_name(floor.metric)} {demand(floor.metric, floor.floor)}")
    if floor.met == "yes":
        bound = bound_beside(floor.metric, floor.bound, floor.floor)
        _print(case, [floor.sentence, f"Lower bound: {bound}"])
    else:
        more = [f"Needed to tell: {floor.more_needed}"] if floor.more_needed else []
        _answer(case, "failure", floor.sentence, more, type=_FAILURES[floor.met])
    return case


def _check_case(check: Finding) -> ElementTree.Element:
    case = _case("frostline.checks", f"{check.code} {check.name}")
    told = [f"Next: {check.next}"] if check.next else []
    if check.outcome == "issue":
        _answer(case, "failure", check.sentence, told, type="INVALID" if check.breaks_evidence else "ISSUE")
    elif check.outcome in ("not applicable", "ignored"):
        _answer(case, "skipped", check.sentence)
    else:
        _print(case, [check.sentence, *told])
    return case


def _case(group: str, name: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", {"classname": group, "name": plain(name), "time": "0"})


def _answer(
    case: ElementTree.Element, kind: str, message: str, more: Iterable[str] = (), **attributes: str
) -> ElementTree.Element:
    found = ElementTree.SubElement(case, kind, {"message": plain(message), **attributes})
    found.text = "\n".join(map(plain, (message, *more)))
    return found


def _print(case: ElementTree.Element, sentences: Iterable[str]) -> None:
    ElementTree.SubElement(case, "system-out").text = "\n".join(map(plain, sentences))
