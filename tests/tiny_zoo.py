"""Networks of transformers by the name of their class, as small as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import transformers
from torch import nn

from networks import VOCABULARY

TINY: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "d_model": 16,
    "n_embd": 16,
    "embedding_size": 16,
    "intermediate_size": 32,
    "ffn_dim": 32,
    "d_ff": 32,
    "d_kv": 8,
    "head_dim": 8,
    "num_hidden_layers": 2,
    "num_layers": 2,
    "n_layer": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_heads": 2,
    "n_head": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "num_local_experts": 3,
    "image_size": 16,
    "patch_size": 8,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "word_embed_proj_dim": 16,
}
"""What is set in every configuration that has a field of that name."""


def tiny(name: str, also: Mapping[str, Any]) -> nn.Module:
    """The network with random weights, the same at every call; `also` goes into its configuration."""
    torch.manual_seed(0)
    kind = getattr(transformers, name)
    fields = kind.config_class().to_dict()
    sizes = {key: size for key, size in TINY.items() if not isinstance(fields.get(key, ()), list | tuple)}
    net: nn.Module = kind(kind.config_class(**sizes | dict(also)))
    return net
