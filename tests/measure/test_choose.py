"""The cheapest of the best, never the luckiest."""

from __future__ import annotations

import pytest

from builders import BINARY, TOPICS, make_predictions, spam_counts, topic_counts
from frostline.core.predictions import Predictions
from frostline.measure.choose import choose

COSTS = {"full": (1, 8), "depth-2": (1, 6), "depth-5": (1, 3)}


def candidates(**recalled: int) -> dict[str, Predictions]:
    return {
        name.replace("_", "-"): make_predictions(BINARY, spam_counts(tp, 300 - tp, 10, 690), seed=seed)
        for seed, (name, tp) in enumerate(recalled.items())
    }


def test_cheapest_of_the_tied_is_chosen() -> None:
    """A plan within the paired noise of the best costs less, so it is taken; the reason names the tie."""
    choice = choose(candidates(full=280, depth_2=278, depth_5=200), COSTS, metric="f1", seed=0)

    assert (choice.candidate, choice.best, choice.tied) == ("depth-2", "full", ("full", "depth-2"))
    assert "full" in choice.reason and "depth-2" in choice.reason


def test_clear_winner_is_not_given_up_for_its_price() -> None:
    """The clean twin: when all cheaper plans are clearly worse, the best is chosen."""
    choice = choose(candidates(full=285, depth_2=230, depth_5=200), COSTS, metric="f1", seed=0)

    assert (choice.candidate, choice.tied) == ("full", ("full",))


def test_equals_go_to_the_cheapest() -> None:
    """The same answers at a lower price win, whatever the order they are given in."""
    same = make_predictions(BINARY, spam_counts(280, 20, 10, 690))
    for names in (("full", "depth-5"), ("depth-5", "full")):
        assert choose(dict.fromkeys(names, same), COSTS, metric="f1", seed=0).candidate == "depth-5"


def test_undefined_is_worse_than_any_value() -> None:
    """A candidate without a precision loses to one with a poor one."""
    answers = {
        "full": make_predictions(BINARY, spam_counts(10, 290, 600, 100)),
        "depth-5": make_predictions(BINARY, spam_counts(0, 300, 0, 700)),
    }

    assert choose(answers, COSTS, metric="precision", seed=0).tied == ("full",)


def test_nothing_defined_is_said() -> None:
    """When no candidate has the metric, the cheapest is taken and the reason says why."""
    never = make_predictions(BINARY, spam_counts(0, 300, 0, 700))
    choice = choose({"full": never, "depth-5": never}, COSTS, metric="precision", seed=0)

    assert choice.candidate == "depth-5"
    assert "undefined" in choice.reason


@pytest.mark.parametrize("seed", range(3))
def test_several_classes_are_ranked_by_the_mean(seed: int) -> None:
    """Macro F1 decides with four classes, whatever the seed of the resampling."""
    answers = {
        "full": make_predictions(TOPICS, topic_counts(140), seed=1),
        "depth-5": make_predictions(TOPICS, topic_counts(110), seed=2),
    }

    assert choose(answers, COSTS, metric="f1", seed=seed).candidate == "full"
