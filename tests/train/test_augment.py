"""Claims about random augmentation: decided by its seed alone, and what each kind does to an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from factories import write_messages
from frostline.core.errors import StudyError
from frostline.data.sources import load_data
from frostline.models.sources import load_model
from frostline.train.augment import KINDS, augmented, parse_augment
from frostline.train.inputs import make_inputs
from sweeps import images, texts

# Shape letters: B images, C channels, H rows, W columns.

kinds = st.lists(st.sampled_from(KINDS), unique=True)


def numbered(images: int = 12, height: int = 16, width: int = 24) -> Tensor:
    """Images no two pixels of which are alike."""
    return torch.arange(images * 3 * height * width, dtype=torch.float32).reshape(images, 3, height, width)


@given(kinds=kinds, seed=st.integers(0, 2**63 - 1), height=st.integers(1, 20), width=st.integers(1, 20))
@settings(max_examples=40)
def test_one_seed_gives_one_augmentation(kinds: list[str], seed: int, height: int, width: int) -> None:
    """Twice the same, of the shape and type that was given, whose images are left alone; no global number is drawn."""
    given_BCHW = numbered(4, height, width)
    before, state = given_BCHW.clone(), torch.get_rng_state()
    one, other = (augmented(given_BCHW, kinds, seed) for _ in range(2))

    assert torch.equal(one, other)
    assert (one.shape, one.dtype) == (given_BCHW.shape, given_BCHW.dtype)
    assert torch.equal(given_BCHW, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("given", [["flip"], ["shift"], ["shift", "flip"]])
def test_another_seed_gives_another_augmentation(given: list[str]) -> None:
    """Of twenty seeds no two treat a batch alike; without a kind every seed leaves it as it is."""
    found = {augmented(numbered(), given, seed).numpy().tobytes() for seed in range(20)}

    assert len(found) == 20
    assert all(torch.equal(augmented(numbered(), [], seed), numbered()) for seed in range(3))


def test_a_flip_is_a_mirror() -> None:
    """Every image is as it was or mirrored left to right, about as many of one as of the other."""
    given_BCHW = numbered(400, 2, 3)
    found = augmented(given_BCHW, ["flip"], 3)
    kept = [torch.equal(one, other) for one, other in zip(found, given_BCHW, strict=True)]
    mirrored = [torch.equal(one, other.flip(2)) for one, other in zip(found, given_BCHW, strict=True)]

    assert all(one != other for one, other in zip(kept, mirrored, strict=True))
    assert 150 < sum(mirrored) < 250


def test_a_shift_repeats_the_edge() -> None:
    """Every image is moved by up to an eighth of each side; what comes in is the edge again; every move occurs."""
    given_BCHW = numbered(300)
    down, right = 2, 3
    moves = [(top, left) for top in range(-down, down + 1) for left in range(-right, right + 1)]
    met = set()
    for one, image_CHW in zip(augmented(given_BCHW, ["shift"], 5), given_BCHW, strict=True):
        fitting = []
        for top, left in moves:
            rows = (torch.arange(16) + top).clamp(0, 15)
            columns = (torch.arange(24) + left).clamp(0, 23)
            if torch.equal(one, image_CHW[:, rows][:, :, columns]):
                fitting.append((top, left))
        assert len(fitting) == 1
        met.update(fitting)

    assert met == set(moves)


def test_a_small_image_is_moved_by_a_pixel() -> None:
    """An eighth of four pixels is none, so one pixel it is."""
    found = {augmented(numbered(1, 4, 4), ["shift"], seed).numpy().tobytes() for seed in range(80)}

    assert len(found) == 9


def test_moving_is_what_padding_and_cropping_is() -> None:
    """The same as torch's own padding by repeating, cropped back."""
    padded = functional.pad(numbered(1), (3, 3, 2, 2), mode="replicate")
    crops = [padded[..., top : top + 16, left : left + 24] for top in range(5) for left in range(7)]
    found = augmented(numbered(1), ["shift"], 1)

    assert any(torch.equal(found, crop) for crop in crops)


# ---------------------------------------------------------------- asking for it


def test_kinds_are_read_from_what_was_asked() -> None:
    """With a comma, in any order; nothing and blanks mean none."""
    assert parse_augment("flip,shift") == ("flip", "shift")
    assert parse_augment(" shift ") == ("shift",)
    assert parse_augment(None) == parse_augment("") == parse_augment(" , ") == ()


@pytest.mark.parametrize(("asked", "hint"), [("flop", "Did you mean 'flip'?"), ("shift,rotate", "flip, shift")])
def test_an_unknown_kind_is_a_sentence(asked: str, hint: str) -> None:
    """What was asked, which part of it is unknown, and what there is."""
    with pytest.raises(StudyError, match=f"--augment {asked}: there is no augmentation") as caught:
        parse_augment(asked)
    assert hint in str(caught.value)


def test_texts_are_not_augmented(tmp_path: Path) -> None:
    """Asking for it is a sentence; without it the texts are read."""
    data = load_data(write_messages(tmp_path / "messages.csv", rows=40))
    model = load_model("factories:tiny_text", kind="text", classes=2)
    with pytest.raises(StudyError, match=r"--augment shift,flip is for images, and the data are texts\. Leave"):
        make_inputs(data, model, ("shift", "flip"))

    assert len(make_inputs(data, model)[0].padded_N) == 40


def test_images_are_augmented_in_training_alone() -> None:
    """A batch without a seed, as for evaluation, is as it is; so is every batch when no kind was asked."""
    plain, random = images(12).inputs, images(12, augment=("shift", "flip")).inputs
    rows = np.arange(12)
    as_it_is = plain.batch(rows)["pixel_values"]

    assert torch.equal(random.batch(rows)["pixel_values"], as_it_is)
    assert torch.equal(plain.batch(rows, 3)["pixel_values"], as_it_is)
    assert not torch.equal(random.batch(rows, 3)["pixel_values"], as_it_is)
    assert torch.equal(random.batch(rows, 3)["pixel_values"], augmented(as_it_is, ("shift", "flip"), 3))
    assert torch.equal(random.batch(rows)["pixel_values"], as_it_is), "what is kept must not be augmented in place"


def test_texts_take_a_seed_and_ignore_it() -> None:
    """Training hands one to every kind of inputs."""
    inputs = texts(12).inputs
    one, other = inputs.batch(np.arange(3)), inputs.batch(np.arange(3), 5)

    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
