"""One call of the model: its arguments, which examples it holds, and what of it decides a row.

Shape letters: B examples in a batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from frostline.capture.outputs import PLAIN, each_tensor, flatten, tensors_of


@dataclass(frozen=True)
class Batch:
    """The arguments of one call of the model.

    >>> batch = Batch((torch.arange(6).reshape(3, 2),), {"scale": 2.0}, 3)
    >>> batch.pick([2, 0]).args[0]
    tensor([[4, 5],
            [0, 1]])
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    examples: int
    """Tensors of this length in their first dimension hold one entry an example; others belong to all of them."""

    def __call__(self, forward: Callable[..., Any]) -> Any:
        return forward(*self.args, **self.kwargs)

    def pick(self, rows: Sequence[int]) -> Batch:
        """The same call with these examples, in this order; one may be picked twice."""
        index = torch.as_tensor(list(rows))

        def take(tensor: Tensor) -> Tensor:
            # Copies of all: a model may write to its arguments.
            return tensor.index_select(0, index.to(tensor.device)) if self._is_per_example(tensor) else tensor.clone()

        args, kwargs = each_tensor((self.args, self.kwargs), take)
        return Batch(args, kwargs, len(index))

    def per_example(self) -> list[Tensor]:
        """The tensors that hold one entry an example."""
        return [tensor for tensor in tensors_of((self.args, self.kwargs)) if self._is_per_example(tensor)]

    def shape(self) -> str:
        """All that decides an example's row besides the example: lengths, types, options, precision, shared tensors."""
        leaves, structure = flatten((self.args, self.kwargs))
        parts = [str(structure)]
        for leaf in leaves:
            if isinstance(leaf, Tensor):
                shared = "" if self._is_per_example(leaf) else f"{tuple(leaf.shape)} {_digest(leaf)}"
                parts.append(f"{leaf.dtype} {leaf.device.type} {shared or tuple(leaf.shape[1:])}")
                if torch.is_autocast_enabled(leaf.device.type):
                    parts.append(f"autocast {torch.get_autocast_dtype(leaf.device.type)}")
            else:
                parts.append(repr(leaf) if isinstance(leaf, PLAIN) else type(leaf).__name__)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def ids(self) -> tuple[str, ...]:
        """One content hash an example."""
        digests = [hashlib.sha256() for _ in range(self.examples)]
        for leaf in flatten((self.args, self.kwargs))[0]:
            if isinstance(leaf, Tensor) and self._is_per_example(leaf):
                for digest, row in zip(digests, leaf.detach().cpu().contiguous(), strict=True):
                    digest.update(row.reshape(-1).view(torch.uint8).numpy().data)
        return tuple(digest.hexdigest()[:32] for digest in digests)

    def unusable(self) -> str:
        """Why the examples cannot be told apart; empty when they can."""
        leaves = flatten((self.args, self.kwargs))[0]
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if not any(map(self._is_per_example, tensors)):
            return f"no argument of the model has {self.examples} entries in its first dimension"
        if any(tensor.requires_grad for tensor in tensors):
            return "an argument of the model requires gradients"
        odd = [leaf for leaf in leaves if not isinstance(leaf, (Tensor, *PLAIN))]
        return f"the model takes an object of class {type(odd[0]).__name__}" if odd else ""

    def _is_per_example(self, tensor: Tensor) -> bool:
        return tensor.dim() > 0 and len(tensor) == self.examples


def _digest(tensor: Tensor) -> str:
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(data.numpy().data).hexdigest()[:16]
