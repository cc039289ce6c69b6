"""Images that look alike: one picture saved again is suspected, two pictures and flat ones are not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn

from frostline.data.near_images import EDGE, NEAR, _averaged, alike, nearest_before, pattern_hash
from frostline.data.sources import load_data


def picture(seed: int, edge: int = 48) -> Image.Image:
    """Soft blobs of colour, as photographs have them at first sight."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC)


def hash_of(image: Image.Image) -> int:
    found = pattern_hash(np.asarray(image.convert("RGB")))
    assert found is not None
    return found


def saved(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue()))


def test_the_same_picture_saved_again_is_near() -> None:
    """Of 200 pictures at least 19 in 20 are found again when compressed, enlarged or brightened."""
    found = {"compressed": 0, "larger": 0, "brighter": 0}
    for image in map(picture, range(200)):
        again = {
            "compressed": saved(image, 75),
            "larger": image.resize((96, 96), Image.Resampling.BILINEAR),
            "brighter": image.point(lambda value: value * 0.8 + 30),
        }
        for how, other in again.items():
            found[how] += (hash_of(image) ^ hash_of(other)).bit_count() <= NEAR

    assert min(found.values()) >= 190, found


def test_different_pictures_are_not_near() -> None:
    """Of 200 pictures, 19,900 pairs, none is near another: 64 random bits agree in 60 with probability 4e-14."""
    hashes = [hash_of(picture(seed)) for seed in range(200)]

    assert min((a ^ b).bit_count() for at, a in enumerate(hashes) for b in hashes[:at]) > NEAR


def test_plain_images_have_no_pattern() -> None:
    """Flat images, flat ones with faint noise, and a ramp say nothing by which they could be told apart."""
    noise = np.random.default_rng(0).integers(0, 2, (40, 40, 3), dtype=np.uint8)
    ramp = np.repeat(np.arange(40, dtype=np.uint8)[:, None, None], 40, axis=1).repeat(3, axis=2)

    assert pattern_hash(np.full((40, 40, 3), 200, dtype=np.uint8)) is None
    assert pattern_hash(100 + noise) is None
    assert pattern_hash(ramp * 6) is None


def test_bits_are_those_of_a_plain_transform() -> None:
    """On a picture of 32 x 32 grey pixels the hash is what the textbook formula gives."""
    grey = np.random.default_rng(1).integers(0, 256, (EDGE, EDGE), dtype=np.uint8)
    waves = dctn(grey.astype(float), norm="ortho")[:8, :8]
    waves[0, 0] = 0
    expected = int("".join("1" if bit else "0" for bit in (waves > np.median(waves)).ravel()), 2)

    assert pattern_hash(grey[:, :, None].repeat(3, axis=2)) == expected


@given(rows=st.integers(1, 200), seed=st.integers(0, 99))
def test_averaging_keeps_the_mean(rows: int, seed: int) -> None:
    """However many rows there are, 32 remain and none weighs more than another."""
    values = np.random.default_rng(seed).random((rows, 3))

    assert _averaged(values).shape == (EDGE, 3)
    assert _averaged(values).mean(axis=0) == pytest.approx(values.mean(axis=0))


def test_the_nearest_earlier_image_is_named() -> None:
    """Of two that are near the nearer one is paired; images without a pattern never are."""
    hashes = [0b111, 0b1, None, 0, None]

    assert nearest_before(hashes, np.array([0, 1, 2]), np.array([3, 4])).tolist() == [[1, 3]]
    assert nearest_before(hashes, np.array([2]), np.array([3, 4])).shape == (0, 2)


def test_pictures_saved_again_across_splits_are_suspected(tmp_path: Path) -> None:
    """A test picture that stands in train as JPEG is recorded with its place and its row; nothing is dropped for it."""
    for split, first in (("train", 0), ("test", 100)):
        for label, step in (("cat", 0), ("dog", 50)):
            (tmp_path / split / label).mkdir(parents=True)
            for seed in range(12):
                picture(first + step + seed).save(tmp_path / split / label / f"{seed}.png")
    clean = load_data(tmp_path, positive="cat")
    saved(picture(103), 80).save(tmp_path / "train" / "cat" / "again.png")

    data = load_data(tmp_path, positive="cat")

    assert clean.summary.audit.suspects == () and len(clean.suspect_pairs) == 0
    (suspect,) = [found for found in data.summary.audit.suspects if found.later == "test"]
    assert (suspect.examples, suspect.sample) == (1, ("test/cat/3.png ~ train/cat/again.png",))
    assert [[data.where[row] for row in pair] for pair in data.suspect_pairs.tolist()] == [
        ["train/cat/again.png", "test/cat/3.png"]
    ]
    assert data.summary.audit.overlaps == () and len(data) == len(clean) + 1
    assert not data.overlap_test.any()


def test_images_that_may_be_one_picture_are_dealt_to_one_split(tmp_path: Path) -> None:
    """Where frostline carves the splits, a picture and its copy at another size stand on the same side."""
    generator = np.random.default_rng(1)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(20):
            coarse = generator.integers(0, 255, (6, 6, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)
            picture.save(tmp_path / label / f"{number:02d}.png")
            picture.resize((40, 40)).save(tmp_path / label / f"{number:02d}-small.png")

    for seed in range(3):
        data = load_data(tmp_path, positive="cat", seed=seed)
        side: dict[str, set[str]] = {where.replace("-small", ""): set() for where in data.where}
        for split, rows in data.rows.items():
            for row in rows:
                side[data.where[row].replace("-small", "")].add(split)
        assert all(len(splits) == 1 for splits in side.values())
        assert data.summary.audit.near_clusters == 40 and not data.summary.audit.suspects


def test_a_set_that_looks_alike_throughout_is_not_one_cluster() -> None:
    """A chain of more images than can be one picture keeps nothing together."""
    chain = [(1 << number) - 1 for number in range(40)]

    assert alike(chain).tolist() == list(range(40))
