"""Claims about the old task: all of it is asked, of the original head, and its labels are never guessed silently."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from factories import WORDS, tiny_image, tiny_table, tiny_text, write_images, write_messages, write_table
from frostline.core.errors import DataError, ModelError
from frostline.data.columns import ColumnNames
from frostline.measure.forgetting import forgetting
from frostline.models.sources import load_model
from frostline.plan.apply import freeze
from frostline.train.evaluate import predict
from frostline.train.flops import FlopsMeter
from frostline.train.old_task import OldTask, load_old_task
from networks import bert_config, save_tokenizer

TEXT = "factories:tiny_text"
ODD_END = """
import torch
from torch import nn
def fixed():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 1, 2), nn.Flatten())
"""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Transformers' verbosity and the path do not leak."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity(verbosity)
    sys.modules.pop("odd_ends", None)


def stored(path: Path, net: nn.Module) -> Path:
    save_file(net.state_dict(), path)
    return path


def spam_task(folder: Path) -> OldTask:
    """Messages, and a network whose head knows two classes."""
    messages = write_messages(folder / "old" / "messages.csv", rows=60)
    return load_old_task(messages, TEXT, weights=stored(folder / "w.safetensors", tiny_text(2)))


def table(path: Path, labels: Sequence[object]) -> Path:
    lines = [f"{label},{n},{n * n},1" for n, label in enumerate(labels)]
    path.write_text("\n".join(["label,a,b,c", *lines]))
    return path


def emotions(folder: Path, labels: dict[int, str]) -> str:
    """A BERT classifier whose folder names its outputs."""
    torch.manual_seed(0)
    own = transformers.BertForSequenceClassification(
        bert_config(id2label=labels, label2id={name: number for number, name in labels.items()})
    )
    own.save_pretrained(folder)
    save_tokenizer(folder)
    return str(folder)


def texts(path: Path, labels: Sequence[str]) -> Path:
    path.write_text("\n".join(["label,text", *(f"{label},w1 w{n % 30} nr {n}" for n, label in enumerate(labels))]))
    return path


# ---------------------------------------------------------------- asking


def test_as_pretrained_it_answers_what_the_network_answers(tmp_path: Path) -> None:
    """One by one, in the order of the file, the stored network gives the same classes."""
    old, net = spam_task(tmp_path), tiny_text(2).eval()
    lines = [line.split(",") for line in (tmp_path / "old" / "messages.csv").read_text().splitlines()[1:]]
    alone = []
    for _, text in lines:
        ids_BT = torch.tensor(net.tokenize([text]))
        alone.append(int(net(ids_BT, torch.ones_like(ids_BT)).argmax()))
    answered = old.answers()

    assert answered.predicted_N.tolist() == alone
    assert [answered.task.labels[number] for number in answered.true_N] == [label for label, _ in lines]


def test_a_tuned_backbone_answers_through_the_original_head(tmp_path: Path) -> None:
    """The answers are those of a network put together by hand; neither network is changed by asking."""
    old, tuned = spam_task(tmp_path), load_model(TEXT, kind="text", classes=2)
    with torch.no_grad():
        for parameter in freeze(tuned.module, "embedding").parameters():
            parameter.mul_(-1.5)
    by_hand = deepcopy(tuned.module)
    by_hand.head.load_state_dict(tiny_text(2).head.state_dict())
    untouched, before = deepcopy(tuned.module).state_dict(), old.answers()
    after = old.answers(tuned.module, tuned.head)
    model = load_model(TEXT, kind="text", classes=2)
    model.module.load_state_dict(by_hand.state_dict())
    expected = predict(model, old.inputs, np.arange(len(old)), FlopsMeter())

    np.testing.assert_array_equal(after.probabilities_NC, expected)
    assert not np.array_equal(after.probabilities_NC, before.probabilities_NC)
    np.testing.assert_array_equal(old.answers().probabilities_NC, before.probabilities_NC)
    assert all(torch.equal(tensor, untouched[name]) for name, tensor in tuned.module.state_dict().items())


def test_a_network_that_was_not_trained_forgot_nothing(tmp_path: Path) -> None:
    """Law: the pretrained backbone gives the pretrained answers, bit for bit, and a drop of 0."""
    old = spam_task(tmp_path)
    before, after = old.answers(), old.answers(tiny_text(7), None)

    np.testing.assert_array_equal(before.probabilities_NC, after.probabilities_NC)
    assert forgetting(before, after, seed=0).drop.value == 0


def test_planted_forgetting_is_found(tmp_path: Path) -> None:
    """A network that counts spam words, with its embedding turned round, answers the old task wrongly."""
    net = tiny_text(2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.embedding.weight[1:5, 0], net.embedding.weight[5:, 0] = 1, -1
        net.head.weight[1, 0] = 1
    messages = write_messages(tmp_path / "messages.csv", rows=200)
    old = load_old_task(messages, TEXT, weights=stored(tmp_path / "w.safetensors", net))
    turned = deepcopy(net)
    turned.embedding.weight.data.mul_(-1)
    found = forgetting(old.answers(), old.answers(turned, turned.head), seed=0)

    assert found.before.low is not None and found.before.low > 0.7
    assert found.drop.low is not None and found.drop.low > 0.5


def test_asking_is_counted(tmp_path: Path) -> None:
    """Before and after cost the same, and what a plain pass over the examples costs."""
    old, plain = spam_task(tmp_path), FlopsMeter()
    predict(old.original, old.inputs, np.arange(60), plain)
    old.answers()
    once = old.meter.total
    old.answers(tiny_text(2), None)

    assert once == plain.total > 0
    assert old.meter.total == 2 * once


def test_a_tuned_network_of_another_architecture_is_refused(tmp_path: Path) -> None:
    """Nothing is measured of a mixture."""
    with pytest.raises(ModelError, match="does not fit under the original head"):
        spam_task(tmp_path).answers(tiny_image(2), None)


# ---------------------------------------------------------------- which examples


def test_all_splits_together_are_asked(tmp_path: Path) -> None:
    """Of given splits none is left out; an exact copy counts once, and that is said."""
    rows = write_messages(tmp_path / "all.csv", rows=40).read_text().splitlines()
    folder = tmp_path / "old"
    folder.mkdir()
    for name, part in (("train", rows[1:21]), ("validation", rows[21:31]), ("test", [*rows[31:], rows[31], rows[1]])):
        (folder / f"{name}.csv").write_text("\n".join([rows[0], *part]))
    old = load_old_task(folder, TEXT, weights=stored(tmp_path / "w.safetensors", tiny_text(2)))

    assert len(old) == 40
    assert "old task: all 40 examples" in old.notes[0]
    assert any("copies inside the data dropped" in note for note in old.notes)


@pytest.mark.parametrize("kind", ["image", "table"])
def test_images_and_tables_are_asked_too(tmp_path: Path, kind: str) -> None:
    """Their labels in sorted order are the outputs."""
    if kind == "image":
        data, net = write_images(tmp_path / "images", each=4), tiny_image(3)
        old = load_old_task(data, "factories:tiny_image", weights=stored(tmp_path / "w", net), image_size=12)
        assert old.inputs.batch(np.array([0]))["pixel_values"].shape == (1, 3, 12, 12)
    else:
        data, net = write_table(tmp_path / "old.csv", rows=30), tiny_table(3, 2)
        old = load_old_task(data, "factories:tiny_table", weights=stored(tmp_path / "w", net))

    assert old.task.labels == (("blue", "green", "red") if kind == "image" else ("fine", "fraud"))
    assert len(old.answers()) == (12 if kind == "image" else 30)


def test_nothing_is_split_so_one_example_a_class_is_enough(tmp_path: Path) -> None:
    """Nor need one of two equally frequent classes be called positive."""
    old = load_old_task(
        table(tmp_path / "two.csv", ["yes", "no"]),
        "factories:tiny_table",
        weights=stored(tmp_path / "w", tiny_table(3, 2)),
    )

    assert (old.task.labels, old.labels_N.tolist()) == (("no", "yes"), [1, 0])


def test_columns_can_be_named(tmp_path: Path) -> None:
    """What no guess would find is named as for the study's own data."""
    path = tmp_path / "odd.csv"
    path.write_text("\n".join(["what,kind", *(f"{word} {n},{n % 2}" for n, word in enumerate(WORDS))]))
    named = ColumnNames(text="what", label="kind")
    old = load_old_task(path, TEXT, weights=stored(tmp_path / "w", tiny_text(2)), columns=named)

    assert old.labels_N.tolist() == [0, 1] * 6


