"""Claims about candidates that are other networks than the model: adapters, and networks that end early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_study import Counter, Stops, without_clock

import frostline as fl
from factories import write_messages
from frostline.core.errors import PlanError
from frostline.core.predictions import load_probabilities
from frostline.core.study_folder import StudyFolder
from frostline.judge.verdict import judge_study
from frostline.report.html import render_html
from frostline.study import prepare

PLANS = "full;probes;lora"


def ask(folder: Path, **settings: Any) -> fl.Study:
    return fl.Study(
        model="factories:tiny_text",
        data=write_messages(folder / "messages.csv", rows=480),
        positive="spam",
        out=folder / "study",
        **{"budget": "all", "epochs": 2, "learning_rate": 1e-2, "plans": PLANS, **settings},
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> fl.StudyResult:
    return ask(tmp_path_factory.mktemp("swept")).run()


def test_adapters_and_early_ends_are_candidates_like_any_other(swept: fl.StudyResult) -> None:
    """They have answers on the select split, proofs that hold, and sizes of their own."""
    record = swept.record
    lora, probe, full = (record.candidate(id) for id in ("lora", "probe-1", "full"))

    assert {result.name for result in record.select if result.kind == "candidate"} == {c.id for c in record.candidates}
    assert all(run.proof.holds and run.proof.frozen_tensors for run in record.runs if run.candidate != "full")
    assert 0 < lora.trainable_parameters < lora.total_parameters
    assert lora.total_parameters > full.total_parameters == full.trainable_parameters
    assert probe.total_parameters < full.total_parameters
    assert record.run_of("probe-1").train_flops == 0 < record.run_of("lora").train_flops
    assert lora.learning_rate == pytest.approx(10 * (full.learning_rate or 0))


def test_the_report_shows_them(swept: fl.StudyResult) -> None:
    """Each has its row, and neither is mistaken for a freeze depth."""
    page = render_html(swept.record, judge_study(swept.record, []))

    assert "lora" in page
    assert "probe-1" in page


@pytest.mark.parametrize("plans", ["probes", "lora"])
def test_what_was_chosen_comes_back_as_it_was(plans: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded from the study folder, the network answers on the test split what it answered when it was judged."""
    monkeypatch.setattr("frostline.choosing.choose", lambda select, *_, **named: _taking(select, plans.rstrip("s")))
    result = ask(tmp_path, plans=plans).run()
    judged = load_probabilities(StudyFolder(result.folder).scores(result.chosen.id, "test"))

    with StudyFolder(tmp_path / "again").opened(ask(tmp_path).settings, resume=False) as ledger:
        race, _ = prepare(ask(tmp_path).settings, StudyFolder(tmp_path / "again"), ledger, _silent())
        batch = race.inputs.batch(race.data.rows["test"][:1])
        module = result.model()
        logits_BC = module(**batch) if race.model.by_keyword else module(*batch.values())

    assert result.chosen.id.startswith(plans.rstrip("s"))
    np.testing.assert_allclose(torch.softmax(logits_BC, -1).detach()[0].numpy(), judged[0], atol=1e-5)


def _taking(select: Any, prefix: str) -> Any:
    from frostline.core.records import Choice

    found = next(id for id in select if id.startswith(prefix))
    return Choice(candidate=found, best=found, tied=(found,), metric="f1", reason="the test says so")


def _silent() -> Any:
    from frostline.core.progress import Silent

    return Silent()


def test_a_race_takes_what_needs_no_training_when_nothing_is_better(tmp_path: Path) -> None:
    """Words of spam are in the embeddings already: a probe ties with the trained winner, and is the cheapest."""
    result = ask(tmp_path, budget=2.0, epochs=4, plans="depths;probes;lora").run()

    assert result.chosen.id.startswith("probe-")
    assert "cheapest" in result.record.choice.reason
    assert not result.model().training


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_study_of_them_that_was_stopped_ends_with_the_same_result(
    share: float, swept: fl.StudyResult, tmp_path: Path
) -> None:
    """Adapters are drawn from the study's seed: a resumed run finds the same."""
    with pytest.raises(Stops):
        ask(tmp_path).run(Counter(most=share * _count(tmp_path / "count")))

    assert without_clock(ask(tmp_path, resume=True).run().record) == without_clock(swept.record)


def _count(folder: Path) -> int:
    folder.mkdir()
    counter = Counter()
    ask(folder).run(counter)
    return counter.count


def test_without_peft_the_word_is_refused_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is trained."""
    monkeypatch.setattr("frostline.plan.propose.lora_missing", lambda: "LoRA needs the package peft. Run: pip install")

    with pytest.raises(PlanError, match="peft"):
        ask(tmp_path).run()
