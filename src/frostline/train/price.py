"""What training a freeze plan will cost, in FLOPs, before anything of it is trained.

Shares of the forward pass are those of the blocks, measured on two examples; one full step over one forward pass is
measured on a sample of the train split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from frostline.core.records import Block, Record
from frostline.plan.freeze_plan import FreezePlan


class Prices(Record):
    """What one epoch costs, by plan.

    >>> blocks = [Block(name=n, path=n, parameters=9, forward_flops=50) for n in ("stem", "layer")]
    >>> prices = Prices(forward_flops=600, step_over_forward=3.0, evaluated_share=0.5, select_share=0.0)
    >>> prices.epoch_flops(FreezePlan(blocks=("stem", "layer")), blocks, replayed=False)
    2100
    >>> prices.epoch_flops(FreezePlan(blocks=("stem", "layer"), frozen=frozenset({"stem"})), blocks, replayed=True)
    964
    """

    forward_flops: int = Field(ge=0)
    """One forward pass over the train split."""
    step_over_forward: float = Field(gt=0)
    """Forward and backward pass of full fine-tuning over the forward pass."""
    evaluated_share: float
    """Examples of the stop split over those of the train split: evaluated after every epoch."""
    select_share: float
    """The same of the select split: asked at every rung."""

    def full_flops(self, epochs: int) -> int:
        """One ordinary full fine-tune."""
        return round(epochs * self.forward_flops * (self.step_over_forward + self.evaluated_share))

    def epoch_flops(self, plan: FreezePlan, blocks: Sequence[Block], *, replayed: bool) -> int:
        """Training on the train split once and evaluating the stop split."""
        return round(
            self.training_flops(plan, blocks, replayed=replayed)
            + self.evaluating_flops(plan, blocks, replayed=replayed)
        )

    def training_flops(self, plan: FreezePlan, blocks: Sequence[Block], *, replayed: bool) -> float:
        """Training on the train split once.

        The backward pass costs the weights of trainable blocks, and the inputs of all from the first of them on; of
        that one half, since its first layer needs none, which may be all of it or hardly anything. Full fine-tuning
        costs what was measured; other plans in proportion. What a plan spares inside frozen blocks costs next to
        nothing, but to come to it the backward pass goes all the way.
        """
        shares = _shares(blocks)
        trained = [block.name for block in blocks if block.name not in plan.frozen]
        first = 0 if plan.spared else next((n for n, block in enumerate(blocks) if block.name in trained), len(blocks))
        inputs = [shares[block.name] for block in blocks]
        backward = sum(shares[name] for name in trained) + sum(inputs[first:]) - sum(inputs[first : first + 1]) / 2
        whole = 2.0 - inputs[0] / 2
        scale = (self.step_over_forward - 1) / whole
        return self.forward_flops * (self._forward(plan, blocks, replayed) + backward * scale)

    def evaluating_flops(self, plan: FreezePlan, blocks: Sequence[Block], *, replayed: bool) -> float:
        """Evaluating the stop split, as at the end of every epoch."""
        return self.forward_flops * self.evaluated_share * self._forward(plan, blocks, replayed)

    def leg_flops(
        self,
        plan: FreezePlan,
        blocks: Sequence[Block],
        begun: int,
        updates: int,
        *,
        an_epoch: int,
        replayed: bool,
        ends: bool = False,
    ) -> int:
        """Going on from some updates to others, every epoch that ends on the way evaluated, and asking at the end.

        Args:
            an_epoch: Updates of one epoch.
            ends: The run ends there: an epoch that is cut short is evaluated as well, and so is a sample of the train
                split as large as the stop split.
        """
        if updates <= begun:
            return 0
        trained = (updates - begun) / an_epoch * self.training_flops(plan, blocks, replayed=replayed)
        evaluations: float = updates // an_epoch - begun // an_epoch
        if ends:
            evaluations += (updates % an_epoch > 0) + min(1.0, 1 / (self.evaluated_share or 1.0))
        evaluated = evaluations * self.evaluating_flops(plan, blocks, replayed=replayed)
        return round(trained + evaluated + self.asking_flops(plan, blocks, replayed=replayed))

    def asking_flops(self, plan: FreezePlan, blocks: Sequence[Block], *, replayed: bool) -> int:
        """Asking for the select split."""
        return round(self.forward_flops * self.select_share * self._forward(plan, blocks, replayed))

    @staticmethod
    def _forward(plan: FreezePlan, blocks: Sequence[Block], replayed: bool) -> float:
        return _behind(plan.freeze_depth, _shares(blocks)) if replayed else 1.0


def _shares(blocks: Sequence[Block]) -> Mapping[str, float]:
    total = sum(block.forward_flops for block in blocks) or 1
    return {block.name: block.forward_flops / total for block in blocks}


def _behind(depth: int, shares: Mapping[str, float]) -> float:
    """Share of the forward pass that stands behind the first `depth` blocks."""
    return sum(list(shares.values())[depth:])
