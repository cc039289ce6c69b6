"""A search within a budget, end to end: what it may cost, what it says, and that it goes on as it would have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from test_study import Counter, Stops, without_clock

import frostline as fl
from factories import write_messages
from frostline.core.errors import PlanError
from frostline.core.ledger import Ledger
from frostline.judge.verdict import judge_study
from frostline.report.html import render_html

ROWS = 640


def ask(folder: Path, **settings: Any) -> fl.Study:
    return fl.Study(
        model="factories:tiny_text",
        data=write_messages(folder / "messages.csv", rows=ROWS),
        positive="spam",
        out=folder / "study",
        **{"epochs": 8, "patience": 8, "budget": 4.0, "activations": "off", **settings},
    )


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> tuple[fl.StudyResult, int]:
    """A race, and how often it advanced."""
    counter = Counter()
    return ask(tmp_path_factory.mktemp("raced")).run(counter), counter.count


def test_the_search_keeps_its_budget(raced: tuple[fl.StudyResult, int]) -> None:
    """In measured FLOPs, everything up to the trained winner costs no more than was allowed."""
    cost = raced[0].record.cost

    assert cost.budget_flops is not None
    assert 0 < cost.search_flops <= cost.budget_flops
    assert cost.judge_flops > 0


def test_the_full_fine_tune_is_priced_as_it_is_measured(raced: tuple[fl.StudyResult, int], tmp_path: Path) -> None:
    """The unit of the budget, predicted from a sample, is what a full fine-tune of so many epochs really costs."""
    whole = ask(tmp_path, budget="all", learning_rate=1e-2).run().record
    measured = whole.run_of("full")
    trained = sum(epoch.train_flops + epoch.evaluate_flops for epoch in measured.epochs)

    assert raced[0].record.cost.full_finetune_flops == pytest.approx(trained, rel=0.05)


def test_the_winner_is_finished_and_the_others_are_paused_for_a_reason(raced: tuple[fl.StudyResult, int]) -> None:
    """One candidate goes to the end; whoever was given up has a reason with numbers, and its proof holds."""
    record = raced[0].record
    last = {standing.candidate: standing for standing in record.race}

    chosen = record.choice.candidate
    assert last[chosen].decision == ("kept" if chosen.endswith("@rewound") else "finished")
    assert all(run.proof.holds for run in record.runs)
    assert {run.candidate for run in record.runs} <= set(last)
    paused = [run for run in record.runs if run.status == "paused"]
    assert paused
    assert all(last[run.candidate].reason for run in paused)


def test_learning_rates_are_tried_and_one_is_carried_over(raced: tuple[fl.StudyResult, int]) -> None:
    """Three rates of one plan at rung 0; every other candidate of a factory's network gets the kept one."""
    record = raced[0].record
    tried = [standing for standing in record.race if standing.rung == 0]
    kept = next(standing.candidate for standing in tried if standing.decision == "kept")

    assert len(tried) == 3
    best = record.candidate(kept).learning_rate
    assert best is not None
    others = {c.learning_rate for c in record.candidates if "@" not in c.id}
    assert others == {best}


def test_a_learning_rate_that_was_given_is_not_searched(tmp_path: Path) -> None:
    """The user's rate is every candidate's."""
    record = ask(tmp_path, learning_rate=2e-3, epochs=4).run().record

    assert {candidate.learning_rate for candidate in record.candidates} == {2e-3}
    assert all(standing.rung != 0 for standing in record.race)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_race_that_was_stopped_ends_with_the_same_result(
    share: float, raced: tuple[fl.StudyResult, int], tmp_path: Path
) -> None:
    """Stopped at a rung or between, resumed: the same decisions, runs and numbers."""
    with pytest.raises(Stops):
        ask(tmp_path).run(Counter(most=share * raced[1]))
    resumed = ask(tmp_path, resume=True).run()

    assert resumed.record.race == raced[0].record.race
    with Ledger.at(resumed.folder / "ledger.sqlite") as ledger:
        assert tuple(ledger.decisions()) == resumed.record.race
    assert without_clock(resumed.record) == without_clock(raced[0].record)


