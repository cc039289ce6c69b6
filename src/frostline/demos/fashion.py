"""A slice of the Fashion-MNIST test images: the old task of the network in `frostline.demos.convnet`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SLICE = Path(__file__).with_name("files") / "fashion_mnist_slice.npz"

NAMES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
"""What Fashion-MNIST's labels 0 to 9 mean."""
CLASSES = tuple(sorted(NAMES))
"""What the outputs of the network mean: in the order of the alphabet, in which labels without numbers are read."""


def padded(images_N28: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey images with a black edge of two pixels: (N, 28, 28) becomes (N, 32, 32).

    >>> padded(np.full((1, 28, 28), 255, dtype=np.uint8))[0, 1:3, 1:3]
    array([[  0,   0],
           [  0, 255]], dtype=uint8)
    """
    return np.pad(images_N28, ((0, 0), (2, 2), (2, 2)))


def export(folder: Path) -> Path:
    """Write the slice as an image folder a user could have.

    Args:
        folder: Made when missing.

    Returns:
        The same folder, now with one folder per class, and the images in them as PNG, 32 pixels wide.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     sorted(entry.name for entry in export(Path(folder)).iterdir())[:3]
    ['ankle boot', 'bag', 'coat']
    """
    from PIL import Image

    with np.load(SLICE, allow_pickle=False) as arrays:
        images, labels = padded(arrays["x"]), arrays["y"]
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        of_class = folder / NAMES[label]
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(of_class / f"{number:04d}.png")
    return folder