# ---------------------------------------------------------------- which label is which output


def test_names_in_the_folder_decide_which_output_is_which(tmp_path: Path) -> None:
    """Not the order of the alphabet; a name that the old data lack stays an output that can be answered."""
    model = emotions(tmp_path / "model", {0: "joy", 1: "anger", 2: "none", 3: "fear"})
    old = load_old_task(texts(tmp_path / "old.csv", ["anger", "joy", "fear"] * 3), model)

    assert old.task.labels == ("joy", "anger", "none", "fear")
    assert old.labels_N.tolist() == [1, 0, 3] * 3
    assert old.answers().probabilities_NC.shape == (9, 4)
    assert "matched to the original head by their names" in old.notes[-1]


def test_numbers_without_names_are_sorted_by_value(tmp_path: Path) -> None:
    """Ten comes after nine, and that the order was assumed is said."""
    data = table(tmp_path / "old.csv", [10, *range(10)])
    old = load_old_task(data, "factories:tiny_table", weights=stored(tmp_path / "w", tiny_table(3, 11)))

    assert old.labels_N.tolist() == [10, *range(10)]
    assert "are taken to be, in order: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10" in old.notes[-1]


def test_a_label_that_no_output_has_is_refused(tmp_path: Path) -> None:
    """The sentence names the nearest output; sorting would have given a number without meaning."""
    model = emotions(tmp_path / "model", {0: "joy", 1: "anger", 2: "fear"})
    with pytest.raises(DataError, match=r"label 'angry' is none that .* gives\. Did you mean 'anger'\?"):
        load_old_task(texts(tmp_path / "old.csv", ["angry", "joy", "fear"]), model)


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    """Which of the two is right could not be told."""
    model = emotions(tmp_path / "model", {0: "joy", 1: "anger", 2: "joy"})
    with pytest.raises(ModelError, match="calls two outputs the same"):
        load_old_task(texts(tmp_path / "old.csv", ["anger", "joy"]), model)


