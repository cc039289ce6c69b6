"""Studies that replay frozen computation: the same evidence as without, wherever it is kept, also when stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_study import Counter, Stops, without_clock
from transformers import BertConfig, BertForSequenceClassification

import frostline as fl
from factories import write_images, write_messages
from frostline.core.errors import StudyError
from frostline.core.records import StudyRecord
from frostline.core.study_folder import read_record
from sweeps import FAST_TO_READ
from tiny_bert import save_tiny_bert


@pytest.fixture(autouse=True)
def _fast_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether these tiny networks are worth replaying must not hang on this machine."""
    monkeypatch.setattr("frostline.train.activations.measure_speeds", lambda forward, folder: FAST_TO_READ)


def ask(folder: Path, **settings: Any) -> fl.Study:
    return fl.Study(
        budget="all",
        model="factories:tiny_text",
        data=write_messages(folder / "messages.csv", rows=160),
        positive="spam",
        out=folder / "study",
        **{"epochs": 2, "learning_rate": 1e-2, **settings},
    )


def scores(result: fl.StudyResult) -> dict[str, bytes]:
    """Answers of every contender on every split, bit for bit."""
    return {path.name: np.load(path).tobytes() for path in sorted((result.folder / "scores").iterdir())}


def replayed(record: StudyRecord) -> set[str]:
    assert record.replay is not None
    return {run.candidate for run in record.replay.runs if not run.off_because}


def spared(record: StudyRecord) -> int:
    return sum(run.spared_train_flops + run.spared_evaluate_flops for run in record.runs)


# ---------------------------------------------------------------- the same evidence


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> fl.StudyResult:
    return ask(tmp_path_factory.mktemp("ordinary"), activations="off").run()


@pytest.mark.parametrize("place", ["auto", "disk"])
def test_replay_changes_no_number_but_the_costs(place: str, ordinary: fl.StudyResult, tmp_path: Path) -> None:
    """Choice, losses, proofs, test results and every single answer are those of the study that computes everything."""
    result = ask(tmp_path, activations=place).run()

    assert without_clock(result.record) == without_clock(ordinary.record)
    assert scores(result) == scores(ordinary)
    assert result.record.choice == ordinary.record.choice
    assert spared(result.record) > 0 == spared(ordinary.record)
    assert (result.folder / "activations").exists() == (place == "disk")


def test_a_folder_of_a_model_with_slices_changes_no_number(tmp_path: Path) -> None:
    """The same for a BERT whose head sees one token: probes, bound and all, though only a slice is kept."""
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(save_tiny_bert(tmp_path / "bert"), num_labels=2)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    data = write_messages(tmp_path / "messages.csv", rows=160)
    options: dict[str, Any] = {"model": tmp_path / "bert", "data": data, "positive": "spam", "epochs": 1}
    options |= {"plans": "embeddings,encoder.layer[:2]"}
    kept, off = (
        fl.Study(budget="all", **options, out=tmp_path / place / "study", activations=place).run()
        for place in ("memory", "off")
    )

    assert without_clock(kept.record) == without_clock(off.record)
    assert scores(kept) == scores(off)
    assert replayed(kept.record) == {"plan-1"}


def test_the_record_tells_what_was_replayed(ordinary: fl.StudyResult, tmp_path: Path) -> None:
    """Where rows were kept, how many bytes were predicted and came, and for every plan what became of it."""
    record = ask(tmp_path, activations="disk").run().record
    assert record.replay is not None
    runs = {run.candidate: run for run in record.replay.runs}

    assert ordinary.record.replay is None
    assert record.replay.place == "disk"
    assert record.replay.kept_bytes == record.replay.predicted_bytes > 0
    assert record.replay.half_error is None
    assert set(runs) == {"depth-1", "depth-2", "depth-3"}, "what freezes nothing has nothing to replay"
    assert runs["depth-1"].off_because.startswith("reading its frozen part takes"), "a lookup takes no FLOPs"
    for candidate in ("depth-2", "depth-3"):
        assert runs[candidate].off_because == ""
        assert runs[candidate].replayed_share is not None and runs[candidate].replayed_share > 0.5
        assert runs[candidate].predicted_compute_s is not None and runs[candidate].measured_read_s is not None
        assert record.run_of(candidate).prepare_flops > 0
    assert record.run_of("full").prepare_flops == 0
    assert read_record(tmp_path / "study") == record


def test_rows_at_half_the_size_come_with_their_error(tmp_path: Path) -> None:
    """By choice: half the bytes, and the largest error is on record; replay is on."""
    record = ask(tmp_path, activations="memory", activations_half=True, epochs=1).run().record

    assert record.replay is not None
    assert record.replay.half_error is not None and 0 < record.replay.half_error < 0.001
    assert replayed(record) == {"depth-2", "depth-3"}


def test_a_budget_is_kept(tmp_path: Path, ordinary: fl.StudyResult) -> None:
    """`--activations-gib` bounds what is kept; what is refused is computed, and the evidence is the same."""
    record = ask(tmp_path, activations="memory", activations_gib=1500 / 2**30).run().record

    assert record.replay is not None
    assert 0 < record.replay.kept_bytes <= 1500 < record.replay.predicted_bytes
    assert record.replay.refused_rows > 0
    assert without_clock(record) == without_clock(ordinary.record)


# ---------------------------------------------------------------- stopped and gone on with


