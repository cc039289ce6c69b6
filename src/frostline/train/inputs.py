"""Examples made ready once, and batches of them.

The padded length of a text is a function of the text alone (its own length bucket), never of its
batch-mates: a batch holds texts of one bucket only. So what a frozen block computes for an example is the
same in every epoch.

Shape letters: B examples, T tokens, N examples of the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from frostline.core.errors import DataError, ModelError, StudyError
from frostline.core.seeding import derive
from frostline.data.images import decode
from frostline.data.sources import Dataset
from frostline.models.task_model import Batch, TaskModel
from frostline.plan.apply import evaluating
from frostline.train.augment import augmented

Rows = NDArray[np.int64]


class Inputs(Protocol):
    """Examples by their position in the data set."""

    @property
    def padded_N(self) -> NDArray[np.int64]:  # noqa: N802
        """Padded length of every example; equal for all when there is nothing to pad."""

    def batch(self, rows: Rows, drawn: int | None = None) -> Batch:
        """What the network takes for these examples.

        Args:
            drawn: Seed of the batch's random augmentation, in training; None for the examples as they are.
        """


def make_inputs(data: Dataset, model: TaskModel, augment: Sequence[str] = ()) -> tuple[Inputs, tuple[str, ...]]:
    """Tokenise or decode every example once. Returns notes to say aloud, too.

    Raises:
        StudyError: Texts or tables are to be augmented.
        ModelError: The model cannot take the numbers of a table.
    """
    if augment and data.kind != "image":
        what = "texts" if data.kind == "text" else "a table"
        raise StudyError(f"--augment {','.join(augment)} is for images, and the data are {what}. Leave it out.")
    if data.kind == "table":
        return TableInputs.of(data.features, model), ()
    if data.kind == "text" and model.tokenize is not None:
        ids = model.tokenize(data.texts)
        return TextInputs.of(ids, model.pad_id), _notes_on_length(ids, model.most_tokens)
    return ImageInputs.of(data.images, model, augment=augment), ()


def _notes_on_length(ids: Sequence[Sequence[int]], most: int | None) -> tuple[str, ...]:
    lengths = [len(tokens) for tokens in ids]
    notes = [f"Texts are {round(float(np.mean(lengths)))} tokens long on average, {max(lengths)} at most."]
    cut = sum(length == most for length in lengths)
    if cut:
        notes.append(f"{cut} of {len(ids)} texts reach {most} tokens, the most that is read; what goes beyond is cut.")
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class TextInputs:
    """Token numbers of every text."""

    ids: Sequence[Sequence[int]]
    pad_id: int
    padded_N: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Sequence[Sequence[int]], pad_id: int) -> TextInputs:
        return cls(ids, pad_id, np.array([bucket(len(tokens)) for tokens in ids], dtype=np.int64))

    def batch(self, rows: Rows, drawn: int | None = None) -> Batch:
        length = int(self.padded_N[rows].max())
        ids_BT = torch.full((len(rows), length), self.pad_id, dtype=torch.long)
        mask_BT = torch.zeros((len(rows), length), dtype=torch.long)
        for row, example in enumerate(rows):
            tokens = self.ids[example]
            ids_BT[row, : len(tokens)] = torch.tensor(tokens)
            mask_BT[row, : len(tokens)] = 1
        return {"input_ids": ids_BT, "attention_mask": mask_BT}


def bucket(length: int) -> int:
    """Padded length of a text: the next multiple of 8, of 32 beyond 64.

    >>> [bucket(n) for n in (3, 8, 9, 65)]
    [8, 8, 16, 96]
    """
    grain = 8 if length <= 64 else 32
    return max(grain, -(-length // grain) * grain)


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """Images, decoded and prepared when they are first needed and kept while they fit."""

    images: Sequence[Path]
    model: TaskModel
    kept: dict[int, torch.Tensor]
    most_kept: int
    padded_N: NDArray[np.int64]
    augment: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, images: Sequence[Path], model: TaskModel, budget_bytes: int = 2**30, augment: Sequence[str] = ()
    ) -> ImageInputs:
        """Check that one batch can hold them all: one shape.

        Raises:
            DataError: Two images have different sizes and nothing says to what size to bring them.
        """
        inputs = cls(images, model, {}, 0, np.ones(len(images), dtype=np.int64))
        first = inputs._prepared(0)
        keep = max(0, budget_bytes // (first.numel() * first.element_size()))
        inputs = cls(images, model, {}, keep, inputs.padded_N, tuple(augment))
        for row in range(len(images)):
            shape = inputs._prepared(row).shape
            if shape != first.shape:
                raise DataError(
                    f"{images[row]} is {shape[2]} x {shape[1]} pixels, {images[0]} is {first.shape[2]} x "
                    f"{first.shape[1]}. Give --image-size so that all are brought to one size."
                )
        return inputs

    def batch(self, rows: Rows, drawn: int | None = None) -> Batch:
        pixels_BCHW = torch.stack([self._prepared(int(row)) for row in rows])
        if drawn is not None and self.augment:
            pixels_BCHW = augmented(pixels_BCHW, self.augment, drawn)
        return {"pixel_values": pixels_BCHW}

    def _prepared(self, row: int) -> torch.Tensor:
        if row in self.kept:
            return self.kept[row]
        assert self.model.pixels is not None
        ready = self.model.pixels(decode(self.images[row]))
        if len(self.kept) < self.most_kept:
            self.kept[row] = ready
        return ready


@dataclass(frozen=True, slots=True)
class TableInputs:
    """The numbers of every row, as the file has them: standardisation is the network's."""

    features_NF: NDArray[np.float32]
    padded_N: NDArray[np.int64]

    @classmethod
    def of(cls, features_NF: NDArray[np.float32], model: TaskModel) -> TableInputs:
        """Check that the network takes that many features.

        Raises:
            ModelError: It does not.
        """
        if model.by_keyword:
            raise ModelError(
                f"{model.source} is a transformers model, which takes texts or images, and the data are a table of "
                "numbers. Give a factory whose network takes one number per column."
            )
        inputs = cls(features_NF, np.ones(len(features_NF), dtype=np.int64))
        device = next((parameter.device for parameter in model.module.parameters()), None)
        batch = {name: tensor.to(device) for name, tensor in inputs.batch(np.arange(min(2, len(features_NF)))).items()}
        try:
            with evaluating(model.module), torch.no_grad():
                model.logits(batch)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ModelError(
                f"{model.source} does not take the {features_NF.shape[1]} features of the data ({error}). Give data "
                "with the columns the network is made for, or a factory that makes one for these."
            ) from error
        return inputs

    def batch(self, rows: Rows, drawn: int | None = None) -> Batch:
        return {"features": torch.from_numpy(self.features_NF[rows])}


def plain_batches(inputs: Inputs, rows: Rows, size: int) -> list[Rows]:
    """Batches of one padded length each, in a fixed order."""
    return _cut(inputs, rows, size)


def shuffled_batches(inputs: Inputs, rows: Rows, size: int, seed: int) -> list[Rows]:
    """Batches of one padded length each: examples shuffled within their length, then the batches shuffled."""
    generator = np.random.default_rng(derive(seed, "batches"))
    batches = _cut(inputs, generator.permutation(rows), size)
    return [batches[i] for i in generator.permutation(len(batches))]


def _cut(inputs: Inputs, rows: Rows, size: int) -> list[Rows]:
    batches: list[Rows] = []
    for length in np.unique(inputs.padded_N[rows]):
        same = rows[inputs.padded_N[rows] == length]
        # Cut into even parts rather than full ones and a rest: a batch of one breaks batch norm.
        parts = -(-len(same) // size)
        batches += [part for part in np.array_split(same, parts) if len(part)]
    return batches
