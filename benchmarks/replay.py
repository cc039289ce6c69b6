"""A training step with its frozen part replayed, beside the ordinary one and the FLOPs bound.

For each network and freeze depth one process trains the same batches both ways in turn: same seeds, same steps, so that
the losses must be equal to the last bit. A step is forward pass, backward pass and AdamW. Printed are the ratio of
step times, the ratio of measured FLOPs (the bound: no step can be faster than its FLOPs), how much of that bound is
reached, what reading the store takes of a step, and what capturing costs on top of a forward pass.

    python benchmarks/replay.py [--quick]
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from frostline.capture.batches import Batch
from frostline.capture.capturing import capture
from frostline.capture.replay import Replay
from frostline.demos.resnet import resnet20
from frostline.demos.spam import minilm
from frostline.models.sources import load_model
from frostline.plan.apply import evaluating, freeze, unfreeze
from frostline.plan.blocks import blocks
from frostline.plan.flops import flop_counter
from frostline.plan.freeze_plan import FreezePlan

BATCH = 32
BATCHES = 3
ROUNDS = 2 if "--quick" in sys.argv else 5


@dataclass(frozen=True)
class Case:
    """A network, batches it takes, and its answer's logits."""

    name: str
    net: nn.Module
    batches: tuple[dict[str, Tensor], ...]
    depths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    """Shares of the blocks before the head that are frozen."""


def cases() -> Iterator[Case]:
    torch.manual_seed(0)
    yield Case("MiniLM, 32 tokens", load_model(str(minilm()), kind="text", classes=2).module, texts(32))
    yield Case("MiniLM, 128 tokens", load_model(str(minilm()), kind="text", classes=2).module, texts(128))
    yield Case("ResNet-20, 32 px", ByName(resnet20(num_classes=10)), images(32))
    sizes = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3, "intermediate_size": 768}
    vit = transformers.ViTConfig(**sizes, image_size=64, patch_size=8, num_labels=10)
    yield Case("ViT, 65 tokens", transformers.ViTForImageClassification(vit), images(64))


class ByName(nn.Module):
    """A network that takes its images by the name that transformers gives them."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixel_values: Tensor) -> Tensor:
        logits_BC: Tensor = self.net(pixel_values)
        return logits_BC


def texts(tokens: int) -> tuple[dict[str, Tensor], ...]:
    made = []
    for _ in range(BATCHES):
        mask_BT = (torch.arange(tokens) < torch.randint(tokens // 2, tokens, (BATCH, 1))).long()
        made.append({"input_ids": torch.randint(1000, 20_000, (BATCH, tokens)) * mask_BT, "attention_mask": mask_BT})
    return tuple(made)


def images(edge: int) -> tuple[dict[str, Tensor], ...]:
    return tuple({"pixel_values": torch.randn(BATCH, 3, edge, edge)} for _ in range(BATCHES))


# ---------------------------------------------------------------- one case, one depth


@dataclass(frozen=True)
class Measured:
    """Seconds are medians over all steps of all rounds."""

    ordinary_s: float
    replayed_s: float
    read_s: float
    ordinary_flops: int
    replayed_flops: int
    forward_s: float
    capture_s: float
    equal: bool
    note: str


def measure(case: Case, depth: int) -> Measured:
    net, names = case.net, tuple(block.name for block in blocks(case.net, case.batches[0]))
    unfreeze(net)
    freeze(net, FreezePlan(blocks=names, frozen=frozenset(names[:depth])))
    start = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    replay = Replay(net)
    ids = [[f"{number} {row}" for row in range(BATCH)] for number in range(BATCHES)]
    ways = {"ordinary": lambda n: net(**case.batches[n]), "replayed": lambda n: _replayed(replay, net, case, ids, n)}
    net.train()
    for number in range(BATCHES):  # examined, captured, verified
        ways["replayed"](number)
    flops = {name: _flops(net, forward) for name, forward in ways.items()}
    times: dict[str, list[float]] = {"ordinary": [], "replayed": [], "forward": [], "capture": []}
    losses: dict[str, list[float]] = {"ordinary": [], "replayed": []}
    replay.read_s = 0.0
    for _ in range(ROUNDS):
        for name, forward in ways.items():
            net.load_state_dict(start)
            one_round(net, forward, times[name], losses[name])
        for number in range(BATCHES):
            _time_capture(net, replay, case.batches[number], times)
    steps = ROUNDS * BATCHES
    return Measured(
        ordinary_s=statistics.median(times["ordinary"]),
        replayed_s=statistics.median(times["replayed"]),
        read_s=replay.read_s / steps,
        ordinary_flops=flops["ordinary"],
        replayed_flops=flops["replayed"],
        forward_s=statistics.median(times["forward"]),
        capture_s=statistics.median(times["capture"]),
        equal=losses["ordinary"] == losses["replayed"],
        note=replay.refused,
    )


def one_round(net: nn.Module, forward: Callable[[int], Any], times: list[float], losses: list[float]) -> None:
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-4)
    for number in range(BATCHES):
        began = time.perf_counter()
        loss = loss_of(forward(number))
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - began)
        losses.append(float(loss.detach()))


def loss_of(output: Any) -> Tensor:
    logits_BC = output if isinstance(output, Tensor) else output.logits
    return functional.cross_entropy(logits_BC, torch.arange(len(logits_BC)) % 2)


def _replayed(replay: Replay, net: nn.Module, case: Case, ids: list[list[str]], number: int) -> Any:
    with replay(ids[number]):
        return net(**case.batches[number])


def _flops(net: nn.Module, forward: Callable[[int], Any]) -> int:
    with flop_counter() as counter:
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        torch.autograd.grad(loss_of(forward(0)), trained, allow_unused=True)
    return int(counter.get_total_flops())


def _time_capture(net: nn.Module, replay: Replay, batch: dict[str, Tensor], times: dict[str, list[float]]) -> None:
    """A forward pass in evaluation mode, and the same one with everything captured on the way."""
    call = Batch((), batch, BATCH)
    plans = replay.plans_like(call)[:1]
    with evaluating(net), torch.no_grad():
        began = time.perf_counter()
        net(**batch)
        times["forward"].append(time.perf_counter() - began)
    began = time.perf_counter()
    capture(net, net.forward, call, plans, whole=True)
    times["capture"].append(time.perf_counter() - began)


def main() -> None:
    transformers.logging.set_verbosity_error()
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    print(f"{versions}, {torch.get_num_threads()} threads, batches of {BATCH}, {ROUNDS} rounds\n")
    print("| network | frozen | ordinary / replayed, seconds | FLOPs (bound) | of the bound | read | capture | equal |")
    print("|---|---|---|---|---|---|---|---|")
    for case in cases():
        count = len(blocks(case.net, case.batches[0]))
        for depth in sorted({max(1, round(share * (count - 1))) for share in case.depths}):
            m = measure(case, depth)
            speed, bound = m.ordinary_s / m.replayed_s, m.ordinary_flops / m.replayed_flops
            print(
                f"| {case.name} | {depth} of {count} | {speed:.2f} | {bound:.2f} | {speed / bound:.0%} "
                f"| {m.read_s / m.replayed_s:.1%} | {m.capture_s / m.forward_s - 1:+.1%} "
                f"| {'yes' if m.equal else 'NO'}{' ' + m.note if m.note else ''} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
