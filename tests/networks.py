"""Tiny networks and data for tests: a few thousand parameters, milliseconds a step.

Shape letters: B examples, T tokens, C classes, H rows, W columns, N examples of a data set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from frostline.models.task_model import TaskModel
from frostline.plan.blocks import Example
from frostline.train.inputs import TextInputs
from frostline.train.loop import Material

# With networks this small, threads only wait for each other: ten times as long on a busy machine.
torch.set_num_threads(1)

VOCABULARY = 40

# ---------------------------------------------------------------- written by hand


class NormedCnn(nn.Module):
    """Convolutions with batch norm and dropout; the head is the first attribute and runs last."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.fc = nn.Linear(6, classes)
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, x_B3HW: Tensor) -> Tensor:
        logits_BC: Tensor = self.fc(self.second(self.first(x_B3HW)).mean(dim=(2, 3)))
        return logits_BC


class LstmClassifier(nn.Module):
    """Token numbers to logits by the last state of an LSTM."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.lstm = nn.LSTM(8, 12, num_layers=2, dropout=0.3)
        self.head = nn.Linear(12, classes)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        output_TBD, _ = self.lstm(self.embedding(ids_BT).transpose(0, 1))
        logits_BC: Tensor = self.head(output_TBD[-1])
        return logits_BC


class RootToken(nn.Module):
    """A class token held by the root itself, and a stack of transformer layers."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.patches = nn.Linear(4, 8)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3))
        self.head = nn.Linear(8, 2)

    def forward(self, x_BT4: Tensor) -> Tensor:
        hidden = torch.cat([self.token.expand(len(x_BT4), -1, -1), self.patches(x_BT4)], dim=1)
        for layer in self.layers:
            hidden = layer(hidden)
        logits_BC: Tensor = self.head(hidden[:, 0])
        return logits_BC


class Expert(nn.Module):
    """Two linear layers, as experts have."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        down: Tensor = self.down(self.up(x).relu())
        return down


class ExpertLayer(nn.Module):
    """A router and its experts, side by side in a ModuleList."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, 2)
        self.experts = nn.ModuleList(Expert(width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        share = self.router(x).softmax(dim=-1)
        return x + share[..., :1] * self.experts[0](x) + share[..., 1:] * self.experts[1](x)


class MixtureOfExperts(nn.Module):
    """Two layers of two experts between an embedding and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.layers = nn.ModuleList(ExpertLayer(8) for _ in range(2))
        self.head = nn.Linear(8, 2)

    def forward(self, ids_BT: Tensor) -> Tensor:
        hidden = self.embedding(ids_BT)
        for layer in self.layers:
            hidden = layer(hidden)
        logits_BC: Tensor = self.head(hidden.mean(dim=1))
        return logits_BC


class BagOfTokens(nn.Module):
    """A text classifier in four blocks: embedding, two layers with batch norm and dropout, head."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.first = nn.Sequential(nn.Linear(8, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Dropout(0.2))
        self.second = nn.Sequential(nn.Linear(10, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(10, classes)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        weight_BT1 = mask_BT.unsqueeze(-1)
        mean = (self.embedding(ids_BT) * weight_BT1).sum(dim=1) / weight_BT1.sum(dim=1)
        logits_BC: Tensor = self.head(self.second(self.first(mean)))
        return logits_BC


# ---------------------------------------------------------------- of transformers, made tiny

TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
IMAGE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def bert_config(**options: Any) -> transformers.BertConfig:
    return transformers.BertConfig(**TEXT, max_position_embeddings=64, **options)


def vit_config(**options: Any) -> transformers.ViTConfig:
    return transformers.ViTConfig(**IMAGE, image_size=16, patch_size=8, **options)


def _bert() -> nn.Module:
    return transformers.BertModel(bert_config())


def _bert_classifier() -> nn.Module:
    return transformers.BertForSequenceClassification(bert_config())


def _distilbert() -> nn.Module:
    config = transformers.DistilBertConfig(
        vocab_size=VOCABULARY, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=64
    )
    return transformers.DistilBertForSequenceClassification(config)


def _gpt2() -> nn.Module:
    sizes = {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))


def _t5() -> nn.Module:
    sizes = {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    return transformers.T5EncoderModel(transformers.T5Config(**sizes))


def _mixtral() -> nn.Module:
    return transformers.MixtralForCausalLM(
        transformers.MixtralConfig(**TEXT, num_key_value_heads=2, num_local_experts=3)
    )


def _vit() -> nn.Module:
    return transformers.ViTForImageClassification(vit_config())


def _resnet() -> nn.Module:
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[8, 16], depths=[2, 2], layer_type="bottleneck", num_labels=3
    )
    return transformers.ResNetForImageClassification(config)


def _convnext() -> nn.Module:
    config = transformers.ConvNextConfig(hidden_sizes=[4, 8], depths=[2, 2], num_stages=2)
    return transformers.ConvNextForImageClassification(config)


def _swin() -> nn.Module:
    config = transformers.SwinConfig(
        image_size=16, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4
    )
    return transformers.SwinForImageClassification(config)


def _tokens() -> dict[str, Tensor]:
    ids_BT = torch.arange(16).reshape(2, 8)
    return {"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT)}


def _images() -> dict[str, Tensor]:
    return {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)}


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], Callable[[], Example]]] = {
    "bert": (_bert, _tokens),
    "bert classifier": (_bert_classifier, _tokens),
    "distilbert": (_distilbert, _tokens),
    "gpt2, tied head": (_gpt2, _tokens),
    "t5 encoder": (_t5, _tokens),
    "mixtral": (_mixtral, _tokens),
    "vit": (_vit, _images),
    "resnet": (_resnet, _images),
    "convnext": (_convnext, _images),
    "swin": (_swin, _images),
    "cnn": (NormedCnn, lambda: _images()["pixel_values"]),
    "lstm": (LstmClassifier, lambda: _tokens()["input_ids"]),
    "root token": (RootToken, lambda: torch.ones(2, 3, 4)),
    "mixture of experts": (MixtureOfExperts, lambda: _tokens()["input_ids"]),
    "bag of tokens": (BagOfTokens, lambda: tuple(_tokens().values())),
}
"""Every kind of network by name: what makes it with random weights, and an example it takes."""


def save_tokenizer(folder: Path) -> None:
    """A tokenizer of words w1 to w35 that puts [CLS] and [SEP] around them."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(1, VOCABULARY - 4))]
    numbers = {word: n for n, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )
    fast.save_pretrained(folder)


# ---------------------------------------------------------------- a small task that can be learned


def bag_model(classes: int = 2, seed: int = 0) -> TaskModel:
    """`BagOfTokens` as a model for a task, with the same weights for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = BagOfTokens(classes)
    return TaskModel(
        module=module,
        kind="text",
        classes=classes,
        head=module.head,
        source="a bag of tokens",
        learning_rate=0.01,
        by_keyword=False,
    )


def bag_material(examples: int = 60, classes: int = 2, seed: int = 0) -> Material:
    """Texts that begin with three words of their class; half to train, a third to stop, a sealed rest.

    Labels of the sealed rest are -1: training on one is an error.
    """
    generator = np.random.default_rng(seed)
    labels_N = generator.integers(0, classes, examples)
    ids = [
        [int(label) + 1] * 3 + generator.integers(classes + 1, VOCABULARY, int(generator.integers(1, 12))).tolist()
        for label in labels_N
    ]
    train, stop, sealed = np.split(np.arange(examples), [examples // 2, 5 * examples // 6])
    labels_N[sealed] = -1
    return Material(inputs=TextInputs.of(ids, 0), labels=labels_N, train=train, stop=stop)
