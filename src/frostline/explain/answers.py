"""The plain answer to "why is it no faster, why is it no smaller?"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from frostline.core.sizes import size_text
from frostline.plan.apply import is_inert


@dataclass(frozen=True, slots=True)
class Saving:
    """What the freeze spares of one training step, against full fine-tuning.

    Shares are of the FLOPs of a whole step of full fine-tuning, forward and backward; None when none were counted.
    """

    below_share: float | None
    """Spared because the backward pass ends at the lowest trainable block."""
    weight_gradient_share: float | None
    """Spared above it: the weight gradients of frozen blocks."""
    forward_share: float | None
    """What the forward pass costs, frozen or not."""
    replayable_share: float | None
    """The part of it that lies in the leading frozen blocks: replaying their stored outputs would spare it."""
    activation_bytes: int
    """Kept for the backward pass."""
    full_activation_bytes: int
    lowest_trainable: str | None
    """First block in execution order that trains; None when none does."""
    frozen_above: tuple[str, ...]
    """Frozen blocks that run after the lowest trainable one."""

    @property
    def saved_share(self) -> float | None:
        """Of one step's FLOPs, nothing being replayed."""
        if self.below_share is None or self.weight_gradient_share is None:
            return None
        return self.below_share + self.weight_gradient_share


@dataclass(frozen=True, slots=True)
class Held:
    """Frozen parameters that an optimizer still holds, and its state for them."""

    names: tuple[str, ...] = ()
    state_bytes: int = 0

    @classmethod
    def of(cls, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> Held:
        if optimizer is None:
            return cls()
        listed = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
        states = [value for p in frozen.values() for value in optimizer.state.get(p, {}).values()]
        return cls(
            tuple(name for name, parameter in frozen.items() if id(parameter) in listed),
            sum(value.numel() * value.element_size() for value in states if isinstance(value, Tensor)),
        )


def answers(model: nn.Module, held: Held, saving: Saving | None, loader_share: float | None) -> Iterator[str]:
    """One sentence for each reason that applies."""
    if saving is not None:
        yield from _about_compute(model, saving)
    if loader_share is not None:
        yield _about_loader(loader_share, saving)
    if saving is not None:
        yield _about_memory(model, saving)
    if held.names:
        yield (
            f"The optimizer still holds {_listed(held.names)}, frozen, with {size_text(held.state_bytes)} of state. "
            "`frostline.sync_optimizer` takes them out."
        )
    moving = _moving_norms(model)
    if moving:
        yield (
            f"Norm statistics of frozen parts still move: {_listed(moving)} is not held in evaluation mode. "
            "Freeze it with `frostline.freeze`; `requires_grad = False` alone does not."
        )


def _about_compute(model: nn.Module, saving: Saving) -> Iterator[str]:
    if saving.lowest_trainable is None:
        yield "Nothing trains, so there is no backward pass."
        return
    if saving.saved_share is None:
        fused = recurrent(model)
        reason = f"the recurrent layer {fused[0]!r} runs fused, uncounted" if fused else "none were counted"
        yield f"Shares of FLOPs are undefined: {reason}."
        return
    parts = {
        "because the backward pass ends at the lowest trainable block": saving.below_share,
        "as weight gradients of the frozen blocks above it": saving.weight_gradient_share,
    }
    spared = [f"{share:.1%} {why}" for why, share in parts.items() if share]
    yield (
        f"A step costs {1 - saving.saved_share:.1%} of full fine-tuning's FLOPs"
        + (f". Spared: {', '.join(spared)}." if spared else ": the freeze spares no compute.")
    )
    through = f", through {_listed(saving.frozen_above)}, frozen above it" if saving.frozen_above else ""
    yield f"The backward pass runs from the loss down to {saving.lowest_trainable!r}, the lowest that trains{through}."
    yield (
        f"The forward pass costs {saving.forward_share:.1%}, frozen or not"
        + (
            f"; replaying the stored outputs of the leading frozen blocks would spare up to "
            f"{saving.replayable_share:.1%}."
            if saving.replayable_share
            else "."
        )
    )


def recurrent(model: nn.Module, path: str = "") -> list[str]:
    """Paths of the recurrent layers in a block, or in the whole model."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.RNNBase) and (not path or f"{name}.".startswith(f"{path}."))
    ]


def _about_loader(loader_share: float, saving: Saving | None) -> str:
    waiting = f"Waiting for data takes {loader_share:.1%} of a full fine-tuning step, which no freeze shortens"
    if saving is None or saving.saved_share is None:
        return f"{waiting}."
    left = loader_share + (1 - loader_share) * (1 - saving.saved_share)
    return f"{waiting}: at best, if time goes by FLOPs, a step takes {left:.1%} of its time."


def _about_memory(model: nn.Module, saving: Saving) -> str:
    frozen = sum(p.numel() * p.element_size() for p in model.parameters() if not p.requires_grad)
    kept, full = size_text(saving.activation_bytes), size_text(saving.full_activation_bytes)
    return (
        f"Activations kept for the backward pass: {kept} instead of {full}. Frozen parameters stay in memory "
        f"({size_text(frozen)}); they need no gradient and no optimizer state."
    )


def _moving_norms(model: nn.Module) -> list[str]:
    """Norm layers with running statistics whose surroundings are frozen, but which are not held."""
    return [
        path
        for path, module in model.named_modules()
        if isinstance(module, _NormBase) and module.running_mean is not None and not is_inert(module)
        if _is_in_frozen(model, path)
    ]


def _is_in_frozen(model: nn.Module, path: str) -> bool:
    """Whether the layer's own parameters are frozen or, if it has none, those of the module that holds it."""
    holder = model.get_submodule(path.rpartition(".")[0])
    parameters = list(model.get_submodule(path).parameters()) or list(holder.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]!r}{more}"
