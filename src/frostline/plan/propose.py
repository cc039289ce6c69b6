"""Which freeze plans a study tries."""

from __future__ import annotations

from collections.abc import Sequence

from frostline.core.records import Block, Candidate
from frostline.plan.freeze_plan import FreezePlan

FULL = "full"
"""The candidate that freezes nothing: the reference."""

MOST_DEPTHS = 12
"""More blocks than this and the depths are spread: each one costs a training run."""


def depths(blocks: Sequence[Block]) -> dict[str, FreezePlan]:
    """Full fine-tuning and one plan for each freeze depth, by candidate id.

    A cut right before a block that holds next to nothing (a norm layer after its convolution) is
    left out: it is the same plan as the cut behind it.

    >>> stack = [Block(name=n, path=n, parameters=100) for n in ("stem", "layer.0", "head")]
    >>> {id: plan.sentence for id, plan in depths(stack).items()}["depth-2"]
    'freeze stem to layer.0 (2 of 3 blocks)'
    """
    names = tuple(block.name for block in blocks)
    total = sum(block.parameters for block in blocks)
    cuts = [d for d in range(1, len(blocks)) if blocks[d].head or blocks[d].parameters >= 0.001 * total]
    plans = {FULL: FreezePlan(blocks=names)}
    for depth in _spread(cuts, MOST_DEPTHS):
        plans[f"depth-{depth}"] = FreezePlan(blocks=names, frozen=frozenset(names[:depth]))
    return plans


def patterns(blocks: Sequence[Block], given: str) -> dict[str, FreezePlan]:
    """Full fine-tuning and one plan for each of the user's `pattern,pattern;pattern` groups.

    Raises:
        PlanError: A pattern matches no block, or a plan freezes everything.
    """
    plans = {FULL: FreezePlan(blocks=tuple(block.name for block in blocks))}
    groups = [group.strip() for group in given.split(";") if group.strip()]
    for number, group in enumerate(groups, start=1):
        wanted = [pattern.strip() for pattern in group.split(",") if pattern.strip()]
        plans[f"plan-{number}"] = FreezePlan.matching(blocks, *wanted)
    return plans


def candidate(id: str, plan: FreezePlan, blocks: Sequence[Block]) -> Candidate:
    """The record of a plan."""
    return Candidate(
        id=id,
        plan=plan.sentence,
        frozen=plan.frozen_in_order,
        freeze_depth=plan.freeze_depth,
        trainable_parameters=sum(block.parameters for block in blocks if block.name not in plan.frozen),
        total_parameters=sum(block.parameters for block in blocks),
    )


def _spread(cuts: Sequence[int], most: int) -> list[int]:
    if len(cuts) <= most:
        return list(cuts)
    return sorted({cuts[round(i * (len(cuts) - 1) / (most - 1))] for i in range(most)})
