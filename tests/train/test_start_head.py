"""Claims about the head that candidates start from: logistic regression on one scale, as simple as can be, tempered."""

from __future__ import annotations

from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import sem
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from frostline.train import start_head
from frostline.train.probes import STRENGTHS, Features, fit_probe, head_weights
from frostline.train.start_head import fit_start_head

# Shape letters: N examples, F features, C classes.

Labels = NDArray[np.int64]
Splits = tuple[Features, Labels, Features, Labels]


def halved(features_NF: NDArray[np.float64], labels_N: Labels, train: int) -> Splits:
    """The first examples to train on, the others to stop by."""
    ready_NF = features_NF.astype(np.float32)
    return ready_NF[:train], labels_N[:train], ready_NF[train:], labels_N[train:]


def overlapping(classes: int, seed: int, train: int = 60, stop: int = 60) -> Splits:
    """Classes around random centres, in features that differ in size and are not centred."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(train + stop, dtype=np.int64) % classes
    centres_CF = rng.normal(size=(classes, 5))
    features_NF = centres_CF[labels_N] + rng.normal(size=(train + stop, 5))
    return halved(features_NF * rng.uniform(0.2, 5, size=5) + 3, labels_N, train)


def logits_of(splits: Splits, temper: float) -> NDArray[np.float64]:
    """What the layer makes of the stop split (N, C)."""
    with patch.object(start_head, "TEMPER", temper):
        weight_CF, bias_C, _ = fit_start_head(*splits)
    return functional.linear(torch.from_numpy(splits[2]).double(), weight_CF.double(), bias_C.double()).numpy()


def answers_of(splits: Splits, temper: float = 1.0) -> NDArray[np.float64]:
    return functional.softmax(torch.from_numpy(logits_of(splits, temper)), dim=1).numpy()


def by_scikit_learn(splits: Splits, strength: float) -> NDArray[np.float64]:
    """Logistic regression on features that are centred and divided by the root of their mean variance."""
    train_NF, train_N, stop_NF, _ = (part.astype(np.float64) for part in splits)
    scale = np.sqrt(np.mean([feature_N.var() for feature_N in train_NF.T]))
    ready_NF, asked_NF = ((given_NF - train_NF.mean(axis=0)) / scale for given_NF in (train_NF, stop_NF))
    regression = LogisticRegression(C=strength, max_iter=300).fit(ready_NF, train_N)
    answers_NC: NDArray[np.float64] = regression.predict_proba(asked_NF)
    return answers_NC


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_untempered_layer_answers_what_scikit_learn_answers(
    classes: int, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scaling is folded into the weights, and of two classes each gets a row."""
    monkeypatch.setattr(start_head, "STRENGTHS", (strength,))
    splits = overlapping(classes, seed=0)

    np.testing.assert_allclose(answers_of(splits), by_scikit_learn(splits, strength), atol=1e-5)


def test_a_tempered_layer_does_not() -> None:
    """As shipped, the layer is less sure than the regression it comes from, of every single answer."""
    splits = overlapping(4, seed=0)
    sure_N, shipped_N = (answers_of(splits, temper).max(axis=1) for temper in (1.0, start_head.TEMPER))

    assert (shipped_N < sure_N).all()


def test_the_loss_is_that_of_the_probe_before_it_was_tempered() -> None:
    """It is compared with the loss of the model's own head, which is not tempered either."""
    splits = overlapping(3, seed=0)
    right_N = answers_of(splits)[np.arange(len(splits[3])), splits[3]]

    assert fit_start_head(*splits)[2] == pytest.approx(-np.log(right_N).mean(), rel=1e-5)


@cache
def _untempered(classes: int, seed: int) -> tuple[Splits, NDArray[np.float64]]:
    splits = overlapping(classes, seed)
    return splits, logits_of(splits, 1.0)


@settings(max_examples=10)
@given(classes=st.integers(2, 4), seed=st.integers(0, 3), temper=st.floats(0.01, 10))
def test_order_of_the_classes_does_not_depend_on_the_temper(classes: int, seed: int, temper: float) -> None:
    """In the order of the untempered answer to an example, tempered logits rise too, but for rounding."""
    splits, untempered_NC = _untempered(classes, seed)
    tempered_NC = logits_of(splits, temper)
    steps_NC = np.diff(np.take_along_axis(tempered_NC, untempered_NC.argsort(axis=1), axis=1), axis=1)

    assert steps_NC.min() >= -1e-6 * np.abs(tempered_NC).max()


