"""Tasks for the search benchmark: data as a user could have them, and where training starts.

Every task is written as ordinary files with given train, val and test splits. Test rows and pretrained
networks are the same for every seed; the seed draws which of the remaining rows train and which
validate. Run from this folder or with it on the path: the models are named `search_tasks:...`.

    python benchmarks/search_tasks.py --list
    python benchmarks/search_tasks.py --prepare trec /tmp/tasks --seed 1

Shape letters: N examples, B examples in a batch, F features, C classes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from frostline.data.examples import text_digest
from frostline.data.splits import deal
from frostline.demos import resnet, signs, spam

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
FIXED = 0
"""Seed of what is the same for every seed of a task."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SearchTask:
    """One task of the benchmark."""

    name: str
    prepare: Callable[[Path], dict[str, object]]
    """Writes data and weights below a cache folder; returns keyword arguments for `frostline.Study`.

    The same folder serves all tasks and seeds: pretrained weights are made there once.
    """


def search_tasks(seed: int = 0) -> tuple[SearchTask, ...]:
    """All tasks, with the training and validation rows that the seed draws."""
    made: dict[str, Callable[..., dict[str, object]]] = {
        "spam": _spam,
        "trec": _trec,
        "trec-1000": partial(_trec, train=1000, val=400),
        "signs-20": partial(_signs, train=400),
        "signs-56": partial(_signs, start="cifar-56", train=200),
        "signs-noise": partial(_signs, start="signs-20", change=noisy),
        "signs-noise-cifar": partial(_signs, change=noisy),
        "signs-blur": partial(_signs, start="signs-20", change=blurred),
        "signs-inversion": partial(_signs, start="signs-20", change=inverted),
        "signs-permuted": partial(_signs, start="signs-20", permuted=True),
        "nsl-kdd": _nsl_kdd,
        "mammography": _mammography,
    }
    return tuple(SearchTask(name, partial(make, name=f"{name}-seed{seed}", seed=seed)) for name, make in made.items())


# ---------------------------------------------------------------- rows and files


def dealt(labels: Sequence[str], sizes: Mapping[str, int], seed: int) -> dict[str, Rows]:
    """Sorted positions of about that many examples each, stratified, and what is left as "rest"."""
    numbers = np.unique(np.array(labels), return_inverse=True)[1].astype(np.int64)
    shares = {part: size / len(labels) for part, size in sizes.items()}
    shares["rest"] = 1 - sum(shares.values())
    return deal(numbers, shares, seed)  # type: ignore[arg-type,return-value]  # parts need not be splits


def train_and_val(labels: Sequence[str], pool: Rows, train: int, val: int, seed: int) -> dict[str, Rows]:
    """The rows of the pool that the seed makes train and val."""
    drawn = dealt([labels[row] for row in pool], {"train": train, "val": val}, seed)
    return {part: pool[drawn[part]] for part in ("train", "val")}


def write_tables(
    folder: Path, header: Sequence[str], rows: Sequence[Sequence[object]], parts: Mapping[str, Rows]
) -> Path:
    """One CSV file per part, named after it."""
    _cleared(folder)
    for part, chosen in parts.items():
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *(rows[row] for row in chosen)])
    return folder


