"""What a sweep over plans would cost at least (design, section 8), in FLOPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frostline.core.records import Block


def sweep_bound_flops(
    blocks: Sequence[Block], epochs_by_depth: Mapping[int, int], *, forward_flops: int, evaluated_share: float
) -> int:
    """Lower bound of training these freeze depths when every frozen prefix is computed once.

    Args:
        blocks: In execution order, with their forward FLOPs for one example.
        epochs_by_depth: Epochs that the run of each depth took.
        forward_flops: One forward pass over the train split.
        evaluated_share: Examples evaluated every epoch over examples trained on.

    Source: `(1 + V) P_max + sum of E ((3 + V) S_d - c_{d+1})` in units of one forward pass; P, S and c are
    the shares of the prefix, the rest and the first trained block, which needs no gradient of its input.

    >>> halves = [Block(name=n, path=n, parameters=1, forward_flops=50) for n in "ab"]
    >>> sweep_bound_flops(halves, {0: 1, 1: 2}, forward_flops=100, evaluated_share=0.0)
    500
    """
    total = sum(block.forward_flops for block in blocks) or 1
    shares = [block.forward_flops / total for block in blocks]
    prefix = [sum(shares[:depth]) for depth in range(len(shares) + 1)]
    passes = (1 + evaluated_share) * prefix[max(epochs_by_depth, default=0)]
    for depth, epochs in epochs_by_depth.items():
        passes += epochs * ((3 + evaluated_share) * (1 - prefix[depth]) - shares[depth])
    return round(passes * forward_flops)
