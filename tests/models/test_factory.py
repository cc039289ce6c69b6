"""Claims about factories: what a user's function returns is used as it is, or refused in a sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from frostline.core.errors import ModelError
from frostline.models.factory import load_factory, takes_text
from frostline.models.sources import load_model
from frostline.models.task_model import TaskModel

MODULE = """
import torch
from torch import nn

class Text(nn.Module):
    pad_id = 5
    def __init__(self, classes):
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.head = nn.Linear(4, classes)
    def tokenize(self, texts):
        return [[len(word) % 5 for word in text.split()] for text in texts]
    def forward(self, ids, mask):
        return self.head(self.embedding(ids).mean(dim=1))

class Image(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, classes)
    def forward(self, pixels):
        return self.head(self.stem(pixels).mean(dim=(2, 3)))

class Table(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.body = nn.Linear(features, 4)
        self.head = nn.Linear(4, classes)
    def forward(self, features):
        return self.head(self.body(features))

def table(num_classes, num_features): return Table(num_features, num_classes)
def at_least_three(num_classes, num_features): return Table([None, None, None, 3][num_features], num_classes)
def text(num_classes): return Text(num_classes)
def image(num_classes): return Image(num_classes)
def fixed(): return Image(3)
def number(): return 7
def needs_width(num_classes, width): return Image(num_classes)
def options(num_classes, *, width=4): return Image(num_classes)
constant = 7
"""


@pytest.fixture(autouse=True)
def beside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a folder that holds the user's module, as users do."""
    (tmp_path / "my_nets.py").write_text(MODULE)
    (tmp_path / "hungry.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("my_nets", "hungry"):
        sys.modules.pop(name, None)


def load(
    name: str,
    *,
    kind: Literal["text", "image"] = "image",
    classes: int = 3,
    weights: Path | None = None,
    size: int | None = None,
) -> TaskModel:
    return load_model(name, kind=kind, classes=classes, weights=weights, image_size=size)


def test_an_image_factory_is_called_with_the_number_of_classes() -> None:
    """The head has the size of the task, and gives the logits."""
    model = load("my_nets:image", classes=5)

    assert model.head is model.module.head
    assert model.logits({"pixel_values": torch.zeros(2, 3, 8, 8)}).shape == (2, 5)


def test_a_factory_without_num_classes_is_called_without() -> None:
    """A function that makes one fixed network is fine when its head fits."""
    assert load("my_nets:fixed").head is not None


def test_options_with_defaults_are_left_to_the_factory() -> None:
    """Only what has no default must be known."""
    assert load("my_nets:options").classes == 3


def test_a_head_of_another_size_is_not_taken_for_the_head() -> None:
    """A last layer that does not give one logit per class may not start from a probe."""
    assert load("my_nets:fixed", classes=4).head is None


def test_a_text_factory_brings_its_tokenizer() -> None:
    """Its method makes the numbers, its `pad_id` fills them up."""
    model = load("my_nets:text", kind="text")
    assert model.tokenize is not None

    assert model.tokenize(["a bb", "ccc"]) == [[1, 2], [3]]
    assert model.pad_id == 5
    assert takes_text("my_nets:text")
    assert not takes_text("my_nets:image")


def test_fresh_weights_follow_the_seed() -> None:
    """The same study makes the same network."""
    first, again, other = (load_model("my_nets:image", kind="image", classes=2, seed=seed) for seed in (0, 0, 1))

    assert torch.equal(first.module.head.weight, again.module.head.weight)
    assert not torch.equal(first.module.head.weight, other.module.head.weight)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("your_nets:image", "no Python module 'your_nets'"),
        ("hungry:image", "importing hungry failed, it needs 'no_such_package'"),
        ("my_nets:imag", r"no function 'imag'\. Did you mean 'image'\?"),
        ("my_nets:constant", "no function 'constant'"),
        ("my_nets:", "no function ''"),
        (":image", "no Python module ''"),
        (".my_nets:image", "no Python module '.my_nets'"),
        ("my_nets.py:image", r"no Python module 'my_nets\.py'.* Leave '\.py' out: my_nets:image\."),
        ("my_nets:number", r"returned int, not a torch\.nn\.Module"),
        ("my_nets:needs_width", "needs 'width'"),
    ],
)
def test_what_cannot_be_called_is_refused(name: str, sentence: str) -> None:
    """Each way to misname or miswrite a factory has its sentence."""
    with pytest.raises(ModelError, match=sentence):
        load(name)


def test_texts_for_a_network_without_tokenizer_are_refused() -> None:
    """The sentence says which method is missing."""
    with pytest.raises(ModelError, match="has no method tokenize"):
        load("my_nets:image", kind="text")


