"""Claims about counting: the CPU's fused attention costs what the products in it cost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from frostline.plan.blocks import call
from frostline.plan.flops import flop_counter
from networks import NETWORKS


def attention_flops(backend: SDPBackend, *, gradient: bool) -> int:
    query, key = (torch.randn(2, 3, length, 8, requires_grad=gradient) for length in (5, 7))
    with sdpa_kernel(backend), flop_counter() as counter:
        output: Tensor = functional.scaled_dot_product_attention(query, key, key)
        if gradient:
            output.sum().backward()
    return int(counter.get_total_flops())


def test_fused_attention_counts_like_plain_products() -> None:
    """Forward, the fused kernel is two products; torch alone would count it as nothing."""
    fused = attention_flops(SDPBackend.FLASH_ATTENTION, gradient=False)

    assert fused == attention_flops(SDPBackend.MATH, gradient=False) == 2 * (2 * 2 * 3 * 5 * 7 * 8)


def test_fused_gradient_counts_its_recomputation() -> None:
    """Backward, the fused kernel computes one product more than the plain one, which kept it."""
    product = 2 * 2 * 3 * 5 * 7 * 8
    fused = attention_flops(SDPBackend.FLASH_ATTENTION, gradient=True)

    assert fused == attention_flops(SDPBackend.MATH, gradient=True) + product


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_whole_networks_count_the_same_under_both_kernels(name: str) -> None:
    """What a block costs does not depend on the kernel that torch happens to choose."""
    make, example = NETWORKS[name]
    net = make().eval()
    counts = []
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH):
        with torch.no_grad(), sdpa_kernel(backend), flop_counter() as counter:
            call(net, {**example(), "attention_mask": None} if name == "bert" else example())
        counts.append(counter.get_total_flops())

    assert counts[0] == counts[1] > 0
