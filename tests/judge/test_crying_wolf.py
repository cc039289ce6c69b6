"""Healthy studies on which a check once cried wolf, found by planted faults; each beside its faulty twin."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from builders import make_confirmations, make_study, spam_counts
from frostline.core.records import Finding, Fit, StudyRecord
from frostline.judge.evidence import Evidence
from frostline.judge.registry import CHECKS


def asked(study: StudyRecord, code: str) -> Finding:
    result = study.result(study.choice.candidate, "test")
    assert result is not None
    evidence = Evidence(task=study.data.task, measures=result.measures, study=study)
    return next(check.ask(evidence) for check in CHECKS if check.code == code)


def rare(found: int) -> StudyRecord:
    """20 of 1,020 messages are spam, and so many of them are found by a plan that trains little."""
    counts = spam_counts(found, 20 - found, 0, 1_000)
    study = make_study(
        chosen="depth-7",
        select={"depth-7": counts, "full": counts},
        test=dict.fromkeys(("depth-7", "full", "majority", "tfidf-logistic"), counts),
        reference=None,
        train_fit={"depth-7": Fit(examples=600, loss=0.02, accuracy=(1_000 + found) / 1_020)},
    )
    splits = tuple(
        split.model_copy(update={"examples": 1_020, "per_class": {"ham": 1_000, "spam": 20}})
        for split in study.data.splits
    )
    return study.model_copy(update={"data": study.data.model_copy(update={"splits": splits})})


@pytest.mark.parametrize(("found", "outcome"), [(20, "passed"), (15, "passed"), (5, "issue")])
def test_above_a_large_majority_half_of_what_is_left_is_gain_enough(found: int, outcome: str) -> None:
    """Above 98 % not even a perfect model gains 3 %, so that alone is no sign of too much frozen."""
    finding = asked(rare(found), "FRL204")

    assert finding.outcome == outcome, finding.sentence


def with_losses(losses: Sequence[float], best: int) -> StudyRecord:
    """Accuracy rises all the while; `best` was restored."""
    study = make_study(curves={"depth-4": [(None, None, loss, 0.9 + 0.001 * n) for n, loss in enumerate(losses)]})
    runs = (run.model_copy(update={"best_epoch": best}) if run.candidate == "depth-4" else run for run in study.runs)
    return study.model_copy(update={"runs": tuple(runs)})


@pytest.mark.parametrize(
    ("last", "outcome"),
    [(0.199, "note"), (0.204, "issue")],
)
def test_epoch_after_a_rise_that_is_better_than_before_it_ignored_nothing(last: float, outcome: str) -> None:
    """On a plateau loss rises three times by chance; what counts is whether the kept epoch is worse than its start."""
    finding = asked(with_losses([0.5, 0.200, 0.201, 0.202, 0.205, last], best=5), "FRL303")

    assert finding.outcome == outcome, finding.sentence


def test_gap_does_not_acquit_a_freeze_that_cannot_fit_what_others_generalise() -> None:
    """Who is right less often on its training examples than a shallower plan on new ones lacks room."""
    weak = spam_counts(120, 180, 60, 660)
    studies = [
        make_study(
            chosen="depth-7",
            select={"depth-7": weak},
            test={"depth-7": weak},
            train_fit={"depth-7": Fit(examples=600, loss=0.4, accuracy=trained)},
        )
        for trained in (0.85, 0.99)
    ]
    lacking, memorising = (asked(study, "FRL204") for study in studies)

    assert lacking.outcome == "issue" and memorising.outcome == "passed"


def test_tiny_drop_of_accuracy_is_a_note_however_sure_it_is() -> None:
    """Half a point on many examples is more than noise and still no reason not to ship; five points are."""
    study = make_study()
    comparison = study.comparison("depth-4", "full", "test")
    assert comparison is not None
    outcomes = []
    for drop in (-0.005, -0.05):
        difference = comparison.differences["accuracy"].model_copy(update={"value": drop, "p": 0.001})
        worse = comparison.model_copy(update={"differences": {**comparison.differences, "accuracy": difference}})
        others = tuple(worse if other is comparison else other for other in study.comparisons)
        outcomes.append(asked(study.model_copy(update={"comparisons": others}), "FRL202").outcome)

    assert outcomes == ["note", "issue"]


def test_seeds_on_a_small_split_vary_as_it_does() -> None:
    """A spread that so few examples give by themselves is no instability; the same spread on many is."""
    wide = [spam_counts(290, 10, 9, 711), spam_counts(255, 45, 18, 702)]
    study = make_study(confirmations=make_confirmations({"depth-4": wide, "full": wide}))
    chosen = study.result("depth-4", "select")
    assert chosen is not None
    unsure = chosen.measures.metrics["f1"].model_copy(update={"low": 0.80, "high": 0.99})
    metrics = {**chosen.measures.metrics, "f1": unsure}
    few = chosen.model_copy(update={"measures": chosen.measures.model_copy(update={"metrics": metrics})})
    small = study.model_copy(update={"select": tuple(few if r is chosen else r for r in study.select)})

    assert asked(study, "FRL206").outcome == "issue"
    assert asked(small, "FRL206").outcome != "issue"
