"""Linear probes: how far the frozen pretrained features after each block already go.

One forward pass gives the features of every depth.

Shape letters: N examples, B examples in a batch, F features, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from torch import Tensor, nn

from frostline.core.progress import Progress
from frostline.core.records import Block
from frostline.models.task_model import Batch, TaskModel, mean_pool
from frostline.models.tensors import tensors_in
from frostline.plan.apply import evaluating
from frostline.train.evaluate import BATCH, on_device, shape_of
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Inputs, Rows, plain_batches

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse regularisation strengths that are tried."""

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FittedLogistic:
    """A logistic regression behind its preparation, and the strength chosen for it."""

    pipeline: Pipeline
    strength: float
    stop_loss: float

    def probabilities(self, inputs_N: Any) -> NDArray[np.float64]:
        answer: NDArray[np.float64] = self.pipeline.predict_proba(inputs_N).astype(np.float64)
        return answer


def features_by_depth(
    model: TaskModel,
    blocks: Sequence[Block],
    inputs: Inputs,
    rows: Rows,
    meter: FlopsMeter,
    progress: Progress,
    ask: Callable[[Rows, Batch], Tensor] | None = None,
    settle: Callable[[], None] | None = None,
) -> dict[int, Features]:
    """Pooled output of every block (N, F) by the number of blocks passed; at the full count, the head's input.

    Blocks whose output is no batch of vectors, token sequences or feature maps are left out.

    Args:
        ask: Makes the forward pass of a batch, and something of it on the way; by default just the pass.
        settle: Called after each batch, for what may not run while the pass is counted and listened to.
    """
    places = {depth: model.module.get_submodule(b.path) for depth, b in enumerate(blocks, 1) if _is_module(model, b)}
    held: dict[int, list[Features]] = {}
    order: list[Rows] = []
    batches = plain_batches(inputs, rows, BATCH)
    with (
        _Listener(places, model.head) as listener,
        evaluating(model.module),
        torch.no_grad(),
        progress.step("one pass of the pretrained backbone", len(batches)) as step,
    ):
        for batch_rows in batches:
            batch = on_device(model, inputs.batch(batch_rows))
            meter.count(shape_of(batch), partial(ask, batch_rows, batch) if ask else partial(model.logits, batch))
            for depth, features_BF in listener.pooled(batch).items():
                held.setdefault(depth, []).append(features_BF)
            order.append(batch_rows)
            if settle is not None:
                settle()
            step.advance()
    place = {int(row): at for at, row in enumerate(np.concatenate(order))}
    back = [place[int(row)] for row in rows]
    found = {depth: np.concatenate(parts) for depth, parts in sorted(held.items())}
    return {depth: features_NF[back] for depth, features_NF in found.items() if len(features_NF) == len(rows)}


class FlooredScaler(TransformerMixin, BaseEstimator):
    """Standardise features, but never divide by a spread that is next to nothing.

    A feature that is constant but for rounding would be blown up to unit variance, and the linear
    layer that undoes the scaling would get weights beyond any use.
    """

    def fit(self, inputs_NF: Features, labels: object = None) -> FlooredScaler:
        spread_F = inputs_NF.std(axis=0, dtype=np.float64)
        self.mean_ = inputs_NF.mean(axis=0, dtype=np.float64)
        self.scale_ = np.maximum(spread_F, 0.01 * np.median(spread_F)) if spread_F.any() else np.ones_like(spread_F)
        self.scale_[self.scale_ == 0] = 1.0
        return self

    def transform(self, inputs_NF: Features) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = (inputs_NF - self.mean_) / self.scale_
        return scaled


def fit_probe(
    train_NF: Features, train_N: NDArray[np.int64], stop_NF: Features, stop_N: NDArray[np.int64]
) -> FittedLogistic:
    """A linear probe on standardised features."""
    return fit_logistic(FlooredScaler(), train_NF, train_N, stop_NF, stop_N)


def fit_logistic(
    preparation: BaseEstimator, train_N: Any, train_labels_N: NDArray[np.int64], stop_N: Any, stop_labels_N: Any
) -> FittedLogistic:
    """Preparation and logistic regression, of the strength that has the lowest loss on the stop split."""
    fitted = []
    for strength in STRENGTHS:
        pipeline = make_pipeline(clone(preparation), LogisticRegression(C=strength, max_iter=300))
        with warnings.catch_warnings():
            # An unconverged fit is still a fit: its loss on the stop split is what it is.
            warnings.simplefilter("ignore", ConvergenceWarning)
            pipeline.fit(train_N, train_labels_N)
        loss = log_loss(stop_labels_N, pipeline.predict_proba(stop_N), labels=pipeline.classes_)
        fitted.append(FittedLogistic(pipeline, strength, float(loss)))
    return min(fitted, key=lambda probe: probe.stop_loss)


def head_weights(probe: FittedLogistic) -> tuple[Tensor, Tensor]:
    """Weight (C, F) and bias (C,) of a linear layer that answers what the probe answers."""
    scaler, regression = probe.pipeline.steps[0][1], probe.pipeline.steps[1][1]
    weight_CF = regression.coef_ / scaler.scale_
    return linear_layer(weight_CF, regression.intercept_ - weight_CF @ scaler.mean_)


def linear_layer(weight_CF: NDArray[np.float64], bias_C: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Coefficients and intercepts of a logistic regression as weight (C, F) and bias (C,) of a linear layer."""
    if len(weight_CF) == 1:
        # Two classes have one row of coefficients: the difference of the two logits.
        weight_CF, bias_C = np.stack([-weight_CF[0], weight_CF[0]]) / 2, np.array([-bias_C[0], bias_C[0]]) / 2
    weight, bias = (torch.tensor(part, dtype=torch.float32).contiguous() for part in (weight_CF, bias_C))
    return weight, bias


def set_head(head: nn.Linear, weight_CF: Tensor, bias_C: Tensor) -> None:
    """Start the head from these weights."""
    with torch.no_grad():
        head.weight.copy_(weight_CF)
        if head.bias is not None:
            head.bias.copy_(bias_C)


def _is_module(model: TaskModel, block: Block) -> bool:
    return not block.head and block.path in dict(model.module.named_modules())


class _Listener:
    """Forward hooks that keep what the blocks gave during the last batch."""

    def __init__(self, places: Mapping[int, nn.Module], head: nn.Linear | None) -> None:
        self._places, self._head = places, head
        self._given: dict[int, Tensor] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> _Listener:
        for depth, module in self._places.items():
            self._handles.append(module.register_forward_hook(self._keep_output(depth)))
        if self._head is not None and self._places:
            self._handles.append(self._head.register_forward_pre_hook(self._keep_input(max(self._places))))
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()

    def pooled(self, batch: Batch) -> dict[int, Features]:
        mask, examples = batch.get("attention_mask"), len(next(iter(batch.values())))
        given, self._given = self._given, {}
        # What puts time before the batch, or packs it, gives no row per example.
        ready = {d: mean_pool(t, mask) for d, t in given.items() if t.dim() in (2, 3, 4) and len(t) == examples}
        return {depth: tensor.float().cpu().numpy() for depth, tensor in ready.items()}

    def _keep_output(self, depth: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            first = next(tensors_in(output), None)
            if first is not None:
                self._given[depth] = first

        return hook

    def _keep_input(self, depth: int) -> Any:
        # Runs after the last block's own hook: what the head sees replaces what that block gave.
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            self._given[depth] = args[0]

        return hook
