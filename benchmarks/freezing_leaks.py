"""What still moves in a "frozen" block: plain PyTorch, skorch, Lightning and finetuning-scheduler beside frostline.

The same small block (convolution, batch norm, dropout), with statistics learned on one distribution, is frozen
with each tool's own call and trained by that tool's own loop on shifted data. Then three things are measured in
the modes in which the block ran: how far its statistics drifted, how far one example's output moves with its
batch-mates, and how far it moves between two calls. A second table shows what moves a frozen weight late in training.
Tools that are not installed are said and left out: pip install 'frostline[leaks]'.

    python benchmarks/freezing_leaks.py
"""

from __future__ import annotations

import logging
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from frostline.plan.apply import freeze
from frostline.plan.groups import sync_optimizer
from frostline.plan.prove import prove_frozen
from frostline.plan.rows import freeze_rows

STEPS = 20
BATCH = 16
TOOLS = ("torch", "skorch", "lightning", "finetuning-scheduler", "frostline")


class Net(nn.Module):
    """A block to freeze and a head to train."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, 2)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        logits_BC: Tensor = self.head(self.block(x_B3HW).mean(dim=(2, 3)))
        return logits_BC


def shifted() -> tuple[Tensor, Tensor]:
    """Images with another mean and spread than the block's statistics know, and labels."""
    generator = torch.Generator().manual_seed(1)
    return 3 + 2 * torch.randn(STEPS * BATCH, 3, 8, 8, generator=generator), torch.arange(STEPS * BATCH) % 2


def pretrained() -> Net:
    """The net after some steps on standard normal images, so that its statistics are those of such images."""
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        for _ in range(50):
            net(torch.randn(BATCH, 3, 8, 8))
    return net


# ---------------------------------------------------------------- each tool's freeze, in the tool's own loop


def own_loop(net: Net) -> None:
    net.train()
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-2)
    images, labels = shifted()
    for x_B3HW, y_B in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x_B3HW), y_B).backward()
        optimizer.step()


def plain(net: Net) -> None:
    net.block.requires_grad_(False)
    own_loop(net)


def skorch_freezer(net: Net) -> None:
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Freezer

    images, labels = shifted()
    NeuralNetClassifier(
        net,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=1e-2,
        batch_size=BATCH,
        max_epochs=1,
        train_split=None,
        callbacks=[Freezer("block*")],
        verbose=0,
    ).fit(images.numpy(), labels.numpy())


def lightning_freeze(**options: bool) -> Callable[[Net], None]:
    def train(net: Net) -> None:
        from lightning.pytorch.callbacks import BaseFinetuning

        class FreezeBlock(BaseFinetuning):
            def freeze_before_training(self, pl_module: Any) -> None:
                self.freeze(pl_module.net.block, **options)

            def finetune_function(self, pl_module: Any, epoch: int, optimizer: torch.optim.Optimizer) -> None:
                """Nothing is unfrozen later."""

        lightning_fit(net, FreezeBlock())

    return train


def scheduler_default(net: Net) -> None:
    from finetuning_scheduler import FinetuningScheduler

    # Depth 0 of the schedule it makes: the head trains and everything else waits frozen.
    lightning_fit(net, FinetuningScheduler(max_depth=0), validate=True)


def lightning_fit(net: Net, callback: Any, *, validate: bool = False) -> None:
    import lightning

    class Task(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: Any, number: int) -> Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch: Any, number: int) -> None:
            self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=1e-2)

    loader = DataLoader(TensorDataset(*shifted()), batch_size=BATCH)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            default_root_dir=folder,
            callbacks=[callback],
            logger=False,
            enable_checkpointing=validate,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Task(), loader, loader if validate else None)


def ours(net: Net) -> None:
    freeze(net, "block")
    own_loop(net)


ROWS: dict[str, tuple[str, Callable[[Net], None]]] = {
    "plain requires_grad_(False)": ("torch", plain),
    "skorch Freezer (freeze_parameter)": ("skorch", skorch_freezer),
    "Lightning BaseFinetuning.freeze()": ("lightning", lightning_freeze()),
    "Lightning freeze(train_bn=False)": ("lightning", lightning_freeze(train_bn=False)),
    "finetuning-scheduler, default": ("finetuning-scheduler", scheduler_default),
    "frostline.freeze": ("frostline", ours),
}
"""Distribution that a row needs, and the training."""


# ---------------------------------------------------------------- what leaked


def measure(train: Callable[[Net], None]) -> str:
    """Train under the proof and put what moved into one line of the table."""
    net = pretrained()
    before = deepcopy(net.block)
    modes: list[bool] = []

    def note(block: nn.Module, args: Any, output: Any) -> None:
        if torch.is_grad_enabled():
            modes[:] = [part.training for part in block.modules()]

    handle = net.block.register_forward_hook(note)
    with prove_frozen(net, expect="block", report=True) as proof:
        train(net)
    handle.remove()
    with torch.no_grad():
        drift = largest(net.block[1].running_mean - before[1].running_mean)
        affine = largest(net.block[1].weight - before[1].weight)
        numbers = [drift, affine, *output_gaps(net.block, modes)]
    cells = " ".join(f"{'no' if number < 1e-5 else f'{number:.2f}':>9}" for number in numbers)
    return f"{cells} {len(proof.leaks):>9}"


