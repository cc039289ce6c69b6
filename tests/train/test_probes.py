"""Claims about probes: features are what the blocks gave, and a head started from a probe answers as it does."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from frostline.core.progress import Silent
from frostline.models.task_model import PooledClassifier, TaskModel, last_linear, mean_pool
from frostline.plan.blocks import blocks
from frostline.train.evaluate import predict
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Rows
from frostline.train.loop import Material
from frostline.train.probes import (
    STRENGTHS,
    Features,
    features_by_depth,
    fit_logistic,
    fit_probe,
    head_weights,
    set_head,
)
from networks import NETWORKS, bag_material, bag_model

# Shape letters: N examples, B examples in a batch, T tokens, D features, F features of a probe, C classes.


def text_model(module: nn.Module, *, by_keyword: bool = False) -> TaskModel:
    return TaskModel(
        module=module,
        kind="text",
        classes=2,
        head=last_linear(module, 2),
        source="",
        learning_rate=0.01,
        by_keyword=by_keyword,
    )


def features(model: TaskModel, material: Material, rows: Rows) -> dict[int, Features]:
    example = material.inputs.batch(rows[:2])
    found = blocks(model.module, example if model.by_keyword else tuple(example.values()))
    return features_by_depth(model, found, material.inputs, rows, FlopsMeter(), Silent())


def by_hand(model: TaskModel, material: Material, rows: Rows, ask: Callable[[Tensor, Tensor], Tensor]) -> Features:
    """The same features asked one example at a time."""
    model.module.eval()
    with torch.no_grad():
        batches = [material.inputs.batch(np.array([row])) for row in rows]
        return torch.cat([ask(batch["input_ids"], batch["attention_mask"]) for batch in batches]).numpy()


@pytest.mark.parametrize("shuffled", [False, True])
def test_features_of_every_depth_in_the_order_of_rows(shuffled: bool) -> None:
    """Depth by depth they equal a computation by hand, though batches were formed by length."""
    model, material = bag_model(), bag_material(120)
    rows = np.random.default_rng(0).permutation(120)[:90] if shuffled else np.arange(5, 95)
    found = features(model, material, rows)
    net = model.module

    def embedded(ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        return mean_pool(net.embedding(ids_BT), mask_BT)

    hands = {
        1: embedded,
        2: lambda ids, mask: net.first(embedded(ids, mask)),
        3: lambda ids, mask: net.second(net.first(embedded(ids, mask))),
    }
    assert list(found) == [1, 2, 3]
    for depth, ask in hands.items():
        np.testing.assert_allclose(found[depth], by_hand(model, material, rows, ask), atol=1e-6)


def test_features_at_full_depth_are_what_the_head_sees() -> None:
    """A head on the mean over tokens is probed on that mean, with the mask that the model uses."""
    torch.manual_seed(0)
    model, material = text_model(PooledClassifier(NETWORKS["bert"][0](), 16, 2), by_keyword=True), bag_material(20)
    rows = np.arange(20)
    found = features(model, material, rows)
    probabilities_NC = predict(model, material.inputs, rows, FlopsMeter())
    assert model.head is not None
    with torch.no_grad():
        answer_NC = model.head(torch.tensor(found[max(found)])).softmax(dim=1)

    np.testing.assert_allclose(answer_NC.numpy(), probabilities_NC, atol=1e-5)


def test_looking_restores_modes_and_removes_hooks() -> None:
    """The network is as it was, in training mode where it was."""
    model, material = bag_model(), bag_material(20)
    model.module.train()
    features(model, material, np.arange(20))

    assert all(part.training for part in model.module.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.module.modules())


class TimeFirst(nn.Module):
    """A recurrent layer that gives (T, B, D), and one more layer before the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(40, 4), nn.LSTM(4, 6)
        self.dense, self.head = nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        output_TBD, _ = self.lstm(self.embedding(ids_BT).transpose(0, 1))
        logits_BC: Tensor = self.head(self.dense(output_TBD[-1]))
        return logits_BC


def test_outputs_that_are_no_batch_are_left_out() -> None:
    """A recurrent layer that puts time first gives no row per example: no probe, rather than a wrong one."""
    found = features(text_model(TimeFirst()), bag_material(80), np.arange(80))

    assert {depth: rows_NF.shape for depth, rows_NF in found.items()} == {1: (80, 4), 3: (80, 5)}


