"""Claims about the old head on new inputs: the same bits before training, moved by training, refused if made anew."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from factories import tiny_text, write_images, write_messages
from frostline.core.errors import ModelError
from frostline.data.sources import Dataset, load_data
from frostline.measure.drift import drift
from frostline.models.sources import load_model
from frostline.models.task_model import TaskModel
from frostline.train.inputs import Inputs, make_inputs
from frostline.train.old_head import OldHead, load_old_head

TEXT = "factories:tiny_text"


def messages(folder: Path) -> tuple[Dataset, TaskModel, Inputs]:
    data = load_data(write_messages(folder / "messages.csv", rows=120), positive="spam", seed=0)
    model = load_model(TEXT, kind="text", classes=2)
    return data, model, make_inputs(data, model)[0]


def with_five_outputs(folder: Path) -> Path:
    """Weights of a network that was pretrained for five classes."""
    save_file(tiny_text(5).state_dict(), folder / "five.safetensors")
    return folder / "five.safetensors"


def text_head(folder: Path) -> tuple[OldHead, TaskModel]:
    data, model, inputs = messages(folder)
    rows = data.rows["select"]
    return load_old_head(TEXT, model, inputs, rows, weights=with_five_outputs(folder)), model


def test_before_training_nothing_has_moved(tmp_path: Path) -> None:
    """Law: the new network's backbone is the pretrained one, so its answers through the old head are the same bits."""
    old_head, model = text_head(tmp_path)
    before, after = old_head.answers(), old_head.answers(model.module, model.head)

    np.testing.assert_array_equal(before, after)
    assert before.shape == (len(old_head.rows), 5)
    assert drift(before, after).same_answer.value == 1


def test_answers_are_those_of_the_stored_network(tmp_path: Path) -> None:
    """One example at a time, in the order of the rows, the network with its five outputs gives the same."""
    old_head, _ = text_head(tmp_path)
    net = tiny_text(5).eval()
    with torch.no_grad():
        alone = [
            torch.softmax(net(*old_head.inputs.batch(np.array([row])).values()), dim=1)[0].double().numpy()
            for row in old_head.rows
        ]

    np.testing.assert_allclose(old_head.answers(), np.stack(alone), atol=1e-6)


def test_a_moved_backbone_moves_the_answers_and_nothing_else(tmp_path: Path) -> None:
    """Planted: the embedding is turned around. The head asked is the old one, and no network is changed by asking."""
    old_head, model = text_head(tmp_path)
    before = old_head.answers()
    with torch.no_grad():
        model.module.get_parameter("embedding.weight").mul_(-2)
    kept = deepcopy(model.module.state_dict())
    found = drift(before, old_head.answers(model.module, model.head))

    assert found.same_answer.value is not None and found.same_answer.value < 0.9
    assert found.divergence > 0.01
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.module.state_dict().items())
    np.testing.assert_array_equal(old_head.answers(), before)
    assert old_head.meter.total > 0


def test_images_of_the_new_task_are_asked_as_they_are(tmp_path: Path) -> None:
    """The race's own prepared images serve the original network."""
    data = load_data(write_images(tmp_path / "images"), seed=0)
    weights = tmp_path / "w.safetensors"
    from factories import tiny_image

    save_file(tiny_image(7).state_dict(), weights)
    model = load_model("factories:tiny_image", kind="image", classes=3)
    inputs = make_inputs(data, model)[0]
    old_head = load_old_head("factories:tiny_image", model, inputs, data.rows["select"], weights=weights)

    assert old_head.answers().shape == (len(data.rows["select"]), 7)
    np.testing.assert_array_equal(old_head.answers(), old_head.answers(model.module, model.head))


def test_a_head_made_anew_is_no_old_head(tmp_path: Path) -> None:
    """A factory without stored weights that draws a head for each number of classes: a sentence without old data."""
    data, model, inputs = messages(tmp_path)
    with pytest.raises(ModelError, match="has no original head") as refused:
        load_old_head(TEXT, model, inputs, data.rows["select"])

    assert str(refused.value).startswith("The old head cannot be asked:")
    assert "--old-data" not in str(refused.value)


def test_a_network_that_does_not_take_the_inputs_is_refused(tmp_path: Path) -> None:
    """Another architecture than the race's, asked for tokens that it does not know."""
    data, model, inputs = messages(tmp_path)
    with pytest.raises(ModelError, match=r"does not run on two examples|cannot be asked"):
        load_old_head("factories:tiny_image", model, inputs, data.rows["select"], weights=with_five_outputs(tmp_path))


def test_an_answer_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    """A backbone that training broke gives a sentence instead of a drift."""
    old_head, model = text_head(tmp_path)
    with torch.no_grad():
        model.module.get_parameter("embedding.weight").fill_(torch.inf)

    with pytest.raises(ModelError, match="not finite"):
        old_head.answers(model.module, model.head)
