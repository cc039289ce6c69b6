"""Small candidates trained with and without replay, for tests: networks, data, and what must be equal.

Shape letters: N examples of a data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from frostline.capture.cost import Speeds
from frostline.core.ledger import Ledger
from frostline.core.progress import Progress, Silent, Step
from frostline.core.records import Epoch, Run
from frostline.core.study_folder import StudyFolder
from frostline.models.task_model import PooledClassifier, TaskModel, last_linear
from frostline.plan import propose
from frostline.plan.apply import freeze, unfreeze
from frostline.plan.blocks import blocks
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.activations import Activations
from frostline.train.checkpoint import Checkpoints
from frostline.train.evaluate import fit, predict
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import ImageInputs, TextInputs, plain_batches
from frostline.train.loop import Material, train_candidate
from frostline.train.race import Race
from frostline.train.recipe import Keeping, Recipe
from frostline.train.replaying import Replaying
from networks import NETWORKS, VOCABULARY, NormedCnn, bag_model

RECIPE = Recipe(epochs=2, batch_size=32, learning_rate=0.02, head_learning_rate=0.05, patience=2)

FAST_TO_READ = Speeds(flops_per_s=1.0, memory_bytes_per_s=1e12, disk_bytes_per_s=1e12)
"""Whatever takes a FLOP to compute is worth replaying: what is replayed does not hang on how busy this machine is."""

Weights = dict[str, Tensor]


# ---------------------------------------------------------------- networks and data


def task_of(module: nn.Module, *, kind: str, by_keyword: bool = False) -> TaskModel:
    classes = 3 if kind == "image" else 2
    return TaskModel(
        module=module,
        kind=kind,  # type: ignore[arg-type]
        classes=classes,
        head=last_linear(module, classes),
        source="a network for tests",
        learning_rate=0.01,
        by_keyword=by_keyword,
    )


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """With the same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def bert_model() -> TaskModel:
    """A BERT under a head that sees the mean over its tokens."""
    return task_of(seeded(lambda: PooledClassifier(NETWORKS["bert"][0](), 16, 2)), kind="text", by_keyword=True)


def first_token_model() -> TaskModel:
    """A BERT whose head sees the first token alone."""
    return task_of(seeded(NETWORKS["bert classifier"][0]), kind="text", by_keyword=True)


def image_model(make: Callable[[], nn.Module] = NormedCnn) -> TaskModel:
    """Convolutions with batch norm and dropout."""
    return task_of(seeded(make), kind="image")


def texts(examples: int = 144) -> Material:
    """Texts of three padded lengths that begin with a word of their class: two thirds to train, one to stop."""
    generator = np.random.default_rng(0)
    labels_N = generator.integers(0, 2, examples)
    ids = [
        [int(labels_N[n]) + 1] * 3 + generator.integers(3, VOCABULARY, 4 + 7 * (n % 3)).tolist()
        for n in range(examples)
    ]
    rows = np.arange(examples)
    return Material(inputs=TextInputs.of(ids, 0), labels=labels_N, train=rows[rows % 9 < 6], stop=rows[rows % 9 >= 6])


