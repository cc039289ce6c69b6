"""What one of two processes does in the distributed tests: run as a script, prints one JSON document.

    python process.py RANK FOLDER

The processes meet through files in the folder and talk over the loopback interface.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from frostline.core.errors import ModelError, PlanError
from frostline.plan.apply import freeze
from frostline.plan.delta import save_delta
from frostline.plan.proof import Seal

PROCESSES = 2
PATIENCE = timedelta(seconds=60)


def network() -> nn.Sequential:
    """The same in both processes: a body with batch norm and dropout, a layer, a head."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
    return nn.Sequential(body, nn.Linear(8, 8), nn.Linear(8, 2))


def train(net: nn.Module, rank: int, steps: int = 3) -> torch.optim.Optimizer:
    """Each process on data of its own."""
    generator = torch.Generator().manual_seed(100 + rank)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=0.05, weight_decay=0.1)
    for _ in range(steps):
        net.train()
        x, y = torch.randn(8, 6, generator=generator) + 3, torch.randint(2, (8,), generator=generator)
        functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


def same_everywhere(tensor: Tensor) -> bool:
    others = [torch.empty_like(tensor) for _ in range(PROCESSES)]
    dist.all_gather(others, tensor.detach().contiguous())
    return all(torch.equal(tensor, other) for other in others)


def ddp_frozen_before(rank: int) -> dict[str, object]:
    net = freeze(network(), "0")
    seal, before = Seal.of(net), net[1].weight.detach().clone()  # type: ignore[union-attr]
    optimizer = train(DistributedDataParallel(net), rank)
    return {
        "proof": seal.compare(net, optimizer).holds,
        "moved": not torch.equal(net.get_parameter("1.weight"), before),
        "same": all(same_everywhere(tensor.float()) for tensor in net.state_dict().values()),
    }


def ddp_frozen_after(rank: int) -> dict[str, object]:
    """What torch does when the wrapped module is frozen behind the wrapper's back, and what `freeze` says."""
    wrapped = DistributedDataParallel(network())
    told = ""
    try:
        freeze(wrapped, "0")
    except PlanError as error:
        told = str(error)
    freeze(wrapped.module, "0")
    try:
        train(wrapped, rank)
    except RuntimeError as error:
        return {"told": told, "torch": str(error)}
    return {"told": told, "torch": ""}


def fsdp_frozen_before(rank: int) -> dict[str, object]:
    return _sharded(rank, lambda net: shard(freeze(net, "0")))


def fsdp_frozen_after(rank: int) -> dict[str, object]:
    return _sharded(rank, lambda net: freeze(shard(net), "0"))


def _sharded(rank: int, prepare: Callable[[nn.Sequential], nn.Module]) -> dict[str, object]:
    net = prepare(network())
    before = {name: local(tensor).clone() for name, tensor in net.state_dict().items()}
    train(net, rank)
    moved = [name for name, tensor in net.state_dict().items() if not torch.equal(local(tensor), before[name])]
    net.train()
    x = torch.ones(4, 6)
    return {"moved": sorted(moved), "inert": torch.equal(net(x).detach(), net(x).detach())}


def shard(net: nn.Module) -> nn.Module:
    for part in (*net.children(), net):
        fully_shard(part)
    return net


def local(tensor: Tensor) -> Tensor:
    part: Tensor = tensor.detach().to_local() if isinstance(tensor, DTensor) else tensor.detach()
    return part


def sharded_delta(rank: int) -> dict[str, object]:
    try:
        save_delta(shard(freeze(network(), "0")), "sharded.safetensors")
    except ModelError as error:
        return {"told": str(error)}
    return {"told": ""}


JOBS = (ddp_frozen_before, fsdp_frozen_before, fsdp_frozen_after, sharded_delta, ddp_frozen_after)


def main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    found = {}
    for job in JOBS:
        meeting = f"file://{folder}/{job.__name__}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES, timeout=PATIENCE)
        try:
            found[job.__name__] = job(rank)
        finally:
            dist.destroy_process_group()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
