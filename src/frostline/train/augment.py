"""Random augmentation of images, drawn anew for every batch and the same for every candidate.

Shape letters: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from frostline.core.errors import StudyError, suggestion

KINDS = ("flip", "shift")
_SHIFTED = 0.125
"""Most by which an image is moved, as a share of its edge: four pixels of 32, as is usual for CIFAR."""


def parse_augment(given: str | None) -> tuple[str, ...]:
    """Kinds of augmentation from "shift,flip".

    Raises:
        StudyError: A kind is unknown.

    >>> parse_augment("shift, flip"), parse_augment(None)
    (('shift', 'flip'), ())
    """
    kinds = tuple(kind.strip() for kind in (given or "").split(",") if kind.strip())
    for kind in kinds:
        if kind not in KINDS:
            raise StudyError(f"--augment {given}: there is no augmentation {kind!r}. {suggestion(kind, KINDS)}")
    return kinds


def augmented(images_BCHW: Tensor, kinds: Sequence[str], seed: int) -> Tensor:
    """Each image mirrored with probability one half, moved a little with its edge repeated, or both.

    >>> images = torch.arange(16.0).reshape(1, 1, 4, 4)
    >>> torch.equal(augmented(images, ["shift"], 3), augmented(images, ["shift"], 3))
    True
    """
    generator = torch.Generator().manual_seed(seed)
    images = images_BCHW
    if "flip" in kinds:
        mirrored_B = torch.rand(len(images), generator=generator) < 0.5
        images = torch.where(mirrored_B[:, None, None, None], images.flip(3), images)
    if "shift" in kinds:
        height, width = images.shape[2:]
        down, right = max(1, round(height * _SHIFTED)), max(1, round(width * _SHIFTED))
        padded = functional.pad(images, (right, right, down, down), mode="replicate")
        tops_B = torch.randint(2 * down + 1, (len(images),), generator=generator).tolist()
        lefts_B = torch.randint(2 * right + 1, (len(images),), generator=generator).tolist()
        moved = zip(padded, tops_B, lefts_B, strict=True)
        images = torch.stack([image[:, top : top + height, left : left + width] for image, top, left in moved])
    return images
