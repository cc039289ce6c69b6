"""Image files as arrays.

Knows one file at a time; classes and splits are the business of `frostline.data.examples`.
Shape letters: H rows of pixels, W columns.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Files with another suffix are no images to frostline."""

# What Pillow lets through when the bytes of a file are wrong, by experience and by fuzzing.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, struct.error, zlib.error)


def decode(path: Path) -> NDArray[np.uint8]:
    """Read one image the way a viewer shows it: upright, in RGB, on white where it is transparent.

    Args:
        path: A file with one of `SUFFIXES`. Of several frames the first is read.

    Returns:
        Pixels, shape (H, W, 3).

    Raises:
        DataError: The file is missing, corrupt, too large to open safely, or holds more than
            8 bits per channel; or Pillow is not installed.

    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "dot.png")
    ...     Image.new("L", (3, 2), color=7).save(path)
    ...     pixels = decode(path)
    >>> pixels.shape, pixels[0, 0].tolist()
    ((2, 3, 3), [7, 7, 7])
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise DataError(f"{path} is an image, and reading images needs Pillow: pip install 'frostline[hf]'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.load()
                if opened.mode.startswith(("I", "F")):
                    raise DataError(
                        f"{path} holds more than 8 bits per channel (mode {opened.mode}), which 8-bit RGB would clip. "
                        "Export it again with 8 bits per channel."
                    )
                upright = ImageOps.exif_transpose(opened)
                if upright.has_transparency_data:
                    white = Image.new("RGBA", upright.size, "white")
                    upright = Image.alpha_composite(white, upright.convert("RGBA"))
                return np.asarray(upright.convert("RGB"), dtype=np.uint8)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} unpacks to more than {Image.MAX_IMAGE_PIXELS:,} pixels, as a decompression bomb would. "
            "Remove it, or scale it down."
        ) from error
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path.") from error
    except BROKEN as error:
        raise DataError(f"{path} is not a readable image ({error}). Remove it, or export it again.") from error
