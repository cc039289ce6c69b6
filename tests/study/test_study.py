"""The main job from Python, on a tiny network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import recall_score

import frostline as fl
from factories import write_images, write_messages, write_table
from frostline.core.errors import ModelError, StudyError
from frostline.core.records import Standing, StudyRecord
from frostline.core.study_folder import read_record
from frostline.data.sources import load_data
from frostline.data.splits import SplitShares
from frostline.judge.verdict import judge_study
from frostline.train.loop import train_candidate
from tiny_bert import save_tiny_bert


def ask(folder: Path, **settings: Any) -> fl.Study:
    return fl.Study(
        budget="all",
        model="factories:tiny_text",
        data=write_messages(folder / "messages.csv"),
        positive="spam",
        out=folder / "study",
        **{"epochs": 3, "learning_rate": 1e-2, **settings},
    )


WORK = ("train_flops", "evaluate_flops", "spared_train_flops", "spared_evaluate_flops")


def without_clock(record: StudyRecord) -> Any:
    """A record less what the clock and the folder decide."""
    plain = json.loads(record.model_dump_json())
    for run in plain["runs"]:
        run["seconds_s"] = 0
        for part in (run, *run["epochs"]):
            part["seconds_s"] = 0
            part["ordinary_flops"] = sum(part.pop(name) for name in WORK)
        run.pop("prepare_flops")
    plain["cost"]["seconds_s"] = 0
    # What is replayed depends on how fast this machine reads and computes, the numbers that come out do not.
    plain.pop("replay")
    plain["cost"].pop("search_flops")
    for key in ("created", "command", "settings", "openings", "earlier_openings"):
        plain.pop(key)
    plain["data"].pop("source")
    return plain


class Stops(Exception):
    """Stands in for a power cut."""


class Counter:
    """A listener that counts advances and ends the work when there were too many."""

    def __init__(self, most: float = float("inf")) -> None:
        self.count, self.most = 0, most
        self.last_begun = 0
        """Advances before the last step began."""

    def say(self, sentence: str) -> None:
        """Nobody listens."""

    def decided(self, standing: Standing) -> None:
        """Nobody listens."""

    def spent(self, share: float) -> None:
        """Nobody listens."""

    @contextmanager
    def step(self, what: str, parts: int) -> Iterator[Any]:
        self.last_begun = self.count
        yield self

    def advance(self) -> None:
        self.count += 1
        if self.count > self.most:
            raise Stops


@pytest.fixture(scope="module")
def counter() -> Counter:
    """Counts the advances of the finished study."""
    return Counter()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, counter: Counter) -> fl.StudyResult:
    return ask(tmp_path_factory.mktemp("finished")).run(counter)


def test_a_study_tries_every_depth_and_full_fine_tuning(finished: fl.StudyResult) -> None:
    """One candidate for each freeze depth, and one that freezes nothing; each with epochs and a proof that holds."""
    record = finished.record

    assert [block.name for block in record.blocks] == ["embedding", "layers.0", "layers.1", "head"]
    assert [(c.id, c.freeze_depth) for c in record.candidates] == [("full", 0), *((f"depth-{d}", d) for d in (1, 2, 3))]
    assert all(run.proof.holds for run in record.runs)
    assert [run.proof.frozen_tensors for run in record.runs] == [0, 1, 3, 5]
    assert all([epoch.epoch for epoch in run.epochs] == list(range(len(run.epochs))) for run in record.runs)


def test_the_chosen_model_can_be_had_and_answers_as_measured(finished: fl.StudyResult) -> None:
    """`result.model()` loads the base anew, puts the trained tensors in, and scores the recall of the report."""
    record = finished.record
    settings = record.settings
    shares = {name: settings[f"{name}_share"] for name in ("train", "stop", "select", "test")}
    data = load_data(Path(str(settings["data"])), positive="spam", shares=SplitShares(**shares))
    truth, _ = data.sealed.open(["test"])
    model = finished.model()
    answers = []
    for row in data.rows["test"]:
        ids = torch.tensor(model.tokenize([data.texts[row]]))  # type: ignore[operator]
        answers.append(int(model(ids, torch.ones_like(ids)).argmax()))

    result = record.result(record.choice.candidate, "test")
    assert result is not None
    assert result.measures.metrics["recall"].value == pytest.approx(
        recall_score(truth, np.array(answers), pos_label=data.task.positive_index)
    )


def test_what_another_candidate_trained_does_not_leak_into_the_chosen(tmp_path: Path) -> None:
    """After full fine-tuning answered the test split, the chosen plan's frozen part is still the pretrained one."""
    folder = save_tiny_bert(tmp_path / "bert")
    data = write_messages(tmp_path / "messages.csv", rows=160)
    result = fl.Study(budget="all", model=folder, data=data, positive="spam", epochs=2, out=tmp_path / "study").run()
    base = load_file(folder / "model.safetensors")
    tuned = result.model().state_dict()

    assert result.record.run_of("full").best_epoch > 0, "full fine-tuning must have moved something"
    assert "encoder.layer.1" in result.chosen.frozen
    assert all(torch.equal(tuned[f"backbone.{name}"], base[name]) for name in base if "layer.1" in name)


