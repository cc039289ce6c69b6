"""The original head asked on the new inputs, before and after fine-tuning: what can be known without old data.

Nothing here is right or wrong, since the new inputs have no labels of the old task. Only how far the answers moved
can be told.

Shape letters: N examples asked, C outputs of the original head.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from frostline.core.errors import ModelError
from frostline.models.original import load_original, with_backbone_of
from frostline.models.task_model import TaskModel
from frostline.train.device import pick_device
from frostline.train.evaluate import predict
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Inputs, Rows
from frostline.train.old_task import refuse_other_outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class OldHead:
    """The pretrained network with its original head, and the new inputs that it is asked for."""

    original: TaskModel
    """As pretrained. Never changed."""
    inputs: Inputs
    rows: Rows
    meter: FlopsMeter = field(default_factory=FlopsMeter)
    """What asking has cost so far."""

    def answers(self, module: nn.Module | None = None, head: nn.Linear | None = None) -> NDArray[np.float64]:
        """Probabilities (N, C) of the original head on some backbone, in evaluation mode.

        Args:
            module: The fine-tuned network, left as it is; None for the network as pretrained.
            head: Its head for the new task, which is not asked; None when it kept the original one.

        Raises:
            ModelError: The fine-tuned network has another architecture, or an answer is not finite.
        """
        asked = self.original
        if module is not None:
            asked = replace(asked, module=deepcopy(asked.module))
            with_backbone_of(asked, module, head)
        probabilities_NC = predict(asked, self.inputs, self.rows, self.meter)
        if not np.isfinite(probabilities_NC).all():
            raise ModelError(f"The original head of {self.original.source} gives an answer that is not finite.")
        return probabilities_NC


def load_old_head(
    model: str,
    new: TaskModel,
    inputs: Inputs,
    rows: Rows,
    *,
    weights: Path | None = None,
    image_size: int | None = None,
    features: int | None = None,
    seed: int = 0,
) -> OldHead:
    """Load the model as it was pretrained, to be asked for examples of the new task.

    Args:
        model: A folder that `save_pretrained` wrote, or `package.module:function`.
        new: The same model with its head for the new task: the inputs were made ready for it.
        inputs: Of the new task.
        rows: Examples that are asked. No label is read.
        weights: Safetensors file for a factory's network.
        image_size: Edge in pixels to which images were resized.
        features: Number of columns of a table; None for other data.
        seed: Of whatever a factory draws at random.

    Raises:
        ModelError: The model cannot be loaded, has no original head, or does not run on the new inputs.
    """
    try:
        original = load_original(
            model, kind=new.kind, weights=weights, image_size=image_size, features=features, seed=seed
        )
    except ModelError as error:
        # What the sentence goes on to advise is for those who gave old data.
        raise ModelError(f"The old head cannot be asked: {str(error).partition('. ')[0].rstrip('.')}.") from error
    original.module.to(pick_device())
    old_head = OldHead(original=original, inputs=inputs, rows=rows)
    refuse_other_outputs(original, inputs, rows, asked="new data")
    return old_head
