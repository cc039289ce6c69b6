"""Claims held against a zoo of architectures: blocks cover every parameter once, in order, and a freeze holds.

Each is a tiny random configuration. A handful runs always, the whole zoo with `-m slow`; at the end it is
printed how many of how many passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from frostline.core.records import Block
from frostline.models.tensors import tensors_in
from frostline.plan.apply import evaluating, freeze, is_inert
from frostline.plan.blocks import Example, blocks, call
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.prove import prove_frozen
from networks import NETWORKS
from tiny_zoo import tiny

TEXT: Mapping[str, Mapping[str, Any]] = {
    "AlbertForSequenceClassification": {},
    "BertForSequenceClassification": {},
    "BloomForSequenceClassification": {},
    "CamembertForSequenceClassification": {},
    "DebertaV2ForSequenceClassification": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "DistilBertForSequenceClassification": {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2},
    "ElectraForSequenceClassification": {},
    "FNetForSequenceClassification": {},
    "FalconForCausalLM": {},
    "FunnelForSequenceClassification": {"block_sizes": [1, 1], "d_head": 8, "d_inner": 32},
    "GPT2ForSequenceClassification": {},
    "GPTNeoXForCausalLM": {},
    "Gemma2ForCausalLM": {},
    "GemmaForCausalLM": {},
    "GraniteForCausalLM": {},
    "LlamaForCausalLM": {},
    "MPNetForSequenceClassification": {},
    "MistralForCausalLM": {},
    "ModernBertForSequenceClassification": {"cls_token_id": 0, "sep_token_id": 0},
    "NystromformerForSequenceClassification": {"segment_means_seq_len": 8, "num_landmarks": 4},
    "OPTForCausalLM": {},
    "OlmoForCausalLM": {},
    "PhiForCausalLM": {},
    "Qwen2ForCausalLM": {},
    "Qwen3ForCausalLM": {},
    "RoFormerForSequenceClassification": {},
    "RobertaForSequenceClassification": {},
    "SqueezeBertForSequenceClassification": {},
    "StableLmForCausalLM": {},
    "XLMRobertaForSequenceClassification": {},
    "XLNetForSequenceClassification": {"d_inner": 32},
}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 2]}
SWIN = {"patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4}
PYRAMID = {
    "depths": [1, 2],
    "hidden_sizes": [8, 16],
    "num_attention_heads": [1, 2],
    "patch_sizes": [3, 3],
    "strides": [2, 2],
    "sr_ratios": [2, 1],
    "mlp_ratios": [2, 2],
    "num_encoder_blocks": 2,
}
VISION: Mapping[str, Mapping[str, Any]] = {
    "BeitForImageClassification": {},
    "BitForImageClassification": STAGES | {"embedding_size": 8, "num_groups": 2},
    "ConvNextForImageClassification": STAGES | {"num_stages": 2, "patch_size": 4},
    "ConvNextV2ForImageClassification": STAGES | {"num_stages": 2, "patch_size": 4},
    "DeiTForImageClassification": {},
    "Dinov2ForImageClassification": {},
    "FocalNetForImageClassification": STAGES | {"embed_dim": 8, "patch_size": 4},
    "MobileNetV1ForImageClassification": {"depth_multiplier": 0.25},
    "MobileNetV2ForImageClassification": {"depth_multiplier": 0.25},
    "PoolFormerForImageClassification": PYRAMID | {"padding": [1, 1]},
    "RegNetForImageClassification": STAGES | {"embedding_size": 8, "groups_width": 4},
    "SegformerForImageClassification": PYRAMID,
    "Swinv2ForImageClassification": SWIN,
    "ViTMSNForImageClassification": {},
}
HANDFUL = ["DebertaV2ForSequenceClassification", "LlamaForCausalLM", "SegformerForImageClassification"]
ALWAYS = [*NETWORKS, *HANDFUL]
SLOW = [name for name in (*TEXT, *VISION) if name not in HANDFUL]
PASSED: set[str] = set()


def made(name: str) -> tuple[nn.Module, Example]:
    """A network with random weights, the same at every call, and an example it takes."""
    torch.manual_seed(0)
    if name in NETWORKS:
        make, example = NETWORKS[name]
        return make(), example()
    ids_BT = torch.arange(16).reshape(2, 8)
    texts = {"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT)}
    images = {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)}
    return tiny(name, (TEXT | VISION)[name]), texts if name in TEXT else images


@pytest.fixture(scope="module", autouse=True)
def _print_how_many(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    mine = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    asked = {item.callspec.params["name"] for item in mine if hasattr(item, "callspec")}
    plugins = request.config.pluginmanager
    with plugins.getplugin("capturemanager").global_and_fixture_disabled():
        plugins.getplugin("terminalreporter").write_line(f"\nzoo: {len(PASSED)} of {len(asked)} networks")


@pytest.mark.parametrize("name", [*ALWAYS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_network_of_the_zoo(name: str) -> None:
    """Every parameter in exactly one block, blocks as they run, and at three depths a freeze that holds."""
    net, example = made(name)
    found = blocks(net, example)
    assert_every_parameter_once(net, found)
    assert_in_execution_order(net, example, found)
    last = max(n for n, block in enumerate(found) if block.output_bytes)
    for depth in sorted({1, (last + 1) // 2, last} - {0}):
        assert_freeze_holds(deepcopy(net), example, found, depth)
    PASSED.add(name)


def test_the_zoo_is_large_enough() -> None:
    """At least thirty architectures of transformers, text and vision, and the hand-written ones beside them."""
    assert len(TEXT) >= 25 and len(VISION) >= 12
    assert {"cnn", "lstm", "gpt2, tied head", "mixture of experts"} <= NETWORKS.keys()


# ---------------------------------------------------------------- what is held against each of them


def parameters_at(net: nn.Module, path: str) -> list[nn.Parameter]:
    modules = dict(net.named_modules(remove_duplicate=False))
    return list(modules[path].parameters()) if path in modules else [net.get_parameter(path)]


def assert_every_parameter_once(net: nn.Module, found: tuple[Block, ...]) -> None:
    seen: set[int] = set()
    for block in found:
        fresh = {id(p): p.numel() for p in parameters_at(net, block.path) if id(p) not in seen}
        assert block.parameters == sum(fresh.values()) > 0, block.name
        seen.update(fresh)
    assert seen == {id(parameter) for parameter in net.parameters()}


class _FirstUse(TorchFunctionMode):
    """When each parameter is first used by any function of torch: an order that no module hook is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, int] = {}
        self.calls = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.calls += 1
        name = getattr(func, "__name__", "")
        if name != "__get__":
            for tensor in tensors_in((args, kwargs or {})):
                self.at.setdefault(id(tensor), self.calls)
        return func(*args, **(kwargs or {}))


