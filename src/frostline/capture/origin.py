"""What stored rows were computed from: weights, code, versions. Rows of another origin are never replayed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from frostline.capture.eligible import eligible
from frostline.plan.apply import frozen_tensors
from frostline.plan.proof import joint_sha256, tensor_sha256


@dataclass(frozen=True, slots=True)
class Origin:
    """Content hashes of the tensors behind stored rows, and of the code.

    >>> net = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 1))
    >>> origin = Origin.of(net, watched_tensors(net))
    >>> with torch.no_grad():
    ...     _ = net[0].bias.add_(1)
    >>> origin.differing(watched_tensors(net))
    '0.bias'
    """

    hashes: Mapping[str, str]
    code: str

    @classmethod
    def of(cls, model: nn.Module, tensors: Mapping[str, Tensor]) -> Origin:
        return cls({name: tensor_sha256(tensor) for name, tensor in tensors.items()}, _code_sha256(model))

    def including(self, tensors: Mapping[str, Tensor]) -> Origin:
        """The same with the hashes of further tensors; those that are known stay."""
        further = {name: tensor_sha256(tensor) for name, tensor in tensors.items() if name not in self.hashes}
        return replace(self, hashes=further | dict(self.hashes))

    def key(self) -> dict[str, str]:
        """What names the store."""
        return {"tensors": joint_sha256(self.hashes), "code": self.code, "torch": torch.__version__}

    def differing(self, tensors: Mapping[str, Tensor]) -> str:
        """Name of a tensor that is not what the rows were computed from; empty when there is none."""
        for name, tensor in tensors.items():
            if self.hashes.get(name) != tensor_sha256(tensor):
                return name
        return ""


def watched_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Everything that decides what replayed modules give: frozen tensors, and all tensors of eligible modules."""
    watched = frozen_tensors(model)
    for path, module in eligible(model).modules.items():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            watched[f"{path}.{name}"] = tensor
    return watched


def _code_sha256(model: nn.Module) -> str:
    """Of the files that hold the model's classes; torch's own go by its version."""
    digest = hashlib.sha256()
    names = {type(module).__module__ for module in model.modules()}
    for name in sorted(name for name in names if name.partition(".")[0] != "torch"):
        file = getattr(sys.modules.get(name), "__file__", None)
        digest.update(name.encode())
        if file and Path(file).is_file():
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()