def test_as_many_labels_as_outputs_are_needed_without_names(tmp_path: Path) -> None:
    """Both numbers are said, and what would help."""
    data, weights = table(tmp_path / "old.csv", "aabbc"), stored(tmp_path / "w", tiny_table(3, 4))
    with pytest.raises(DataError, match=r"holds 3 classes and the original head of .* has 4 outputs without names"):
        load_old_task(data, "factories:tiny_table", weights=weights)


# ---------------------------------------------------------------- what cannot be asked


def test_data_that_the_model_does_not_take_are_refused(tmp_path: Path) -> None:
    """A network that cannot run on the old data says so before anything is trained."""
    weights = stored(tmp_path / "w", tiny_image(3))
    data = write_images(tmp_path / "images", each=2, size=4)
    with pytest.raises(ModelError, match=r"does not run on two examples of the old data .* leave out --old-data"):
        load_old_task(data, "factories:tiny_image", weights=weights)


def test_a_head_that_is_not_the_last_layer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose answers have another size than its last linear layer would be put together wrongly."""
    (tmp_path / "odd_ends.py").write_text(ODD_END)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"answers of shape \(2, 3\) and its last linear layer has 4 outputs"):
        load_old_task(table(tmp_path / "old.csv", "aabbccdd"), "odd_ends:fixed")
