"""Pretrain the small convolutional network of `frostline demo signs` on Fashion-MNIST.

Writes the two files that the demo embeds: the weights after the last epoch, and the first hundred test images of every
class. The test images train and choose nothing: epochs, rates and the network were fixed before.

Training images are mirrored and moved at random; a quarter of them are inverted, and every channel is scaled and
brightened a little by itself, so that features do not depend on grey cloth on black.

    apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb fashion
    python benchmarks/pretrain_fashion.py fashion/usr/share/datasets/fashion-mnist [--epochs 8] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import gzip
import platform
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from frostline.demos.convnet import WEIGHTS, ConvNet
from frostline.demos.fashion import CLASSES, NAMES, SLICE, padded

# Shape letters: N images, B images of a batch, C channels, H rows, W columns.

SEED = 0
BATCH = 128
PEAK_RATE = 0.2
WEIGHT_DECAY = 5e-4
MOST_SHIFT = 3
INVERTED = 0.25
SLICE_PER_CLASS = 100


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes in the IDX format of MNIST: its rank is byte 3, its shape follows, big-endian."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_split(folder: Path, prefix: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 28, 28) and labels 0 to 9 (N,)."""
    return read_idx(folder / f"{prefix}-images-idx3-ubyte.gz"), read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")


def as_tensors(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Images (N, 32, 32) in bytes and the outputs that would be right: those of `CLASSES`, not of `NAMES`."""
    output = np.array([CLASSES.index(name) for name in NAMES])
    return torch.from_numpy(padded(images)), torch.from_numpy(output[labels])


def as_pixels(images_BHW: Tensor) -> Tensor:
    """Three equal channels with values from 0 to 1, shape (B, 3, H, W)."""
    grey = images_BHW.float()[:, None] / 255
    return grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def varied(pixels_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored, moved, inverted, scaled and brightened at random."""
    count, channels, height, width = pixels_BCHW.shape

    def drawn(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    mirrored_B = drawn(0, 1, count) < 0.5
    pixels = torch.where(mirrored_B[:, None, None, None], pixels_BCHW.flip(3), pixels_BCHW)
    wide = functional.pad(pixels, (MOST_SHIFT,) * 4)
    tops_B, lefts_B = torch.randint(2 * MOST_SHIFT + 1, (2, count), generator=generator)
    rows = (tops_B[:, None] + torch.arange(height))[:, None, :, None]
    columns = (lefts_B[:, None] + torch.arange(width))[:, None, None, :]
    images = torch.arange(count)[:, None, None, None]
    moved = wide[images, torch.arange(channels)[None, :, None, None], rows, columns]
    inverted_B = drawn(0, 1, count) < INVERTED
    moved = torch.where(inverted_B[:, None, None, None], 1 - moved, moved)
    coloured = moved * drawn(0.7, 1.1, count, channels, 1, 1) + drawn(-0.1, 0.2, count, channels, 1, 1)
    return coloured.contiguous(memory_format=torch.channels_last)


def train(images_N: Tensor, labels_N: Tensor, epochs: int) -> ConvNet:
    """The network after so many epochs of SGD with a rate that rises for a fifth of them and then falls to zero."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    net = ConvNet(len(CLASSES))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own stubs lack it
    steps = len(labels_N) // BATCH
    optimizer = torch.optim.SGD(net.parameters(), lr=PEAK_RATE, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=epochs * steps, pct_start=0.2)
    for epoch in range(epochs):
        began, total = time.perf_counter(), 0.0
        # What does not fill a batch is left out; another few images each time.
        order = torch.randperm(len(labels_N), generator=generator)[: steps * BATCH]
        for rows in torch.split(order, BATCH):
            loss = functional.cross_entropy(net(varied(as_pixels(images_N[rows]), generator)), labels_N[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / steps:.3f}, {time.perf_counter() - began:.0f} s", flush=True)
    net.eval()
    return net


@torch.inference_mode()
def accuracy(net: ConvNet, images_N: Tensor, labels_N: Tensor) -> float:
    """Share of images answered right; the network is in evaluation mode."""
    answers = torch.cat([net(as_pixels(batch)).argmax(dim=1) for batch in torch.split(images_N, 500)])
    return (answers == labels_N).double().mean().item()


def first_of_each(labels: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Rows of the first so many images of every class, in the order of the file."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the four files of Fashion-MNIST")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", type=Path, default=WEIGHTS.parent, help="folder for the two files")
    asked = parser.parse_args()
    torch.set_num_threads(1)  # sums of other lengths would end in other bits

    print(f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, one thread")
    test_images, test_labels = read_split(asked.data, "t10k")
    chosen = first_of_each(test_labels, SLICE_PER_CLASS)
    asked.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(asked.out / SLICE.name, x=test_images[chosen], y=test_labels[chosen])

    net = train(*as_tensors(*read_split(asked.data, "train")), asked.epochs)
    weights = {name: value.contiguous() for name, value in net.state_dict().items()}
    (asked.out / WEIGHTS.name).write_bytes(save(weights))
    images, labels = as_tensors(test_images, test_labels)
    print(f"accuracy on the {len(labels):,} test images: {accuracy(net, images, labels):.4f}")
    print(f"accuracy on the embedded {len(chosen):,}: {accuracy(net, images[chosen], labels[chosen]):.4f}")


if __name__ == "__main__":
    main()
