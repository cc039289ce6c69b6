"""A sweep over freeze depths: every depth trained the ordinary way, replayed, and fanned out; beside the lower bound.

Each network is trained at seven depths for three epochs in one process, three times over: every step computed in full;
frozen outputs captured in one pass for all depths, stored and replayed; and, as random augmentation needs it, one
pass over each batch whose outputs are fanned out to all depths. Losses must be equal to the last bit. Printed are
measured FLOPs over the lower bound W_min (`frostline.train.cost`), and seconds, everything included but checkpoints.

    python benchmarks/sweep.py [--quick]
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from frostline.core.ledger import Ledger
from frostline.core.progress import Silent
from frostline.core.records import Block, Epoch, Run
from frostline.demos.resnet import resnet20
from frostline.demos.spam import minilm
from frostline.models.sources import load_model
from frostline.models.task_model import Batch, TaskModel, last_linear
from frostline.plan.apply import evaluating, freeze
from frostline.plan.blocks import blocks
from frostline.plan.flops import flop_counter
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.activations import Activations
from frostline.train.cost import sweep_bound_flops
from frostline.train.inputs import Rows, plain_batches
from frostline.train.loop import train_together
from frostline.train.recipe import Keeping, Recipe
from frostline.train.trainer import Material, Trainer

EPOCHS, DEPTHS = 3, 7
TRAIN, STOP = (64, 32) if "--quick" in sys.argv else (256, 64)
RECIPE = Recipe(epochs=EPOCHS, patience=EPOCHS, batch_size=32)


@dataclass(frozen=True)
class Held:
    """Examples of one shape in memory."""

    tensors: Mapping[str, Tensor]

    @property
    def padded_N(self) -> NDArray[np.int64]:  # noqa: N802
        return np.ones(TRAIN + STOP, dtype=np.int64)

    def batch(self, rows: Rows, drawn: int | None = None) -> Batch:
        return {name: tensor[torch.from_numpy(rows)] for name, tensor in self.tensors.items()}


class NoCheckpoints:
    """Writes nothing: saving is the same for all ways and would only blur them."""

    def __init__(self, run: str) -> None:
        self.run = run

    def save(self, *ignored: Any) -> None:
        """Nothing is kept."""

    load = keep_only = save


def cases() -> Iterator[tuple[str, TaskModel, Held]]:
    torch.manual_seed(0)
    count = TRAIN + STOP
    mask_BT = (torch.arange(32) < torch.randint(16, 32, (count, 1))).long()
    ids_BT = torch.randint(1000, 20_000, (count, 32)) * mask_BT
    yield (
        "MiniLM, 32 tokens",
        load_model(str(minilm()), kind="text", classes=2),
        Held({"input_ids": ids_BT, "attention_mask": mask_BT}),
    )
    yield "ResNet-20, 32 px", of_images(resnet20(num_classes=2), False), Held({"x": torch.randn(count, 3, 32, 32)})
    sizes = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3, "intermediate_size": 768}
    vit = transformers.ViTForImageClassification(transformers.ViTConfig(**sizes, image_size=64, patch_size=8))
    yield "ViT, 65 tokens", of_images(vit, True), Held({"pixel_values": torch.randn(count, 3, 64, 64)})


def of_images(module: torch.nn.Module, by_keyword: bool) -> TaskModel:
    return TaskModel(
        module=module,
        kind="image",
        classes=2,
        head=last_linear(module, 2),
        source="",
        learning_rate=1e-4,
        by_keyword=by_keyword,
    )


# ---------------------------------------------------------------- one network, three ways


@dataclass(frozen=True)
class Way:
    seconds: float
    flops: int
    losses: list[float | None]


def sweep(model: TaskModel, inputs: Held, plans: Mapping[str, FreezePlan], way: str) -> Way:
    material = Material(
        inputs=inputs,
        labels=np.arange(TRAIN + STOP) % 2,
        train=np.arange(TRAIN),
        stop=np.arange(TRAIN, TRAIN + STOP),
    )
    began = time.perf_counter()
    twins = {id: twin(model, plan) for id, plan in plans.items()}
    with tempfile.TemporaryDirectory() as folder, Ledger.at(Path(folder) / "ledger.sqlite") as ledger:
        activations = None
        if way != "ordinary":
            rows = material.stop if way == "fanned out" else np.arange(TRAIN + STOP)
            activations = Activations(
                model, inputs, rows, plans, lambda id, plan: twins[id], Keeping(), Path(folder), Silent()
            )
            for some in plain_batches(inputs, rows, 64):
                with evaluating(model.module), torch.no_grad():
                    activations.passing.measure(lambda some=some: activations.capture(some, inputs.batch(some)))
        trainers = [
            Trainer(
                id,
                twins[id],
                material,
                RECIPE,
                0,
                ledger=ledger,
                checkpoints=NoCheckpoints(id),  # type: ignore[arg-type]
                replaying=activations.replaying(id) if activations else None,
            )
            for id in plans
        ]
        for trainer in trainers:
            trainer.begin(Epoch(epoch=0, stop_loss=1.0, stop_accuracy=0.5), Silent())
        runs = trained(trainers, model, material, activations if way == "fanned out" else None)
    seconds = time.perf_counter() - began
    flops = sum(run.train_flops + run.evaluate_flops + run.prepare_flops for run in runs)
    losses = [loss for run in runs for epoch in run.epochs for loss in (epoch.train_loss, epoch.stop_loss)]
    return Way(seconds, flops + (activations.passing.total if activations else 0), losses)


def trained(trainers: list[Trainer], model: TaskModel, material: Material, fanned: Activations | None) -> list[Run]:
    together = [trainers] if fanned else [[trainer] for trainer in trainers]
    for some in together:
        train_together(
            some, model, material, RECIPE, seed=0, progress=Silent(), pass_over=fanned.pass_over if fanned else None
        )
    return [trainer.finish() for trainer in trainers]


def twin(model: TaskModel, plan: FreezePlan) -> TaskModel:
    module = deepcopy(model.module)
    return replace(model, module=freeze(module, plan), head=last_linear(module, 2))


def depths(found: tuple[Block, ...]) -> dict[str, FreezePlan]:
    names = tuple(block.name for block in found)
    cuts = sorted({round(n * (len(names) - 1) / DEPTHS) for n in range(1, DEPTHS + 1)})
    return {str(cut): FreezePlan(blocks=names, frozen=frozenset(names[:cut])) for cut in cuts}


def main() -> None:
    transformers.logging.set_verbosity_error()
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    print(f"{versions}, {torch.get_num_threads()} threads, {TRAIN} + {STOP} examples, {EPOCHS} epochs\n")
    print("| network | depths | way | seconds | against ordinary | TFLOP | over the bound | equal |")
    print("|---|---|---|---|---|---|---|---|")
    for name, model, inputs in cases():
        example = inputs.batch(np.arange(2))
        found = blocks(model.module, example if model.by_keyword else tuple(example.values()))
        plans = depths(found)
        with flop_counter() as counter, evaluating(model.module), torch.no_grad():
            model.logits(inputs.batch(np.arange(2)))
        bound = sweep_bound_flops(
            found,
            {int(id): EPOCHS for id in plans},
            forward_flops=counter.get_total_flops() // 2 * TRAIN,
            evaluated_share=STOP / TRAIN,
        )
        ways = {way: sweep(model, inputs, plans, way) for way in ("ordinary", "replayed", "fanned out")}
        for way, got in ways.items():
            print(
                f"| {name} | {', '.join(plans)} of {len(found)} | {way} | {got.seconds:.1f} "
                f"| {ways['ordinary'].seconds / got.seconds:.2f} | {got.flops / 1e12:.3f} | {got.flops / bound:.2f} "
                f"| {'yes' if got.losses == ways['ordinary'].losses else 'NO'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
