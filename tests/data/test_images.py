"""Decoding images: pixels as a viewer shows them, and a sentence for files that cannot be shown."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline.core.errors import DataError
from frostline.data.images import decode

PIXELS = np.random.default_rng(0).integers(0, 256, size=(5, 7, 3), dtype=np.uint8)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_rgb_comes_back_as_it_was(tmp_path: Path) -> None:
    """A lossless file gives its own pixels."""
    assert np.array_equal(decode(saved(Image.fromarray(PIXELS), tmp_path / "a.png")), PIXELS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_other_modes_become_rgb_or_are_refused(tmp_path: Path, mode: str) -> None:
    """White stays white in every mode of 8 bits; 16 bits are refused, since clipping would ruin them in silence."""
    suffix = ".jpg" if mode == "CMYK" else ".png"
    white = Image.new("RGB", (4, 3), "white").convert("L").convert(mode) if mode != "CMYK" else Image.new(mode, (4, 3))
    path = saved(white, tmp_path / f"a{suffix}")

    if mode == "I;16":
        with pytest.raises(DataError, match="8 bits per channel"):
            decode(path)
    else:
        assert decode(path).shape == (3, 4, 3)
        assert decode(path).min() == 255


def test_transparency_is_shown_on_white(tmp_path: Path) -> None:
    """What cannot be seen in the image does not become an input: hidden colours under full transparency."""
    hidden = Image.new("RGBA", (2, 2), (255, 0, 0, 0))

    assert decode(saved(hidden, tmp_path / "a.png")).min() == 255


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    """A photograph that a camera stored lying down is read upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.fromarray(PIXELS), tmp_path / "a.png", exif=exif)

    assert np.array_equal(decode(path), np.rot90(PIXELS, k=-1))


def test_truncated_or_changed_files_give_an_array_or_a_sentence(tmp_path: Path) -> None:
    """No damage to a file's bytes makes a traceback."""
    rng = random.Random(0)
    path = tmp_path / "a.img"
    refused = 0
    for kind in ("PNG", "JPEG", "BMP", "WEBP"):
        whole = io.BytesIO()
        Image.fromarray(PIXELS).save(whole, kind)
        for _ in range(60):
            damaged = bytearray(whole.getvalue()[: rng.choice([rng.randrange(len(whole.getvalue())), None])])
            for _ in range(rng.randrange(4) if damaged else 0):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            path.write_bytes(damaged)
            try:
                assert decode(path).dtype == np.uint8
            except DataError as error:
                refused += 1
                assert str(path) in str(error)

    assert refused > 60


def test_corrupt_image_is_named_with_what_to_do(tmp_path: Path) -> None:
    """The sentence names the file and the two ways out."""
    (tmp_path / "a.png").write_bytes(b"not an image")

    with pytest.raises(DataError, match=r"a\.png is not a readable image .* Remove it, or export it again\."):
        decode(tmp_path / "a.png")


def test_decompression_bomb_becomes_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both the size Pillow warns of and the size it refuses are refused with the limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)

    for size in ((7, 4), (10, 10)):
        with pytest.raises(DataError, match="more than 20 pixels"):
            decode(saved(Image.new("RGB", size), tmp_path / "a.png"))
    assert decode(saved(Image.new("RGB", (4, 5)), tmp_path / "b.png")).shape == (5, 4, 3)
