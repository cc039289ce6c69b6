"""The four verdicts, their order, and what is said with each."""

from __future__ import annotations

import pytest

from builders import make_study, spam_counts
from frostline.core.errors import StudyError
from frostline.core.records import EXIT_CODES, StudyRecord, Verdict
from frostline.judge.floors import parse_floor
from frostline.judge.verdict import judge_study

WEAK = spam_counts(150, 150, 5, 715)
UNSURE = spam_counts(250, 50, 30, 690)


def verdict_of(study: StudyRecord, *floors: str) -> Verdict:
    return judge_study(study, [parse_floor(text) for text in floors])


@pytest.mark.parametrize("classes", [2, 4])
def test_clean_study_is_ready(classes: int) -> None:
    """Every default floor met, no issue, skill shown: exit code 0, and the floors are marked as defaults."""
    verdict = judge_study(make_study(classes=classes))

    assert (verdict.verdict, verdict.exit_code) == ("READY", 0)
    assert verdict.findings == ()
    assert all(floor.default and floor.met == "yes" for floor in verdict.floors)
    assert verdict.next.startswith("Nothing needs to change.")


def test_ruled_out_floor_is_not_ready() -> None:
    """A recall of one half is not fit for production, and the first reason is that floor."""
    verdict = judge_study(make_study(test={"depth-4": WEAK}))

    assert (verdict.verdict, verdict.exit_code) == ("NOT READY", 1)
    assert "ruled out" in verdict.reasons[0]
    assert "recall of 'spam' is 50.0 %" in verdict.sentence


def test_issue_alone_is_not_ready() -> None:
    """Floors met and yet an issue stands: not ready, with the issue's advice as the next step."""
    verdict = judge_study(make_study(failed=["full"]))

    assert verdict.verdict == "NOT READY"
    assert all(floor.met == "yes" for floor in verdict.floors)
    assert verdict.sentence == "Not fit for production: non finite loss (FRL304)."
    assert verdict.next == verdict.findings[0].next


def test_floor_that_cannot_be_told_is_inconclusive() -> None:
    """Above the floor but not shown: exit code 4, and the next step counts the examples that are missing."""
    all_unsure = dict.fromkeys(("depth-4", "full"), UNSURE)
    verdict = verdict_of(make_study(test=all_unsure), "recall>=0.82")

    assert (verdict.verdict, verdict.exit_code) == ("INCONCLUSIVE", 4)
    assert verdict.next.startswith("Judge again with ") and "more examples of 'spam'" in verdict.next


def test_too_few_positives_withhold_ready() -> None:
    """29 of 29 found meets a floor of .8, and is still too few to judge."""
    few = dict.fromkeys(("depth-4", "full", "tfidf-logistic"), spam_counts(29, 0, 0, 300))
    verdict = verdict_of(make_study(test={**few, "majority": spam_counts(0, 29, 0, 300)}), "recall>=0.8")

    assert verdict.floors[0].met == "yes"
    assert verdict.verdict == "INCONCLUSIVE"
    assert "FRL102" in verdict.sentence
    assert verdict.next == "Label at least 1 more of 'spam' in the split that judges."


def test_no_skill_withholds_ready() -> None:
    """A floor so low that a coin meets it does not make a coin fit for production."""
    coin = dict.fromkeys(("depth-4", "full", "tfidf-logistic"), spam_counts(150, 150, 360, 360))
    verdict = verdict_of(make_study(test=coin), "recall>=0.4")

    assert verdict.floors[0].met == "yes"
    assert verdict.verdict == "INCONCLUSIVE"
    assert "FRL402" in verdict.sentence


def test_broken_evidence_comes_before_everything() -> None:
    """Copies in the test split beside a ruled-out floor: INVALID, the copies first among the reasons."""
    verdict = judge_study(make_study(overlap=40, test={"depth-4": WEAK}))

    assert (verdict.verdict, verdict.exit_code) == ("INVALID", 5)
    assert "40 examples of test" in verdict.reasons[0]
    assert verdict.findings[0].code == "FRL501"
    assert "run the search again" in verdict.next


def test_issues_come_before_notes() -> None:
    """Findings are sorted by weight; passed and not applicable checks are listed beside them, not lost."""
    verdict = judge_study(make_study(test={"depth-4": WEAK}))
    outcomes = [finding.outcome for finding in verdict.findings]

    assert outcomes == sorted(outcomes)
    assert len(verdict.checks) > len(verdict.findings)
    assert {finding.outcome for finding in verdict.checks} >= {"issue", "note", "passed"}


def test_judging_is_repeatable() -> None:
    """The same study gives the same verdict to the last digit."""
    study = make_study()

    assert judge_study(study) == judge_study(StudyRecord.model_validate_json(study.model_dump_json()))


@pytest.mark.parametrize("classes", [2, 4])
def test_verdict_survives_json(classes: int) -> None:
    """What is printed as JSON reads back as the same value, schema included."""
    verdict = judge_study(make_study(classes=classes))
    text = verdict.model_dump_json()

    assert '"schema":"frostline.verdict/1"' in text
    assert Verdict.model_validate_json(text) == verdict


def test_study_without_a_test_result_is_refused() -> None:
    """A search that was stopped before its end cannot be judged, and the sentence says what to do."""
    study = make_study().model_copy(update={"test": ()})

    with pytest.raises(StudyError, match="--resume"):
        judge_study(study)


def test_exit_codes_are_the_contract() -> None:
    """0 READY, 1 NOT READY, 4 INCONCLUSIVE, 5 INVALID."""
    assert EXIT_CODES == {"READY": 0, "NOT READY": 1, "INCONCLUSIVE": 4, "INVALID": 5}
