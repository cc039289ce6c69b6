"""A FLOP counter that also knows the CPU's fused attention, which torch's own table leaves out."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

Shape = tuple[int, ...]

_of_attention: Any = sdpa_flop_count  # torch does not type these two
_of_its_gradient: Any = sdpa_backward_flop_count


def flop_counter() -> FlopCounterMode:
    """A counter to be used as a context manager.

    >>> query = torch.ones(1, 2, 4, 8)
    >>> with flop_counter() as counter:
    ...     _ = torch.nn.functional.scaled_dot_product_attention(query, query, query)
    >>> counter.get_total_flops()  # two products of 2 heads * 2 * 4 * 4 * 8
    1024
    """
    aten = torch.ops.aten
    attention = {
        aten._scaled_dot_product_flash_attention_for_cpu: _forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
    }
    return FlopCounterMode(display=False, custom_mapping=attention)


def _forward(query: Shape, key: Shape, value: Shape, *rest: object, **options: object) -> int:
    return int(_of_attention(query, key, value))


def _backward(gradient: Shape, query: Shape, key: Shape, value: Shape, *rest: object, **options: object) -> int:
    return int(_of_its_gradient(gradient, query, key, value))
