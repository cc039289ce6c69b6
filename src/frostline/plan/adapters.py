"""Low-rank adapters (LoRA): small matrices beside frozen linear layers, made by the package peft.

Source: Hu et al. (2022), LoRA: Low-rank adaptation of large language models, ICLR.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from frostline.core.errors import ModelError, suggestion
from frostline.core.seeding import derive
from frostline.models.task_model import TaskModel, last_linear
from frostline.plan.apply import freeze, unfreeze


def with_lora(
    model: TaskModel, *, rank: int = 8, alpha: int = 16, targets: Sequence[str] | None = None, seed: int
) -> TaskModel:
    """A twin of the model that trains low-rank adapters and its head; all else is a copy that is frozen inertly.

    Before training it answers as the model does in evaluation, bit for bit: each adapter adds a product whose second
    factor is zero. (With gradients on, torch may choose other kernels for what is frozen, which round differently.)
    Adapters usually want a learning rate about ten times that of full fine-tuning; the model's default is kept.

    Args:
        model: Left as it is.
        rank: Of the adapters.
        alpha: Their output is scaled by `alpha / rank`.
        targets: Names of linear layers, or ends of names (`query`, `attention.query`). By default what peft
            takes for this kind of transformer, as a rule two of the attention's projections, and for a network it
            does not know every linear layer but the head.
        seed: Of the adapters' first factor.

    Raises:
        ModelError: peft is missing, the rank is not positive, or the network has no such linear layer.
    """
    missing = lora_missing()
    if missing:
        raise ModelError(missing)
    if rank < 1:
        raise ModelError(f"A LoRA adapter of rank {rank} was asked for. Give a rank of at least 1, such as 8.")
    import peft

    twin = copy.deepcopy(model.module)
    head = _name_of_head(model)
    chosen = _chosen(twin, head, targets)
    # First all is frozen and then adapters are put in: a part that holds one stays inert, its own dropout included.
    freeze(twin, "*")
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        # As one expression for whole names: peft reads a list as ends of names, which may end others too.
        target_modules="|".join(map(re.escape, chosen)),
        # Layers of transformers' first models hold their weight the other way round.
        fan_in_fan_out=type(twin.get_submodule(chosen[0])).__name__ == "Conv1D",
    )
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "lora"))
        peft.inject_adapter_in_model(config, twin)
    if head is not None:
        unfreeze(twin, head)
    return replace(
        model,
        module=twin,
        head=None if model.head is None else _linear(twin, head),
        notes=(*model.notes, f"LoRA adapters of rank {rank} beside {len(chosen)} linear layers; all else is frozen."),
    )


def lora_missing() -> str | None:
    """What to install before `with_lora` works; None when it does."""
    if find_spec("peft") is not None:
        return None
    return "LoRA needs the package peft, which is not installed. Run: pip install 'frostline[hf]'"


def _name_of_head(model: TaskModel) -> str | None:
    """Of a head that is new, or of a trained one that is kept."""
    head = model.head or last_linear(model.module, model.classes)
    return next((name for name, part in model.module.named_modules() if part is head and head is not None), None)


def _linear(module: nn.Module, name: str | None) -> nn.Linear | None:
    part = None if name is None else module.get_submodule(name)
    return part if isinstance(part, nn.Linear) else None


def _chosen(module: nn.Module, head: str | None, targets: Sequence[str] | None) -> list[str]:
    linears = [name for name, part in module.named_modules() if _is_linear(part) and name not in ("", head)]
    if not linears:
        raise ModelError(
            f"{type(module).__name__} has no linear layer besides its head, and LoRA adapts linear layers only. "
            "Freeze blocks of it instead."
        )
    if targets is None:
        known = _known_targets(module)
        if isinstance(known, str):
            named = [name for name in linears if re.fullmatch(known, name)]
        else:
            named = [name for name in linears if _ends(name, known)]
        return named or linears
    for target in targets:
        if not any(_ends(name, [target]) for name in linears):
            ends = dict.fromkeys(name.rpartition(".")[2] for name in linears)
            raise ModelError(
                f"LoRA is to adapt {target!r}, but no linear layer besides the head is named so. "
                f"{suggestion(target, ends)}"
            )
    named = [name for name in linears if _ends(name, targets)]
    if not named:
        raise ModelError("LoRA was given an empty list of targets. Name at least one linear layer, or leave it out.")
    return named


def _ends(name: str, targets: Sequence[str]) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _is_linear(part: nn.Module) -> bool:
    # The output layer of torch's own attention is a subclass: attention reads its weight and would pass an adapter by.
    if isinstance(part, NonDynamicallyQuantizableLinear):
        return False
    return isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"


def _known_targets(module: nn.Module) -> Any:
    """What peft adapts by default in a transformer of this kind: ends of names, or one expression; () if unknown."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    kinds = (getattr(getattr(part, "config", None), "model_type", None) for part in module.modules())
    return KNOWN.get(next((kind for kind in kinds if kind), ""), ())
