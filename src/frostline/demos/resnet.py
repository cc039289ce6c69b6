"""ResNet-20 for 32-pixel images, with weights trained on CIFAR-10.

The network of He et al. (2016), section 4.2, with their option A: a shortcut that changes shape drops
every second pixel and adds channels of zeros, so it has no parameters. Colour normalisation is part of
the network: whoever uses it gives plain pixels.

Shape letters: B images, C classes, H rows, W columns.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path(__file__).with_name("files") / "resnet20_cifar10.safetensors"
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# The colour statistics the weights were trained with: those of ImageNet, not of CIFAR-10.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Residual(nn.Module):
    """Two convolutions and a shortcut around them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.added = channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Same height and width divided by the stride."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        inner = self.bn2(self.conv2(inner))
        return functional.relu(inner + self._shortcut(x))

    def _shortcut(self, x: Tensor) -> Tensor:
        if not self.added:
            return x
        # The weights expect the new channels half before and half behind the old ones.
        before = self.added // 2
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.added - before))


class ResNet20(nn.Module):
    """Three stages of three residual blocks, then the mean over pixels and a linear head."""

    mean: Tensor
    std: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, stride=1)
        self.layer2 = _stage(16, 32, stride=2)
        self.layer3 = _stage(32, 64, stride=2)
        self.linear = nn.Linear(64, num_classes)

    def forward(self, pixels_B3HW: Tensor) -> Tensor:
        """Logits, shape (B, C), for RGB images with values from 0 to 1."""
        x = (pixels_B3HW - self.mean) / self.std
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits_BC: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits_BC


def resnet20(num_classes: int) -> nn.Module:
    """The network with its CIFAR-10 backbone and a fresh head.

    Args:
        num_classes: Size of the head, which is named `linear` and drawn from torch's random state.

    Returns:
        The network, in training mode, as torch makes all modules.

    Source: He, Zhang, Ren, Sun (2016), Deep residual learning for image recognition, CVPR.
    Weights: see `THIRD_PARTY_NOTICES.md`.

    >>> net = resnet20(num_classes=7).eval()
    >>> net(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 7])
    """
    net = ResNet20(num_classes)
    weights = load_file(WEIGHTS)
    head = {f"linear.{name}": value for name, value in net.linear.state_dict().items()}
    net.load_state_dict({**weights, **head}, strict=True)
    return net


def cifar10_resnet20() -> nn.Module:
    """The network as it was trained, head included; its classes are `CIFAR10_CLASSES`.

    >>> cifar10_resnet20().eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """
    net = ResNet20(len(CIFAR10_CLASSES))
    net.load_state_dict(load_file(WEIGHTS), strict=True)
    return net


def _stage(channels_in: int, channels: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        Residual(channels_in, channels, stride), Residual(channels, channels, 1), Residual(channels, channels, 1)
    )
