"""Claims about corrections: those of statsmodels, whatever is missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from frostline.measure.corrections import benjamini_hochberg, holm

P_VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30)


@pytest.mark.parametrize(("correct", "name"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
@given(p_values=P_VALUES)
def test_corrected_values_are_those_of_statsmodels(
    correct: Callable[[list[float | None]], list[float | None]], name: str, p_values: list[float | None]
) -> None:
    """What was asked is corrected as statsmodels does; what was not asked stays None and does not count."""
    found, asked = correct(p_values), [p for p in p_values if p is not None]

    assert [p is None for p in found] == [p is None for p in p_values]
    if asked:
        expected = multipletests(asked, method=name)[1]
        assert [p for p in found if p is not None] == pytest.approx(list(expected), abs=1e-12)


@given(p_values=P_VALUES)
def test_holm_is_never_kinder_than_benjamini_and_hochberg(p_values: list[float | None]) -> None:
    """Guarding against one false finding costs more than keeping their share low."""
    pairs = zip(holm(p_values), benjamini_hochberg(p_values), strict=True)

    assert all(strict >= lenient - 1e-12 for strict, lenient in pairs if strict is not None and lenient is not None)
