"""The embedded slice of Fashion-MNIST, as an image folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from frostline.data.images import decode
from frostline.data.sources import load_data
from frostline.demos import fashion


def test_export_holds_every_image_as_it_was(tmp_path: Path) -> None:
    """A hundred images of each class, in the folder of its name, with their own pixels inside a black edge."""
    data = load_data(fashion.export(tmp_path / "new"))
    with np.load(fashion.SLICE) as arrays:
        images, labels = arrays["x"], arrays["y"]

    assert np.bincount(labels).tolist() == [100] * 10
    assert len(data) == 1000  # none is an exact copy of another
    assert data.task.labels == fashion.CLASSES
    for path in data.images[::25]:
        pixels, number = decode(path).copy(), int(path.stem)
        assert path.parent.name == fashion.NAMES[labels[number]]
        assert pixels.shape == (32, 32, 3)
        assert np.array_equal(pixels[2:-2, 2:-2], np.repeat(images[number][:, :, None], 3, axis=2))
        pixels[2:-2, 2:-2] = 0
        assert not pixels.any()


def test_the_slice_is_small_and_balanced_grey_bytes() -> None:
    """Under 500 kB, as it was published: 28 pixels wide, one byte each."""
    with np.load(fashion.SLICE) as arrays:
        assert (arrays["x"].shape, arrays["x"].dtype) == ((1000, 28, 28), np.uint8)
    assert fashion.SLICE.stat().st_size < 500_000
