"""How every candidate of a study is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from frostline.core.records import Record

Schedule = Literal["linear", "cosine"]
ClassWeights = Literal["auto", "off", "balanced"]


class Keeping(Record):
    """Where activations of frozen blocks are kept."""

    place: Literal["auto", "memory", "disk"] = "auto"
    """`auto`: in memory when a quarter of what is free is enough, else on disk."""
    budget_bytes: int | None = None
    """Of all rows; by default a quarter of the free memory, or half of the free disk."""
    half: bool = False
    """As float16: half the size, and no longer exact."""


class Recipe(Record):
    """The same for every candidate, so that plans are compared and nothing else."""

    epochs: int = Field(5, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    """Peak rate of the backbone. None: 5e-5 for a transformers folder, 1e-3 for a factory."""
    head_learning_rate: float = Field(1e-3, gt=0)
    """Peak rate of a head that frostline made or that may be new: it has further to go than the backbone."""
    weight_decay: float = Field(0.01, ge=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor on the learning rate from each block to the one before it; 1 is the same rate for the whole backbone."""
    warmup_share: float = Field(0.1, ge=0, lt=1)
    schedule: Schedule = "linear"
    """How the learning rate falls to zero after the warm-up: along a line or half a cosine wave."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the truth that is spread evenly over all classes in the training loss."""
    class_weights: ClassWeights = "auto"
    """`balanced`: every class weighs the same in the training loss; `auto`: only when one of them is rare."""
    clip_norm: float = Field(1.0, gt=0)
    patience: int = Field(2, ge=1)
    """Epochs without a lower stop loss after which training ends."""
    accumulate: int = Field(1, ge=1)
    """Parts of a batch that go through the network one after the other: less memory, the same gradient."""
    precision: Literal["auto", "float32"] = "auto"
    """`auto`: training computes in bfloat16 where a CUDA device has it, in float32 on every other device."""
