"""Seeding whatever a forward pass may draw from."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed torch on every device in use, Python and NumPy."""
    # Not torch.manual_seed: it would also decide the state of a GPU that nobody has used yet.
    torch.default_generator.manual_seed(seed)
    if gpus_in_use():
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    np.random.seed(seed)


def gpus_in_use() -> int:
    """CUDA devices, when this process has touched one; asking does not."""
    return torch.cuda.device_count() if torch.cuda.is_initialized() else 0  # type: ignore[no-untyped-call]
