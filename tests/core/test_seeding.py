"""Claims about seeds: derived from names, the same everywhere and always."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from frostline.core.seeding import derive

parts = st.text() | st.integers()


def test_seeds_do_not_change_between_versions() -> None:
    """A study that was begun long ago is resumed with the same draws."""
    assert derive(0, "depth-4", 1) == 4066829024422002300


@given(st.integers(), st.lists(parts))
def test_seeds_fit_every_generator(seed: int, names: list[str | int]) -> None:
    """63 bits, never negative: what torch and numpy both take."""
    assert 0 <= derive(seed, *names) < 2**63


@given(st.integers(), st.lists(st.text("ab", max_size=2), min_size=2, max_size=3))
def test_where_a_name_ends_matters(seed: int, names: list[str]) -> None:
    """Names are not run together: ("ab", "c") and ("a", "bc") are two purposes."""
    assert derive(seed, *names) != derive(seed, "".join(names))
