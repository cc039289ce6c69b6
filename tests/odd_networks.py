"""Networks for tests of replay that take their data in unusual ways.

Shape letters: B examples, T tokens, F features, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from frostline.plan.apply import freeze
from networks import VOCABULARY

WIDTH = 8


def part(width: int = WIDTH, out: int = WIDTH) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, out), nn.Tanh())


class Wired(nn.Module):
    """Three parts of two layers, a gate, dropout and a head, wired up by a function of its own."""

    def __init__(self, wiring: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.wiring = wiring
        self.a, self.b, self.c = part(), part(), part()
        self.gate, self.drop, self.head = nn.Linear(WIDTH, 1), nn.Dropout(0.3), nn.Linear(WIDTH, 2)
        for name, module in parts.items():
            setattr(self, name, module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.wiring(self, *args, **kwargs)

    def answer(self, h_BTD: Tensor) -> Tensor:
        """Logits by the part that trains."""
        logits_BC: Tensor = self.head(self.drop(h_BTD.mean(dim=1)))
        return logits_BC


def wired(wiring: Callable[..., Any], *, frozen: tuple[str, ...] = ("a", "b", "c"), **parts: nn.Module) -> Wired:
    """With the same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Wired(wiring, **parts)
        for module in parts.values():
            for parameter in module.parameters():
                nn.init.normal_(parameter, std=0.5)
    if frozen:
        freeze(net, *frozen)
    return net


def sequences(examples: int = 24, tokens: int = 8, *, seed: int = 1) -> Tensor:
    """Examples (B, T, F) of normal numbers."""
    return torch.randn(examples, tokens, WIDTH, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- architectures


class PackedLstm(nn.Module):
    """An LSTM that skips padding, and goes another way when there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.mix = part()
        self.lstm = nn.LSTM(WIDTH, 12, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(12, 2))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden_BTD = self.mix(self.embedding(input_ids))
        if attention_mask.all():
            _, (last_1BD, _) = self.lstm(hidden_BTD)
        else:
            lengths_B = attention_mask.sum(dim=1)
            packed = nn.utils.rnn.pack_padded_sequence(hidden_BTD, lengths_B, batch_first=True, enforce_sorted=False)
            _, (last_1BD, _) = self.lstm(packed)
        logits_BC: Tensor = self.head(last_1BD[-1])
        return logits_BC


class TwoInputs(nn.Module):
    """A picture and a text, each with a tower of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4), nn.BatchNorm2d(6), nn.ReLU())
        self.words = nn.Embedding(VOCABULARY, 6)
        self.layer = nn.Linear(6, 6)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(12, 2))

    def forward(self, picture_B3HW: Tensor, *, words_BT: Tensor) -> Tensor:
        seen_BD = self.pictures(picture_B3HW).mean(dim=(2, 3))
        read_BD = self.layer(self.words(words_BT)).mean(dim=1)
        logits_BC: Tensor = self.head(torch.cat([seen_BD, read_BD], dim=1))
        return logits_BC


class TellsAll(nn.Module):
    """Gives a dictionary with its hidden states beside the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(part() for _ in range(3))
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(WIDTH, 2))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Any]:
        hidden = [self.embedding(input_ids)]
        for layer in self.layers:
            hidden.append(hidden[-1] + layer(hidden[-1]))
        weight_BT1 = attention_mask.unsqueeze(-1)
        pooled_BD = (hidden[-1] * weight_BT1).sum(dim=1) / weight_BT1.sum(dim=1)
        return {"logits": self.head(pooled_BD), "hidden": hidden, "tokens": int(input_ids.shape[1])}
