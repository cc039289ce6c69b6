"""Replay held against a zoo: tiny configurations of transformers' classifiers, text and vision.

Each network is trained at three freeze depths, the ordinary way and replayed, and the two runs are equal to the last
bit. What cannot be replayed is refused with a reason, which is counted apart; a wrong replay fails the test. A
handful runs always, the whole zoo with `-m slow`; `make zoo` prints the counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from networks import VOCABULARY
from replaying import depths, frozen_to, images, shuffled, train_twice
from tiny_zoo import tiny

LONG_WAY = pytest.mark.slow

TEXT = [
    "Albert",
    "Arcee",
    "Bert",
    "BigBird",
    "BioGpt",
    "Bloom",
    "CTRL",
    "Camembert",
    "Canine",
    "ConvBert",
    "Data2VecText",
    "Deberta",
    "DebertaV2",
    "DiffLlama",
    "DistilBert",
    "Doge",
    "Electra",
    "Ernie",
    "Esm",
    "EuroBert",
    "Exaone4",
    "FNet",
    "Falcon",
    "Funnel",
    "GPT2",
    "GPTBigCode",
    "GPTNeoX",
    "Gemma",
    "Gemma2",
    "Gemma3Text",
    "Glm",
    "Glm4",
    "Helium",
    "IBert",
    "JetMoe",
    "LayoutLM",
    "Llama",
    "Longformer",
    "MPNet",
    "MarkupLM",
    "MegatronBert",
    "MiniMax",
    "Ministral",
    "Mistral",
    "Mixtral",
    "MobileBert",
    "ModernBert",
    "ModernBertDecoder",
    "Mpt",
    "Mra",
    "Nemotron",
    "NomicBert",
    "OPT",
    "Olmo",
    "Olmo2",
    "Olmo3",
    "OpenAIGPT",
    "Persimmon",
    "Phi",
    "Phi3",
    "Phimoe",
    "Qwen2",
    "Qwen3",
    "RemBert",
    "RoFormer",
    "Roberta",
    "RobertaPreLayerNorm",
    "SeedOss",
    "SmolLM3",
    "SqueezeBert",
    "StableLm",
    "Starcoder2",
    "XLMRoberta",
    "XLMRobertaXL",
    "XLNet",
    "Yoso",
]
VISION = [
    "Beit",
    "Bit",
    "ConvNext",
    "ConvNextV2",
    "Data2VecVision",
    "DeiT",
    "Dinov2",
    "Dinov2WithRegisters",
    "FocalNet",
    "IJepa",
    "MobileNetV1",
    "MobileNetV2",
    "PoolFormer",
    "RegNet",
    "Segformer",
    "Swinv2",
    "ViT",
    "ViTMSN",
]
HANDFUL = ("Bert", "Llama", "Mixtral", "ConvNextV2", "Segformer")

STAGES = {"hidden_sizes": [8, 16], "depths": [1, 2]}
PYRAMID = STAGES | {
    "num_attention_heads": [1, 2],
    "patch_sizes": [3, 3],
    "strides": [2, 2],
    "sr_ratios": [2, 1],
    "mlp_ratios": [2, 2],
    "num_encoder_blocks": 2,
}
ALSO: dict[str, dict[str, Any]] = {
    "DebertaV2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "DistilBert": {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2},
    "Funnel": {"block_sizes": [1, 1], "d_head": 8, "d_inner": 32},
    "ModernBert": {"cls_token_id": 0, "sep_token_id": 0},
    "XLNet": {"d_inner": 32},
    "Bit": STAGES | {"embedding_size": 8, "num_groups": 2},
    "ConvNext": STAGES | {"num_stages": 2, "patch_size": 4},
    "ConvNextV2": STAGES | {"num_stages": 2, "patch_size": 4},
    "FocalNet": STAGES | {"embed_dim": 8, "patch_size": 4},
    "MobileNetV1": {"depth_multiplier": 0.25},
    "MobileNetV2": {"depth_multiplier": 0.25},
    "PoolFormer": PYRAMID | {"padding": [1, 1]},
    "RegNet": STAGES | {"embedding_size": 8, "groups_width": 4},
    "Segformer": PYRAMID,
    "Swinv2": {"patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4},
}
STEPS = 4

COUNTS: Counter[str] = Counter()
REFUSALS: dict[str, str] = {}


def made(name: str) -> nn.Module:
    """A network with random weights, the same at every call."""
    return tiny(f"{name}For{'Image' if name in VISION else 'Sequence'}Classification", ALSO.get(name, {}))


def data(name: str) -> dict[str, Tensor]:
    """Images, or texts of which most are padded."""
    if name in VISION:
        return {"pixel_values": images()}
    generator = torch.Generator().manual_seed(7)
    lengths = torch.randint(3, 9, (24, 1), generator=generator)
    mask_BT = (torch.arange(8) < lengths).long()
    return {
        "input_ids": torch.randint(1, VOCABULARY, (24, 8), generator=generator) * mask_BT,
        "attention_mask": mask_BT,
    }


@pytest.fixture(scope="module", autouse=True)
def _print_the_counts(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    plugins = request.config.pluginmanager
    with plugins.getplugin("capturemanager").global_and_fixture_disabled():
        tell = plugins.getplugin("terminalreporter").write_line
        networks = len({plan.partition(",")[0] for plan in COUNTS})
        counted = {what: sum(plan.endswith(what) for plan in COUNTS) for what in ("replayed", "refused", "wrong")}
        tell(f"\nzoo: {networks} networks, {sum(counted.values())} freeze plans: {counted}")
        for plan, reason in REFUSALS.items():
            tell(f"  {plan}: {reason}")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in HANDFUL else LONG_WAY) for n in (*TEXT, *VISION)])
def test_network_of_the_zoo(name: str) -> None:
    """Replayed exactly at three depths, or refused with a reason; never wrong."""
    net, examples = made(name), data(name)
    few = {key: tensor[:2] for key, tensor in examples.items()}
    for depth in depths(net, few):
        frozen = frozen_to(deepcopy(net), few, depth)
        plan = f"{name}, {depth} blocks"
        COUNTS[f"{plan}: wrong"] += 1
        ran = train_twice(frozen, shuffled(examples, steps=STEPS))
        del COUNTS[f"{plan}: wrong"]
        assert ran.replay is not None
        COUNTS[f"{plan}: {'replayed' if ran.replayed else 'refused'}"] += 1
        if not ran.replayed:
            REFUSALS[plan] = ran.refused or ran.replay.sentence
            assert ran.refused or ran.replay.counts["astray batches"], "neither replayed nor refused"


RAGGED = ["Bert", "GPT2", "Llama", "Mixtral", "Mpt", "XLNet", "Bit", "RegNet", "Segformer", "Swinv2"]


@pytest.mark.slow
@pytest.mark.parametrize("name", RAGGED)
def test_batches_of_any_size_and_texts_of_any_length(name: str) -> None:
    """Two examples and more, odd lengths too: rounding depends on both, and what is replayed is still exact."""
    net, examples = made(name), data(name)
    generator = torch.Generator().manual_seed(5)
    batches = []
    for length in (8, 7, 3) if name in TEXT else (8,):
        for size in (16, 2, 3, 5, 11, 24):
            rows = torch.randperm(24, generator=generator)[:size]
            batches.append({key: x[rows, :length] if name in TEXT else x[rows] for key, x in examples.items()})
    few = {key: tensor[:2] for key, tensor in examples.items()}
    found = depths(net, few)
    ran = train_twice(frozen_to(net, few, found[len(found) // 2]), batches)

    assert ran.replayed >= len(batches) // 3, ran.replay.sentence


def test_the_zoo_is_large_enough() -> None:
    """At least sixty architectures of sequence and image classification."""
    assert len(set(TEXT)) + len(set(VISION)) >= 60