def test_the_report_and_the_document_tell_the_race(raced: tuple[fl.StudyResult, int]) -> None:
    """Every decision stands in the page, the cost in a sentence, and the winner can be loaded."""
    result = raced[0]
    page = render_html(result.record, judge_study(result.record, []))
    document = json.loads((result.folder / "report.json").read_text(encoding="utf-8"))

    assert "The race, decision by decision" in page
    assert "of one ordinary full fine-tune" in page
    assert "paused after" in page
    assert "finished" in {standing["decision"] for standing in document["study"]["race"]}
    assert not result.model().training
    assert all(not p.isnan().any() for p in result.model().state_dict().values() if torch.is_floating_point(p))


def test_patterns_are_raced_too(tmp_path: Path) -> None:
    """Single-block plans and a user's own are candidates of a race like any other."""
    record = ask(tmp_path, plans="surgical;embedding", epochs=4, learning_rate=1e-2, budget=3.0).run().record

    assert {candidate.id for candidate in record.candidates} & {"only-1", "only-2", "only-3", "plan-1"}


@pytest.mark.parametrize("plans", ["norms", "biases"])
def test_narrow_plans_go_the_whole_way(plans: str, tmp_path: Path) -> None:
    """Only norms or biases and the head train; the chosen model can be had back, whichever it is."""
    if plans == "norms":
        with pytest.raises(PlanError, match="norm"):
            ask(tmp_path, plans=plans, budget="all", epochs=1, learning_rate=1e-2).run()
        return
    result = ask(tmp_path, plans=plans, budget="all", epochs=2, learning_rate=1e-2).run()
    narrow = result.record.candidate("biases")

    assert narrow.spared == "biases"
    assert 0 < narrow.trainable_parameters < narrow.total_parameters
    assert result.record.run_of("biases").proof.holds
    assert not result.model().training


def test_cheap_scores_are_told_and_compared_with_what_was_measured(
    raced: tuple[fl.StudyResult, int], tmp_path: Path
) -> None:
    """Every score ranks the plans and is correlated with the measured losses, beside two rankings that know nothing."""
    sweep = ask(tmp_path, budget="all", learning_rate=1e-2, epochs=2).run().record
    losses = {r.name: -r.measures.loss for r in sweep.select if r.kind == "candidate" and r.measures.loss is not None}

    for record in (sweep, raced[0].record):
        names = [score.name for score in record.evidence]
        assert {"relative gradient norm", "Fisher information", "last blocks first", "at random"} <= set(names)
    for score in sweep.evidence:
        common = sorted(score.predicted.keys() & losses.keys())
        if score.rank_correlation is not None:
            expected = spearmanr([score.predicted[id] for id in common], [losses[id] for id in common]).statistic
            assert score.rank_correlation == pytest.approx(expected)
    assert "layer rewind of the full fine-tune" in {score.name for score in sweep.evidence}
    assert "how well it ranked the candidates" in render_html(sweep, judge_study(sweep, []))


def test_what_is_known_before_training_is_said(tmp_path: Path) -> None:
    """Every score names the plan it speaks for, and the best probe its block, before the first candidate trains."""
    said: list[str] = []

    class Listener(Counter):
        def say(self, sentence: str) -> None:
            said.append(sentence)

    ask(tmp_path, epochs=2).run(Listener())
    told = [sentence for sentence in said if sentence.startswith("before training: ")]

    assert any("relative gradient norm speaks for" in sentence for sentence in told)
    assert any("the best linear probe is after" in sentence for sentence in told)
    assert said.index(told[-1]) < next(n for n, sentence in enumerate(said) if sentence.startswith("budget:"))
