"""Claims about a study that is given data of the old task: what was forgotten, the dial, and other seeds."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_study import Counter, Stops, without_clock

import frostline as fl
from factories import WORDS, pretrained_text, write_messages
from frostline.core.errors import ModelError
from frostline.judge.verdict import judge_study
from frostline.report.document import search_document
from frostline.report.html import render_html
from frostline.train.inputs import TextInputs


def write_old_data(path: Path, rows: int = 200) -> str:
    """Messages labelled as the pretrained network answers them: as pretrained it is always right."""
    generator, net = np.random.default_rng(5), pretrained_text().eval()
    texts = [" ".join(generator.choice(WORDS, size=generator.integers(2, 6))) for _ in range(rows)]
    texts = list(dict.fromkeys(texts))
    batch = TextInputs.of(net.tokenize(texts), 0).batch(np.arange(len(texts)))  # type: ignore[operator]
    with torch.no_grad():
        labels = net(*batch.values()).argmax(dim=1).tolist()
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("label", "text"), *zip(labels, texts, strict=True)])
    return str(path)


def ask(folder: Path, **settings: Any) -> fl.Study:
    return fl.Study(
        budget="all",
        model="factories:tiny_text",
        data=write_messages(folder / "messages.csv", rows=480),
        positive="spam",
        out=folder / "study",
        **{
            "old_data": write_old_data(folder / "old.csv"),
            "old_model": "factories:pretrained_text",
            "epochs": 3,
            "learning_rate": 3e-2,
            "plans": "full;embedding",
            **settings,
        },
    )


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[fl.StudyResult, int]:
    counter = Counter()
    return ask(tmp_path_factory.mktemp("old"), seeds=3).run(counter), counter.count


def test_forgetting_is_measured_on_the_same_examples_before_and_after(asked: tuple[fl.StudyResult, int]) -> None:
    """As pretrained everything is right, so what the chosen one gets wrong is what it forgot."""
    record = asked[0].record
    forgotten = record.forgetting[record.choice.candidate]

    assert forgotten.before.value == 1.0
    assert forgotten.after.value is not None
    assert forgotten.drop.value == pytest.approx(1.0 - forgotten.after.value)
    assert record.cost.judge_flops > 0


def test_the_dial_goes_from_everything_kept_to_the_tuned_end(asked: tuple[fl.StudyResult, int]) -> None:
    """At the pretrained end nothing is forgotten; the tuned end forgets what the winner forgets."""
    dial = asked[0].record.dial

    assert [point.share for point in dial] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert dial[0].forgetting.drop.value == 0.0
    assert (dial[-1].forgetting.drop.value or 0) > 0


def test_a_setting_that_keeps_more_at_no_price_is_taken(asked: tuple[fl.StudyResult, int]) -> None:
    """The winner of this study forgets a lot, and a step back is as good on the new task: it is chosen."""
    record = asked[0].record
    taken = next(point for point in record.dial if point.candidate == record.choice.candidate)

    assert taken.share < 1
    assert (taken.forgetting.drop.value or 0) < (record.dial[-1].forgetting.drop.value or 0)
    assert "more of the old one is kept" in record.choice.reason
    assert record.result(record.choice.candidate, "test") is not None
    assert not asked[0].model().training


def test_other_seeds_confirm_the_chosen_and_the_runner_up(asked: tuple[fl.StudyResult, int]) -> None:
    """Each is trained whole twice more, with other weights than before, and the cost stands apart."""
    record = asked[0].record
    seeds = {(c.candidate.partition("@")[0], c.seed) for c in record.confirmations}

    assert seeds == {(id, seed) for id in ("full", "plan-1") for seed in (1, 2)}
    assert len({c.select.loss for c in record.confirmations}) == 4
    assert record.cost.confirm_flops == sum(c.flops for c in record.confirmations) > 0


def test_without_seeds_nothing_of_the_search_is_different(asked: tuple[fl.StudyResult, int], tmp_path: Path) -> None:
    """Confirming changes neither choice nor search cost."""
    alone = ask(tmp_path).run().record

    assert alone.choice == asked[0].record.choice
    assert alone.cost.search_flops == asked[0].record.cost.search_flops
    assert alone.cost.confirm_flops == 0


def test_report_and_document_tell_what_was_forgotten(asked: tuple[fl.StudyResult, int]) -> None:
    """The old task has its table in the page and its numbers in the document."""
    result = asked[0]
    document = search_document(result.record, judge_study(result.record, []))

    assert document["forgetting"]["measured"] is True
    assert json.dumps(document)
    page = render_html(result.record, judge_study(result.record, []))
    assert "old task" in page
    assert "other seeds" in page


@pytest.mark.parametrize("share", [0.5, 0.85, 0.97])
def test_a_study_with_an_old_task_that_was_stopped_ends_the_same(
    share: float, asked: tuple[fl.StudyResult, int], tmp_path: Path
) -> None:
    """Stopped while training, turning the dial or confirming."""
    with pytest.raises(Stops):
        ask(tmp_path, seeds=3).run(Counter(most=share * asked[1]))

    assert without_clock(ask(tmp_path, seeds=3, resume=True).run().record) == without_clock(asked[0].record)


def test_a_model_without_an_original_head_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    """A factory that makes its head anew has no old task; the sentence says what to do."""
    with pytest.raises(ModelError, match="no original head"):
        ask(tmp_path, old_model=None).run()
