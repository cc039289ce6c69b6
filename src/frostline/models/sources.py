"""`--model`: a local transformers folder, or `module:function`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from frostline.core.errors import ModelError
from frostline.core.records import DataSummary
from frostline.core.seeding import derive
from frostline.core.settings import Settings
from frostline.models.task_model import TaskModel

Kind = Literal["text", "image", "table"]


def load_model(
    model: str,
    *,
    kind: Kind,
    classes: int,
    weights: Path | None = None,
    image_size: int | None = None,
    seed: int = 0,
    features: int | None = None,
) -> TaskModel:
    """Load a model and give it a head for the task.

    Args:
        model: A folder that `save_pretrained` wrote, or `package.module:function`.
        kind: What the data are.
        classes: Size of the head.
        weights: Safetensors file for a factory's network.
        seed: Of a fresh head's random weights.
        features: Number of columns of a table; None for other data.
        image_size: Edge in pixels to which images are resized; by default what the model says, else their own.

    Raises:
        ModelError: What was given is no such folder or factory, lacks weights, or does not fit the data.
    """
    torch.manual_seed(derive(seed, "head"))
    if Path(model).is_dir():
        if kind == "table":
            raise ModelError(
                f"{model} is a transformers model, which takes texts or images, and the data are a table of numbers. "
                "Give a factory whose network takes one number per column."
            )
        if weights is not None:
            raise ModelError(
                f"--weights {weights} goes with a factory; the folder {model} brings its own weights. Leave it out."
            )
        from frostline.models.transformers_folder import load_folder

        return load_folder(Path(model), kind=kind, classes=classes, image_size=image_size)
    if ":" in model:
        from frostline.models.factory import load_factory

        return load_factory(
            model, kind=kind, classes=classes, weights=weights, image_size=image_size, features=features
        )
    raise ModelError(
        f"--model {model!r} is neither a folder nor 'module:function'. Give a folder with config.json and "
        "model.safetensors, as save_pretrained writes it, or a factory such as 'my_models:resnet'. Paths are read from "
        "the current folder, and nothing is downloaded."
    )


def model_of(settings: Settings, data: DataSummary) -> TaskModel:
    """The model that a study asks for, with a head for its data."""
    return load_model(
        settings.model,
        kind=data.kind,
        classes=len(data.task.labels),
        features=data.features,
        weights=Path(settings.weights) if settings.weights else None,
        image_size=settings.image_size,
        seed=settings.seed,
    )
