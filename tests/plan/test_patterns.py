"""Claims about patterns: what a user writes means what they would expect, and never silently nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.core.errors import PlanError
from frostline.plan.patterns import select

NAMES = ("bert.embeddings", *(f"bert.encoder.layer.{n}" for n in range(12)), "classifier")


@pytest.mark.parametrize(
    ("pattern", "layers"),
    [
        ("encoder.layer.[0-3]", range(4)),
        ("*.layer.1?", (10, 11)),
        ("encoder.layer[:4]", range(4)),
        ("encoder.layer[4:]", range(4, 12)),
        ("layer[2:5]", (2, 3, 4)),
        ("layer[-2:]", (10, 11)),
        ("layer[:-2]", range(10)),
        ("layer[-1]", (11,)),
        ("layer[10]", (10,)),
        ("encoder.layer.1", (1,)),
        ("bert.encoder.layer.1", (1,)),
        ("layer.1", (1,)),
    ],
)
def test_pattern_means_these_layers(pattern: str, layers: range | tuple[int, ...]) -> None:
    """Globs, slices, indices and dotted suffixes pick the layers a reader would expect, in order."""
    assert select(pattern, NAMES) == [f"bert.encoder.layer.{n}" for n in layers]


@given(
    start=st.none() | st.integers(-15, 15),
    stop=st.none() | st.integers(-15, 15),
    order=st.permutations(range(12)),
)
def test_slice_of_a_stack_is_a_python_slice(start: int | None, stop: int | None, order: list[int]) -> None:
    """A slice counts members by their number, whatever the order in which the names are given."""
    pattern = f"layer[{'' if start is None else start}:{'' if stop is None else stop}]"
    names = [f"layer.{n}" for n in order]
    expected = [f"layer.{n}" for n in range(12)[start:stop]]

    if expected:
        assert select(pattern, names) == expected
    else:
        with pytest.raises(PlanError, match="matches no block"):
            select(pattern, names)


def test_slice_takes_from_every_stack_of_that_name() -> None:
    """`blocks[:1]` of a network in stages is the first block of each stage."""
    names = ["stages.0.blocks.0", "stages.0.blocks.1", "stages.1.blocks.0", "stages.1.blocks.1"]

    assert select("blocks[:1]", names) == ["stages.0.blocks.0", "stages.1.blocks.0"]


def test_a_suffix_ends_at_a_dot() -> None:
    """A name may lose leading components, never half of one."""
    assert select("norm", ["stem.norm", "layernorm", "head.norm"]) == ["stem.norm", "head.norm"]


def test_a_whole_name_means_that_part_only() -> None:
    """In nested containers `0` is the first child, not every child called 0."""
    assert select("0", ["0", "1", "1.0", "1.1"]) == ["0"]


@pytest.mark.parametrize("pattern", ["layer[12]", "layer[-13]", "layer[7:7]", "layr[:4]", "encoder", "*.bias", ""])
def test_pattern_that_matches_nothing_is_refused(pattern: str) -> None:
    """Nothing matches: an error, never an empty plan."""
    with pytest.raises(PlanError, match="matches no block or parameter"):
        select(pattern, NAMES)


def test_refusal_suggests_the_nearest_name() -> None:
    """A slip of the pen is answered with the name that was meant."""
    with pytest.raises(PlanError, match=r"Did you mean 'classifier'\?"):
        select("clasifier", NAMES)
