"""The old task: what the pretrained network could do with the head it came with, asked before and after fine-tuning.

Every example of the old data is asked. None of them trains or chooses anything, so nothing is split or sealed.

Shape letters: N examples, C outputs of the original head.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from frostline.core.errors import DataError, ModelError, suggestion
from frostline.core.predictions import Predictions
from frostline.core.records import Task
from frostline.core.settings import Settings
from frostline.data.audit import find_copies
from frostline.data.classes import settle_task
from frostline.data.columns import ColumnNames
from frostline.data.examples import Examples, read_examples
from frostline.models.original import load_original, output_labels, with_backbone_of
from frostline.models.task_model import TaskModel
from frostline.plan.apply import evaluating
from frostline.train.device import pick_device
from frostline.train.evaluate import on_device, predict
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import ImageInputs, Inputs, Rows, TableInputs, TextInputs

SHOWN = 20
"""How many labels a message lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldTask:
    """The pretrained network, the examples of its old task and their labels."""

    original: TaskModel
    """As pretrained, with its original head. Never changed."""
    inputs: Inputs
    task: Task
    """Its labels are the outputs of the original head, in their order."""
    labels_N: NDArray[np.int64]
    """Outputs that would be right."""
    notes: tuple[str, ...] = ()
    """What was guessed or decided, to be said aloud."""
    meter: FlopsMeter = field(default_factory=FlopsMeter)
    """What asking has cost so far."""

    def __len__(self) -> int:
        return len(self.labels_N)

    def answers(self, module: nn.Module | None = None, head: nn.Linear | None = None) -> Predictions:
        """What the original head answers on some backbone, in evaluation mode.

        Args:
            module: The fine-tuned network, left as it is; None for the network as pretrained.
            head: Its head for the new task, which is not asked; None when it kept the original one.

        Returns:
            Answers to all N examples, always in the same order.

        Raises:
            ModelError: The fine-tuned network has another architecture than the pretrained one.
        """
        asked = self.original
        if module is not None:
            # A copy, so that the pretrained network can be asked again. It is gone when the answers are there.
            asked = replace(asked, module=deepcopy(asked.module))
            with_backbone_of(asked, module, head)
        probabilities_NC = predict(asked, self.inputs, np.arange(len(self)), self.meter)
        return Predictions.from_probabilities(self.task, self.labels_N, probabilities_NC)


def load_old_task(
    data: Path,
    model: str,
    *,
    weights: Path | None = None,
    image_size: int | None = None,
    columns: ColumnNames | None = None,
    seed: int = 0,
) -> OldTask:
    """Read the old data and load the model as it was pretrained.

    Labels are matched to the outputs of the original head by the names that a model's folder gives them; where there
    are no names, in sorted order (numbers by value), if there are as many labels as outputs.

    Args:
        data: A table, a folder of tables or a folder of images. All splits together are asked; of exact copies one.
        model: A folder that `save_pretrained` wrote, or `package.module:function`.
        weights: Safetensors file for a factory's network.
        image_size: Edge in pixels to which images are resized.
        columns: Of a table, where they are named; guessed when None.
        seed: Of whatever a factory draws at random.

    Raises:
        DataError: The data cannot be read, or their labels are not those of the original head.
        ModelError: The model cannot be loaded, has no original head, or does not take the data.
    """
    given = read_examples(data, columns or ColumnNames())
    copies = find_copies(given)
    examples = given.take(copies.kept)
    original = load_original(
        model,
        kind=examples.kind,
        weights=weights,
        image_size=image_size,
        features=len(examples.inputs[0]) if examples.kind == "table" else None,  # type: ignore[arg-type]  # numbers
        seed=seed,
    )
    original.module.to(pick_device())
    task, note = _task(data, examples, original)
    inputs = _inputs(examples, original)
    refuse_other_outputs(
        original,
        inputs,
        np.arange(len(examples)),
        asked="old data",
        run_advice="Give the data it was pretrained for, or leave out --old-data.",
        head_advice="The old task cannot be measured; leave out --old-data.",
    )
    number = {label: output for output, label in enumerate(task.labels)}
    asked = f"all {len(examples)} examples of {data}, whatever split they are given in"
    return OldTask(
        original=original,
        inputs=inputs,
        task=task,
        labels_N=np.array([number[label] for label in examples.labels], dtype=np.int64),
        notes=tuple(f"old task: {said}" for said in (asked, *copies.notes, note)),
    )


