"""Checks on curves, on seeds and on too little freezing: when they are notes, when issues, when not asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from builders import (
    Matrix,
    make_confirmations,
    make_forgetting,
    make_non_inferiority,
    make_study,
    spam_counts,
)
from frostline.core.records import Finding, Fit, Met, StudyRecord
from frostline.judge.verdict import judge_study

ASTRAY = [(None, None, 0.40, 0.85), (1.90, 0.55, 1.50, 0.50), (2.40, 0.50, 2.10, 0.50)]
RECOVERED = [(None, None, 0.40, 0.85), (1.90, 0.55, 1.50, 0.50), (0.60, 0.80, 0.30, 0.90), (0.50, 0.84, 0.29, 0.90)]
UNFINISHED = [(None, None, 0.60, 0.70), (0.50, 0.80, 0.45, 0.84), (0.40, 0.85, 0.30, 0.90)]
STEADY = [spam_counts(282, 18, 10, 710), spam_counts(281, 19, 10, 710)]
SHAKY = [spam_counts(282, 18, 10, 710), spam_counts(225, 75, 10, 710)]


def asked(study: StudyRecord, code: str) -> Finding:
    return next(finding for finding in judge_study(study).checks if finding.code == code)


def test_end_by_the_budget_is_told_from_the_end_of_the_epochs() -> None:
    """Whoever ran out of budget needs budget; whoever did all epochs needs epochs."""
    study = make_study(curves={"depth-4": UNFINISHED})
    raced = study.model_copy(update={"cost": study.cost.model_copy(update={"budget_flops": 5_000_000_000})})

    assert "--epochs 4" in asked(study, "FRL305").next
    assert "larger --budget: it was spent after 2 of 3 epochs" in asked(raced, "FRL305").next
    assert "33.3 %, from 0.450 to 0.300" in asked(study, "FRL305").sentence


def test_divergence_of_a_rival_is_a_note_and_names_it() -> None:
    """The choice was not between equals, but what was chosen is sound."""
    finding = asked(make_study(curves={"depth-2": ASTRAY}), "FRL308")

    assert finding.outcome == "note"
    assert "1 run diverged. depth-2: " in finding.sentence and "depth-2" in finding.next


def test_divergence_that_was_survived_is_a_note() -> None:
    """A later epoch was restored, which is better than the start."""
    finding = asked(make_study(curves={"depth-4": RECOVERED}), "FRL308")

    assert finding.outcome == "note" and "Epoch 3 of depth-4 was restored" in finding.next


def test_jump_is_not_asked_where_the_backbone_never_trains() -> None:
    """Nothing is unfrozen, so nothing can jump."""
    finding = asked(make_study(chosen="depth-7", curves={"depth-7": ASTRAY}), "FRL306")

    assert finding.outcome == "not applicable" and "never trains" in finding.sentence


@pytest.mark.parametrize(
    ("chosen", "select", "outcome"),
    [
        ("depth-6", spam_counts(220, 80, 60, 660), "issue"),
        ("depth-5", spam_counts(220, 80, 60, 660), "passed"),  # three blocks train
        ("depth-7", spam_counts(220, 80, 60, 660), "passed"),  # 770 parameters, 3,060 examples
        ("depth-6", spam_counts(284, 16, 9, 711), "passed"),  # no gap
    ],
)
def test_head_is_over_fitted_only_when_all_of_it_holds(chosen: str, select: Matrix, outcome: str) -> None:
    """Little trains, on few examples, that are known by heart, and others are not."""
    study = make_study(
        chosen=chosen, select={chosen: select}, train_fit={chosen: Fit(examples=600, loss=0.01, accuracy=0.998)}
    )

    assert asked(study, "FRL309").outcome == outcome


def test_head_that_memorised_after_its_best_epoch_is_a_note() -> None:
    """The weights kept are from before."""
    curve = [(None, None, 0.6, 0.7), (0.3, 0.9, 0.3, 0.88), (0.02, 0.998, 0.35, 0.85)]
    finding = asked(make_study(chosen="depth-6", curves={"depth-6": curve}), "FRL309")

    assert finding.outcome == "note" and "epoch 1 was restored" in finding.next


@pytest.mark.parametrize(
    ("work", "outcome"), [(3_200_000_000, "note"), (3_200_000_001, "passed"), (4_000_000_000, "passed")]
)
def test_deeper_plan_must_save_a_fifth(work: int, outcome: str) -> None:
    """20 % of 4 GFLOPs is the limit."""
    finding = asked(make_study(tied=["depth-5"], train_flops={"depth-5": work}), "FRL205")

    assert finding.outcome == outcome
    if outcome == "note":
        assert "20.0 % less work" in finding.sentence
        assert "Take depth-5 (freeze embeddings to encoder.layer.3 (5 of 8))" in finding.next
        assert "--plans embeddings,encoder.layer.0" in finding.next


def test_deeper_plan_that_was_measured_no_worse_need_not_be_tied() -> None:
    """A race ties only what it finished, but what it paused may have done as well; one mistake more is worse."""
    own, worse = spam_counts(282, 18, 10, 710), spam_counts(281, 19, 10, 710)
    noted, silent = (
        asked(make_study(select={"depth-5": counts}, train_flops={"depth-5": 3_000_000_000}), "FRL205")
        for counts in (own, worse)
    )

    assert noted.outcome == "note" and "depth-5 was measured no worse than depth-4" in noted.sentence
    assert silent.outcome == "passed"


def test_cheaper_plan_that_is_not_tied_or_freezes_less_says_nothing() -> None:
    """depth-5 did worse; depth-3 freezes less."""
    study = make_study(train_flops={"depth-5": 1_000_000_000, "depth-3": 1_000_000_000})

    assert asked(study, "FRL205").outcome == "passed"


def test_deeper_plan_that_forgets_less_beyond_the_noise_is_noted() -> None:
    """Intervals of the two drops that lie apart; overlapping ones are no reason."""
    own = make_forgetting(lost=120)
    noted, silent = (
        asked(make_study(tied=["depth-5"], forgetting={"depth-4": own, "depth-5": other}), "FRL205")
        for other in (make_forgetting(), make_forgetting(lost=110))
    )

    assert noted.outcome == "note" and "drops by 0.1 points, not 5.6" in noted.sentence
    assert silent.outcome == "passed"


def test_deeper_plan_that_is_steadier_is_noted() -> None:
    """Unstable is what FRL206 calls so."""
    seeds = {"depth-4": SHAKY, "depth-5": [spam_counts(264, 36, 14, 706)] * 2}
    finding = asked(make_study(tied=["depth-5"], confirmations=make_confirmations(seeds)), "FRL205")

    assert (
        finding.outcome == "note" and "over 3 seeds its F1 has a standard deviation of 0.0 points" in finding.sentence
    )


AHEAD, BEHIND = spam_counts(290, 10, 9, 711), spam_counts(276, 24, 9, 711)
SAME = spam_counts(284, 16, 9, 711)


@pytest.mark.parametrize(
    ("seeds", "outcome", "said"),
    [
        ({"depth-4": STEADY, "full": [SAME, SAME]}, "passed", "Stable"),
        ({"depth-4": SHAKY, "full": [SAME, SAME]}, "issue", "Unstable"),
        ({"depth-4": [AHEAD, BEHIND], "full": [SAME, AHEAD]}, "note", "ahead with one seed"),
        ({"depth-4": [SAME, SAME], "full": [SAME, STEADY[0]]}, "note", "two tied candidates"),
    ],
)
def test_seeds_disagree_by_spread_or_by_side(seeds: Mapping[str, Sequence[Matrix]], outcome: str, said: str) -> None:
    """A wide spread is an issue; tied candidates may change sides."""
    finding = asked(make_study(confirmations=make_confirmations(seeds)), "FRL206")

    assert finding.outcome == outcome, finding.sentence
    assert said in finding.sentence


def test_change_of_sides_between_candidates_that_are_not_tied_is_an_issue() -> None:
    """The choice claimed a difference that the seed can turn round."""
    study = make_study(confirmations=make_confirmations({"depth-4": [SAME, SAME], "full": [SAME, STEADY[0]]}))
    choice = study.choice.model_copy(update={"tied": ("depth-4",)})

    assert asked(study.model_copy(update={"choice": choice}), "FRL206").outcome == "issue"


@pytest.mark.parametrize("seeds", [{}, {"depth-4": STEADY[:1], "full": [SAME]}])
def test_fewer_than_three_trainings_say_nothing_and_how_to_get_them(seeds: Mapping[str, Sequence[Matrix]]) -> None:
    """One and two trainings have no spread worth the name."""
    study = make_study(confirmations=make_confirmations(seeds) if seeds else ())
    finding = asked(study, "FRL206")

    assert finding.outcome == "not applicable" and "--seeds 3" in finding.sentence


def test_weights_from_a_dial_are_judged_by_the_seeds_of_their_source() -> None:
    """Nobody trains again what was mixed from weights: its source was."""
    study = make_study(confirmations=make_confirmations({"full": STEADY, "depth-1": STEADY}))
    finding = asked(study, "FRL206")

    assert finding.outcome == "passed" and "F1 of full" in finding.sentence


@pytest.mark.parametrize(("met", "outcome"), [("yes", "passed"), ("cannot tell", "note"), ("no", "issue")])
def test_no_worse_must_be_shown(met: Met, outcome: str) -> None:
    """Shown, neither shown nor ruled out, ruled out."""
    finding = asked(make_study(non_inferiority=make_non_inferiority(met)), "FRL403")

    assert finding.outcome == outcome and "2.0 points" in finding.sentence
    if met == "cannot tell":
        assert "Label about 1,430 more test examples (2,450 in all)" in finding.next


def test_no_worse_is_not_asked_without_a_margin_a_freeze_or_a_reference() -> None:
    """Each time the reason is said."""
    for study, reason in (
        (make_study(), "no margin was stated for depth-4 against full"),
        (make_study(chosen="full"), "full freezes nothing"),
        (make_study(reference=None), "full fine-tuning was not trained to its end"),
    ):
        finding = asked(study, "FRL403")
        assert finding.outcome == "not applicable" and reason in finding.sentence