class NoOutput(nn.Module):
    """A block that answers with something that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, hidden: Tensor) -> str:
        return "nothing"


class WithNoOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.silent, self.head = nn.Embedding(40, 4), NoOutput(), nn.Linear(4, 2)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        hidden = self.embedding(ids_BT)
        self.silent(hidden)
        logits_BC: Tensor = self.head(hidden.mean(dim=1))
        return logits_BC


def test_blocks_without_tensors_are_left_out() -> None:
    """A block that gives no tensor does not end the pass."""
    found = features(text_model(WithNoOutput()), bag_material(20), np.arange(20))

    assert 1 in found
    assert {len(rows_NF) for rows_NF in found.values()} == {20}


class HeadAlone(nn.Module):
    """Nothing but a head on token counts."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 2)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        logits_BC: Tensor = self.head(mask_BT.sum(dim=1, keepdim=True).float())
        return logits_BC


def test_a_network_of_one_block_has_no_probes() -> None:
    """Without a backbone there is no depth to probe, and no error."""
    assert features(text_model(HeadAlone()), bag_material(20), np.arange(20)) == {}


# ---------------------------------------------------------------- fitting


def classified(classes: int) -> tuple[Features, NDArray[np.int64]]:
    """Features of 200 examples on very different scales, one of them constant."""
    inputs_NF, labels_N = make_classification(
        200, 8, n_informative=5, n_redundant=0, n_classes=classes, flip_y=0.1, random_state=0
    )
    inputs_NF = inputs_NF * 10.0 ** np.arange(-2, 6, 1) + 3
    inputs_NF[:, 3] = 7
    return inputs_NF.astype(np.float32), labels_N.astype(np.int64)


@pytest.mark.parametrize("classes", [2, 3])
def test_head_weights_answer_what_the_probe_answers(classes: int) -> None:
    """The linear layer gives the probe's probabilities, scaling undone, for two classes and for more."""
    inputs_NF, labels_N = classified(classes)
    probe = fit_probe(inputs_NF[:150], labels_N[:150], inputs_NF[150:], labels_N[150:])
    head = nn.Linear(8, classes)
    set_head(head, *head_weights(probe))
    with torch.no_grad():
        answer_NC = head.double()(torch.tensor(inputs_NF, dtype=torch.float64)).softmax(dim=1)

    np.testing.assert_allclose(answer_NC.numpy(), probe.probabilities(inputs_NF), atol=1e-4)


def test_strength_is_the_one_with_the_lowest_stop_loss() -> None:
    """Every strength is tried by scikit-learn itself, and the best on the stop split is taken."""
    inputs_NF, labels_N = classified(3)
    fitted = fit_logistic(StandardScaler(), inputs_NF[:40], labels_N[:40], inputs_NF[40:], labels_N[40:])
    losses = {}
    for strength in STRENGTHS:
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            pipeline.fit(inputs_NF[:40], labels_N[:40])
        losses[strength] = log_loss(labels_N[40:], pipeline.predict_proba(inputs_NF[40:]))

    assert fitted.strength == min(losses, key=losses.__getitem__)
    assert fitted.stop_loss == pytest.approx(min(losses.values()))


def test_a_feature_constant_but_for_rounding_does_not_blow_up_the_head() -> None:
    """Spread of one part in ten million gets no weight beyond any use; float32 still gives the probe's answer."""
    generator = np.random.default_rng(0)
    labels_N = np.arange(100) % 2
    inputs_NF = generator.normal(size=(100, 4)).astype(np.float32)
    inputs_NF[:, 0] += labels_N
    inputs_NF[:, 3] = 5 + 1e-6 * generator.normal(size=100)
    probe = fit_probe(inputs_NF[:80], labels_N[:80], inputs_NF[80:], labels_N[80:])
    weight_CF, bias_C = head_weights(probe)

    assert float(weight_CF.abs().max()) < 100
    answer_NC = (torch.tensor(inputs_NF) @ weight_CF.T + bias_C).softmax(dim=1)
    np.testing.assert_allclose(answer_NC.numpy(), probe.probabilities(inputs_NF), atol=1e-4)


def test_a_head_without_bias_takes_the_weights() -> None:
    """A bias that is not there is not set."""
    head = nn.Linear(3, 2, bias=False)
    set_head(head, torch.ones(2, 3), torch.ones(2))

    assert bool((head.weight == 1).all())
