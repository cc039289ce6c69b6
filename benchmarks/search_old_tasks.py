"""What a fine-tuned network still knows of its old task, for the tasks of the search benchmark that have one.

The backbone is the fine-tuned one, the head is the one that the network was pretrained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from frostline.demos import resnet
from search_tasks import SHARED, fixed_signs, photographs, resnet56


def old_accuracy(task: str, asked: Mapping[str, object], tuned: nn.Module) -> float | None:
    """Accuracy on the old task; None when the task has none that is at hand.

    Args:
        task: Its name.
        asked: What the study is given.
        tuned: The fine-tuned network; its head is not looked at.
    """
    if not task.startswith("signs"):
        return None
    old = _as_pretrained(asked)
    head = {f"linear.{name}" for name in old.get_submodule("linear").state_dict()}
    kept = {name: tensor for name, tensor in tuned.state_dict().items() if name not in head}
    old.load_state_dict({**old.state_dict(), **kept})
    images_NCHW, labels_N = _clean_signs() if str(asked.get("weights", "")).endswith("signs.safetensors") else _cifar()
    with torch.no_grad():
        answers_N = torch.cat([old.eval()(part).argmax(dim=1) for part in images_NCHW.split(200)])
    return float((answers_N.numpy() == labels_N).mean())


def _as_pretrained(asked: Mapping[str, object]) -> nn.Module:
    if "resnet56" in str(asked["model"]):
        stored = torch.load(SHARED / "cifar10_resnets" / "resnet56-4bfd9763.th", map_location="cpu", weights_only=True)
        net = resnet56(10)
        net.load_state_dict({name.removeprefix("module."): value for name, value in stored["state_dict"].items()})
        return net
    net = resnet.cifar10_resnet20()
    if "weights" in asked:
        net.load_state_dict(load_file(Path(str(asked["weights"]))))
    return net


def _clean_signs() -> tuple[Tensor, NDArray[np.int64]]:
    """The test photographs as they were taken."""
    taken, digits = photographs()
    rows = fixed_signs([str(digit) for digit in digits])["test"]
    return torch.from_numpy(taken[rows]).permute(0, 3, 1, 2).float() / 255, digits[rows]


def _cifar() -> tuple[Tensor, NDArray[np.int64]]:
    """The slice of CIFAR-10's test images that is at hand."""
    with np.load(SHARED / "cifar10_slice" / "test_2000.npz", allow_pickle=False) as arrays:
        images, labels = arrays["x"], arrays["y"]
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, labels.astype(np.int64)
