"""The best threshold on given scores, against scikit-learn's curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from frostline.measure.threshold import best_threshold


@given(
    rows=st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0])), min_size=1, max_size=40)
)
def test_no_threshold_does_better(rows: list[tuple[bool, float]]) -> None:
    """The F1 found is that of answering so, and no other score as a threshold gives more."""
    positive, scores = np.array([p for p, _ in rows]), np.array([s for _, s in rows])
    found = best_threshold(positive, scores)
    if not positive.any():
        assert found is None
        return

    assert found is not None
    every = [f1_score(positive, scores >= at) for at in np.unique(scores)]
    assert found.f1 == pytest.approx(max(every))
    assert found.f1 == pytest.approx(f1_score(positive, scores >= found.at))
