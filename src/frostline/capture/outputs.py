"""What a module call gives, as flat tensors ("leaves") and as rows, one per example.

Knows nothing of models and stores: values in, values out.

Shape letters: B examples in a batch, K entries of one example along the batch dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor

PLAIN = (type(None), bool, int, float, str, bytes, torch.dtype, torch.device)
"""What a call may give besides tensors, as long as it is the same for every batch."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a leaf the examples are, and how it lies in memory."""

    shape: tuple[int, ...]
    """Of the leaf for one example; a constant's whole shape."""
    dtype: torch.dtype
    order: tuple[int, ...]
    """Dimensions from the slowest to the fastest in memory: some kernels choose by it, so it is given back."""
    dimension: int | None
    """The one that counts examples; None for a constant, which is the same for every batch."""
    only: tuple[int, int] | None = None
    """Dimension and index of the only slice that matters, when just that is kept."""

    def rows(self, leaf: Tensor) -> Tensor:
        """The leaf as (B, *row), ready to be stored; a constant is one row."""
        if self.dimension is None:
            return leaf.unsqueeze(0)
        if self.only is not None:
            dimension, index = self.only
            leaf = leaf.select(dimension, index).unsqueeze(dimension)
        rows = leaf.movedim(self.dimension, 0)
        return rows.reshape(-1, self.shape[self.dimension], *rows.shape[1:])

    def leaf(self, rows_B: Tensor) -> Tensor:
        """The leaf that `rows` came from, in its memory order."""
        if self.dimension is None:
            return self._laid_out(rows_B[0])
        leaf = rows_B.flatten(0, 1).movedim(0, self.dimension)
        if self.only is not None:
            # Every index shows the one slice that matters, at no cost.
            size = [-1] * leaf.dim()
            size[self.only[0]] = self.shape[self.only[0]]
            return leaf.expand(size)
        return self._laid_out(leaf)

    def stand_in(self, examples: int, device: torch.device) -> Tensor:
        """What a leaf that nobody reads is replaced by: zeros that take no memory."""
        return torch.zeros((), dtype=self.dtype, device=device).expand(self.full_shape(examples))

    def full_shape(self, examples: int) -> tuple[int, ...]:
        return tuple(n * examples if d == self.dimension else n for d, n in enumerate(self.shape))

    @property
    def row_bytes(self) -> int:
        """Of one example, or of the constant."""
        sizes = [1 if self.only and d == self.only[0] else n for d, n in enumerate(self.shape)]
        return int(torch.Size(sizes).numel()) * self.dtype.itemsize

    def narrowed(self, dimension: int, index: int) -> Layout:
        return replace(self, only=(dimension, index))

    def _laid_out(self, leaf: Tensor) -> Tensor:
        back = sorted(range(leaf.dim()), key=self.order.__getitem__)
        return leaf.permute(self.order).contiguous().permute(back)


def flatten(value: Any) -> tuple[list[Any], pytree.TreeSpec]:
    """Leaves of a nested value, and what puts them together again."""
    return pytree.tree_flatten(value)


def unflatten(leaves: Sequence[Any], structure: pytree.TreeSpec) -> Any:
    """The value that `flatten` took apart."""
    return pytree.tree_unflatten(leaves, structure)


def tensors_of(value: Any) -> list[Tensor]:
    """Every tensor in a nested value."""
    return [leaf for leaf in flatten(value)[0] if isinstance(leaf, Tensor)]


def each_tensor(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same value with every tensor changed."""
    leaves, structure = flatten(value)
    return unflatten([change(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves], structure)


def same_bits(one: Any, other: Any) -> bool:
    """Whether two leaves are the same to the last bit; not-a-numbers count by their bits.

    >>> same_bits(torch.tensor([float("nan")]), torch.tensor([float("nan")])), same_bits(0.0, 1.0)
    (True, False)
    >>> same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    False
    """
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return type(one) is type(other) and (not isinstance(one, PLAIN) or bool(one == other))
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(_bits(one), _bits(other))


def same_values(one: Any, other: Any) -> bool:
    """Whether all leaves of two values are the same to the last bit, and in the same structure."""
    ones, structure = flatten(one)
    others, other_structure = flatten(other)
    return structure == other_structure and all(map(same_bits, ones, others))


def find_layout(one: Tensor, other: Tensor, picked: Sequence[int], examples: int = 2) -> Layout | None:
    """Where the examples are, from a leaf of some examples and one of another number picked among them.

    Returns:
        None when an example's part depends on the other examples of its batch.

    >>> two = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> find_layout(two, two[[1, 0, 1]], (1, 0, 1)).dimension
    0
    """
    strides = one.stride()
    order = tuple(sorted(range(one.dim()), key=lambda d: (-strides[d], d)))
    if one.shape == other.shape:
        return Layout(tuple(one.shape), one.dtype, order, None) if same_bits(one, other) else None
    if one.dim() != other.dim() or one.dtype != other.dtype:
        return None
    for dimension, (size, other_size) in enumerate(zip(one.shape, other.shape, strict=True)):
        elsewhere = any(one.shape[d] != other.shape[d] for d in range(one.dim()) if d != dimension)
        if elsewhere or size % examples or other_size != size // examples * len(picked):
            continue
        shape = tuple(n // examples if d == dimension else n for d, n in enumerate(one.shape))
        layout = Layout(shape, one.dtype, order, dimension)
        if same_bits(layout.rows(one)[list(picked)], layout.rows(other)):
            return layout
    return None


def alike(one: Sequence[Any], other: Sequence[Any], picked: Sequence[int]) -> bool:
    """Whether leaves of picked examples are those of the two examples, whatever the company."""
    pairs = zip(one, other, strict=True)
    return all(find_layout(a, b, picked) is not None for a, b in pairs if isinstance(a, Tensor))


def are_close(one: Tensor, other: Tensor) -> bool:
    """Whether leaves differ by rounding alone: said in the reason why a call is not replayed."""
    if one.shape != other.shape or not one.is_floating_point():
        return False
    return torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-4, equal_nan=True)


def _bits(tensor: Tensor) -> Tensor:
    whole = tensor.detach().contiguous()
    if whole.is_complex():
        whole = torch.view_as_real(whole)
    if whole.is_floating_point():
        by_size = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
        return whole.view(by_size[whole.dtype.itemsize])
    return whole
