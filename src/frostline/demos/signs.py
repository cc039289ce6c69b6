"""The Sign Language Digits: 2,062 photographs of hands showing 0 to 9, 32 by 32 pixels.

The data does not say who is in which photograph, so a random split puts the same hands on both sides:
results on it say little about hands never seen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

ORIGINAL = Path(__file__).with_name("files") / "sign_digits_32.npz"


def export(folder: Path) -> Path:
    """Write the photographs as an image folder a user could have.

    Args:
        folder: Made when missing.

    Returns:
        The same folder, now with one folder per class, 0 to 9, and the images in them as PNG.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     sorted(entry.name for entry in export(Path(folder)).iterdir())
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']
    """
    from PIL import Image

    with np.load(ORIGINAL, allow_pickle=False) as arrays:
        photographs, digits = arrays["x"], arrays["y"]
    for number, (photograph, digit) in enumerate(zip(photographs, digits, strict=True)):
        of_class = folder / str(digit)
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph).save(of_class / f"{number:04d}.png")
    return folder
