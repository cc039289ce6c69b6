"""Asking a network in evaluation mode.

Shape letters: N examples asked, C classes.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from frostline.core.records import Fit
from frostline.models.task_model import Batch, TaskModel
from frostline.plan.apply import evaluating
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Inputs, Rows, plain_batches
from frostline.train.replaying import Replaying

BATCH = 64


def predict(
    model: TaskModel, inputs: Inputs, rows: Rows, meter: FlopsMeter, replaying: Replaying | None = None
) -> NDArray[np.float64]:
    """Probabilities (N, C) of the examples, in the order of `rows`. Restores every module's mode."""
    position = {int(row): at for at, row in enumerate(rows)}
    probabilities_NC = np.zeros((len(rows), model.classes))
    # No inference mode: what a network keeps from this pass (tables of positions) must be fit for training.
    with evaluating(model.module), torch.no_grad():
        for batch_rows in plain_batches(inputs, rows, BATCH):
            batch = on_device(model, inputs.batch(batch_rows))
            ask, shape = partial(model.logits, batch), shape_of(batch)
            if replaying is None:
                logits_BC = meter.count(shape, ask)
            else:
                logits_BC = replaying.count(meter, shape, batch_rows, batch, ask)
            answer = functional.softmax(logits_BC.float(), dim=1).cpu().double().numpy()
            probabilities_NC[[position[int(row)] for row in batch_rows]] = answer
    normalised_NC: NDArray[np.float64] = probabilities_NC / probabilities_NC.sum(axis=1, keepdims=True)
    return normalised_NC


def fit(probabilities_NC: NDArray[np.float64], labels_N: NDArray[np.int64]) -> Fit:
    """Mean cross-entropy and accuracy. The loss is None when it is not finite.

    >>> fit(np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0, 1])).accuracy
    1.0
    """
    loss = float(losses_of(probabilities_NC, labels_N).mean())
    return Fit(
        examples=len(labels_N),
        loss=loss if np.isfinite(loss) else None,
        accuracy=float((probabilities_NC.argmax(axis=1) == labels_N).mean()),
    )


def losses_of(probabilities_NC: NDArray[np.float64], labels_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cross-entropy of every example (N,)."""
    right_N = probabilities_NC[np.arange(len(labels_N)), labels_N]
    losses_N: NDArray[np.float64] = -np.log(np.clip(right_N, 1e-12, 1))
    return losses_N


def shape_of(batch: Batch) -> tuple[tuple[int, ...], ...]:
    """What determines the FLOPs of a batch."""
    return tuple(tuple(tensor.shape) for tensor in batch.values())


def on_device(model: TaskModel, batch: Batch) -> Batch:
    """The batch where the model is."""
    device = next(model.module.parameters()).device
    return {name: tensor.to(device) for name, tensor in batch.items()}
