"""Evidence that frozen stayed frozen: content hashes before and after, optimizer and modes looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from frostline.core.records import Proof
from frostline.plan.apply import frozen_tensors, is_inert


def tensor_sha256(tensor: Tensor) -> str:
    """Hash of a tensor's shape, type and bytes."""
    digest = hashlib.sha256(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    digest.update(data.numpy().data)
    return digest.hexdigest()


def joint_sha256(hashes: Mapping[str, str]) -> str:
    """One hash for many named ones."""
    lines = "\n".join(f"{name} {value}" for name, value in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def model_sha256(model: nn.Module) -> str:
    """Hash of all parameters and persistent buffers, by name."""
    return joint_sha256({name: tensor_sha256(tensor) for name, tensor in model.state_dict().items()})


@dataclass(frozen=True, slots=True)
class Seal:
    """What the frozen tensors held when training began.

    >>> from frostline.plan.apply import freeze
    >>> net = freeze(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), "0")
    >>> seal = Seal.of(net)
    >>> with torch.no_grad():
    ...     _ = net[0].bias.add_(1)
    >>> seal.compare(net).changed
    ('0.bias',)
    """

    hashes: Mapping[str, str]
    inert: tuple[str, ...]
    """Modules that are held in evaluation mode."""

    @classmethod
    def of(cls, model: nn.Module) -> Seal:
        hashes = {name: tensor_sha256(tensor) for name, tensor in frozen_tensors(model).items()}
        return cls(hashes, tuple(path for path, module in model.named_modules() if is_inert(module)))

    def compare(self, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Proof:
        """The proof, taken when training is over.

        A tensor that is no longer frozen counts as changed: it was free to move.
        """
        now = {name: tensor_sha256(tensor) for name, tensor in frozen_tensors(model).items()}
        changed = [name for name, value in self.hashes.items() if now.get(name) != value]
        return Proof(
            frozen_tensors=len(self.hashes),
            sha256_before=joint_sha256(self.hashes),
            sha256_after=joint_sha256({name: now.get(name, "not frozen") for name in self.hashes}),
            changed=tuple(changed),
            optimizer_holds=tuple(_held(model, optimizer)) if optimizer else (),
            training_mode=tuple(path for path in self.inert if not is_inert(model.get_submodule(path))),
        )


def _held(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return [name for name, p in model.named_parameters() if not p.requires_grad and id(p) in held]
