"""Claims about batches: every example once, padded by its own length, in an order that the seed decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from factories import TinyImage
from frostline.core.errors import DataError, ModelError, StudyError
from frostline.data.sources import Dataset, load_data
from frostline.models.task_model import TaskModel
from frostline.train.inputs import ImageInputs, TextInputs, bucket, make_inputs, plain_batches, shuffled_batches

texts = st.lists(st.lists(st.integers(1, 39), min_size=1, max_size=90), min_size=1, max_size=60)
sizes = st.integers(1, 9)


@given(ids=texts, size=sizes, seed=st.none() | st.integers(0, 2**63 - 1), data=st.data())
def test_every_row_is_in_exactly_one_batch(
    ids: list[list[int]], size: int, seed: int | None, data: st.DataObject
) -> None:
    """Of the rows asked for none is lost and none is doubled; no batch is empty, too large, or of two lengths."""
    inputs = TextInputs.of(ids, 0)
    asked = data.draw(st.lists(st.sampled_from(range(len(ids))), unique=True, min_size=1).map(sorted))
    rows = np.array(asked, dtype=np.int64)
    batches = plain_batches(inputs, rows, size) if seed is None else shuffled_batches(inputs, rows, size, seed)

    assert sorted(np.concatenate(batches)) == asked
    assert all(1 <= len(batch) <= size for batch in batches)
    assert all(len(set(inputs.padded_N[batch])) == 1 for batch in batches)


@given(ids=texts, data=st.data())
def test_padded_length_depends_on_the_text_alone(ids: list[list[int]], data: st.DataObject) -> None:
    """Whatever else is in the data, a text is padded to the same length."""
    row = data.draw(st.sampled_from(range(len(ids))))

    assert TextInputs.of(ids, 0).padded_N[row] == TextInputs.of([ids[row]], 0).padded_N[0] == bucket(len(ids[row]))


@given(st.integers(0, 600))
def test_a_bucket_holds_its_text_and_wastes_little(length: int) -> None:
    """Never shorter than the text, never a whole step longer."""
    step = 8 if length <= 64 else 32

    assert length <= bucket(length)
    assert bucket(length) - max(length, 1) < step
    assert bucket(bucket(length)) == bucket(length)


@given(ids=texts, seed=st.integers(0, 2**63 - 1))
def test_the_same_seed_gives_the_same_order(ids: list[list[int]], seed: int) -> None:
    """A resumed epoch sees the batches that it would have seen."""
    inputs, rows = TextInputs.of(ids, 0), np.arange(len(ids))
    first, again = (shuffled_batches(inputs, rows, 4, seed) for _ in range(2))

    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in again]


def test_another_seed_gives_another_order() -> None:
    """Epochs differ in which examples meet and in the order of the batches."""
    inputs, rows = TextInputs.of([[1] * 5] * 40 + [[1] * 20] * 40, 0), np.arange(80)
    orders = {str([batch.tolist() for batch in shuffled_batches(inputs, rows, 8, seed)]) for seed in range(20)}

    assert len(orders) == 20


def test_shuffling_mixes_the_lengths() -> None:
    """Training does not see all short texts first."""
    inputs, rows = TextInputs.of([[1] * 5] * 40 + [[1] * 20] * 40, 0), np.arange(80)
    lengths = [int(inputs.padded_N[batch[0]]) for batch in shuffled_batches(inputs, rows, 4, seed=0)]

    assert lengths != sorted(lengths)


@pytest.mark.parametrize(("examples", "size"), [(33, 32), (65, 32), (9, 8), (3, 2)])
def test_no_rest_of_one_example(examples: int, size: int) -> None:
    """One example more than fits is shared out: a batch of one breaks batch norm."""
    inputs = TextInputs.of([[1]] * examples, 0)
    batches = plain_batches(inputs, np.arange(examples), size)

    assert max(map(len, batches)) - min(map(len, batches)) <= 1
    assert min(map(len, batches)) > 1 or size == 2


def test_a_batch_holds_ids_and_mask() -> None:
    """Tokens first, padding behind; the mask tells them apart even where a token has the padding's number."""
    batch = TextInputs.of([[3, 9], [4], [9, 9, 9]], 9).batch(np.array([2, 0]))

    assert batch["input_ids"].tolist() == [[9] * 8, [3, 9, 9, 9, 9, 9, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]


# ---------------------------------------------------------------- images


def image_model() -> TaskModel:
    module = TinyImage(3)
    return TaskModel(
        module=module,
        kind="image",
        classes=3,
        head=module.head,
        source="",
        learning_rate=0.01,
        pixels=lambda image_HW3: torch.from_numpy(image_HW3.copy()).permute(2, 0, 1).float(),
    )


def write(folder: Path, *sizes: tuple[int, int]) -> list[Path]:
    """Flat images of the given (height, width), each of its own grey."""
    paths = [folder / f"{number}.png" for number in range(len(sizes))]
    for number, (path, (height, width)) in enumerate(zip(paths, sizes, strict=True)):
        Image.fromarray(np.full((height, width, 3), number, dtype=np.uint8)).save(path)
    return paths


@pytest.mark.parametrize("budget_bytes", [0, 3 * 5 * 6 * 4, 2**30])
def test_images_are_batched_in_the_order_asked(tmp_path: Path, budget_bytes: int) -> None:
    """Kept in memory or decoded anew, a batch holds the images of its rows."""
    inputs = ImageInputs.of(write(tmp_path, (5, 6), (5, 6), (5, 6)), image_model(), budget_bytes)
    batch = inputs.batch(np.array([2, 0, 1]))["pixel_values"]

    assert batch.shape == (3, 3, 5, 6)
    assert batch[:, 0, 0, 0].tolist() == [2, 0, 1]
    assert len(inputs.kept) == min(3, budget_bytes // (3 * 5 * 6 * 4))


def test_images_of_two_sizes_are_refused(tmp_path: Path) -> None:
    """The sentence names both files and sizes, as width x height, and the option that helps."""
    paths = write(tmp_path, (5, 6), (5, 6), (7, 6))
    with pytest.raises(DataError, match=r"2\.png is 6 x 7 pixels, .*0\.png is 6 x 5\. Give --image-size"):
        ImageInputs.of(paths, image_model())


# ---------------------------------------------------------------- tables


def numbers(folder: Path) -> Dataset:
    """A table of 40 rows and the features (n, -n)."""
    lines = ["label,a,b", *(f"{'bad' if n % 4 == 0 else 'good'},{n},{-n}" for n in range(40))]
    (folder / "n.csv").write_text("\n".join(lines))
    return load_data(folder / "n.csv")


def table_model(features: int, **more: bool) -> TaskModel:
    module = nn.Sequential(nn.Linear(features, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    more = {"by_keyword": False} | more
    return TaskModel(module=module, kind="table", classes=2, head=None, source="Net", learning_rate=0.1, **more)


def test_numbers_are_batched_in_the_order_asked(tmp_path: Path) -> None:
    """As the file has them, one row an example; nothing is padded."""
    data, model = numbers(tmp_path), table_model(2)
    inputs, notes = make_inputs(data, model)

    assert inputs.batch(np.array([2, 0]))["features"].tolist() == [[2, -2], [0, 0]]
    assert inputs.batch(np.array([2, 0]))["features"].dtype == torch.float32
    assert inputs.padded_N.tolist() == [1] * 40
    assert notes == ()


def test_making_inputs_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    """The trial run moves no running statistic and keeps the mode."""
    model = table_model(2)
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    make_inputs(numbers(tmp_path), model)

    assert model.module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.module.state_dict().items())


@pytest.mark.parametrize(
    ("model", "augment", "error", "said"),
    [
        (table_model(3), (), ModelError, r"Net does not take the 2 features of the data \(mat1"),
        (table_model(2, by_keyword=True), (), ModelError, "a transformers model, which takes texts or images"),
        (table_model(2), ("flip",), StudyError, "for images, and the data are a table"),
    ],
)
def test_a_table_that_the_model_cannot_take_is_refused(
    tmp_path: Path, model: TaskModel, augment: tuple[str, ...], error: type[Exception], said: str
) -> None:
    """Another number of features, a transformers model, augmentation: a sentence each."""
    with pytest.raises(error, match=said):
        make_inputs(numbers(tmp_path), model, augment)


def test_cut_texts_are_said() -> None:
    """How many texts reach the length at which they are cut is said; when none does, nothing is."""
    from frostline.train.inputs import _notes_on_length

    assert "1 of 2 texts reach 4 tokens" in _notes_on_length([[1, 2, 3, 4], [1]], 4)[-1]
    assert len(_notes_on_length([[1, 2, 3, 4], [1]], 5)) == len(_notes_on_length([[1]], None)) == 1
