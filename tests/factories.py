"""What a user's own factory module looks like: named on the command line as `factories:tiny_text`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

SWEEP = ("search", "--budget", "all", "--model", "factories:tiny_text")
"""The command that trains every candidate to its end."""

WORDS = ("free", "win", "prize", "call", "hello", "lunch", "home", "soon", "maybe", "later", "today", "no")


class TinyText(nn.Module):
    """Embedding, two small layers with dropout, head."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS) + 1, 12)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(12, 12), nn.Dropout(0.1), nn.Tanh()) for _ in range(2))
        self.head = nn.Linear(12, num_classes)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [[WORDS.index(word) + 1 for word in text.split() if word in WORDS] or [0] for text in texts]

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        weight_BT1 = mask_BT.unsqueeze(-1).float()
        hidden = (self.embedding(ids_BT) * weight_BT1).sum(dim=1) / weight_BT1.sum(dim=1)
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        logits_BC: Tensor = self.head(hidden)
        return logits_BC


def tiny_text(num_classes: int) -> nn.Module:
    """The same weights whenever it is called, as pretrained weights are."""
    torch.manual_seed(7)
    return TinyText(num_classes)


def broken_text(num_classes: int) -> nn.Module:
    """A network whose every answer is infinite."""
    model = tiny_text(num_classes)
    with torch.no_grad():
        model.get_parameter("embedding.weight").fill_(torch.inf)
    return model


def half_fixed_text(num_classes: int) -> nn.Module:
    """A network whose embedding came frozen."""
    model = tiny_text(num_classes)
    model.get_parameter("embedding.weight").requires_grad_(False)
    return model


class UnstableText(TinyText):
    """Sound in evaluation, overflowing in training."""

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        logits_BC = super().forward(ids_BT, mask_BT)
        return logits_BC * torch.inf if self.training else logits_BC


def unstable_text(num_classes: int) -> nn.Module:
    """A network whose loss is not finite from the first step."""
    return UnstableText(num_classes)


class SharpenedText(TinyText):
    """Its logits are three times what its head gives."""

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        return 3 * super().forward(ids_BT, mask_BT)


def sharpened_text(num_classes: int) -> nn.Module:
    """The weights of `tiny_text` in a network whose answers are not its head's."""
    model = SharpenedText(num_classes)
    model.load_state_dict(tiny_text(num_classes).state_dict())
    return model


class TinyImage(nn.Module):
    """Two convolutions with batch norm, and a head."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, num_classes)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        logits_BC: Tensor = self.head(self.body(self.stem(images_B3HW)).mean(dim=(2, 3)))
        return logits_BC


def tiny_image(num_classes: int) -> nn.Module:
    """The same weights whenever it is called."""
    torch.manual_seed(7)
    return TinyImage(num_classes)


def write_messages(path: Path, *, rows: int = 400, seed: int = 0) -> Path:
    """Messages of which every fourth is spam and mostly sounds like it; none occurs twice."""
    generator = np.random.default_rng(seed)
    lines = ["label,text"]
    for number in range(rows):
        spam = number % 4 == 0
        weights = np.array([6, 6, 6, 4] + [1] * 8 if spam else [1] * 4 + [5] * 8, dtype=float)
        words = generator.choice(WORDS, size=6, p=weights / weights.sum())
        lines.append(f"{'spam' if spam else 'ham'},{' '.join(words)} {number}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_images(folder: Path, *, each: int = 24, size: int = 16) -> Path:
    """Noise images of three classes, each brighter in one colour."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for number, colour in enumerate(("red", "green", "blue")):
        (folder / colour).mkdir(parents=True)
        for position in range(each):
            pixels = generator.integers(0, 160, size=(size, size, 3), dtype=np.uint8)
            pixels[..., number] += 60
            Image.fromarray(pixels).save(folder / colour / f"{position:02d}.png")
    return folder


def tiny_table(num_features: int, num_classes: int) -> nn.Module:
    """A small network on a row of numbers."""
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Linear(num_features, 8), nn.Sequential(nn.Tanh(), nn.Linear(8, 8)), nn.Linear(8, num_classes)
    )


def write_table(path: Path, rows: int = 160) -> Path:
    """Three columns of numbers; the sign of the first one, mostly, is the label."""
    generator = np.random.default_rng(3)
    numbers = generator.normal(size=(rows, 3)).round(4)
    labels = np.where(numbers[:, 0] + 0.2 * generator.normal(size=rows) > 0.5, "fraud", "fine")
    lines = [",".join([label, *map(str, row)]) for label, row in zip(labels, numbers.tolist(), strict=True)]
    path.write_text("\n".join(["label,amount,hour,age", *lines]), encoding="utf-8")
    return path


def pretrained_text() -> nn.Module:
    """The network of `tiny_text` with the head that it was pretrained with."""
    return tiny_text(2)
