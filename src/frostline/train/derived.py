"""Networks that come of a finished run without any training: between its ends, or with its first blocks put back.

Each says what of the tuned weights it takes; `race` makes them and asks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from frostline.core.records import REWOUND, Run
from frostline.train.checkpoint import trained_tensors
from frostline.train.interpolate import interpolated

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Between:
    """So far from the pretrained to the fine-tuned weights of a run."""

    source: Run
    share: float

    @property
    def plan(self) -> str:
        """Candidate whose plan it has."""
        return self.source.candidate

    @property
    def candidate(self) -> str:
        return f"{self.plan}@wise-{self.share:g}"

    @property
    def sentence(self) -> str:
        return f"{self.share:.0%} of the way from the pretrained to the fine-tuned weights of {self.plan}"

    def tensors(self, module: nn.Module, start: Tensors, tuned: Tensors) -> Tensors:
        """What is loaded into the module, which is frozen by the plan and has its starting weights."""
        return interpolated(start, tuned, self.share)


@dataclass(frozen=True, slots=True)
class Rewound:
    """A run whose first blocks went back to their pretrained weights, as far as a deeper plan freezes them.

    Source: Zhang, Bengio & Singer (2022), Are all layers created equal?, Journal of Machine Learning Research.
    """

    source: Run
    plan: str
    """Candidate whose plan it has: a leading run of blocks, longer than the source's."""

    @property
    def candidate(self) -> str:
        return f"{self.plan}{REWOUND}"

    @property
    def sentence(self) -> str:
        return f"{self.source.candidate}, its first blocks put back to their pretrained weights"

    def tensors(self, module: nn.Module, start: Tensors, tuned: Tensors) -> Tensors:
        """See `Between.tensors`: what the deeper plan trains is as the source tuned it, the rest as pretrained."""
        return {name: tuned[name] for name in trained_tensors(module)}


Derived = Between | Rewound
