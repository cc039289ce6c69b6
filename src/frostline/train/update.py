"""One step of the optimizer on one batch: loss, gradients, clipping; in parts when memory is short.

Knows nothing of epochs, splits or learning rates.

Shape letters: B examples in a batch, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from math import ceil, isfinite

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from frostline.core.errors import BadInputError
from frostline.models.task_model import Batch, TaskModel
from frostline.train.recipe import ClassWeights, Recipe

RARE = 0.05
"""Share of the training examples below which a class is rare."""

FEWEST = 2
"""Examples that go through the network at a time at least: a batch norm has no variance of one."""

_OUT_OF_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory")
"""What a plain RuntimeError says, on devices that do not raise torch.OutOfMemoryError."""


class TooBig(Exception):
    """A batch that must stay whole does not fit into memory. For the caller of `Update`, never for a user."""


class Update:
    """One step of the optimizer: called with a batch and its truth, gives the loss and how many answers were right.

    When memory runs out the batch is done again in twice as many parts, and so are all batches from then on. The
    gradient is that of the whole batch, but a batch norm sees the examples of one part only, and what the failed
    attempt had done to running statistics and drawn at random stays done.

    Args:
        optimizer: Its groups are clipped as one.
        class_weights_C: Of the loss, see `class_weights`; None: none.
        whole_only: Never take a batch in parts, since something (a replay) knows it as a whole.
    """

    def __init__(
        self,
        model: TaskModel,
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
        class_weights_C: Tensor | None = None,
        *,
        whole_only: bool = False,
    ) -> None:
        self.parts = recipe.accumulate
        """Of a batch; fewer when it is too small for them."""
        self.whole_only = whole_only
        self.notes: list[str] = []
        """Sentences to say aloud, new ones last."""
        self._model, self._optimizer, self._recipe = model, optimizer, recipe
        self._weights_C = class_weights_C.cpu() if class_weights_C is not None else None

    def __call__(self, batch: Batch, truth_B: Tensor) -> tuple[float, int]:
        """Train on one batch; a loss that is not finite changes nothing.

        Returns:
            The loss before the step, weighted and smoothed as it was trained on, and the right answers.

        Raises:
            BadInputError: Memory is too small for any part of the batch.
            TooBig: It is too small for the whole batch, which must not be taken in parts.
        """
        loss, right = self._differentiate(batch, truth_B)
        if isfinite(loss):
            clip_grad_norm_([p for g in self._optimizer.param_groups for p in g["params"]], self._recipe.clip_norm)
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return loss, right

    def _differentiate(self, batch: Batch, truth_B: Tensor) -> tuple[float, int]:
        while True:
            parts = 1 if self.whole_only else max(1, min(self.parts, len(truth_B) // FEWEST))
            try:
                return self._in_parts(batch, truth_B, parts)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
            # Only here, behind the except: the error's traceback holds the activations of the failed attempt.
            self._optimizer.zero_grad(set_to_none=True)
            if truth_B.device.type == "cuda":
                torch.cuda.empty_cache()
            self._split_further(len(truth_B), parts)

    def _in_parts(self, batch: Batch, truth_B: Tensor, parts: int) -> tuple[float, int]:
        """Add up the gradients of all parts. Returns the loss of the whole batch and its right answers."""
        loss, right = 0.0, 0
        for piece, truth_P in _split(batch, truth_B, parts):
            with autocast_for(truth_P.device, self._recipe):
                logits_PC = self._model.logits(piece)
                share = self._loss(logits_PC, truth_P)
            if parts > 1:
                share = share * (self._mass(truth_P) / self._mass(truth_B))
            torch.autograd.backward(share)
            loss += float(share.detach())
            right += int((logits_PC.argmax(dim=1) == truth_P).sum())
        return loss, right

    def _loss(self, logits_BC: Tensor, truth_B: Tensor) -> Tensor:
        """The mean over the examples, each weighted by its class."""
        weights_C = None
        if self._weights_C is not None:
            # Weights in half precision would no longer add up to what `_mass` says.
            logits_BC = logits_BC.to(torch.promote_types(logits_BC.dtype, torch.float32))
            weights_C = self._weights_C.to(logits_BC)
        return functional.cross_entropy(logits_BC, truth_B, weights_C, label_smoothing=self._recipe.label_smoothing)

    def _mass(self, truth_B: Tensor) -> float:
        """What torch divides the loss by."""
        return len(truth_B) if self._weights_C is None else float(self._weights_C[truth_B.cpu()].sum())

    def _split_further(self, examples: int, parts: int) -> None:
        if self.whole_only:
            raise TooBig(f"{examples} examples do not fit into memory at a time.")
        more = min(2 * parts, examples // FEWEST)
        size = ceil(examples / parts)
        if more <= parts:
            raise BadInputError(
                f"Training ran out of memory with {size} examples at a time, and it cannot go on with fewer. Lower "
                "--batch-size, freeze more of the model, or free memory that other programs hold."
            )
        self.parts = more
        self.notes.append(
            f"Out of memory with {size} examples at a time: gradients are accumulated over {more} parts of "
            f"{ceil(examples / more)}; the effective batch stays {examples}."
        )


def class_weights(
    counts_C: Sequence[int], names: Sequence[str], how: ClassWeights
) -> tuple[NDArray[np.float64] | None, str]:
    """Weights of the classes in the loss, and the sentence to say aloud about them.

    Args:
        counts_C: Training examples of each class.
        names: Of the classes.
        how: `balanced`: examples / (classes * count); `auto`: the same when the rarest class is below `RARE` and
            classes differ in size; `off`: never.

    Returns:
        The weights or None, and an empty sentence when there is nothing to say. A class without an example weighs
        nothing and is not counted among the classes: no training example has it, so no loss asks for its weight.

    >>> class_weights([30, 10], ["ham", "spam"], "balanced")[0].tolist()
    [0.6666666666666666, 2.0]
    >>> class_weights([30, 10], ["ham", "spam"], "auto")
    (None, '')
    """
    counts = np.asarray(counts_C, dtype=np.float64)
    seen = counts > 0
    if how == "off" or not seen.any():
        return None, ""
    rarest = int(np.argmin(np.where(seen, counts, np.inf)))
    share = counts[rarest] / counts.sum()
    if how == "auto" and (share >= RARE or counts[rarest] == counts.max()):
        return None, ""
    weights_C = np.zeros_like(counts)
    weights_C[seen] = counts.sum() / (seen.sum() * counts[seen])
    if how == "balanced":
        return weights_C, "Every class weighs the same in the loss, as --class-weights balanced asks."
    return weights_C, (
        f"The rarest class {names[rarest]!r} holds {100 * share:.2g} % of the training examples, so every class "
        "weighs the same in the loss (--class-weights off leaves them alone)."
    )


def autocast_for(device: torch.device, recipe: Recipe) -> AbstractContextManager[object]:
    """bfloat16 where a CUDA device computes in it, else nothing: on the CPU and on MPS results stay exact."""
    if recipe.precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def _split(batch: Batch, truth_B: Tensor, parts: int) -> list[tuple[Batch, Tensor]]:
    if parts == 1:
        return [(batch, truth_B)]
    pieces = {name: tensor.tensor_split(parts) for name, tensor in batch.items()}
    return [
        ({name: piece[number] for name, piece in pieces.items()}, truth_P)
        for number, truth_P in enumerate(truth_B.tensor_split(parts))
    ]