@settings(max_examples=10)
@given(classes=st.integers(2, 4), seed=st.integers(0, 3), factor=st.floats(1e-3, 1e3))
def test_size_of_the_features_does_not_matter(classes: int, seed: int, factor: float) -> None:
    """All features times one positive number: the same answers, but for rounding."""
    splits, untempered_NC = _untempered(classes, seed)
    train_NF, train_N, stop_NF, stop_N = splits
    larger = np.float32(factor) * train_NF, train_N, np.float32(factor) * stop_NF, stop_N
    expected_NC = functional.softmax(torch.from_numpy(untempered_NC), dim=1)

    np.testing.assert_allclose(answers_of(larger), expected_NC, atol=1e-3)


def _largest(weight_CF: Tensor) -> tuple[float, float]:
    """Largest weight, by its size, of the first feature and of the others."""
    return float(weight_CF[:, 0].abs().max()), float(weight_CF[:, 1:].abs().max())


@pytest.mark.parametrize("seed", range(3))
def test_feature_that_hardly_varies_gets_no_large_weight(seed: int) -> None:
    """Planted: it varies by 1e-4 and tells the classes. Standardised by itself, it gets the largest weight by far."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(400, dtype=np.int64) % 3
    features_NF = rng.normal(size=(3, 6))[labels_N] + rng.normal(size=(400, 6))
    features_NF[:, 0] = 1 + 1e-4 * (labels_N - 1 + 0.5 * rng.normal(size=400))
    splits = halved(features_NF, labels_N, 200)

    hardly, others = _largest(fit_start_head(*splits)[0])
    assert hardly <= others
    hardly, others = _largest(head_weights(fit_probe(*splits))[0])
    assert hardly > 100 * others


def test_features_that_do_not_vary_at_all_are_no_error() -> None:
    """Every scale is 1 then, and the answer is the share of each class."""
    labels_N = np.array([0, 0, 0, 1] * 5)
    features_NF = np.full((20, 3), 7, dtype=np.float32)
    splits = features_NF, labels_N, features_NF, labels_N

    np.testing.assert_allclose(answers_of(splits), np.tile([0.75, 0.25], (20, 1)), atol=1e-3)


def losses_by_strength(splits: Splits) -> dict[float, NDArray[np.float64]]:
    """On the stop split, example by example."""
    rows_N = np.arange(len(splits[3]))
    return {strength: -np.log(by_scikit_learn(splits, strength)[rows_N, splits[3]]) for strength in STRENGTHS}


def strengths_of_rules(splits: Splits) -> tuple[float, float, float]:
    """What three rules choose: one paired standard error, one of the best loss alone, the lowest loss."""
    losses = losses_by_strength(splits)
    best = min(losses, key=lambda strength: float(losses[strength].mean()))
    gaps = {strength: losses_N - losses[best] for strength, losses_N in losses.items()}
    paired = min(s for s, gap_N in gaps.items() if s == best or gap_N.mean() <= sem(gap_N))
    alone = min(s for s, gap_N in gaps.items() if gap_N.mean() <= sem(losses[best]))
    return paired, alone, best


CHOICES = [overlapping(classes, seed, 40, stop) for classes in (2, 3) for seed in (0, 1) for stop in (30, 300)]


@pytest.mark.parametrize("splits", CHOICES, ids=range(len(CHOICES)))
def test_strength_is_the_smallest_within_one_paired_standard_error_of_the_best(splits: Splits) -> None:
    """The layer answers what that regression answers."""
    paired, _, _ = strengths_of_rules(splits)

    np.testing.assert_allclose(answers_of(splits), by_scikit_learn(splits, paired), atol=1e-5)


def test_the_choices_above_tell_the_rules_apart() -> None:
    """Among them are some in which the lowest loss, or a standard error that is not paired, would choose otherwise."""
    chosen = [strengths_of_rules(splits) for splits in CHOICES]

    assert any(paired != best for paired, _, best in chosen)
    assert any(paired != alone for paired, alone, _ in chosen)
    assert any(paired == best for paired, _, best in chosen)
