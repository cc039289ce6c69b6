"""Claims about the finals: thresholds fixed before the labels are read, parts of the test split, readings counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import frostline as fl
from factories import write_messages
from frostline.core.errors import AimError, BadInputError
from frostline.core.openings import TestOpenings
from frostline.core.predictions import Predictions
from frostline.core.records import Task
from frostline.core.study_folder import read_record
from frostline.finals import thresholds_of
from frostline.judge.verdict import judge_study


def ask(folder: Path, name: str = "study", **settings: Any) -> fl.Study:
    asked = {"data": folder / "messages.csv", "epochs": 2, "learning_rate": 1e-2, "budget": "all", **settings}
    if not Path(asked["data"]).exists():
        write_messages(Path(asked["data"]))
    return fl.Study(model="factories:tiny_text", positive="spam", out=folder / name, **asked)


def with_column(folder: Path, name: str) -> Path:
    """The messages with one more column: every third is new, the others are old."""
    path = write_messages(folder / "messages.csv")
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    values = (f"{line},{'old' if number % 3 else 'new'}" for number, line in enumerate(lines))
    path.write_text("\n".join([f"{header},{name}", *values]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> fl.StudyResult:
    return ask(tmp_path_factory.mktemp("finals"), aim="recall@precision>=0.5").run()


def test_threshold_is_chosen_on_select_and_used_on_test(finished: fl.StudyResult) -> None:
    """What is judged is answered with the threshold that the record holds, chosen for the aim that was stated."""
    record = finished.record
    chosen = record.thresholds[record.choice.candidate]

    assert chosen.aim == "highest recall at a precision of at least 50.0 %"
    select, test = (record.result(record.choice.candidate, split) for split in ("select", "test"))  # type: ignore[arg-type]
    assert select is not None and test is not None
    # What was chosen by is answered at .5, so that it can be held against fits on train and other candidates.
    assert select.measures.metrics["recall"] == chosen.default["recall"]
    points = [p for p in test.measures.curve if p.tp + p.fp == _answered_positive(test.measures.confusion.binary)]
    assert points, "the answers are those of one threshold"


def _answered_positive(cells: dict[str, int] | None) -> int:
    assert cells is not None
    return cells["tp"] + cells["fp"]


def test_scores_of_the_chosen_are_measured(finished: fl.StudyResult) -> None:
    """Areas, Brier score, calibration and loss stand in the verdict, with intervals."""
    assert set(finished.verdict.scored) == {"roc_auc", "pr_auc", "brier", "calibration_error", "log_loss"}


def test_finalists_are_the_chosen_the_full_fine_tuning_and_the_runner_up(finished: fl.StudyResult) -> None:
    """Every comparison on the test split is corrected for their number, and the chosen may lose a stated margin."""
    record = finished.record
    tested = [c for c in record.comparisons if c.split == "test"]

    assert {c.second for c in tested} >= {"majority", "tfidf-logistic"}
    assert all(c.differences["accuracy"].adjusted_p is not None for c in tested)
    against_full = [c for c in tested if c.second == record.reference]
    assert all(c.non_inferiority is not None and c.non_inferiority.margin == 0.02 for c in against_full)


def test_test_split_is_parted_by_clusters_when_no_column_is_named(finished: fl.StudyResult) -> None:
    """Clusters of the pretrained features stand in for a column; their examples add up to the split."""
    record = finished.record

    assert "clusters of the pretrained features" in record.slices_from
    assert sum(part.examples for part in record.slices) == record.data.split("test").examples


def test_test_split_is_parted_by_a_named_column(tmp_path: Path) -> None:
    """Each value of the column is a part, and no feature of the model; so it is on the select split."""
    data = with_column(tmp_path, "sender")
    record = ask(tmp_path, data=data, slice_column="sender").run().record

    assert {part.name for part in record.slices} == {part.name for part in record.select_slices} == {"old", "new"}
    assert sum(part.in_training for part in record.slices) == record.data.split("train").examples
    assert {p.name: p.in_training for p in record.slices} == {p.name: p.in_training for p in record.select_slices}


def test_every_candidate_is_shown_part_by_part_on_the_select_split(finished: fl.StudyResult) -> None:
    """Whoever answered it, finalist or not; parts add up to the split, and recall lies between those of its parts."""
    record, parts = finished.record, finished.record.select_slices
    answered = {result.name for result in record.select if result.kind == "candidate"}

    assert sum(part.examples for part in parts) == record.data.split("select").examples
    assert all(part.metrics.keys() == answered for part in parts)
    for name in answered:
        whole = record.result(name, "select")
        recalls = [value for part in parts if (value := part.metrics[name]["recall"].value) is not None]
        assert whole is not None and (all_in_all := whole.measures.metrics["recall"].value) is not None
        assert min(recalls) <= all_in_all <= max(recalls)


def test_the_parts_of_candidates_open_no_test_label(finished: fl.StudyResult) -> None:
    """There are candidates with parts that no opening of the test split names, and there was one opening."""
    record = finished.record
    (opening,) = record.openings
    beside = {name for part in record.select_slices for name in part.metrics} - set(opening.contenders)

    assert beside
    assert not beside & {result.name for result in record.test}


def test_other_answers_to_the_same_test_examples_are_counted(tmp_path: Path) -> None:
    """A second study of the same test split reads its floors at half the level; the same study again does not."""
    first = ask(tmp_path, "first").run()
    again = ask(tmp_path, "again").run()
    other = ask(tmp_path, "other", learning_rate=3e-4, epochs=1).run()

    assert first.record.earlier_openings == again.record.earlier_openings == ()
    assert [opening.study for opening in other.record.earlier_openings] == ["first"]
    moved = ask(tmp_path, "moved", aim="f1").run()
    assert len(moved.record.earlier_openings) == 2, "another threshold on the same scores is another answer"
    finding = next(check for check in other.verdict.checks if check.code == "FRL503")
    assert finding.outcome == "note" and "first" in finding.sentence
    alone = judge_study(other.record.model_copy(update={"earlier_openings": ()}))
    bounds = [(f.bound, g.bound) for f, g in zip(other.verdict.floors, alone.floors, strict=True)]
    assert all(tightened < usual for tightened, usual in bounds if tightened is not None and usual is not None)


def test_count_that_cannot_be_kept_is_said_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder that cannot be written costs the count, not the study."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("FROSTLINE_STATE", str(blocked))
    assert not TestOpenings().path.exists()

    record = ask(tmp_path).run().record

    assert record.earlier_openings == ()
    assert read_record(tmp_path / "study") == record


def test_only_the_chosen_has_to_reach_the_aim() -> None:
    """A rival whose surest answer is wrong answers at .5; when the chosen cannot reach the aim, that is a sentence."""
    task, true = Task(labels=("ham", "spam"), positive="spam"), np.array([0, 0, 1, 1])
    good, weak = (
        Predictions.from_probabilities(task, true, np.stack([1 - spam, spam], axis=1))
        for spam in (np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.9, 0.2, 0.3, 0.4]))
    )
    select = {"depth-4": good, "tfidf-logistic": weak}

    assert set(thresholds_of(select, "recall@precision>=0.9", "depth-4")) == {"depth-4"}
    with pytest.raises(AimError, match="cannot be had"):
        thresholds_of(select, "recall@precision>=0.9", "tfidf-logistic")


@pytest.mark.parametrize("settings", [{"aim": "best"}, {"ignore": ("FRL104",)}, {"floors": ["recall>0.8"]}])
def test_what_cannot_be_read_is_said_before_anything_is_trained(tmp_path: Path, settings: dict[str, Any]) -> None:
    """A slip in an aim, a floor or an ignored check leaves no study folder behind."""
    with pytest.raises(BadInputError):
        ask(tmp_path, **settings).run()

    assert not (tmp_path / "study").exists()


def test_pictures_saved_again_across_given_splits_are_found_and_break_the_evidence(tmp_path: Path) -> None:
    """A test split that holds training pictures at another quality is INVALID, with the numbers without them."""
    generator = np.random.default_rng(0)
    for split, each in (("train", 30), ("val", 20), ("test", 30)):
        for number, colour in enumerate(("red", "green", "blue")):
            folder = tmp_path / "photos" / split / colour
            folder.mkdir(parents=True, exist_ok=True)
            for position in range(each):
                coarse = generator.integers(0, 160, size=(6, 6, 3), dtype=np.uint8)
                coarse[..., number] += 60
                picture = Image.fromarray(coarse).resize((16, 16), Image.Resampling.BICUBIC)
                picture.save(folder / f"{position:02d}.png")
                if split == "train" and position < 5:
                    again = tmp_path / "photos" / "test" / colour
                    again.mkdir(parents=True, exist_ok=True)
                    picture.point(lambda value: min(255, value + 2)).save(again / f"again-{position}.png")

    study = fl.Study(
        model="factories:tiny_image",
        data=tmp_path / "photos",
        out=tmp_path / "study",
        epochs=2,
        learning_rate=1e-2,
        budget="all",
    )
    result = study.run()

    found = [overlap for overlap in result.record.data.audit.overlaps if overlap.kind == "near image"]
    assert [(overlap.earlier, overlap.later) for overlap in found] == [("train", "test")]
    assert found[0].examples >= 10
    assert result.verdict.verdict == "INVALID"
    assert len(result.record.test_without_overlap) > 0
