"""Mixed precision: a frozen part in half precision, the part that trains in float32."""

from __future__ import annotations

import torch
from torch import nn

from frostline.plan.apply import is_inert


def keep_trainable_float32(model: nn.Module) -> nn.Module:
    """Cast what trains to float32, in place, and leave the frozen part in the type it has.

    For a model that was loaded in bfloat16 or float16 to save memory. A trained weight in bfloat16 has
    8 significant bits: an update smaller than 1/512 of it is lost in rounding, so it hardly trains. Run the
    model under `torch.autocast`, which brings the two types together; on the CPU only where the frozen part comes
    first, since a norm in half precision takes no float32 there. The parameters keep their identity, so an
    optimizer made before still holds them; when it has made a step, make it anew.

    Args:
        model: Any module, frozen already. Buffers of modules that train (norm statistics) are cast too.

    Returns:
        The model itself.

    >>> from frostline.plan.apply import freeze
    >>> net = freeze(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).bfloat16(), "0")
    >>> [parameter.dtype for parameter in keep_trainable_float32(net).parameters()]
    [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]
    """
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)
                parameter.grad = None
        if not is_inert(module):
            for name, buffer in module.named_buffers(recurse=False):
                if buffer.is_floating_point():
                    module._buffers[name] = buffer.to(torch.float32)
    return model