def assert_in_execution_order(net: nn.Module, example: Example, found: tuple[Block, ...]) -> None:
    """Blocks that are called stand in the order in which their parameters are first used."""
    with evaluating(net), torch.no_grad(), _FirstUse() as used:
        call(net, example)
    seen: set[int] = set()
    firsts = []
    for block in found:
        own = {id(parameter) for parameter in parameters_at(net, block.path)} - seen
        seen |= own
        uses = [used.at[key] for key in own if key in used.at]
        if uses and block.output_bytes:
            firsts.append((min(uses), block.name))
    assert all(before < after for before, after in pairwise(firsts)), firsts
    assert len(firsts) > 1


def assert_freeze_holds(net: nn.Module, example: Example, found: tuple[Block, ...], depth: int) -> None:
    names = tuple(block.name for block in found)
    freeze(net, FreezePlan(blocks=names, frozen=frozenset(names[:depth])))
    modules = dict(net.named_modules())
    parts = [part for block in found[:depth] if block.path in modules for part in modules[block.path].modules()]
    awake: list[nn.Module] = []
    for part in parts:
        part.register_forward_hook(lambda module, args, output: awake.append(module) if module.training else None)
    before = {name: p.detach().clone() for name, p in net.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)
    with prove_frozen(net, optimizer=optimizer) as proof:
        for _ in range(5):
            net.train()
            loss(call(net, example)).backward()
            optimizer.step()
            optimizer.zero_grad()

    assert proof.holds, proof
    assert any(not torch.equal(net.get_parameter(name), tensor) for name, tensor in before.items())
    assert all(map(is_inert, parts)) and not awake


def loss(output: Any) -> Tensor:
    parts = [tensor.square().mean() for tensor in tensors_in(output) if tensor.requires_grad]
    return torch.stack(parts).sum()
