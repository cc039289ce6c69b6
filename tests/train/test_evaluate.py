"""Claims about asking: every example answered, in order, without a trace in the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from frostline.models.task_model import TaskModel
from frostline.train.evaluate import BATCH, fit, on_device, predict, shape_of
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import plain_batches
from networks import BagOfTokens, bag_material, bag_model


def test_answers_equal_those_asked_one_by_one() -> None:
    """Bucketing and batching change nothing but the time it takes."""
    model, material = bag_model(classes=3), bag_material(150, classes=3)
    rows = np.random.default_rng(0).permutation(150)
    answers_NC = predict(model, material.inputs, rows, FlopsMeter())
    model.module.eval()
    with torch.no_grad():
        alone = [functional.softmax(model.logits(material.inputs.batch(np.array([row]))), dim=1)[0] for row in rows]

    assert answers_NC.shape == (150, 3)
    np.testing.assert_allclose(answers_NC, torch.stack(alone).numpy(), atol=1e-6)
    np.testing.assert_allclose(answers_NC.sum(axis=1), 1, atol=1e-12)


def test_asking_leaves_no_trace() -> None:
    """Modes of every module, statistics and gradients are as before."""
    model, material = bag_model(), bag_material()
    model.module.train()
    model.module.first.eval()
    modes = [module.training for module in model.module.modules()]
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    predict(model, material.inputs, material.stop, FlopsMeter())

    assert [module.training for module in model.module.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.module.state_dict().items())
    assert all(parameter.grad is None for parameter in model.module.parameters())


class Remembering(BagOfTokens):
    """Makes a table on its first call and keeps it, as position encodings often do."""

    table: Tensor | None = None

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        if self.table is None:
            self.table = torch.linspace(0.5, 1.5, 2)
        logits_BC: Tensor = super().forward(ids_BT, mask_BT) * self.table
        return logits_BC


def test_a_network_that_keeps_tensors_can_train_after_it_was_asked() -> None:
    """What a network remembers from evaluation is fit for training."""
    module = Remembering()
    model = TaskModel(
        module=module, kind="text", classes=2, head=module.head, source="", learning_rate=0.1, by_keyword=False
    )
    material = bag_material()
    predict(model, material.inputs, material.stop, FlopsMeter())
    model.logits(material.inputs.batch(material.train[:2])).sum().backward()

    assert module.head.weight.grad is not None


def test_fit_is_cross_entropy_and_accuracy() -> None:
    """Torch's cross-entropy of the logits is the loss of the probabilities."""
    logits_NC = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels_N = torch.arange(20) % 3
    measured = fit(functional.softmax(logits_NC, dim=1).numpy(), labels_N.numpy())

    assert measured.loss == pytest.approx(float(functional.cross_entropy(logits_NC, labels_N)))
    assert measured.accuracy == pytest.approx(float((logits_NC.argmax(dim=1) == labels_N).double().mean()))
    assert measured.examples == 20


def test_a_loss_that_is_not_finite_is_none() -> None:
    """Never 0 and never NaN in a record; certainty of the wrong answer is finite and large."""
    assert fit(np.array([[np.nan, np.nan], [0.5, 0.5]]), np.array([0, 1])).loss is None
    certain = fit(np.array([[0.0, 1.0]]), np.array([0])).loss
    assert certain is not None
    assert certain > 20


def test_flops_are_those_of_the_forward_passes() -> None:
    """Asking costs what a plain pass over the same batches costs."""
    model, material = bag_model(), bag_material()
    meter, plain = FlopsMeter(), FlopsMeter()
    predict(model, material.inputs, material.train, meter)
    for number, rows in enumerate(plain_batches(material.inputs, material.train, BATCH)):
        batch = on_device(model, material.inputs.batch(rows))
        plain.count((number, shape_of(batch)), lambda batch=batch: model.logits(batch))

    assert meter.total == plain.total > 0
