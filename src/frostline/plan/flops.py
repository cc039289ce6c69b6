"""A FLOP counter that also knows the CPU's fused attention and LSTM, which torch's own table leaves out."""

from __future__ import annotations

from math import prod
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
    fused = {
        aten._scaled_dot_product_flash_attention_for_cpu: _forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
        aten.mkldnn_rnn_layer: _recurrent_forward,
        aten.mkldnn_rnn_layer_backward: _recurrent_backward,
    }
    counter: Any = FlopCounterMode(display=False, custom_mapping=fused)
    # Only totals are read, and torch's tracker of modules fails on parameters handed to a module without gradients.
    counter.mod_tracker = _NoTracker()
    return counter  # type: ignore[no-any-return]


class _NoTracker:
    """Stands in for the tracker of modules: everything is counted as one."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def _forward(query: Shape, key: Shape, value: Shape, *rest: object, **options: object) -> int:
    return int(_of_attention(query, key, value))


def _backward(gradient: Shape, query: Shape, key: Shape, value: Shape, *rest: object, **options: object) -> int:
    return int(_of_its_gradient(gradient, query, key, value))


def _recurrent_forward(sequence: Shape, of_input: Shape, of_state: Shape, *rest: object, **options: object) -> int:
    """For each step and example, one product with the input's weights and one with the state's."""
    return 2 * prod(sequence[:2]) * (prod(of_input) + prod(of_state))


def _recurrent_backward(sequence: Shape, of_input: Shape, of_state: Shape, *rest: object, **options: object) -> int:
    """Gradients of inputs and of weights, whether both are wanted or not: the fused kernel computes all."""
    return 2 * _recurrent_forward(sequence, of_input, of_state)
