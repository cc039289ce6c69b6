"""Claims about what follows from a verdict: what would change it, the next command, and what the user ignores."""

from __future__ import annotations

import pytest

from builders import make_study, spam_counts
from frostline.core.errors import FloorError
from frostline.judge.check import check_counts
from frostline.judge.floors import parse_floor
from frostline.judge.ignored import parse_ignored
from frostline.judge.verdict import judge_study

UNBALANCED = spam_counts(150, 150, 5, 715)


def test_ready_says_how_far_each_floor_could_rise() -> None:
    """The slack of every floor is named with its bound."""
    verdict = judge_study(make_study())

    assert verdict.verdict == "READY"
    assert len(verdict.would_change) == len(verdict.floors)
    assert all("would not be met" in sentence for sentence in verdict.would_change)


def test_ready_with_one_seed_proposes_to_confirm_it() -> None:
    """A claim rests on several trainings: the command buys them."""
    assert judge_study(make_study()).command == "frostline search --model minilm --data messages.csv --seeds 3"


def test_not_ready_names_the_floor_the_issue_and_the_plan_that_did_better() -> None:
    """Every reason that stands says what it takes, and the command tries the plan that was measured to do better."""
    verdict = judge_study(make_study(test={"depth-4": UNBALANCED}, select={"depth-4": UNBALANCED}))

    assert verdict.verdict == "NOT READY"
    assert any(sentence.startswith("Recall of 'spam' must rise") for sentence in verdict.would_change)
    assert any("NOT READY stands while FRL103 does" in sentence for sentence in verdict.would_change)
    assert verdict.command == "frostline search --model minilm --data messages.csv --plans full"


def test_inconclusive_says_how_many_more_examples_decide() -> None:
    """What is missing is counted in examples of the positive class."""
    verdict = check_counts(85, 15, 10, 90, floors=["recall>=0.8"])

    assert verdict.verdict == "INCONCLUSIVE"
    assert "115 more examples" in verdict.would_change[0]


def test_invalid_for_its_data_points_to_the_audit() -> None:
    """Copies across splits are looked at with the command that lists them."""
    verdict = judge_study(make_study(overlap=40))

    assert verdict.verdict == "INVALID"
    assert verdict.command == "frostline audit messages.csv"
    assert verdict.would_change[0].startswith("INVALID stands until this is mended")


def test_predictions_alone_lead_to_a_search() -> None:
    """A model that is not fit for production is sent to the search, with its positive class."""
    verdict = check_counts(12, 88, 12, 4888, positive="card fraud")

    assert verdict.command == "frostline search --model MODEL --data DATA --positive 'card fraud'"


def test_ignored_finding_is_shown_and_does_not_decide() -> None:
    """The outcome says who ignored it and why; the verdict is the one without it."""
    study = make_study(test={"depth-4": spam_counts(290, 10, 190, 530)}, reference=None)
    floors = [parse_floor("recall>=0.5")]
    before = judge_study(study, floors)
    noted = [finding.code for finding in before.findings]
    after = judge_study(study, floors, parse_ignored([f"{code}=known and accepted" for code in noted]))

    assert noted and before.verdict != "READY"
    assert after.verdict == "READY" and not after.findings
    outcomes = {check.code: check for check in after.checks if check.code in noted}
    assert all(check.outcome == "ignored" and "known and accepted" in check.sentence for check in outcomes.values())


def test_broken_evidence_cannot_be_ignored() -> None:
    """What makes a study INVALID stays, whatever reason is given."""
    verdict = judge_study(make_study(overlap=40), (), parse_ignored(["FRL501=we know"]))

    assert verdict.verdict == "INVALID"


@pytest.mark.parametrize("text", ["FRL999=why not", "FRL104", "FRL104= ", "=reason"])
def test_an_ignored_check_is_known_and_has_a_reason(text: str) -> None:
    """Unknown codes and missing reasons are sentences."""
    with pytest.raises(FloorError, match=r"code|not said"):
        parse_ignored([text])
