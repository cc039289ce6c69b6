"""The Sign Language Digits: 2,062 photographs of hands showing 0 to 9, 32 by 32 pixels.

The data does not say who is in which photograph, so a random split puts the same hands on both sides:
results on it say little about hands never seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from frostline.study import Study

ORIGINAL = Path(__file__).with_name("files") / "sign_digits_32.npz"
MODEL = "frostline.demos.convnet:convnet"
"""Factory of the network that the demo fine-tunes on them."""


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


def study(out: Path, *, resume: bool = False) -> Study:
    """Which layers of a network that tells clothes apart to freeze for telling hands apart, and what it forgets.

    The network was trained on Fashion-MNIST. A slice of that is the old task: it is asked before and after, so the
    report shows what fine-tuning costs there and what the weights in between would keep. Every plan is trained to its
    end: the network is small enough, and only then full fine-tuning stands beside the chosen plan on the old task.
    """
    from frostline.demos import fashion
    from frostline.study import Study

    data = out.with_name(f"{out.name}-data")
    return Study(
        model=MODEL,
        data=export(data / "signs"),
        old_model="frostline.demos.convnet:fashion_convnet",
        old_data=str(fashion.export(data / "fashion")),
        out=out,
        resume=resume,
        epochs=8,
        budget="all",
    )