# ---------------------------------------------------------------- tables


def test_a_table_factory_is_told_the_number_of_features() -> None:
    """One number per column goes in; nothing else prepares it."""
    model = load_factory("my_nets:table", kind="table", classes=3, features=7)

    assert (model.kind, model.tokenize, model.pixels) == ("table", None, None)
    assert model.logits({"features": torch.zeros(2, 7)}).shape == (2, 3)


def test_a_number_of_features_that_a_factory_cannot_serve_is_said() -> None:
    """The sentence holds the number, and what the function said."""
    with pytest.raises(ModelError, match=r"at_least_three failed .* of 9 features.*\(IndexError: list index"):
        load_factory("my_nets:at_least_three", kind="table", classes=3, features=9)


def test_a_table_factory_without_the_number_of_features_is_refused() -> None:
    """For other data there is no such number, and what a function needs must be known."""
    with pytest.raises(ModelError, match=r"needs 'num_features', .* which only a table of numbers gives"):
        load("my_nets:table")
    with pytest.raises(ModelError, match="needs 'width' besides the numbers of classes and features"):
        load_factory("my_nets:needs_width", kind="table", classes=3, features=9)


# ---------------------------------------------------------------- weights


def stored(path: Path, **changed: Tensor | None) -> Path:
    """A weights file of `Image(3)` with some tensors replaced, added, or (None) left out."""
    tensors = {"stem.weight": torch.ones(4, 3, 3, 3), "stem.bias": torch.ones(4)}
    tensors |= {"head.weight": torch.ones(3, 4), "head.bias": torch.ones(3)}
    named = {name.replace("__", "."): tensor for name, tensor in changed.items()}
    save_file({name: tensor for name, tensor in (tensors | named).items() if tensor is not None}, path)
    return path


def test_weights_that_fit_are_loaded_whole(tmp_path: Path) -> None:
    """Every tensor is that of the file, and the note says where it came from."""
    model = load("my_nets:image", weights=stored(tmp_path / "w.safetensors"))

    assert all(bool((tensor == 1).all()) for tensor in model.module.parameters())
    assert model.notes[0].endswith("w.safetensors.")


def test_a_head_of_another_size_stays_new(tmp_path: Path) -> None:
    """The body is loaded, the head keeps its fresh weights, and the note names it."""
    model = load("my_nets:image", classes=2, weights=stored(tmp_path / "w.safetensors"))

    assert bool((model.module.stem.weight == 1).all())
    assert not bool((model.module.head.weight == 1).any())
    assert "the head head is new" in model.notes[0]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"stem__bias": None}, r"the model's 'stem\.bias' is not in it"),
        ({"neck__bias": torch.ones(1)}, r"its 'neck\.bias' is not in the model"),
        ({"stem__weight": torch.ones(4, 3, 5, 5)}, r"'stem\.weight' is \(4, 3, 5, 5\) in it and \(4, 3, 3, 3\)"),
    ],
)
def test_weights_of_another_network_are_refused(
    tmp_path: Path, changed: dict[str, Tensor | None], sentence: str
) -> None:
    """A missing, an extra or a misshapen tensor is named."""
    with pytest.raises(ModelError, match=sentence):
        load("my_nets:image", weights=stored(tmp_path / "w.safetensors", **changed))


@pytest.mark.parametrize("content", [None, b"not safetensors"])
def test_unreadable_weights_are_refused(tmp_path: Path, content: bytes | None) -> None:
    """A missing file is told from one of another kind."""
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="is no file" if content is None else r"Save the state_dict with safetensors"):
        load("my_nets:image", weights=path)


# ---------------------------------------------------------------- pixels


def test_pixels_are_scaled_and_channels_come_first() -> None:
    """Bytes become fractions in (3, H, W)."""
    image_HW3 = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    pixels = load("my_nets:image").pixels
    assert pixels is not None
    ready = pixels(image_HW3)

    assert np.array_equal(ready.numpy(), image_HW3.transpose(2, 0, 1).astype(np.float32) / 255)


def test_image_size_brings_all_images_to_one_square() -> None:
    """Larger and smaller images are resized, values stay within [0, 1], a flat image stays flat."""
    pixels = load("my_nets:image", size=16).pixels
    assert pixels is not None
    for height, width in ((40, 9), (16, 16), (3, 50)):
        ready = pixels(np.full((height, width, 3), 51, dtype=np.uint8))
        assert ready.shape == (3, 16, 16)
        torch.testing.assert_close(ready, torch.full((3, 16, 16), 0.2))