def output_gaps(block: nn.Sequential, modes: list[bool]) -> Iterator[float]:
    """How far an example's output moves: with its batch-mates, against evaluation mode, between two calls."""
    images, _ = shifted()

    def output(images: Tensor, *, dropout: bool, evaluating: bool = False) -> Tensor:
        copy = deepcopy(block)
        for part, training in zip(copy.modules(), modes, strict=True):
            part.training = training and not evaluating and (dropout or not isinstance(part, nn.Dropout))
        result: Tensor = copy(images)[0]
        return result

    one, other = images[:BATCH], torch.cat([images[:1], images[BATCH : 2 * BATCH - 1] / 3])
    yield largest(output(one, dropout=False) - output(other, dropout=False))
    yield largest(output(one, dropout=False) - output(one, dropout=False, evaluating=True))
    yield largest(output(one, dropout=True) - output(one, dropout=True))


def largest(difference: Tensor) -> float:
    return float(difference.abs().max())


# ---------------------------------------------------------------- what moves a frozen weight late in training


def late_freeze(freezing: Callable[[nn.Module], Any], *, set_to_none: bool, between: bool = False) -> float:
    """How far the weight of a layer moves that is frozen after ten steps of AdamW; ten more steps follow."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=0.1)
    frozen_at = net[0].weight.detach().clone()
    for step in range(20):
        optimizer.zero_grad(set_to_none=set_to_none)
        if step == 10 and not between:
            frozen_at = net[0].weight.detach().clone()
            freezing(net)
        net(torch.randn(8, 4)).square().mean().backward()
        if step == 10 and between:
            frozen_at = net[0].weight.detach().clone()
            freezing(net)
        optimizer.step()
    return largest(net[0].weight.detach() - frozen_at)


def row_freeze(freezing: Callable[[nn.Embedding], Any]) -> float:
    """How far "frozen" rows of an embedding move in 50 steps of AdamW with decay."""
    torch.manual_seed(0)
    embedding = nn.Embedding(6, 4)
    before = embedding.weight.detach().clone()
    freezing(embedding)
    optimizer = torch.optim.AdamW(embedding.parameters(), lr=1e-2, weight_decay=0.2)
    for _ in range(50):
        optimizer.zero_grad()
        embedding(torch.arange(6)).square().sum().backward()
        optimizer.step()
    return largest((embedding.weight.detach() - before)[:3])


def mask_rows(embedding: nn.Embedding) -> None:
    def mask(gradient: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(gradient[:3]), gradient[3:]])

    embedding.weight.register_hook(mask)


def forgotten(unfreeze: Callable[[nn.Module, torch.optim.Optimizer], Any]) -> str:
    """Parameters that require gradients after an unfreeze and are in no group of the optimizer."""
    net = nn.ModuleDict(
        {
            "block": nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)),
            "head": nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 2)),
        }
    )
    net["block"].requires_grad_(False)
    optimizer = torch.optim.AdamW(net["head"].parameters())
    unfreeze(net, optimizer)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return ", ".join(name for name, p in net.named_parameters() if p.requires_grad and id(p) not in held) or "none"


def lightning_unfreeze(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    from lightning.pytorch.callbacks import BaseFinetuning

    BaseFinetuning.unfreeze_and_add_param_group(net["block"], optimizer)


def our_unfreeze(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    net["block"].requires_grad_(True)
    sync_optimizer(optimizer, net)


def attribute(net: nn.Module) -> int:
    """Parameters that still train after `module.requires_grad = False`."""
    net.requires_grad = False
    return sum(p.requires_grad for p in net.parameters())


# ---------------------------------------------------------------- tables


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def print_leaks(versions: dict[str, str | None]) -> None:
    print(
        f"{'after 20 steps on shifted data':<35} {'BN stats':>9} {'BN affine':>9} {'batch':>9} {'eval':>9} {'two':>9}"
    )
    print(f"{'':<35} {'drift':>9} {'moves':>9} {'gap':>9} {'gap':>9} {'calls':>9} {'findings':>9}")
    for name, (tool, train) in ROWS.items():
        print(f"{name:<35} {measure(train) if versions[tool] else 'not installed'}")


def print_late(versions: dict[str, str | None]) -> None:
    def stop(net: nn.Module) -> None:
        net[0].requires_grad_(False)

    def hold(net: nn.Module) -> None:
        freeze(net, "0")

    print(f"\n{'largest move of a weight after it was frozen':<55} {'plain':>8} {'frostline':>10}")
    for name, options in {
        "AdamW, late, zero_grad(set_to_none=False)": {"set_to_none": False},
        "AdamW, late, zero_grad(set_to_none=True)": {"set_to_none": True},
        "AdamW, between backward() and step()": {"set_to_none": True, "between": True},
    }.items():
        print(f"{name:<55} {late_freeze(stop, **options):>8.3f} {late_freeze(hold, **options):>10.3f}")
    rows = row_freeze(mask_rows), row_freeze(lambda embedding: freeze_rows(embedding, slice(3)))
    print(f"{'rows of an embedding: gradient hook, freeze_rows':<55} {rows[0]:>8.3f} {rows[1]:>10.3f}")
    print("\nunfrozen, but in no group of the optimizer:")
    if versions["lightning"]:
        print(f"  Lightning unfreeze_and_add_param_group: {forgotten(lightning_unfreeze)}")
    print(f"  frostline.sync_optimizer: {forgotten(our_unfreeze)}")
    print(f"\nparameters that train after `module.requires_grad = False`: {attribute(Net())} of 6")


def main() -> None:
    """Measure and print both tables."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    versions = {name: installed(name) for name in TOOLS}
    told = ", ".join(f"{name} {number or 'not installed'}" for name, number in versions.items())
    print(f"Python {platform.python_version()}, {told}\n")
    print_leaks(versions)
    print_late(versions)


if __name__ == "__main__":
    main()
