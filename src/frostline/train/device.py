"""Where training runs."""

from __future__ import annotations

import torch


def pick_device() -> torch.device:
    """The fastest device that is there: CUDA, Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
