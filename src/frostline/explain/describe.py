"""The blocks of a model that was named on the command line, before there are any data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from frostline.core.errors import ModelError
from frostline.core.records import Block
from frostline.models.sources import load_model
from frostline.plan.blocks import blocks

TOKENS = 32
"""Length of the example text."""


def describe_blocks(model: str, *, weights: Path | None = None, image_size: int = 224) -> tuple[Block, ...]:
    """Blocks of a model folder or factory, traced with one text of 32 tokens or one image.

    Raises:
        ModelError: The model cannot be loaded, or takes neither texts nor images.
    """
    kind = _kind(model)
    loaded = load_model(model, kind=kind, classes=2, weights=weights)
    if kind == "text":
        ids_BT = torch.full((1, TOKENS), loaded.pad_id, dtype=torch.long)
        example = {"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT)}
    else:
        example = {"pixel_values": torch.zeros(1, 3, image_size, image_size)}
    try:
        return blocks(loaded.module, example if loaded.by_keyword else tuple(example.values()))
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{model} does not run on an example {kind} ({error}). Give the size it takes with --image-size."
        ) from error


def _kind(model: str) -> Literal["text", "image"]:
    folder = Path(model)
    if folder.is_dir():
        return "image" if (folder / "preprocessor_config.json").is_file() else "text"
    if ":" in model:
        from frostline.models.factory import takes_text

        return "text" if takes_text(model) else "image"
    return "text"
