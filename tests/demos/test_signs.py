"""The embedded photographs, as an image folder, and the study of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from frostline.data.images import decode
from frostline.data.sources import load_data
from frostline.demos import export_data, fashion, signs, study_of
from frostline.models.sources import load_model
from frostline.train.old_task import load_old_task


def test_export_holds_every_photograph_as_it_was(tmp_path: Path) -> None:
    """Each image is in the folder of its digit with its own pixels, and loads as ten classes without copies."""
    data = load_data(signs.export(tmp_path / "new"))
    with np.load(signs.ORIGINAL) as arrays:
        photographs, digits = arrays["x"], arrays["y"]

    assert len(data) == len(photographs) == 2062
    assert data.task.labels == tuple("0123456789")
    assert all(path.parent.name == str(digits[int(path.stem)]) for path in data.images)
    for path in data.images[::50]:
        assert np.array_equal(decode(path), photographs[int(path.stem)])


def test_exported_data_and_the_model_named_with_them_go_together(tmp_path: Path) -> None:
    """`frostline demo signs --export` writes the photographs and names a model that takes them."""
    folder, model = export_data("signs", tmp_path / "photos")
    loaded = load_model(model, kind="image", classes=10)

    assert sorted(entry.name for entry in folder.iterdir()) == list("0123456789")
    assert loaded.pixels is not None
    assert loaded.logits({"pixel_values": loaded.pixels(decode(next(folder.glob("3/*"))))[None]}).shape == (1, 10)


def test_the_old_task_is_what_the_network_was_trained_on(tmp_path: Path) -> None:
    """The study's old data stand beside its folder; the network it names does them as well as it did when trained."""
    asked = study_of("signs", tmp_path / "study").settings
    old = load_old_task(tmp_path / "study-data" / "fashion", asked.old_model or "")

    assert (asked.data, asked.old_data) == tuple(str(tmp_path / "study-data" / name) for name in ("signs", "fashion"))
    assert old.task.labels == fashion.CLASSES
    answers = old.answers()
    assert len(old) == 1000
    assert (answers.predicted_N == answers.true_N).mean() > 0.9


@pytest.mark.slow
def test_the_demo_learns_hands_and_forgets_clothes(tmp_path: Path) -> None:
    """The network learns, full fine-tuning forgets, the dial shows what is between, and there is a verdict."""
    result = study_of("signs", tmp_path / "study").run()
    record = result.record
    full = record.forgetting[record.reference or ""]

    assert result.verdict.verdict in ("READY", "NOT READY", "INCONCLUSIVE")
    assert (result.folder / "report.html").exists()
    assert (result.verdict.metrics["f1"].value or 0) > 0.9
    assert (full.drop.low or 0) > 0.05
    assert record.choice.candidate in record.forgetting
    assert [point.share for point in record.dial] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert record.dial[0].forgetting.drop.value == 0
