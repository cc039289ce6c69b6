"""Linear heads trained as one product, beside the same heads trained one after the other.

Three ways to the same heads, on the same synthetic features and in the same batches: `train_heads` with all of them;
an ordinary PyTorch loop for each (autograd, fused AdamW, clip_grad_norm_); and `train_heads` with one head at a time,
which tells what the product of many saves from what doing without autograd saves. The three take turns, several
rounds, so that a busy machine slows all of them alike. Fusing saves no FLOPs: the bound is the time that the products
alone would take at the speed of a large one. The loss gap is the largest relative difference between a stop loss of
the first way and of the second. Seeds: 0 for data and order, from 0 upwards for heads.

    python benchmarks/heads.py
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from itertools import product
from math import isfinite
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from frostline.core.seeding import derive
from frostline.train.heads import batch_order, train_heads
from frostline.train.optim import set_rate

# Shape letters: N examples, F features, C classes.

TRAIN, STOP, FEATURES = 2000, 500, 384
EPOCHS, BATCH, ROUNDS = 3, 32, 5
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-4, 3e-4, 1e-1, 3e-1)
GRIDS = ((1, 1), (4, 1), (4, 4), (8, 8))
"""Learning rates by seeds: 1, 4, 16 and 64 heads."""

Splits = tuple[Tensor, Tensor, Tensor, Tensor]
Names = list[tuple[float, int]]
Losses = list[list[float | None]]


def data(classes: int) -> Splits:
    """Classes around random centres, much overlapping."""
    generator = torch.Generator().manual_seed(0)
    labels_N = torch.randint(classes, (TRAIN + STOP,), generator=generator)
    centres_CF = 0.1 * torch.randn(classes, FEATURES, generator=generator)
    features_NF = centres_CF[labels_N] + torch.randn(TRAIN + STOP, FEATURES, generator=generator)
    return features_NF[:TRAIN], labels_N[:TRAIN], features_NF[TRAIN:], labels_N[TRAIN:]


# ---------------------------------------------------------------- three ways to the same heads


def fused(splits: Splits, classes: int, rates: tuple[float, ...], seeds: range) -> Losses:
    """All heads at once."""
    heads = train_heads(*splits, classes=classes, learning_rates=rates, seeds=seeds, epochs=EPOCHS, batch_size=BATCH)
    return [list(head.stop_losses) for head in heads]


def one_at_a_time(splits: Splits, classes: int, rates: tuple[float, ...], seeds: range) -> Losses:
    """The same code without the product of many."""
    pairs = product(rates, seeds)
    return [fused(splits, classes, (rate,), range(seed, seed + 1))[0] for rate, seed in pairs]


def separate(splits: Splits, classes: int, rates: tuple[float, ...], seeds: range) -> Losses:
    """An ordinary loop for each."""
    return [alone(splits, classes, rate, seed) for rate, seed in product(rates, seeds)]


def alone(splits: Splits, classes: int, rate: float, seed: int) -> list[float | None]:
    train_NF, labels_N, stop_NF, stop_labels_N = splits
    torch.manual_seed(derive(seed, "head"))
    head = nn.Linear(FEATURES, classes)
    groups = [{"params": [head.weight], "weight_decay": 0.01}, {"params": [head.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([{**group, "peak": rate} for group in groups], lr=rate, fused=True)
    losses, lowest, kept = [stop_loss(head, stop_NF, stop_labels_N)], float("inf"), head.state_dict()
    for epoch in range(1, EPOCHS + 1):
        batches = batch_order(TRAIN, BATCH, 0, epoch)
        for position, rows in enumerate(batches):
            set_rate(optimizer, (epoch - 1) * len(batches) + position, EPOCHS * len(batches), 0.1)
            rows_B = torch.from_numpy(rows)
            loss = functional.cross_entropy(head(train_NF[rows_B]), labels_N[rows_B])
            torch.autograd.backward(loss)
            clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            assert isfinite(float(loss.detach()))
        losses.append(stop_loss(head, stop_NF, stop_labels_N))
        if losses[-1] < lowest:
            lowest, kept = losses[-1], {name: tensor.clone() for name, tensor in head.state_dict().items()}
    assert kept
    return list(losses)


@torch.no_grad()
def stop_loss(head: nn.Linear, stop_NF: Tensor, labels_N: Tensor) -> float:
    return float(functional.cross_entropy(head(stop_NF), labels_N))


# ---------------------------------------------------------------- the bound, and the table


def flops(classes: int, heads: int) -> int:
    """Of the products: forward and weight gradient for every training example, forward for every stop example."""
    weights = FEATURES * classes * heads
    return EPOCHS * TRAIN * 4 * weights + (EPOCHS + 1) * STOP * 2 * weights


def fastest_flops_per_s() -> float:
    """What this machine reaches in a large product, the best of several."""
    square = torch.randn(1024, 1024)
    return 2 * 1024**3 / min(seconds(lambda: square @ square) for _ in range(100))


def seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def line(classes: int, rates: int, seeds: int, speed: float) -> str:
    """One row of the table."""
    given = data(classes), classes, RATES[:rates], range(seeds)
    ways = fused, separate, one_at_a_time
    losses = [way(*given) for way in ways]  # the first run of each is not timed
    taken = [[seconds(partial(way, *given)) for way in ways] for _ in range(ROUNDS)]
    middle = [median(times) for times in zip(*taken, strict=True)]
    ratios = [separate_s / fused_s for fused_s, separate_s, _ in taken]
    each = median(each_s / fused_s for fused_s, _, each_s in taken)
    bound_s = flops(classes, rates * seeds) / speed
    times = " ".join(f"{time_s:>10.3f}" for time_s in middle)
    return (
        f"{classes:>7} {rates * seeds:>5} {times} {median(ratios):>9.1f} "
        f"{f'({min(ratios):.1f}-{max(ratios):.1f})':>11} {each:>6.1f} {bound_s:>9.4f} {bound_s / middle[0]:>6.1%} "
        f"{bound_s / middle[1]:>7.1%} {largest_gap(losses[0], losses[1]):>9.0e}"
    )


def largest_gap(found: Losses, wanted: Losses) -> float:
    """Largest relative difference of a stop loss; infinite where a loss is not finite."""
    pairs = [pair for one, other in zip(found, wanted, strict=True) for pair in zip(one, other, strict=True)]
    return max(abs(a - b) / b if a is not None and b is not None else float("inf") for a, b in pairs)


def main() -> None:
    """Measure and print a table."""
    # With two threads on a machine that others use, times of the same call swing several-fold.
    torch.set_num_threads(1)
    speed = fastest_flops_per_s()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, 1 thread; {ROUNDS} rounds")
    print(f"{TRAIN} train and {STOP} stop examples, {FEATURES} features, batches of {BATCH}, {EPOCHS} epochs")
    print(f"A product of 1024 x 1024 matrices reaches {speed / 1e9:.0f} GFLOP/s.\n")
    print(f"{'':>13} {'seconds, median of rounds':^32} {'fused is faster than':^28} {'products':>9} {'of bound':>11}")
    print(
        f"{'classes':>7} {'heads':>5} {'fused':>10} {'separate':>10} {'one each':>10} {'separate':>9} {'(range)':>11} "
        f"{'each':>6} {'bound_s':>9} {'fused':>6} {'sep.':>7} {'loss gap':>9}"
    )
    for classes, (rates, seeds) in product((2, 6), GRIDS):
        print(line(classes, rates, seeds, speed), flush=True)


if __name__ == "__main__":
    main()
