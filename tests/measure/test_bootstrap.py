"""Resampling within strata, and the corrected interval against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from frostline.measure.bootstrap import bca, centred, resampled_weights


def test_sizes_of_strata_are_kept() -> None:
    """In every resample each class has as many examples as it had, and every example comes up about once."""
    strata_N = np.array([2, 0, 0, 2, 2, 1, 0])
    weights = np.concatenate(list(resampled_weights(strata_N, resamples=4_000)))

    assert weights.shape == (4_000, 7)
    for stratum in range(3):
        assert (weights[:, strata_N == stratum].sum(axis=1) == (strata_N == stratum).sum()).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(7), abs=0.06)


def test_large_samples_come_in_parts_that_add_up() -> None:
    """A split that fills the memory allowed is resampled some rows at a time."""
    parts = [len(weights) for weights in resampled_weights(np.zeros(900_000, dtype=np.int64), resamples=6)]

    assert parts == [4, 2]


def test_limits_are_those_of_scipy() -> None:
    """The interval of the mean of a skewed sample, against the reference implementation with as many resamples."""
    values_N = np.random.default_rng(0).exponential(size=80)
    strata_N = np.zeros(80, dtype=np.int64)
    drawn = np.concatenate([w @ values_N / 80 for w in resampled_weights(strata_N, resamples=20_000)])
    ours = bca(float(values_N.mean()), drawn, centred(values_N / 80, strata_N))
    theirs = bootstrap((values_N,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1))

    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


def test_nothing_that_varies_has_no_interval() -> None:
    """When all resamples agree, resampling cannot say how sure the value is."""
    assert bca(0.5, np.full(100, 0.5), np.zeros(10)) is None


def test_limits_hold_the_value() -> None:
    """Also of a metric that every resample worsens."""
    low, high = bca(0.0, np.linspace(0.1, 0.5, 100), np.array([-0.1, 0.1])) or (1.0, 0.0)

    assert low <= 0 <= high
