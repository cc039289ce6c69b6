"""Every check: a planted fault that it finds, a clean twin on which it is silent, and its page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builders import (
    BINARY,
    TOPICS,
    make_confirmations,
    make_forgetting,
    make_non_inferiority,
    make_predictions,
    make_slices,
    make_study,
    spam_counts,
    with_scores,
)
from frostline.core.predictions import Predictions
from frostline.core.records import Epoch, Finding, Fit, Giveaway, Overlap, Run, StudyRecord, ThresholdChoice
from frostline.judge.evidence import Evidence
from frostline.judge.registry import CHECKS
from frostline.judge.verdict import judge_study
from frostline.measure.measures import measure

PAGES = Path(__file__).parents[2] / "docs" / "checks"
BROKEN = spam_counts(150, 150, 5, 715)
RISING = [
    (None, None, 0.69, 0.60),
    (0.30, 0.88, 0.20, 0.930),
    (0.20, 0.93, 0.25, 0.935),
    (0.10, 0.97, 0.31, 0.940),
    (0.05, 0.99, 0.40, 0.940),
]
FLAT = [(None, None, 0.610, 0.70), (0.62, 0.70, 0.600, 0.70), (0.61, 0.70, 0.598, 0.70)]
CLIMBING = [(None, None, 0.40, 0.85), (0.5, 0.80, 0.45, 0.84), (0.4, 0.83, 0.50, 0.80)]
UNFINISHED = [(None, None, 0.60, 0.70), (0.50, 0.80, 0.45, 0.84), (0.40, 0.85, 0.30, 0.90)]
ZIGZAG = [
    (None, None, 0.69, 0.60),
    (0.40, 0.85, 0.30, 0.90),
    (0.30, 0.88, 0.55, 0.84),
    (0.25, 0.90, 0.28, 0.91),
]
ASTRAY = [(None, None, 0.40, 0.85), (1.90, 0.55, 1.50, 0.50), (2.40, 0.50, 2.10, 0.50)]


def under_fitted() -> StudyRecord:
    """So much is frozen that train and select are alike, and both far below a shallower plan."""
    weak = spam_counts(120, 180, 60, 660)
    return make_study(
        chosen="depth-7",
        select={"depth-7": weak},
        test={"depth-7": weak},
        train_fit={"depth-7": Fit(examples=600, loss=0.50, accuracy=0.77)},
    )


def learned_by_heart() -> StudyRecord:
    """The last block and the head know every training example, and far fewer others."""
    weak = spam_counts(220, 80, 60, 660)
    fit = {"depth-6": Fit(examples=600, loss=0.01, accuracy=0.998)}
    return make_study(chosen="depth-6", select={"depth-6": weak}, test={"depth-6": weak}, train_fit=fit)


def unstable() -> StudyRecord:
    """With one of three seeds much of the spam is missed."""
    seeds = {"depth-4": [spam_counts(282, 18, 10, 710), spam_counts(230, 70, 10, 710)]}
    return make_study(confirmations=make_confirmations(seeds))


def reopened() -> StudyRecord:
    """A second contender was measured on the test labels after the first was known."""
    study = make_study(openings=2)
    first, second = study.openings
    return study.model_copy(update={"openings": (first, second.model_copy(update={"contenders": ("depth-5",)}))})


def lopsided(tp: int, fn: int, fp: int, tn: int) -> StudyRecord:
    """A rare positive class in the test split."""
    counts = {name: spam_counts(tp, fn, fp, tn) for name in ("depth-4", "full", "tfidf-logistic")}
    return make_study(test={**counts, "majority": spam_counts(0, tp + fn, 0, fp + tn)})


def remeasured(study: StudyRecord, split: str, answers: Predictions) -> StudyRecord:
    """The study with other answers of the chosen candidate on one split, scores included."""
    measures = measure(answers, split, scored=True)
    results = tuple(
        result.model_copy(update={"measures": measures}) if result.name == study.choice.candidate else result
        for result in getattr(study, split)
    )
    return study.model_copy(update={split: results})


def unsure() -> StudyRecord:
    """Answers that are right in 97 of 100 cases and scored about .6."""
    usual = make_predictions(BINARY, spam_counts(282, 18, 10, 710))
    return remeasured(make_study(), "test", with_scores(usual, sure=0.6))


def hesitant() -> StudyRecord:
    """A third of the spam is missed on the select split, although it scores .4 and all other mail .1."""
    missed = make_predictions(BINARY, spam_counts(200, 100, 5, 715))
    spam_N = np.select([missed.predicted_N == 1, missed.true_N == 1], [0.9, 0.4], 0.1)
    answers = Predictions.from_probabilities(BINARY, missed.true_N, np.stack([1 - spam_N, spam_N], axis=1))
    return remeasured(make_study(), "select", answers)


def near(examples: int) -> Overlap:
    """Test examples that are nearly the same as training examples."""
    places = ("test.csv row 17 ~ train.csv row 4",)
    return Overlap(
        kind="near text", earlier="train", later="test", examples=examples, share=examples / 1020, sample=places
    )


def giveaway(kind: str, name: str) -> Giveaway:
    """Something that tells the label."""
    said = f"The {kind} {name!r} tells the class with a balanced accuracy of 99.5%."
    return Giveaway.model_validate(
        {"kind": kind, "name": name, "balanced_accuracy": 0.995, "examples": 3060, "sentence": said}
    )


def alike() -> StudyRecord:
    """Three test examples that the pretrained model hardly tells from training examples."""
    study = make_study(overlap=3)
    audit = study.data.audit
    found = tuple(overlap.model_copy(update={"kind": "embedding"}) for overlap in audit.overlaps)
    data = study.data.model_copy(update={"audit": audit.model_copy(update={"overlaps": found})})
    return study.model_copy(update={"data": data})


FAULTS: dict[str, tuple[Callable[[], StudyRecord], str]] = {
    "FRL101": (lambda: lopsided(12, 88, 12, 4888), "issue"),
    "FRL102": (lambda: lopsided(27, 2, 2, 900), "note"),
    "FRL103": (lambda: make_study(test={"depth-4": BROKEN}), "issue"),
    "FRL104": (lambda: make_study(test={"depth-4": BROKEN}), "note"),
    "FRL105": (lambda: make_study(test={"depth-4": spam_counts(0, 300, 0, 720)}), "note"),
    "FRL106": (unsure, "note"),
    "FRL107": (hesitant, "note"),
    "FRL201": (lambda: make_study(curves={"depth-4": CLIMBING}), "note"),
    "FRL202": (lambda: make_study(test={"depth-4": BROKEN}), "issue"),
    "FRL203": (lambda: make_study(test={"depth-4": spam_counts(246, 54, 8, 712)}), "issue"),
    "FRL204": (under_fitted, "issue"),
    "FRL205": (lambda: make_study(tied=["depth-5"], train_flops={"depth-5": 3_000_000_000}), "note"),
    "FRL206": (unstable, "issue"),
    "FRL207": (lambda: make_study(slices=make_slices(parts={"chat": spam_counts(60, 40, 4, 236)})), "issue"),
    "FRL208": (lambda: make_study(forgetting={"depth-4": make_forgetting(lost=120)}), "issue"),
    "FRL301": (
        lambda: make_study(
            select={"depth-4": spam_counts(220, 80, 60, 660)},
            train_fit={"depth-4": Fit(examples=600, loss=0.01, accuracy=0.998)},
        ),
        "issue",
    ),
    "FRL302": (lambda: make_study(curves={"depth-4": FLAT}), "issue"),
    "FRL303": (lambda: make_study(curves={"depth-4": RISING}), "note"),
    "FRL304": (lambda: make_study(failed=["full"]), "issue"),
    "FRL305": (lambda: make_study(curves={"depth-4": UNFINISHED}), "note"),
    "FRL306": (lambda: make_study(curves={"depth-4": CLIMBING}), "note"),
    "FRL307": (lambda: make_study(curves={"depth-4": ZIGZAG}), "note"),
    "FRL308": (lambda: make_study(curves={"depth-4": ASTRAY}), "issue"),
    "FRL309": (learned_by_heart, "issue"),
    "FRL401": (lambda: make_study(test={"depth-4": spam_counts(248, 52, 14, 706)}), "note"),
    "FRL402": (lambda: make_study(test={"depth-4": spam_counts(90, 210, 220, 500)}), "note"),
    "FRL403": (lambda: make_study(non_inferiority=make_non_inferiority("no")), "issue"),
    "FRL501": (lambda: make_study(overlap=11), "issue"),
    "FRL502": (lambda: make_study(changed=["embeddings.LayerNorm.bias"]), "issue"),
    "FRL503": (reopened, "issue"),
    "FRL504": (lambda: make_study(audit={"overlaps": (near(11),)}), "issue"),
    "FRL505": (lambda: make_study(audit={"giveaways": (giveaway("feature", "refund_paid"),)}), "issue"),
    "FRL506": (lambda: make_study(audit={"later_than_test": 51, "later_sample": ("t.csv row 9 (2024)",)}), "issue"),
    "FRL507": (lambda: make_study(audit={"conflicting": 2, "conflicting_sample": ("m row 3 = m row 9",)}), "note"),
    "FRL508": (lambda: make_study(audit={"giveaways": (giveaway("row order", "row"),)}), "note"),
    "FRL509": (alike, "note"),
}


def complete(classes: int) -> StudyRecord:
    """A clean study of which everything was measured that can be."""
    task = BINARY if classes == 2 else TOPICS
    return make_study(
        classes=classes,
        slices=make_slices(task, full={}),
        forgetting={"depth-4": make_forgetting()},
        confirmations=make_confirmations(task=task),
        non_inferiority=make_non_inferiority(),
    )


def findings(study: StudyRecord) -> dict[str, Finding]:
    return {finding.code: finding for finding in judge_study(study).checks}


@pytest.mark.parametrize("code", FAULTS)
def test_planted_fault_is_found(code: str) -> None:
    """The check fires on its fault, with a sentence that has a number or a name, and says what to do."""
    plant, outcome = FAULTS[code]
    finding = findings(plant())[code]

    assert finding.outcome == outcome, finding.sentence
    assert finding.severity == outcome
    assert finding.sentence.endswith(".") and finding.next.endswith(".")


@pytest.mark.parametrize("classes", [2, 4])
def test_clean_study_passes_every_check(classes: int) -> None:
    """On the clean twin no check fires and none is skipped, but that several classes have no threshold to move."""
    skipped = set() if classes == 2 else {"FRL107"}
    assert {
        code: f.sentence
        for code, f in findings(complete(classes)).items()
        if f.outcome != ("not applicable" if code in skipped else "passed")
    } == {}


def test_every_check_has_a_planted_fault() -> None:
    """The table of faults is complete: a check that cannot fire proves nothing."""
    assert [check.code for check in CHECKS] == list(FAULTS)


def test_codes_and_names_are_unique_and_in_order() -> None:
    """A code never stands for two questions."""
    codes, names = [check.code for check in CHECKS], [check.name for check in CHECKS]

    assert codes == sorted(set(codes))
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"FRL[1-5]\d\d", code) for code in codes)
    assert all(check.question.endswith("?") for check in CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_every_check_has_its_page(check: object) -> None:
    """The page names code, name and question, and answers the five things a reader asks."""
    code, name, question = check.code, check.name, check.question  # type: ignore[attr-defined]
    page = (PAGES / f"{code}.md").read_text(encoding="utf-8")

    assert page.startswith(f"# {code} {name}\n\n{question}\n")
    for heading in ("Why it matters", "Threshold and its basis", "What to do", "How it can be wrong"):
        assert f"## {heading}\n" in page


def test_index_lists_every_check_and_no_other() -> None:
    """The table in the index has one row per check."""
    index = (PAGES / "index.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| \[(FRL\d+)\]\(\1\.md\) \| ([a-z-]+) \| (issue|note) \|", index, re.MULTILINE) == [
        (check.code, check.name, check.severity) for check in CHECKS
    ]
    assert sorted(path.stem for path in PAGES.glob("FRL*.md")) == [check.code for check in CHECKS]


def test_predictions_alone_leave_the_study_checks_unasked() -> None:
    """Without a study its checks are listed as not applicable with a reason, never as passed."""
    study = make_study()
    alone = Evidence(task=study.data.task, measures=study.test[0].measures)
    answers = {check.code: check.ask(alone) for check in CHECKS}

    asked = {"FRL101", "FRL102", "FRL103", "FRL104", "FRL105", "FRL106", "FRL107", "FRL402"}
    assert {code for code, finding in answers.items() if finding.outcome == "passed"} == asked
    assert all(
        "predictions alone say nothing" in finding.sentence for code, finding in answers.items() if code not in asked
    )


def test_threshold_is_moved_before_anything_is_unfrozen() -> None:
    """With scores on the select split the first advice is the threshold, with what it gives there."""
    finding = findings(hesitant())["FRL107"]

    assert "raise F1 there from 79.2 % to 99.2 %" in finding.sentence
    assert finding.next.startswith("Move the threshold before unfreezing anything: ")
    assert "answering 'spam' from a score of 0.25 on" in finding.next
    assert "recall 100.0 %" in finding.next and "on the select split" in finding.next and "--aim f1" in finding.next


def test_threshold_put_for_an_aim_is_left_where_it_is() -> None:
    """Whoever stated an aim has the threshold that serves it: nothing is proposed."""
    choice = ThresholdChoice(at=0.8, aim="highest precision at a recall of at least 60.0 %", select={}, default={})
    study = hesitant().model_copy(update={"thresholds": {"depth-4": choice}})
    finding = findings(study)["FRL107"]

    assert finding.outcome == "passed" and "at a recall of at least 60.0 %" in finding.sentence


def test_checks_on_scores_need_scores_and_enough_examples() -> None:
    """Labels alone, 499 examples, or 29 positives: not applicable, with the reason."""
    study = make_study()
    labels = measure(make_predictions(BINARY, spam_counts(282, 18, 10, 710)), "given")
    few = measure(with_scores(make_predictions(BINARY, spam_counts(29, 0, 10, 460))), "given", scored=True)
    asked = {check.code: check for check in CHECKS}

    for measures, code, reason in (
        (labels, "FRL106", "only labels are known"),
        (labels, "FRL107", "only labels are known"),
        (few, "FRL106", "there are 499 examples"),
        (few, "FRL107", "29 on these examples"),
    ):
        finding = asked[code].ask(Evidence(task=study.data.task, measures=measures))
        assert finding.outcome == "not applicable" and reason in finding.sentence


def test_fewer_than_thirty_rare_examples_make_the_paradox_a_note() -> None:
    """With 29 spam messages it is the lack of examples that decides, not an issue."""
    assert findings(lopsided(3, 26, 10, 890))["FRL101"].outcome == "note"


def test_recall_below_a_fifth_collapsed_with_no_reference() -> None:
    """Most are missed: that needs nothing to compare with."""
    study = make_study(chosen="full", test={"full": spam_counts(30, 270, 5, 715)})

    assert findings(study)["FRL103"].outcome == "issue"


def test_freeze_advice_quotes_the_shallower_plan_with_its_numbers() -> None:
    """The next step names blocks, candidate and measured recall and F1."""
    advice = findings(under_fitted())["FRL204"].next

    assert "Unfreeze embeddings and encoder.layer.0-5" in advice and "candidate full" in advice
    assert "raised recall from 40.0 % to 94.7 % (91.5 % to 96.7 %)" in advice
    assert re.search(r"F1 from 50\.0 % to 95\.8 % \(\d", advice)


def test_freeze_advice_without_a_better_plan_names_the_last_frozen_block() -> None:
    """When nothing shallower did better on the select split, that is said."""
    best = {"depth-4": spam_counts(290, 10, 5, 715)}
    study = make_study(select=best, test={"depth-4": BROKEN})

    assert "Unfreeze 'encoder.layer.2'" in findings(study)["FRL202"].next
    assert "no shallower plan did better" in findings(study)["FRL202"].next


def test_nothing_frozen_has_nothing_to_unfreeze() -> None:
    """The checks on freezing are not applicable to full fine-tuning, and its advice is another."""
    study = make_study(chosen="full", curves={"full": FLAT})
    found = findings(study)

    assert {found[code].outcome for code in ("FRL201", "FRL202", "FRL203", "FRL204")} == {"not applicable"}
    assert "Nothing is frozen" in found["FRL302"].next


def test_missing_reference_is_not_applicable() -> None:
    """Without a full fine-tuning there is nothing to compare with."""
    found = findings(make_study(reference=None))

    assert found["FRL202"].outcome == found["FRL203"].outcome == "not applicable"
    assert found["FRL103"].outcome == "passed"


def test_rising_loss_is_an_issue_only_when_its_weights_are_kept() -> None:
    """frostline restores the epoch with the lowest loss: a note. Another tool may have kept the last: an issue."""
    study = make_study(curves={"depth-4": RISING})
    run = study.run_of("depth-4")
    kept = study.model_copy(
        update={"runs": tuple(r.model_copy(update={"best_epoch": 4}) if r is run else r for r in study.runs)}
    )

    assert findings(study)["FRL303"].outcome == "note"
    assert findings(kept)["FRL303"].outcome == "issue"


def test_loss_that_rises_while_training_goes_on_is_a_note_on_overfitting() -> None:
    """The restored weights are from before the rise, so the finding costs time, not quality."""
    assert findings(make_study(curves={"depth-4": RISING}))["FRL301"].outcome == "note"


def test_loss_that_never_fell_below_a_sound_start_is_a_note() -> None:
    """A fitted head may leave nothing to gain: training was in vain, but what is kept is no worse than before."""
    finding = findings(make_study(curves={"depth-4": CLIMBING}))["FRL302"]

    assert finding.outcome == "note"
    assert "never fell" in finding.sentence and "before training" in finding.sentence


def test_loss_that_never_fell_from_an_ignorant_start_is_an_issue() -> None:
    """When even the start says no more than the class shares, nothing was learned."""
    ignorant = [(None, None, 0.70, 0.70), (0.9, 0.60, 0.80, 0.60), (0.9, 0.60, 0.90, 0.55)]

    assert findings(make_study(curves={"depth-4": ignorant}))["FRL302"].outcome == "issue"


@pytest.mark.parametrize(("failed", "outcome"), [("full", "issue"), ("depth-6", "note")])
def test_failed_run_matters_by_its_part(failed: str, outcome: str) -> None:
    """The loss of the reference is an issue, that of another candidate a note."""
    finding = findings(make_study(failed=[failed]))["FRL304"]

    assert finding.outcome == outcome
    assert failed in finding.sentence


def test_chosen_run_with_an_infinite_epoch_is_an_issue() -> None:
    """A chosen run with a non-finite validation loss cannot be trusted."""
    study = make_study()
    run = study.run_of("depth-4")
    broken: Run = run.model_copy(update={"epochs": (*run.epochs, Epoch(epoch=4, stop_loss=None, stop_accuracy=0.6))})
    study = study.model_copy(update={"runs": tuple(broken if r is run else r for r in study.runs)})

    assert findings(study)["FRL304"].outcome == "issue"


def test_worse_than_the_baseline_is_an_issue() -> None:
    """As good as a simple model is "hardly worth it"; worse is an issue."""
    equal, worse = (make_study(test={"depth-4": spam_counts(tp, 300 - tp, 14, 706)}) for tp in (248, 200))

    assert "Hardly worth it" in findings(equal)["FRL401"].sentence
    assert findings(worse)["FRL401"].outcome == "issue"


@pytest.mark.parametrize(("copies", "outcome", "breaks"), [(10, "note", False), (11, "issue", True)])
def test_copies_break_the_evidence_from_one_in_a_hundred(copies: int, outcome: str, breaks: bool) -> None:
    """10 of 1,020 are a note with the numbers without them; 11 make the verdict INVALID."""
    study = make_study(overlap=copies)
    finding = findings(study)["FRL501"]

    assert (finding.outcome, finding.breaks_evidence) == (outcome, breaks)
    assert "Without them: recall" in finding.sentence and "train.csv row 4" in finding.sentence
    assert (judge_study(study).verdict == "INVALID") == breaks


@pytest.mark.parametrize("fault", ["changed", "optimizer_holds", "training_mode"])
def test_each_way_to_break_a_freeze_is_invalid(fault: str) -> None:
    """A changed tensor, one that the optimizer holds, a part in training mode: the name is said."""
    study = make_study(**{fault: ["embeddings.LayerNorm"]})  # type: ignore[arg-type]

    assert findings(study)["FRL502"].breaks_evidence
    assert "'embeddings.LayerNorm'" in findings(study)["FRL502"].sentence
    assert judge_study(study).exit_code == 5


def test_reading_the_test_again_for_the_same_contenders_is_a_note() -> None:
    """A repeated reading that changes no choice is counted and said, not held against the result."""
    finding = findings(make_study(openings=3))["FRL503"]

    assert finding.outcome == "note"
    assert "3 times" in finding.sentence


def test_few_examples_of_one_of_several_classes_are_noted_only() -> None:
    """With several classes the floor reads the mean over all, so READY is not withheld."""
    small = tuple((0,) * n + (20,) + (0,) * (3 - n) for n in range(4))
    finding = findings(
        make_study(
            classes=4,
            test=dict.fromkeys(("depth-4", "full"), small)
            | {
                "majority": tuple((20, 0, 0, 0) for _ in range(4)),
                "tfidf-logistic": small,
            },
        )
    )["FRL102"]

    assert finding.outcome == "note"
    assert not finding.withholds_ready
