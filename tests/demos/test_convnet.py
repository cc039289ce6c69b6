"""Our small network with the weights we trained on Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from frostline.demos import convnet, fashion
from frostline.models.original import load_original
from frostline.plan.blocks import blocks


def test_it_is_small_and_its_blocks_are_its_layers() -> None:
    """Six convolutions and the head are the blocks, in the order in which they run; 600 kB of weights at most."""
    found = blocks(convnet.fashion_convnet(), torch.zeros(2, 3, 32, 32))

    assert [block.name for block in found] == ["conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "head"]
    assert [block.head for block in found] == [False] * 6 + [True]
    assert sum(block.parameters for block in found) == 107_610
    assert convnet.WEIGHTS.stat().st_size < 600_000


def test_backbone_is_pretrained_and_head_is_fresh() -> None:
    """All but the head carries the embedded weights; the head has the size asked for and follows torch's seed."""
    weights = load_file(convnet.WEIGHTS)
    torch.manual_seed(0)
    net = convnet.convnet(num_classes=3).state_dict()
    torch.manual_seed(1)
    other = convnet.convnet(num_classes=3).state_dict()

    assert all(torch.equal(net[name], weights[name]) for name in weights if not name.startswith("head."))
    assert net["head.weight"].shape == (3, 64)
    assert not torch.equal(net["head.weight"], other["head.weight"])


def test_scaling_is_inside_and_not_in_the_weights_file() -> None:
    """The network takes plain pixels; its constants are no part of what is saved."""
    net = convnet.convnet(num_classes=2)

    assert {"mean", "std"} <= dict(net.named_buffers()).keys()
    assert not {"mean", "std"} & net.state_dict().keys()


def test_a_study_finds_the_head_it_came_with() -> None:
    """A factory that takes no number of classes gives the network of the old task."""
    original = load_original("frostline.demos.convnet:fashion_convnet", kind="image")

    assert (original.classes, original.head) == (10, None)


def test_it_names_nine_in_ten_of_the_embedded_images() -> None:
    """Outputs are the classes in the order of the alphabet: in that of the labels' numbers most would be wrong."""
    with np.load(fashion.SLICE) as arrays:
        images, labels = torch.from_numpy(fashion.padded(arrays["x"])), arrays["y"]
    with torch.inference_mode():
        answers = convnet.fashion_convnet().eval()((images.float() / 255)[:, None].expand(-1, 3, -1, -1))
    answers_N = answers.argmax(dim=1).tolist()

    def right(names: Sequence[str]) -> float:
        pairs = zip(answers_N, labels, strict=True)
        return float(np.mean([names[answer] == fashion.NAMES[label] for answer, label in pairs]))

    assert right(fashion.CLASSES) > 0.9
    assert right(fashion.NAMES) < 0.5


@pytest.mark.parametrize("size", [28, 32, 64])
def test_it_takes_images_of_other_sizes(size: int) -> None:
    """The mean over pixels leaves one number per channel whatever the size."""
    assert convnet.convnet(5).eval()(torch.rand(2, 3, size, size)).shape == (2, 5)
