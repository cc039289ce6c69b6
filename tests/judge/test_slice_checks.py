"""Claims about new patterns and the old task: what is an issue, what is too little to tell, what follows from it."""

from __future__ import annotations

import pytest

from builders import BINARY, TOPICS, make_forgetting, make_slices, make_study, spam_counts, topic_counts
from frostline.core.records import DialPoint, Drift, Estimate, Finding, Overlap, StudyRecord
from frostline.judge.evidence import Evidence
from frostline.judge.question import Check
from frostline.judge.registry import CHECKS
from frostline.judge.verdict import judge_study

WEAK = spam_counts(60, 40, 4, 236)
USUAL = spam_counts(94, 6, 4, 236)


def asked(code: str, study: StudyRecord) -> Finding:
    check: Check = next(check for check in CHECKS if check.code == code)
    result = study.result(study.choice.candidate, "test")
    assert result is not None
    return check.ask(Evidence(task=study.data.task, measures=result.measures, study=study))


# ---------------------------------------------------------------- FRL207


def test_new_part_that_is_missed_is_an_issue_with_its_numbers() -> None:
    """60 of 100 found in the part that training never met, 94 elsewhere: name, interval, difference, precision."""
    finding = asked("FRL207", make_study(slices=make_slices(parts={"chat": WEAK})))

    assert finding.outcome == "issue"
    assert "In 'chat' (340 examples, none of them met in training)" in finding.sentence
    assert "recall 60.0 % (50.2 % to 69.1 %) for 'spam', 34.0 points less than elsewhere (24" in finding.sentence
    assert "precision 96.6 %" in finding.sentence
    assert "'chat'" in finding.next


def by_column(study: StudyRecord) -> StudyRecord:
    """The same, its parts those of a column that the user named."""
    return study.model_copy(update={"settings": {**study.settings, "slice_column": "source"}})


def test_clusters_that_training_met_are_shown_and_not_judged() -> None:
    """Clusters follow the classes: positives in a cluster of negatives are found less often by construction."""
    study = make_study(slices=make_slices(parts={"cluster 1": WEAK}, unseen=()))

    assert asked("FRL207", study).outcome == "passed"
    assert asked("FRL207", by_column(study)).outcome == "issue"


def test_known_part_with_few_positives_is_not_judged() -> None:
    """Below thirty positives a known part says nothing, whatever its p-value."""
    study = by_column(make_study(slices=make_slices(parts={"mail": spam_counts(4, 16, 4, 236)}, unseen=())))

    assert asked("FRL207", study).outcome == "passed"


def test_known_part_is_an_issue_after_correction_only() -> None:
    """A known part must pass Benjamini and Hochberg at .1; a new one that is lower by as much need not."""
    slightly = spam_counts(87, 13, 4, 236)
    known = asked("FRL207", by_column(make_study(slices=make_slices(parts={"mail": WEAK}, unseen=()))))
    few = {f"s{n}": USUAL for n in range(12)} | {"chat": slightly}
    seen, new = (
        asked("FRL207", by_column(make_study(slices=make_slices(parts=few, unseen=unseen))))
        for unseen in ((), ("chat",))
    )

    assert known.outcome == "issue" and "400 in training" in known.sentence
    assert (seen.outcome, new.outcome) == ("passed", "issue"), (seen.sentence, new.sentence)


def test_many_new_parts_are_corrected_for_among_themselves() -> None:
    """What shows a single new part to be missed is a note when it is one of thirteen new ones."""
    slightly = spam_counts(87, 13, 4, 236)
    parts = {f"s{n}": USUAL for n in range(12)} | {"chat": slightly}
    alone, among = (
        asked("FRL207", make_study(slices=make_slices(parts=parts, unseen=unseen)))
        for unseen in (("chat",), tuple(parts))
    )

    assert (alone.outcome, among.outcome) == ("issue", "note")


def test_few_examples_of_a_new_part_are_a_note() -> None:
    """One spam message of three missed is a third less, and says nothing yet: more are to be labelled."""
    finding = asked("FRL207", make_study(slices=make_slices(parts={"chat": spam_counts(2, 1, 0, 9)})))

    assert finding.outcome == "note"
    assert "chance" in finding.sentence and "Label more examples like those of 'chat'" in finding.next