def test_trained_weights_refuse_another_base_model(finished: fl.StudyResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base model whose frozen part differs gets a sentence, not a wrong model."""
    if not finished.chosen.frozen:
        pytest.fail("the fixture must choose a frozen plan for this test to mean anything")
    monkeypatch.setattr("factories.torch.manual_seed", lambda seed: torch.random.manual_seed(8))

    with pytest.raises(StudyError, match="another base model"):
        finished.model()


def test_a_study_folder_holds_what_the_design_says(finished: fl.StudyResult, tmp_path: Path) -> None:
    """Settings, ledger, scores, trained weights, report as page and as JSON; no checkpoints are left behind."""
    names = {path.relative_to(finished.folder).as_posix() for path in finished.folder.rglob("*") if path.is_file()}

    assert {"study.toml", "ledger.sqlite", "report.html", "report.json", "weights/chosen.safetensors"} <= names
    assert not [name for name in names if "epoch-" in name]
    assert {f"scores/{run.candidate}.select.npy" for run in finished.record.runs} <= names
    assert finished.report(tmp_path / "copy.html").read_text("utf-8").startswith("<!doctype html>")


def test_a_finished_study_is_judged_again_from_its_folder(finished: fl.StudyResult) -> None:
    """The record in the ledger gives the same verdict, and another one under another floor."""
    record = read_record(finished.folder)

    assert judge_study(record) == finished.verdict
    assert record == finished.record


def test_the_test_split_is_opened_once_for_named_contenders(finished: fl.StudyResult) -> None:
    """The chosen plan, the full fine-tune and the baselines: one opening, counted by content hash."""
    (opening,) = finished.record.openings

    assert set(opening.contenders) == {finished.chosen.id, "full", "majority", "tfidf-logistic"}
    assert {result.name for result in finished.record.test} == set(opening.contenders)


def test_two_runs_of_the_same_study_give_the_same_record(finished: fl.StudyResult, tmp_path: Path) -> None:
    """Same data, same seed, same result, bit for bit."""
    assert without_clock(ask(tmp_path).run().record) == without_clock(finished.record) | {"name": "study"}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.55, 0.8, 0.98])
def test_a_study_stopped_anywhere_resumes_to_the_same_result(
    share: float, counter: Counter, finished: fl.StudyResult, tmp_path: Path
) -> None:
    """Stopped during probes or in the middle of an epoch, it ends with the result it would have had."""
    with pytest.raises(Stops):
        ask(tmp_path).run(Counter(most=share * counter.count))

    assert without_clock(ask(tmp_path, resume=True).run().record) == without_clock(finished.record)


def test_a_finished_run_is_never_repeated(
    counter: Counter, finished: fl.StudyResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stop in the last candidate, resuming trains that candidate alone, and only its open epochs."""
    with pytest.raises(Stops):
        # The last step of all is the pass of the pretrained model over the test split.
        ask(tmp_path).run(Counter(most=counter.last_begun - 1))
    trained = []

    def noted(id: str, *rest: Any, **named: Any) -> Any:
        trained.append(id)
        return train_candidate(id, *rest, **named)

    monkeypatch.setattr("frostline.train.race.train_candidate", noted)
    after = Counter()
    ask(tmp_path, resume=True).run(after)

    assert trained == [finished.record.candidates[-1].id]
    assert after.count < counter.count / len(finished.record.candidates)


def test_a_study_is_not_overwritten(finished: fl.StudyResult) -> None:
    """A folder that holds a study needs --resume, and resuming it with other settings is refused."""
    with pytest.raises(StudyError, match="--resume"):
        ask(finished.folder.parent).run()
    with pytest.raises(StudyError, match="epochs = 3, now epochs = 2"):
        ask(finished.folder.parent, resume=True, epochs=2).run()


def ask_of(factory: str, folder: Path) -> fl.Study:
    data = write_messages(folder / "messages.csv")
    return fl.Study(budget="all", model=f"factories:{factory}", data=data, positive="spam", out=folder / "study")


def test_all_candidates_failing_is_a_sentence(tmp_path: Path) -> None:
    """When the loss of every run stops being finite, nothing is chosen."""
    with pytest.raises(StudyError, match="every candidate stopped being finite"):
        ask_of("unstable_text", tmp_path).run()


def test_a_model_that_answers_nonsense_is_refused(tmp_path: Path) -> None:
    """Infinite weights are noticed before any training."""
    with pytest.raises(ModelError, match="not finite before any training"):
        ask_of("broken_text", tmp_path).run()


def test_images_with_several_classes(tmp_path: Path) -> None:
    """A folder of images becomes a study with macro metrics and the pixel baseline."""
    study = fl.Study(
        budget="all",
        model="factories:tiny_image",
        data=write_images(tmp_path / "photos"),
        out=tmp_path / "study",
        epochs=1,
    )
    record = study.run().record

    assert record.data.task.positive is None
    assert {result.name for result in record.test} >= {"majority", "pixels-logistic"}
    assert len(record.test[0].measures.per_class) == 3
    assert record.cost.search_flops > record.cost.sweep_flops > record.cost.full_finetune_flops > 0
    assert 0 < record.cost.bound_flops < record.cost.sweep_flops


def test_plans_can_be_named(tmp_path: Path) -> None:
    """Patterns separated by semicolons become candidates beside full fine-tuning."""
    record = ask(tmp_path, plans="embedding;layers[:1],embedding", epochs=1).run().record

    assert [(c.id, c.frozen) for c in record.candidates] == [
        ("full", ()),
        ("plan-1", ("embedding",)),
        ("plan-2", ("embedding", "layers.0")),
    ]


def test_what_the_factory_fixed_stays_fixed(tmp_path: Path) -> None:
    """A parameter that the user's factory froze is trained by no candidate, full fine-tuning included."""
    record = ask_of("half_fixed_text", tmp_path).run().record

    assert [run.proof.frozen_tensors for run in record.runs if run.candidate == "full"] == [1]
    assert all(run.proof.holds for run in record.runs)


def test_a_model_that_does_not_take_the_data_is_a_sentence(tmp_path: Path) -> None:
    """Images too small for a network's layers: what failed on which shapes, and what to do."""
    data = write_images(tmp_path / "photos", size=2)
    study = fl.Study(budget="all", model="factories:tiny_image", data=data, out=tmp_path / "study")

    with pytest.raises(ModelError, match=r"pixel_values \(2, 3, 2, 2\).*--image-size"):
        study.run()


def test_a_table_of_numbers_goes_the_whole_way(tmp_path: Path) -> None:
    """A network on columns of numbers is searched and judged like any other, beside a model on the same columns."""
    data = write_table(tmp_path / "payments.csv")

    result = fl.Study(
        budget="all",
        model="factories:tiny_table",
        data=data,
        positive="fraud",
        epochs=3,
        learning_rate=1e-2,
        out=tmp_path / "study",
    ).run()

    assert {r.name for r in result.record.test} >= {"majority", "columns-logistic"}
    assert "3 number columns are the features: 'amount', 'hour', 'age'" in result.record.data.notes
    assert result.model()(torch.zeros(2, 3)).shape == (2, 2)


def test_a_transformers_folder_refuses_a_table(tmp_path: Path) -> None:
    """A model of texts is not asked about columns of numbers: a sentence says what to give instead."""
    save_tiny_bert(tmp_path / "bert")

    with pytest.raises(ModelError, match="and the data are a table of numbers"):
        fl.Study(
            budget="all", model=tmp_path / "bert", data=write_table(tmp_path / "t.csv"), out=tmp_path / "study"
        ).run()
