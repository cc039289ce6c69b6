"""A model ready for one classification task, and how to ask it for logits.

Shape letters: B examples, T tokens, D features, H and W pixels, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from frostline.core.errors import ModelError

Batch = Mapping[str, Tensor]


class Tokenize(Protocol):
    """Texts to token numbers, special tokens included, nothing padded."""

    def __call__(self, texts: Sequence[str]) -> list[list[int]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskModel:
    """A network with a head of the right size, its preprocessing, and where it came from."""

    module: nn.Module
    kind: Literal["text", "image", "table"]
    classes: int
    head: nn.Linear | None
    """The layer that gives the logits, unless it is a trained one that is kept: it may start from a fitted probe."""
    original: bool = False
    """Whether it answers with the head it came with, wherever that is: its outputs are then taken as they are."""
    source: str
    """In words, for the report."""
    learning_rate: float
    """Default for this kind of model."""
    rate_from_practice: bool = False
    """Whether the default is what practice found for fine-tuning such models whole; else it is only a beginning."""
    notes: tuple[str, ...] = ()
    tokenize: Tokenize | None = None
    pad_id: int = 0
    most_tokens: int | None = None
    """Longer texts are cut to this length; None when the tokenizer cuts nothing."""
    pixels: Callable[[NDArray[np.uint8]], Tensor] | None = None
    """One decoded image (H, W, 3) to what the network takes, without the batch dimension."""
    by_keyword: bool = True
    """Whether the network takes the batch by keyword, or its values in order."""

    def copied(self) -> TaskModel:
        """The same with a network of its own, and the head in it."""
        module = deepcopy(self.module)
        place = next((path for path, part in self.module.named_modules() if part is self.head), None)
        head = None if self.head is None or place is None else module.get_submodule(place)
        assert head is None or isinstance(head, nn.Linear)
        return replace(self, module=module, head=head)

    def logits(self, batch: Batch) -> Tensor:
        """Logits (B, C) of a batch, in whatever mode the module is."""
        return self.logits_in(self.module(**batch) if self.by_keyword else self.module(*batch.values()))

    def logits_in(self, output: Any) -> Tensor:
        """The logits in what the module gave.

        Raises:
            ModelError: They are missing, or not one per class.
        """
        logits_BC = output if isinstance(output, Tensor) else getattr(output, "logits", None)
        fits = isinstance(logits_BC, Tensor) and (self.original or logits_BC.shape[1:] == (self.classes,))
        if not isinstance(logits_BC, Tensor) or not fits:
            raise ModelError(
                f"{self.source} returned {_found(logits_BC, output)}, where logits of shape (B, {self.classes}) are "
                f"needed, one for each class. Correct its last layer; a function "
                "that takes num_classes is told how many there are."
            )
        return logits_BC


def _found(logits: object, output: object) -> str:
    if not isinstance(logits, Tensor):
        return f"{type(output).__name__} without logits"
    return f"outputs of shape ({', '.join(['B', *map(str, logits.shape[1:])])})"


def last_linear(module: nn.Module, classes: int) -> nn.Linear | None:
    """The linear layer that gives the logits, as far as its place and size tell."""
    linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return linears[-1] if linears and linears[-1].out_features == classes else None


class PooledClassifier(nn.Module):
    """An encoder without a head, a mean over its tokens or positions, and a linear layer."""

    base_model_prefix = "backbone"  # left out of block names, as in transformers

    def __init__(self, backbone: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        # A module, so that replay can keep its output: one vector an example instead of one a token.
        self.pool = MeanPool()
        self.head = nn.Linear(features, classes)

    def forward(self, **inputs: Tensor) -> Tensor:
        hidden = self.backbone(**inputs).last_hidden_state
        logits_BC: Tensor = self.head(self.pool(hidden, inputs.get("attention_mask")))
        return logits_BC


class MeanPool(nn.Module):
    """`mean_pool` as a module."""

    def forward(self, hidden: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        return mean_pool(hidden, mask_BT)


def mean_pool(hidden: Tensor, mask_BT: Tensor | None = None) -> Tensor:
    """Mean over tokens that are not padding (B, T, D), or over positions (B, D, H, W).

    >>> import torch
    >>> hidden = torch.tensor([[[1.0], [3.0], [100.0]]])
    >>> mean_pool(hidden, torch.tensor([[1, 1, 0]]))
    tensor([[2.]])
    """
    if hidden.dim() == 2:
        return hidden
    if hidden.dim() == 4:
        return hidden.mean(dim=(2, 3))
    if mask_BT is None or mask_BT.shape != hidden.shape[:2]:
        return hidden.mean(dim=1)
    weight_BT1 = mask_BT.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight_BT1).sum(dim=1) / weight_BT1.sum(dim=1).clamp(min=1)