def test_higher_recall_in_a_new_part_is_no_finding() -> None:
    """Only what is lower is missed; the part that is higher makes the others look lower and is named by none."""
    finding = asked("FRL207", make_study(slices=make_slices(parts={"chat": spam_counts(97, 3, 4, 236)})))

    assert finding.outcome == "passed"
    assert "1 new to the model" in finding.sentence


def test_advice_follows_what_full_fine_tuning_does_there() -> None:
    """Better there: unfreeze first. No better: freezing is not the reason. Not known: label, then unfreeze."""
    better, alike, unknown = (
        asked("FRL207", make_study(slices=make_slices(parts={"chat": WEAK}, full=full)))
        for full in ({"chat": USUAL}, {"chat": WEAK}, None)
    )

    assert "There full does better (recall +34.0 points" in better.sentence
    assert better.next.startswith("Unfreeze") and better.next.endswith(
        "label examples like those of 'chat' for training."
    )
    assert "There full does no better, beyond noise" in alike.sentence
    assert "freezing is not what stands in the way" in alike.next
    assert unknown.next.startswith("Label examples like those of 'chat'") and "unfreeze" in unknown.next


def test_lost_precision_makes_it_a_note() -> None:
    """Then more is amiss than new patterns, and other checks say what."""
    study = make_study(test={"depth-4": spam_counts(282, 18, 40, 680)}, slices=make_slices(parts={"chat": WEAK}))

    assert asked("FRL207", study).outcome == "note"
    assert "Precision is lost as well" in asked("FRL207", study).sentence


def test_several_classes_are_read_by_their_accuracy() -> None:
    """With four classes a part is weak when fewer of its answers are right."""
    slices = make_slices(TOPICS, parts={"chat": topic_counts(30, 50)}, full={})
    finding = asked("FRL207", make_study(classes=4, slices=slices))

    assert finding.outcome == "issue"
    assert "accuracy 60.0 %" in finding.sentence and "accuracy" in finding.sentence.split("There full")[1]


def test_without_parts_the_option_is_named() -> None:
    """Not applicable, and how to make it applicable."""
    finding = asked("FRL207", make_study())

    assert finding.outcome == "not applicable"
    assert "--slice-column" in finding.sentence


# ---------------------------------------------------------------- FRL203 by part


def test_recall_lost_in_one_part_only_is_found() -> None:
    """The whole keeps up; in one part full fine-tuning finds 34 points more at the same precision."""
    slices = make_slices(parts={"mail": WEAK}, full={"mail": spam_counts(94, 6, 5, 235)})
    finding = asked("FRL203", make_study(slices=slices))

    assert finding.outcome == "issue"
    assert "in 'mail' (340 examples, 400 in training)" in finding.sentence and "34.0 points lower" in finding.sentence


def test_recall_that_full_fine_tuning_loses_too_is_not_lost_to_freezing() -> None:
    """The clean twin: as weak a part, as weak with full fine-tuning."""
    slices = make_slices(parts={"mail": WEAK}, full={"mail": WEAK})

    assert asked("FRL203", make_study(slices=slices)).outcome == "passed"


def test_many_parts_are_corrected_for_by_holm() -> None:
    """A part that is lost at .05 alone is not lost among thirteen."""
    chosen, full = spam_counts(19, 6, 1, 40), spam_counts(25, 0, 1, 40)
    parts = {f"s{n}": USUAL for n in range(10)}
    alone, among = (
        asked("FRL203", make_study(slices=make_slices(parts=more | {"chat": chosen}, full={"chat": full})))
        for more in ({}, parts)
    )

    assert alone.outcome == "issue" and "corrected for 3 parts" in alone.sentence
    assert among.outcome == "passed"


# ---------------------------------------------------------------- FRL208


@pytest.mark.parametrize(
    ("lost", "outcome"), [(10, "passed"), (40, "note"), (120, "issue")], ids=["kept", "straddling", "forgotten"]
)
def test_the_interval_of_the_drop_decides(lost: int, outcome: str) -> None:
    """Wholly above .02 of 2,000: an issue; reaching beyond it: a note; below: passed."""
    finding = asked("FRL208", make_study(forgetting={"depth-4": make_forgetting(lost)}))

    assert finding.outcome == outcome, finding.sentence
    assert "points (" in finding.sentence and "2,000 examples" in finding.sentence