@pytest.fixture(scope="module")
def advances(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Of a whole study."""
    counter = Counter()
    ask(tmp_path_factory.mktemp("counted"), activations="off").run(counter)
    return counter.count


@pytest.mark.parametrize(
    ("place", "share"), [("disk", 0.1), ("disk", 0.7), pytest.param("memory", 0.7, marks=pytest.mark.slow)]
)
def test_stopped_anywhere_it_resumes_to_the_same_result(
    place: str, share: float, advances: int, ordinary: fl.StudyResult, tmp_path: Path
) -> None:
    """In the pass or in training: what is on disk is found again, what was in memory is computed again."""
    with pytest.raises(Stops):
        ask(tmp_path, activations=place).run(Counter(most=share * advances))
    resumed = ask(tmp_path, activations=place, resume=True).run()

    assert without_clock(resumed.record) == without_clock(ordinary.record)
    assert scores(resumed) == scores(ordinary)


def test_rows_on_disk_are_not_captured_again(tmp_path: Path, advances: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that is stopped in its last candidate captures nothing more when it goes on."""
    with pytest.raises(Stops):
        ask(tmp_path, activations="disk").run(Counter(most=advances))

    def never(*given: object, **named: object) -> None:
        raise AssertionError("rows were computed again")

    monkeypatch.setattr("frostline.capture.replay.Replay._capture", never)
    record = ask(tmp_path, activations="disk", resume=True).run().record

    assert record.replay is not None
    assert record.replay.kept_bytes == record.replay.predicted_bytes
    assert record.run_of("depth-3").spared_train_flops > 0


@pytest.mark.slow
def test_activations_may_be_deleted_between_two_processes(
    ordinary: fl.StudyResult, advances: int, tmp_path: Path
) -> None:
    """The folder is a convenience: without it, the study that goes on computes the rows again."""
    study = ask(tmp_path, activations="disk")
    with pytest.raises(Stops):
        study.run(Counter(most=0.6 * advances))
    assert study.folder.delete_activations() > 0
    resumed = ask(tmp_path, activations="disk", resume=True).run()

    assert without_clock(resumed.record) == without_clock(ordinary.record)


def test_another_place_is_another_study(tmp_path: Path) -> None:
    """Where rows are kept is a setting like others: a study is resumed as it was begun."""
    with pytest.raises(Stops):
        ask(tmp_path, activations="disk").run(Counter(most=20))
    with pytest.raises(StudyError, match="begun with activations = 'disk', now activations = 'off'"):
        ask(tmp_path, activations="off", resume=True).run()


# ---------------------------------------------------------------- random augmentation


def ask_images(folder: Path, **settings: Any) -> fl.Study:
    photos = folder / "photos"
    data = photos if photos.exists() else write_images(photos)
    options = {"epochs": 2, "batch_size": 12, "learning_rate": 1e-2, "augment": "shift"} | settings
    return fl.Study(budget="all", model="factories:tiny_image", data=data, out=folder / "study", **options)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> tuple[fl.StudyResult, int]:
    """A study of shifted images, and how often it advanced."""
    counter = Counter()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("frostline.train.activations.measure_speeds", lambda forward, folder: FAST_TO_READ)
        return ask_images(tmp_path_factory.mktemp("shifted"), activations="disk").run(counter), counter.count


def test_augmented_images_end_to_end(shifted: tuple[fl.StudyResult, int], tmp_path: Path) -> None:
    """Candidates trained in step on shifted images: proofs hold, runs replay, and the chosen model can be had."""
    result, _ = shifted
    off = ask_images(tmp_path, activations="off").run()
    record = result.record

    assert [run.candidate for run in record.runs] == ["full", "depth-1", "depth-2"]
    assert all(run.proof.holds and len(run.epochs) == 3 for run in record.runs)
    assert replayed(record) == {"depth-1", "depth-2"}
    assert all(record.run_of(id).spared_train_flops > 0 for id in ("depth-1", "depth-2"))
    assert result.model()(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
    assert without_clock(record) == without_clock(off.record)
    assert scores(result) == scores(off)


def test_augmentation_changes_training_and_nothing_before_it(
    shifted: tuple[fl.StudyResult, int], tmp_path: Path
) -> None:
    """The same start without it, and other losses from the first epoch on."""
    record, plain = shifted[0].record, ask_images(tmp_path, augment=None, activations="off").run().record

    assert record.probes == plain.probes
    for one, other in zip(record.runs, plain.runs, strict=True):
        assert one.epochs[0] == other.epochs[0]
        assert one.epochs[1].train_loss != other.epochs[1].train_loss


def test_training_in_step_resumes_to_the_same_result(shifted: tuple[fl.StudyResult, int], tmp_path: Path) -> None:
    """Stopped while candidates are trained in step, a study ends with the evidence it would have had."""
    whole, advances = shifted
    with pytest.raises(Stops):
        ask_images(tmp_path, activations="disk").run(Counter(most=0.8 * advances))
    resumed = ask_images(tmp_path, activations="disk", resume=True).run()

    assert without_clock(resumed.record) == without_clock(whole.record)
    assert scores(resumed) == scores(whole)


def test_augmented_texts_are_refused(tmp_path: Path) -> None:
    """One sentence, before anything is trained."""
    with pytest.raises(StudyError, match="--augment shift is for images, and the data are texts"):
        ask(tmp_path, augment="shift").run()


def test_an_unknown_augmentation_is_refused(tmp_path: Path) -> None:
    """One sentence with what there is."""
    with pytest.raises(StudyError, match="there is no augmentation 'blur'"):
        ask_images(tmp_path, augment="blur").run()


def test_an_unknown_place_is_refused(tmp_path: Path) -> None:
    """One sentence with the setting, what was asked, and what there is."""
    with pytest.raises(StudyError, match="The setting activations is 'ram': input should be 'auto', 'memory', 'disk'"):
        ask(tmp_path, activations="ram")
