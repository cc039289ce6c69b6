"""Between the pretrained weights and the fine-tuned ones: WiSE-FT, the weights of the two in one network.

Knows nothing of networks or data: tensors by name in, tensors by name out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the fine-tuned weights: from as pretrained to as fine-tuned."""


def interpolated(start: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights on the straight line from `start` to `tuned`.

    Running statistics of batch norms are interpolated as weights are, which is no more than a guess at the statistics
    of the network between. So is the head: at the start it is the one that was fitted before fine-tuning. What
    fine-tuning left as it was (the frozen part) stays so bit for bit.

    Args:
        start: Parameters and buffers before fine-tuning, by name.
        tuned: The same after it: same names, shapes and types.
        share: Of `tuned`, from 0 to 1. At 0 and 1 the two ends come out bit for bit.

    Returns:
        New tensors, `(1 - share) * start + share * tuned`; between the ends those that hold no floating-point
        numbers (counters, tables of positions) are those of `tuned`.

    Raises:
        ValueError: Names, shapes or types differ, or the share is not from 0 to 1.

    Source: Wortsman et al. (2022), Robust fine-tuning of zero-shot models, CVPR.

    >>> ends = {"weight": torch.tensor([0.0, 1.0])}, {"weight": torch.tensor([4.0, 1.0])}
    >>> interpolated(*ends, 0.25)["weight"]
    tensor([1., 1.])
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of the tuned weights lies between 0 and 1, not at {share}")
    if differing := sorted(start.keys() ^ tuned.keys()):
        raise ValueError(f"both ends hold the same tensors, but {differing[0]!r} stands in one only")
    for name, tensor in start.items():
        if (tensor.shape, tensor.dtype) != (tuned[name].shape, tuned[name].dtype):
            raise ValueError(f"both ends hold the same tensors, but {name!r} has two shapes or types")
    if share in (0, 1):
        return {name: tensor.detach().clone() for name, tensor in (tuned if share else start).items()}
    return {name: _between(tensor.detach(), tuned[name].detach(), share) for name, tensor in start.items()}


def _between(start: Tensor, tuned: Tensor, share: float) -> Tensor:
    if not (start.is_floating_point() or start.is_complex()):
        return tuned.clone()
    # Where the two are equal nothing may be rounded: that part is frozen, or infinite as in the masks of some networks.
    return torch.where(start == tuned, start, torch.lerp(start, tuned, share))