def images(examples: int = 60, augment: tuple[str, ...] = ()) -> Material:
    """Noise images of three classes, each brighter in one colour: three fifths to train, a fifth to stop."""
    pixels_N3HW = torch.randn(examples, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    labels_N = np.arange(examples) % 3
    pixels_N3HW[torch.arange(examples), torch.from_numpy(labels_N)] += 0.3
    inputs = ImageInputs(
        [Path()] * examples, image_model(), dict(enumerate(pixels_N3HW)), 0, np.ones(examples, dtype=np.int64), augment
    )
    rows = np.arange(examples)
    return Material(inputs=inputs, labels=labels_N, train=rows[rows % 5 < 3], stop=rows[rows % 5 == 3])


CASES: Mapping[str, tuple[Callable[[], TaskModel], Callable[[], Material]]] = {
    "bag of tokens": (bag_model, texts),
    "bert": (bert_model, texts),
    "images with batch norm": (image_model, images),
}
"""By name: the model, with the same weights at every call, and data that it can learn."""


def plans_of(model: TaskModel, material: Material) -> dict[str, FreezePlan]:
    """Full fine-tuning and every freeze depth."""
    example = material.inputs.batch(material.train[:2])
    return propose.depths(blocks(model.module, example if model.by_keyword else tuple(example.values())))


# ---------------------------------------------------------------- one candidate


def activations_of(
    model: TaskModel,
    material: Material,
    plans: Mapping[str, FreezePlan],
    folder: Path,
    keeping: Keeping | None = None,
    progress: Progress | None = None,
) -> Activations:
    """The replays of these plans, nothing captured yet; the model is wholly unfrozen afterwards."""

    def frozen_by(candidate: str, plan: FreezePlan) -> TaskModel:
        unfreeze(model.module)
        freeze(model.module, plan)
        return model

    rows = np.sort(np.concatenate([material.train, material.stop]))
    made = Activations(
        model, material.inputs, rows, plans, frozen_by, keeping or Keeping(), folder, progress or Silent()
    )
    unfreeze(model.module)
    return made


def capture_all(activations: Activations, material: Material, *, size: int = 32) -> None:
    """The pass of the pretrained model over the train and stop splits."""
    with torch.no_grad():
        for split in (material.train, material.stop):
            for rows in plain_batches(material.inputs, split, size):
                activations.capture(rows, material.inputs.batch(rows))
    activations.finish()


def train(
    candidate: str,
    plan: FreezePlan,
    model: TaskModel,
    material: Material,
    folder: Path,
    *,
    replaying: Replaying | None = None,
    recipe: Recipe = RECIPE,
    before: Epoch | None = None,
    progress: Progress | None = None,
) -> Ended:
    """One candidate, by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    if before is None:
        begun = fit(predict(model, material.inputs, material.stop, FlopsMeter()), material.labels[material.stop])
        before = Epoch(epoch=0, stop_loss=begun.loss, stop_accuracy=begun.accuracy)
    checkpoints = Checkpoints(folder, f"{candidate}-seed-0")
    with Ledger.at(folder / "ledger.sqlite") as ledger:
        run = train_candidate(
            candidate,
            replace(model, module=freeze(model.module, plan)),
            material,
            recipe,
            seed=0,
            before=before,
            ledger=ledger,
            checkpoints=checkpoints,
            progress=progress or Silent(),
            replaying=replaying,
        )
    return Ended.of(run, model, checkpoints)


@dataclass(frozen=True)
class Ended:
    """A run, and every tensor that it left."""

    run: Run
    best: Weights
    """Of the best epoch, which may be the one before training."""
    last: Weights
    """Of the last epoch's checkpoint: what trained, and the optimizer's state."""

    @classmethod
    def of(cls, run: Run, model: TaskModel, checkpoints: Checkpoints) -> Ended:
        return cls(run, weights(model), load_file(checkpoints.path(run.epochs[-1].epoch)))


def weights(model: TaskModel) -> Weights:
    return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


def begin_again(model: TaskModel, beginning: Weights) -> None:
    unfreeze(model.module)
    model.module.load_state_dict(beginning)


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


WORK = (("train_flops", "spared_train_flops"), ("evaluate_flops", "spared_evaluate_flops"))


def outcome(run: Run) -> dict[str, Any]:
    """All of a run but the clock and what preparing cost; work that was spared counts like work that was done."""
    record = run.model_dump(exclude={"prepare_flops"})
    for part in (record, *record["epochs"]):
        part["seconds_s"] = 0
        for done, spared in WORK:
            part[done] += part.pop(spared)
    return record


def assert_same_run(found: Ended, expected: Ended) -> None:
    """Losses, accuracies, proof, FLOPs as of the ordinary way, and every bit of weights and optimizer state."""
    assert outcome(found.run) == outcome(expected.run)
    assert same(found.best, expected.best)
    assert same(found.last, expected.last)


# ---------------------------------------------------------------- all candidates of a study


@dataclass
class Said:
    """Progress that remembers what was said, and ends the process after some steps when it is told to."""

    left: float = float("inf")

    def __post_init__(self) -> None:
        self.sentences: list[str] = []
        self.advanced = 0

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)

    @contextmanager
    def step(self, what: str, parts: int) -> Iterator[Step]:
        yield self

    def advance(self) -> None:
        self.advanced += 1
        self.left -= 1
        if self.left < 0:
            raise PowerCut


class PowerCut(Exception):
    """The process ends here."""


@contextmanager
def race_of(
    model: TaskModel,
    folder: Path,
    *,
    material: Material | None = None,
    plans: Mapping[str, FreezePlan] | None = None,
    recipe: Recipe = RECIPE,
    augment: tuple[str, ...] = (),
    keeping: Keeping | None = Keeping(place="memory"),  # noqa: B008, it is a value
    progress: Progress | None = None,
) -> Iterator[Race]:
    """All candidates of a study in `folder`; examples of neither split are there to be chosen by."""
    folder.mkdir(parents=True, exist_ok=True)
    material = material or images(augment=augment)
    everything = np.arange(len(material.labels))
    rest = np.setdiff1d(everything, np.concatenate([material.train, material.stop]))
    example = material.inputs.batch(material.train[:2])
    found = blocks(model.module, example if model.by_keyword else tuple(example.values()))
    rows = {"train": material.train, "stop": material.stop, "select": rest, "test": rest}
    with Ledger.at(folder / "ledger.sqlite") as ledger:
        yield Race(
            data=SimpleNamespace(  # type: ignore[arg-type]
                rows=rows, labels=material.labels, task=SimpleNamespace(labels=tuple(map(str, range(model.classes))))
            ),
            model=model,
            inputs=material.inputs,
            blocks=found,
            plans=dict(plans or propose.depths(found)),
            recipe=recipe,
            seed=0,
            in_step=bool(augment),
            keeping=keeping,
            folder=StudyFolder(folder),
            ledger=ledger,
            progress=progress or Silent(),
        )
