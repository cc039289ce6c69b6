"""Our ResNet-20 with the weights of others."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from frostline.demos import resnet, signs


def test_it_is_the_network_of_the_paper() -> None:
    """20 layers with weights and 0.27 million parameters at ten classes (He et al. 2016, table 6)."""
    net = resnet.cifar10_resnet20()
    layers = [module for module in net.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)]

    assert len(layers) == 20
    assert sum(parameter.numel() for parameter in net.parameters()) == 269_722


def test_backbone_is_pretrained_and_head_is_fresh() -> None:
    """All but the head carries the embedded weights; the head has the size asked for and follows torch's seed."""
    weights = load_file(resnet.WEIGHTS)
    torch.manual_seed(0)
    net = resnet.resnet20(num_classes=3).state_dict()
    torch.manual_seed(1)
    other = resnet.resnet20(num_classes=3).state_dict()

    assert all(torch.equal(net[name], weights[name]) for name in weights if not name.startswith("linear."))
    assert net["linear.weight"].shape == (3, 64)
    assert not torch.equal(net["linear.weight"], other["linear.weight"])


def test_normalisation_is_inside_and_not_in_the_weights_file() -> None:
    """The network takes plain pixels; its constants are no part of what is saved."""
    net = resnet.resnet20(num_classes=2)

    assert {"mean", "std"} <= dict(net.named_buffers()).keys()
    assert not {"mean", "std"} & net.state_dict().keys()


def test_shortcut_without_parameters_keeps_every_second_pixel() -> None:
    """Option A: subsampled input between channels of zeros."""
    x = torch.randn(2, 4, 6, 6)
    short = resnet.Residual(4, 8, 2)._shortcut(x)

    assert torch.equal(short[:, 2:6], x[:, :, ::2, ::2])
    assert not short[:, :2].any()
    assert not short[:, 6:].any()


def test_pretrained_features_tell_hands_apart() -> None:
    """Frozen pretrained features beat those of random weights by far: the embedded weights fit our network."""
    with np.load(signs.ORIGINAL) as arrays:
        pixels, digits = torch.from_numpy(arrays["x"][::4]), arrays["y"][::4]
    torch.manual_seed(0)

    pretrained, random = (_probe(net, pixels, digits) for net in (resnet.resnet20(10), resnet.ResNet20(10)))

    assert pretrained > random + 0.2


def _probe(net: torch.nn.Module, pixels: torch.Tensor, digits: np.ndarray) -> float:
    """Held-out accuracy of nearest class mean on the features before the head."""
    net.linear = torch.nn.Identity()
    with torch.inference_mode():
        features = net.eval()(pixels.permute(0, 3, 1, 2).float() / 255).numpy()
    train = np.arange(len(digits)) % 2 == 0
    means = np.stack([features[train & (digits == digit)].mean(axis=0) for digit in range(10)])
    nearest = np.linalg.norm(features[~train, None] - means, axis=2).argmin(axis=1)
    return float((nearest == digits[~train]).mean())


def test_embedded_files_are_those_the_notices_name() -> None:
    """Every embedded file is listed with its hash in the third-party notices, and all stay under 8 MB."""
    files = sorted(resnet.WEIGHTS.parent.iterdir())
    notices = (Path(__file__).parents[2] / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    ours = notices.partition("## Vendored")[0]
    named = dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| `([0-9a-f]{64})` \|$", ours, flags=re.MULTILINE))

    assert {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files} == named
    assert sum(file.stat().st_size for file in files) < 8_000_000