def _cleared(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


# ---------------------------------------------------------------- texts


def _spam(folder: Path, *, name: str, seed: int) -> dict[str, object]:
    """Rare spam, 300 messages to train on, MiniLM."""
    lines = spam.ORIGINAL.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    rows = _without_copies(line.split("\t", 1) for line in lines)
    labels = [label for label, _ in rows]
    fixed = dealt(labels, {"test": 1000}, FIXED)
    parts = {**train_and_val(labels, fixed["rest"], 300, 500, seed), "test": fixed["test"]}
    data = write_tables(folder / name, ("label", "text"), rows, parts)
    return {"model": str(spam.minilm()), "data": str(data), "positive": "spam", "epochs": 3, "patience": 3}


def _trec(folder: Path, *, name: str, seed: int, train: int = 300, val: int = 500) -> dict[str, object]:
    """Six kinds of questions, the usual 500 to test on, MiniLM."""
    read = {part: _trec_rows(SHARED / "trec" / f"TREC.{part}.all") for part in ("train", "test")}
    known = {text_digest(text) for _, text in read["test"]}
    pool = [row for row in read["train"] if text_digest(row[1]) not in known]
    rows, labels = [*pool, *read["test"]], [label for label, _ in pool]
    parts = train_and_val(labels, np.arange(len(pool)), train, val, seed)
    parts["test"] = np.arange(len(pool), len(rows))
    data = write_tables(folder / name, ("label", "text"), rows, parts)
    return {"model": str(spam.minilm()), "data": str(data), "epochs": 3, "patience": 3}


def _trec_rows(path: Path) -> list[list[str]]:
    return _without_copies(line.split(" ", 1) for line in path.read_text(encoding="latin-1").splitlines())


def _without_copies(rows: Iterable[list[str]]) -> list[list[str]]:
    first: dict[bytes, list[str]] = {}
    for row in rows:
        first.setdefault(text_digest(row[1]), row)
    return list(first.values())


# ---------------------------------------------------------------- images


def noisy(photograph: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """Gaussian noise of standard deviation .3 on values from 0 to 1."""
    noise = np.random.default_rng(number).normal(0, 0.3 * 255, photograph.shape)
    return np.clip(photograph + noise, 0, 255).round().astype(np.uint8)


def blurred(photograph: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """Gaussian blur of standard deviation 1 pixel. At 2, no run got below the loss of its fitted head in 8 epochs."""
    return np.asarray(Image.fromarray(photograph).filter(ImageFilter.GaussianBlur(1)))


def inverted(photograph: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """Dark for light."""
    return 255 - photograph


def _same(photograph: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    return photograph


def _signs(
    folder: Path,
    *,
    name: str,
    seed: int,
    start: str = "cifar-20",
    train: int = 300,
    change: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]] = _same,
    permuted: bool = False,
) -> dict[str, object]:
    """Sign digits, all changed alike, from a network trained on CIFAR-10 or on other, clean sign digits.

    Source for changed inputs and permuted labels after clean ones: Lee et al. (2023), Surgical
    fine-tuning improves adaptation to distribution shifts, ICLR.
    """
    taken, digits = photographs()
    labels = [str(digit) for digit in digits]
    fixed = fixed_signs(labels)
    parts = {**train_and_val(labels, fixed["rest"], train, 350, seed), "test": fixed["test"]}
    _cleared(folder / name)
    for part, rows in parts.items():
        for row in rows:
            label = str(9 - digits[row]) if permuted else labels[row]
            of_class = folder / name / part / label
            of_class.mkdir(parents=True, exist_ok=True)
            Image.fromarray(change(taken[row], int(row))).save(of_class / f"{row:04d}.png")
    return {**_SIGN_STARTS[start](folder), "data": str(folder / name), "epochs": 8, "patience": 8}


def photographs() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(signs.ORIGINAL, allow_pickle=False) as arrays:
        return arrays["x"], arrays["y"].astype(np.int64)


def fixed_signs(labels: Sequence[str]) -> dict[str, Rows]:
    """500 photographs for pretraining on clean signs, 800 for testing, the rest for tasks."""
    return dealt(labels, {"pretrain": 500, "test": 800}, FIXED)


def _from_cifar_20(folder: Path) -> dict[str, object]:
    return {"model": "frostline.demos.resnet:resnet20"}


def _from_cifar_56(folder: Path) -> dict[str, object]:
    """The stored weights, with a fresh head: CIFAR-10 has ten classes too, which mean other things."""

    def make() -> nn.Module:
        stored = torch.load(SHARED / "cifar10_resnets" / "resnet56-4bfd9763.th", map_location="cpu", weights_only=True)[
            "state_dict"
        ]
        net = resnet56(10)
        head = {f"linear.{name}": value for name, value in net.get_submodule("linear").state_dict().items()}
        net.load_state_dict({**{name.removeprefix("module."): value for name, value in stored.items()}, **head})
        return net

    return {"model": "search_tasks:resnet56", "weights": _cached(folder, "resnet56-cifar10", make)}


def _from_signs_20(folder: Path) -> dict[str, object]:
    """ResNet-20, from CIFAR-10 fine-tuned on clean sign digits that no task holds; its head is kept."""

    def make() -> nn.Module:
        taken, digits = photographs()
        rows = fixed_signs([str(digit) for digit in digits])["pretrain"]
        pixels = torch.from_numpy(taken[rows]).permute(0, 3, 1, 2).float() / 255
        return fitted(resnet.resnet20(10), pixels, torch.from_numpy(digits[rows]), epochs=10, batch=32)

    return {"model": "search_tasks:resnet20", "weights": _cached(folder, "resnet20-signs", make)}


_SIGN_STARTS = {"cifar-20": _from_cifar_20, "cifar-56": _from_cifar_56, "signs-20": _from_signs_20}


# ---------------------------------------------------------------- tables


KDD_NAMES = (
    *("duration", "protocol_type", "service", "flag", "src_bytes", "dst_bytes", "land", "wrong_fragment", "urgent"),
    *("hot", "num_failed_logins", "logged_in", "num_compromised", "root_shell", "su_attempted", "num_root"),
    *("num_file_creations", "num_shells", "num_access_files", "num_outbound_cmds", "is_host_login"),
    *("is_guest_login", "count", "srv_count", "serror_rate", "srv_serror_rate", "rerror_rate", "srv_rerror_rate"),
    *("same_srv_rate", "diff_srv_rate", "srv_diff_host_rate", "dst_host_count", "dst_host_srv_count"),
    *("dst_host_same_srv_rate", "dst_host_diff_srv_rate", "dst_host_same_src_port_rate"),
    *("dst_host_srv_diff_host_rate", "dst_host_serror_rate", "dst_host_srv_serror_rate", "dst_host_rerror_rate"),
    "dst_host_srv_rerror_rate",
)
KDD_CATEGORIES = ("protocol_type", "service", "flag")
FREQUENT = ("neptune", "ipsweep", "satan", "portsweep", "smurf", "nmap", "back", "teardrop", "pod")
"""Floods and scans: the attacks that are old and well known."""
R2L = frozenset(
    (
        *("ftp_write", "guess_passwd", "httptunnel", "imap", "multihop", "named", "phf", "sendmail"),
        *("snmpgetattack", "snmpguess", "spy", "warezclient", "warezmaster", "worm", "xlock", "xsnoop"),
    )
)
"""Remote to local. Half of these names stand in the test file only."""
LONG = {"epochs": 15, "patience": 15}
"""Few steps an epoch, and losses that go up before they go down: patience must not end every run at its start."""
KDD_FEATURES = 118
MAMMOGRAPHY_FEATURES = 6


def _nsl_kdd(folder: Path, *, name: str, seed: int) -> dict[str, object]:
    """The rare attacks from outside against normal traffic, from an MLP that knows floods and scans.

    Pretraining: ten classes, normal and the nine frequent attacks of the train file, on normal rows that
    the task does not hold. About 1,860 normal and 140 R2L rows train; the test file judges.
    """
    files = {part: _kdd_rows(SHARED / "nsl_kdd" / f"KDD{part}+{more}.txt.gz") for part, more in KDD_FILES.items()}
    header, rows_NF = _one_hot([*files["Train"], *files["Test"]], files["Train"])
    attacks = np.array([row[len(KDD_NAMES)] for row in (*files["Train"], *files["Test"])])
    labels = np.where(attacks == "normal", "normal", np.where(np.isin(attacks, list(R2L)), "r2l", "other"))
    is_test = np.arange(len(attacks)) >= len(files["Train"])
    normal = dealt(["normal"] * int((labels[~is_test] == "normal").sum()), {"pretrain": 8000}, FIXED)
    normal = {part: np.flatnonzero((labels == "normal") & ~is_test)[rows] for part, rows in normal.items()}
    rare = np.flatnonzero((labels == "r2l") & ~is_test)
    # The split is stratified within each: two thirds of the rare rows train, one third validates.
    parts: dict[str, list[Rows]] = {part: [] for part in ("train", "val")}
    for pool, train, val in ((normal["rest"], 1860, 1200), (rare, 2 * len(rare) // 3, len(rare) // 3 - 1)):
        for part, rows in train_and_val(list(labels), pool, train, val, seed).items():
            parts[part].append(rows)
    chosen = {part: np.sort(np.concatenate(rows)) for part, rows in parts.items()}
    chosen["test"] = np.flatnonzero((labels != "other") & is_test)

    def make() -> nn.Module:
        frequent = np.flatnonzero(np.isin(attacks, FREQUENT) & ~is_test)
        rows = np.concatenate([normal["pretrain"], frequent])
        numbers = [("normal", *FREQUENT).index(attack) for attack in attacks[rows]]
        features = torch.from_numpy(rows_NF[rows])
        net = Mlp(KDD_FEATURES, 10, width=96).standardising(features)
        return fitted(net, features, torch.tensor(numbers), epochs=10, batch=128)

    data = write_tables(
        folder / name, (*header, "label"), [[*r, n] for r, n in zip(_plain(rows_NF), labels, strict=True)], chosen
    )
    weights = _cached(folder, "mlp-kdd-frequent", make)
    return {"model": "search_tasks:kdd_mlp", "weights": weights, "data": str(data), "positive": "r2l", **LONG}


KDD_FILES = {"Train": "_20Percent", "Test": ""}


def _kdd_rows(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.reader(file))


def _one_hot(rows: Sequence[Sequence[str]], known: Sequence[Sequence[str]]) -> tuple[list[str], NDArray[np.float32]]:
    """Numbers as they are; one column for each category of the known rows, so that a new one has zeros in all."""
    header: list[str] = []
    columns: list[list[float]] = []
    for at, name in enumerate(KDD_NAMES):
        if name in KDD_CATEGORIES:
            for value in sorted({row[at] for row in known}):
                header.append(f"{name}_{value}")
                columns.append([float(row[at] == value) for row in rows])
        else:
            header.append(name)
            columns.append([float(row[at]) for row in rows])
    return header, np.array(columns, dtype=np.float32).T.copy()


def _mammography(folder: Path, *, name: str, seed: int) -> dict[str, object]:
    """Rare calcifications (2 to 3 %), from an MLP that knows the columns but has seen no label.

    Pretraining is self-supervised: a row comes in with one of its columns replaced by the column's
    mean, and the network gives all standardised columns back. On rows that the task does not hold.
    """
    with (SHARED / "mammography" / "mammography.csv").open(encoding="utf-8") as file:
        read = list({tuple(row[:-1]): row for row in csv.reader(file)}.values())
    rows_NF = np.array([row[:-1] for row in read], dtype=np.float32)
    labels = ["calcification" if row[-1] == "'1'" else "none" for row in read]
    fixed = dealt(labels, {"pretrain": 2000, "test": 2500}, FIXED)
    parts = {**train_and_val(labels, fixed["rest"], 1500, 1500, seed), "test": fixed["test"]}

    def make() -> nn.Module:
        features = torch.from_numpy(rows_NF[fixed["pretrain"]])
        net = Mlp(MAMMOGRAPHY_FEATURES, MAMMOGRAPHY_FEATURES, width=64).standardising(features)
        repeated = features.repeat(MAMMOGRAPHY_FEATURES, 1)
        hidden = torch.arange(MAMMOGRAPHY_FEATURES).repeat_interleave(len(features))
        masked = repeated.clone()
        masked[torch.arange(len(masked)), hidden] = net.unscaled(torch.zeros_like(repeated))[
            torch.arange(len(masked)), hidden
        ]
        return fitted(net, masked, net.scaled(repeated), epochs=20, batch=128)

    header = [f"feature_{number}" for number in range(1, MAMMOGRAPHY_FEATURES + 1)]
    table = [[*row[:-1], label] for row, label in zip(read, labels, strict=True)]
    data = write_tables(folder / name, (*header, "label"), table, parts)
    weights = _cached(folder, "mlp-mammography-columns", make)
    return {
        "model": "search_tasks:mammography_mlp",
        "weights": weights,
        "data": str(data),
        "positive": "calcification",
        **LONG,
    }


def _plain(rows_NF: NDArray[np.float32]) -> list[list[str]]:
    return [[f"{value:.9g}" for value in row] for row in rows_NF]


# ---------------------------------------------------------------- networks


class ResNet56(resnet.ResNet20):
    """ResNet-20 with nine residual blocks a stage."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        for stage, (before, channels) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            first = resnet.Residual(before, channels, stride=1 if stage == 1 else 2)
            others = (resnet.Residual(channels, channels, 1) for _ in range(8))
            setattr(self, f"layer{stage}", nn.Sequential(first, *others))


class Mlp(nn.Module):
    """Six blocks and a head. Logarithm and standardisation are part of it: it takes the numbers of the file."""

    mean: Tensor
    std: Tensor

    def __init__(self, num_features: int, num_outputs: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))
        widths = [num_features] + [width] * 6
        self.blocks = nn.Sequential(
            *(nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.ReLU()) for a, b in pairwise(widths))
        )
        self.head = nn.Linear(width, num_outputs)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Outputs (B, C) for plain numbers."""
        outputs_BC: Tensor = self.head(self.blocks(self.scaled(features_BF)))
        return outputs_BC

    def scaled(self, features_BF: Tensor) -> Tensor:
        """What the first block sees. The logarithm (of the size, sign kept) tames counts of bytes."""
        return (features_BF.sign() * features_BF.abs().log1p() - self.mean) / self.std

    def unscaled(self, scaled_BF: Tensor) -> Tensor:
        """The numbers that `scaled` would make these of."""
        logarithms_BF = scaled_BF * self.std + self.mean
        return logarithms_BF.sign() * logarithms_BF.abs().expm1()

    def standardising(self, features_NF: Tensor) -> Mlp:
        """Itself, with mean and spread of these rows; a constant column is only shifted."""
        logarithms_NF = features_NF.sign() * features_NF.abs().log1p()
        self.mean.copy_(logarithms_NF.mean(dim=0))
        spread_F = logarithms_NF.std(dim=0)
        self.std.copy_(torch.where(spread_F > 1e-6, spread_F, torch.ones_like(spread_F)))
        return self


def resnet20(num_classes: int) -> nn.Module:
    """Goes with weights from a prepared folder."""
    return resnet.ResNet20(num_classes)


def resnet56(num_classes: int) -> nn.Module:
    """Goes with weights from a prepared folder."""
    return ResNet56(num_classes)


def kdd_mlp(num_classes: int) -> nn.Module:
    """Goes with weights from a prepared folder."""
    return Mlp(KDD_FEATURES, num_classes, width=96)


def mammography_mlp(num_classes: int) -> nn.Module:
    """Goes with weights from a prepared folder."""
    return Mlp(MAMMOGRAPHY_FEATURES, num_classes, width=64)


def fitted(net: nn.Module, inputs_N: Tensor, targets_N: Tensor, *, epochs: int, batch: int) -> nn.Module:
    """The network after plain training with AdamW, in evaluation mode. Whole targets are classes, others values."""
    loss = functional.mse_loss if targets_N.is_floating_point() else functional.cross_entropy
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(FIXED)
    net.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs_N), generator=generator).split(batch):
            optimizer.zero_grad()
            loss(net(inputs_N[rows]), targets_N[rows]).backward()
            optimizer.step()
    return net.eval()


def _cached(folder: Path, name: str, make: Callable[[], nn.Module]) -> str:
    """Path of the network's weights below the folder; made, from fixed random numbers, when they are not there."""
    path = folder / "pretrained" / f"{name}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(FIXED)
            save_file(make().state_dict(), path)
    load_file(path)  # a broken file is found here, not after the data were read
    return str(path)


def main() -> None:
    """List the tasks, or prepare one and print what `frostline.Study` is to be given."""
    parser = argparse.ArgumentParser(description="Tasks for the search benchmark.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="names of the tasks")
    what.add_argument("--prepare", nargs=2, metavar=("NAME", "FOLDER"), help="write a task's data and weights")
    parser.add_argument("--seed", type=int, default=0, help="draws the training and validation rows")
    asked = parser.parse_args()
    tasks = {task.name: task for task in search_tasks(asked.seed)}
    if asked.list:
        print("\n".join(tasks))
        return
    if not SHARED.is_dir():
        print(f"{SHARED} is not there, and the tasks are made from it. Nothing was prepared.")
        return
    name, folder = asked.prepare
    if name not in tasks:
        parser.error(f"there is no task {name!r}; --list names them")
    for key, value in tasks[name].prepare(Path(folder)).items():
        print(f"{key} = {value}")


if __name__ == "__main__":
    main()
