"""A small convolutional network for 32-pixel images, with weights the project trained on Fashion-MNIST.

`benchmarks/pretrain_fashion.py` makes the weights. Scaling of the values is part of the network: whoever uses it gives
plain pixels. Fashion-MNIST is grey and 28 pixels wide, so it was given with a black edge and three equal channels.

Shape letters: B images, C classes, H rows, W columns.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from frostline.demos.fashion import CLASSES

WEIGHTS = Path(__file__).with_name("files") / "convnet_fashion_mnist.safetensors"

# Of the pixels of Fashion-MNIST's training images, rounded.
MEAN = 0.286
STD = 0.353


class ConvNet(nn.Module):
    """Six convolutions, each with batch norm and ReLU, then the mean over pixels and a linear head."""

    mean: Tensor
    std: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(STD), persistent=False)
        self.conv1 = _convolution(3, 16, stride=1)
        self.conv2 = _convolution(16, 32, stride=2)
        self.conv3 = _convolution(32, 32, stride=1)
        self.conv4 = _convolution(32, 64, stride=2)
        self.conv5 = _convolution(64, 64, stride=1)
        self.conv6 = _convolution(64, 64, stride=2)
        self.head = nn.Linear(64, num_classes)

    def forward(self, pixels_B3HW: Tensor) -> Tensor:
        """Logits, shape (B, C), for RGB images with values from 0 to 1."""
        x = (pixels_B3HW - self.mean) / self.std
        x = self.conv3(self.conv2(self.conv1(x)))
        x = self.conv6(self.conv5(self.conv4(x)))
        logits_BC: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits_BC


def convnet(num_classes: int) -> nn.Module:
    """The network with its Fashion-MNIST backbone and a fresh head.

    Args:
        num_classes: Size of the head, which is named `head` and drawn from torch's random state.

    Returns:
        The network, in training mode, as torch makes all modules.

    >>> convnet(num_classes=7).eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 7])
    """
    net = ConvNet(num_classes)
    head = {f"head.{name}": value for name, value in net.head.state_dict().items()}
    net.load_state_dict({**load_file(WEIGHTS), **head}, strict=True)
    return net


def fashion_convnet() -> nn.Module:
    """The network as it was trained, head included; its outputs are `fashion.CLASSES`, in that order.

    >>> fashion_convnet().eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """
    net = ConvNet(len(CLASSES))
    net.load_state_dict(load_file(WEIGHTS), strict=True)
    return net


def _convolution(channels_in: int, channels: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
    )