def test_what_full_fine_tuning_forgot_stands_beside_it() -> None:
    """Whether freezing forgets less is said in the same sentence."""
    forgetting = {"depth-4": make_forgetting(120), "full": make_forgetting(300)}

    assert "Full fine-tuning dropped by 14.6 points" in asked("FRL208", make_study(forgetting=forgetting)).sentence


def test_forgetting_makes_the_verdict_not_ready() -> None:
    """An issue stands against production although the new task is learned."""
    kept, lost = (make_study(forgetting={"depth-4": make_forgetting(count)}) for count in (10, 120))

    assert (judge_study(kept).verdict, judge_study(lost).verdict) == ("READY", "NOT READY")


def test_the_dial_is_advised_where_it_was_measured_to_do() -> None:
    """Weights half of the way that keep the old task are named with their numbers; else a block to freeze."""
    study = make_study(forgetting={"depth-4": make_forgetting(120)})
    result = study.result("depth-4", "select")
    assert result is not None
    points = tuple(
        DialPoint(candidate=name, share=share, select=result.measures, forgetting=make_forgetting(lost))
        for name, share, lost in (
            ("depth-4@wise-0.5", 0.5, 8),
            ("depth-4@wise-0.75", 0.75, 100),
            ("depth-4@wise-0", 0.0, 8),
        )
    )

    dialled = asked("FRL208", study.model_copy(update={"dial": points})).next
    assert "50.0 % of the way" in dialled and "(depth-4@wise-0.5)" in dialled and "F1 95" in dialled
    assert "Freeze 'encoder.layer.3' as well" in asked("FRL208", study).next


@pytest.mark.parametrize(("share", "outcome"), [(0.97, "passed"), (0.6, "note")])
def test_moved_answers_of_the_old_head_are_a_proxy(share: float, outcome: str) -> None:
    """Without old data, but with the old head: few of its answers changed, or many."""
    moved = Drift(
        examples=500,
        same_answer=Estimate(value=share, low=share - 0.03, high=share + 0.02),
        divergence=0.1,
    )
    finding = asked("FRL208", make_study().model_copy(update={"drift": {"depth-4": moved}}))

    assert finding.outcome == outcome
    assert "not measured; --old-data measures it" in finding.sentence and "proxy" in finding.sentence


def test_without_anything_it_is_not_measured() -> None:
    """Never 0: not applicable, with the option that would measure it."""
    finding = asked("FRL208", make_study())

    assert finding.outcome == "not applicable"
    assert "not measured; --old-data measures it" in finding.sentence


def test_clean_twins_are_silent() -> None:
    """All parts alike and next to nothing forgotten: no finding of these checks."""
    study = make_study(slices=make_slices(BINARY, full={}), forgetting={"depth-4": make_forgetting()})

    assert {code: asked(code, study).outcome for code in ("FRL203", "FRL207", "FRL208")} == dict.fromkeys(
        ("FRL203", "FRL207", "FRL208"), "passed"
    )


# ---------------------------------------------------------------- FRL509


def with_overlap(kind: str, examples: int = 3) -> StudyRecord:
    """Some test examples found near training examples, in one way or another."""
    study = make_study()
    overlap = Overlap.model_validate(
        {
            "kind": kind,
            "earlier": "train",
            "later": "test",
            "examples": examples,
            "share": examples / 1_020,
            "sample": ("test.csv row 17 = train.csv row 4",),
        }
    )
    audit = study.data.audit.model_copy(update={"overlaps": (overlap,)})
    return study.model_copy(update={"data": study.data.model_copy(update={"audit": audit})})


def test_embedding_neighbours_are_named_and_never_more_than_a_note() -> None:
    """How many, where, and that the same meaning is not the same content; half a split of them is still a note."""
    few, many = (asked("FRL509", with_overlap("embedding", examples)) for examples in (3, 510))

    assert (few.outcome, many.outcome) == ("note", "note")
    assert "3 examples of test (0.3 %)" in few.sentence and "test.csv row 17 = train.csv row 4" in few.sentence
    assert "does not make their content the same" in few.sentence
    assert not many.breaks_evidence and not many.withholds_ready


def test_exact_copies_are_no_embedding_neighbours() -> None:
    """The clean twin: an overlap of another kind is the matter of another check."""
    assert asked("FRL509", with_overlap("exact")).outcome == "passed"
    assert asked("FRL509", make_study()).outcome == "passed"