def original_weights(settings: Settings) -> Path | None:
    """The weights file that goes with the network whose head is the original one; None when it brings its own."""
    return Path(settings.weights) if settings.weights and not settings.old_model else None


def _task(data: Path, examples: Examples, original: TaskModel) -> tuple[Task, str]:
    """The outputs of the head by the labels of the data, and how they were matched."""
    found = sorted(set(examples.labels))
    # Accuracy knows no positive class, but a task of two classes has one.
    labels = settle_task(examples, found[0] if len(found) == 2 else None)[0].labels
    names = output_labels(original)
    if names is None:
        return _in_order(data, labels, original)
    if len(set(names)) < len(names):
        raise ModelError(f"{original.source} calls two outputs the same (id2label in config.json). Name them apart.")
    unknown = [label for label in labels if label not in names]
    if unknown:
        raise DataError(
            f"{data}: the label {unknown[0]!r} is none that {original.source} gives. "
            f"{suggestion(unknown[0], names[:SHOWN])} Name the labels of the old data as id2label in config.json does."
        )
    return _task_of(names), "labels are matched to the original head by their names"


def _in_order(data: Path, labels: Sequence[str], original: TaskModel) -> tuple[Task, str]:
    if len(labels) != original.classes:
        raise DataError(
            f"{data} holds {len(labels)} classes and the original head of {original.source} has {original.classes} "
            "outputs without names, so which label is which output cannot be told. Give old data that hold every "
            "class; in the config.json of a model folder, id2label can name the outputs."
        )
    shown = ", ".join(labels[:SHOWN]) + (", ..." if len(labels) > SHOWN else "")
    return _task_of(labels), f"the outputs of the original head have no names and are taken to be, in order: {shown}"


def _task_of(labels: Sequence[str]) -> Task:
    return Task(labels=tuple(labels), positive=labels[0] if len(labels) == 2 else None)


def _inputs(examples: Examples, original: TaskModel) -> Inputs:
    # As `make_inputs` does for a data set that is split.
    if examples.kind == "table":
        return TableInputs.of(np.stack(cast("list[NDArray[np.float32]]", examples.inputs)), original)
    if examples.kind == "text" and original.tokenize is not None:
        return TextInputs.of(original.tokenize(cast("Sequence[str]", examples.inputs)), original.pad_id)
    return ImageInputs.of(cast("Sequence[Path]", examples.inputs), original)


def refuse_other_outputs(
    original: TaskModel, inputs: Inputs, rows: Rows, *, asked: str, run_advice: str = "", head_advice: str = ""
) -> None:
    """The network must run on the data and give one number per output of its head.

    Args:
        asked: What the data are called.
        run_advice: What to do when it does not run.
        head_advice: What to do when its head is elsewhere.

    Raises:
        ModelError: It does not.
    """
    batch = on_device(original, inputs.batch(rows[:2]))
    try:
        with evaluating(original.module), torch.no_grad():
            shape = tuple(original.logits(batch).shape)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        said = f"{original.source} does not run on two examples of the {asked} ({error})."
        raise ModelError(f"{said} {run_advice}".rstrip()) from error
    if shape[1:] != (original.classes,):
        said = (
            f"{original.source} gives answers of shape {shape} and its last linear layer has {original.classes} "
            "outputs, so its original head is elsewhere."
        )
        raise ModelError(f"{said} {head_advice}".rstrip())
