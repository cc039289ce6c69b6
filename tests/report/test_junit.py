"""junit.xml: well-formed whatever the sentences, of the usual shape, and as red as the verdict."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import make_study, spam_counts
from frostline.core.errors import plain
from frostline.core.records import StudyRecord, Verdict
from frostline.judge.verdict import judge_study
from frostline.report.junit import render_junit
from report.samples import judged

Pair = tuple[StudyRecord, Verdict]

# The shape that Jenkins' schema demands: attributes needed, attributes allowed, children allowed.
COUNTS = {"tests", "failures", "errors", "skipped", "time"}
SHAPE = {
    "testsuites": (set(), COUNTS | {"name"}, {"testsuite"}),
    "testsuite": ({"name"}, COUNTS | {"name", "timestamp"}, {"testcase"}),
    "testcase": ({"name", "classname"}, {"name", "classname", "time"}, {"failure", "skipped", "system-out"}),
    "failure": (set(), {"message", "type"}, set()),
    "skipped": (set(), {"message"}, set()),
    "system-out": (set(), set(), set()),
}

PAIR = judged(make_study())


def parsed(study: StudyRecord, verdict: Verdict) -> ElementTree.Element:
    return ElementTree.fromstring(render_junit(study, verdict))


def cases_of(study: StudyRecord, verdict: Verdict) -> dict[str, ElementTree.Element]:
    cases = list(parsed(study, verdict).iter("testcase"))
    named = {f"{case.get('classname')} {case.get('name')}": case for case in cases}
    assert len(named) == len(cases)
    return named


@pytest.mark.parametrize("which", ["clean", "faulty", "replayed", "several_classes", "hostile"])
def test_it_has_the_usual_shape(which: str, request: pytest.FixtureRequest) -> None:
    """Only elements and attributes of the JUnit schema, the needed ones present, and counts that are right."""
    root = parsed(*request.getfixturevalue(which))

    assert root.tag == "testsuites" and len(root) == 1
    for element in root.iter():
        needed, allowed, children = SHAPE[element.tag]
        assert needed <= set(element.keys()) <= allowed
        assert {child.tag for child in element} <= children
        assert len(element) <= 1 or element.tag == "testsuite"
    for counted in (root, root[0]):
        assert counted.get("tests") == str(len(list(root.iter("testcase"))))
        assert counted.get("failures") == str(len(list(root.iter("failure"))))
        assert counted.get("skipped") == str(len(list(root.iter("skipped"))))
        assert counted.get("errors") == "0" and float(counted.get("time", "")) >= 0


def test_a_clean_study_is_green(clean: Pair) -> None:
    """READY: one case for the verdict, each floor and each check, none of which fails."""
    study, verdict = clean
    cases = cases_of(study, verdict)

    assert len(cases) == 1 + len(verdict.floors) + len(verdict.checks)
    assert not [name for name, case in cases.items() if case.find("failure") is not None]
    assert "94.0 %" in (cases["frostline.floors recall >= 80.0 %"].findtext("system-out") or "")


def test_what_stands_against_a_study_is_red(faulty: Pair) -> None:
    """The verdict and every issue fail with their sentence; what breaks the evidence does so by its own type."""
    study, verdict = faulty
    cases = cases_of(study, verdict)
    issues = {f"frostline.checks {c.code} {c.name}": c for c in verdict.checks if c.outcome == "issue"}

    failed = {name: case for name, case in cases.items() if case.find("failure") is not None}
    assert issues and set(failed) == {"frostline.verdict READY", *issues}
    assert failed["frostline.verdict READY"].find("failure").get("type") == "INVALID"  # type: ignore[union-attr]
    for name, issue in issues.items():
        failure = cases[name].find("failure")
        assert failure is not None and failure.get("message") == issue.sentence
        assert failure.get("type") == ("INVALID" if issue.breaks_evidence else "ISSUE")
        assert issue.next in (failure.text or "")


@pytest.mark.parametrize(
    ("counts", "type"), [(spam_counts(120, 180, 5, 715), "NOT MET"), (spam_counts(245, 55, 5, 715), "INCONCLUSIVE")]
)
def test_a_floor_that_is_not_met_or_cannot_be_told_is_red(counts: tuple[tuple[int, ...], ...], type: str) -> None:
    """Green would read as READY."""
    cases = cases_of(*judged(make_study(test={"depth-4": counts})))
    failure = cases["frostline.floors recall >= 80.0 %"].find("failure")

    assert failure is not None and failure.get("type") == type
    assert cases["frostline.floors precision >= 80.0 %"].find("failure") is None


def test_notes_pass_and_what_was_not_asked_is_skipped() -> None:
    """A note is printed; a check that is ignored or not applicable is skipped with its reason."""
    study = make_study(test={"depth-4": spam_counts(180, 120, 2, 718)}, reference=None)
    reason = "recall matters more here"
    verdict = judge_study(study, (), {"FRL104": reason})
    cases, seen = cases_of(study, verdict), set()

    for check in verdict.checks:
        case = cases[f"frostline.checks {check.code} {check.name}"]
        seen.add(check.outcome)
        if check.outcome in ("ignored", "not applicable"):
            assert case.find("skipped").get("message") == check.sentence  # type: ignore[union-attr]
        elif check.outcome in ("note", "passed"):
            assert check.sentence in (case.findtext("system-out") or "")
    assert {"ignored", "not applicable"} <= seen
    assert reason in (cases["frostline.checks FRL104 precision-recall-imbalance"][0].get("message") or "")


def test_a_note_is_green(clean: Pair) -> None:
    """A check that fires as a note passes, and says what it found and what to do."""
    study, verdict = clean
    note = verdict.checks[0].model_copy(update={"outcome": "note", "sentence": "Said.", "next": "Done."})
    case = cases_of(study, verdict.model_copy(update={"checks": (note,)}))[f"frostline.checks {note.code} {note.name}"]

    assert case.find("failure") is None and case.findtext("system-out") == "Said.\nNext: Done."


@given(sentence=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_sentence_is_read_back(sentence: str) -> None:
    """Quotes, tags, control characters, noncharacters: the file is well-formed and the sentence is there."""
    study, verdict = PAIR
    issue = verdict.checks[0].model_copy(
        update={"outcome": "issue", "sentence": sentence, "next": "", "name": sentence}
    )
    root = parsed(study.model_copy(update={"name": sentence}), verdict.model_copy(update={"checks": (issue,)}))

    (failure,) = root.iter("failure")
    assert failure.get("message") == (failure.text or "") == plain(sentence)
    assert root[0].get("name") == plain(sentence)
