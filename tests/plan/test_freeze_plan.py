"""Claims about freeze plans: values over named blocks, checked when they are built."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.core.errors import PlanError
from frostline.core.records import Block
from frostline.plan import propose
from frostline.plan.freeze_plan import FreezePlan

NAMES = ("stem", "layer.0", "layer.1", "layer.2", "head")
BLOCKS = tuple(Block(name=name, path=name, parameters=100, head=name == "head") for name in NAMES)


def test_plans_are_values() -> None:
    """Two plans over the same blocks are equal, hash alike and cannot be changed."""
    plan = FreezePlan(blocks=NAMES, frozen=frozenset({"stem"}))

    assert plan == FreezePlan.upto(BLOCKS, "stem")
    assert len({plan, FreezePlan.matching(BLOCKS, "stem")}) == 1
    with pytest.raises(AttributeError):
        plan.frozen = frozenset()  # type: ignore[misc]


def test_upto_freezes_both_ends() -> None:
    """`upto` takes the first block, the named one and all between."""
    assert FreezePlan.upto(BLOCKS, "layer.1").frozen_in_order == ("stem", "layer.0", "layer.1")


def test_upto_reads_patterns_to_their_last_block() -> None:
    """`upto` a stack means its last member."""
    assert FreezePlan.upto(BLOCKS, "layer[:2]") == FreezePlan.upto(BLOCKS, "layer.1")


def test_matching_joins_its_patterns() -> None:
    """Several patterns freeze what any of them means; order is that of the blocks."""
    assert FreezePlan.matching(BLOCKS, "layer[-1]", "stem").frozen_in_order == ("stem", "layer.2")


def test_unknown_block_is_refused_with_a_suggestion() -> None:
    """A plan that names a block the model lacks cannot be built."""
    with pytest.raises(PlanError, match=r"no block of that name\. Did you mean 'stem'\?"):
        FreezePlan(blocks=NAMES, frozen=frozenset({"stern"}))


def test_freezing_every_block_is_refused() -> None:
    """A plan that leaves nothing to train cannot be built."""
    with pytest.raises(PlanError, match="nothing is left to train"):
        FreezePlan.upto(BLOCKS, "head")


def test_depth_ends_at_the_first_hole() -> None:
    """Blocks frozen behind a trainable one do not count as depth."""
    plan = FreezePlan.matching(BLOCKS, "stem", "layer.1", "layer.2")

    assert plan.freeze_depth == 1
    assert plan.sentence == "freeze stem, layer.1, layer.2 (3 of 5 blocks)"


@given(st.sets(st.sampled_from(NAMES), max_size=4))
def test_depth_is_the_longest_frozen_prefix(frozen: set[str]) -> None:
    """All blocks before the depth are frozen, the one at it is not."""
    plan = FreezePlan(blocks=NAMES, frozen=frozenset(frozen))
    depth = plan.freeze_depth

    assert frozen.issuperset(NAMES[:depth])
    assert NAMES[depth] not in frozen


def test_one_candidate_for_each_depth_and_full_fine_tuning() -> None:
    """The depths of a model of five blocks are 0 (full) to 4."""
    plans = propose.depths(BLOCKS)

    assert [plan.freeze_depth for plan in plans.values()] == [0, 1, 2, 3, 4]
    assert next(iter(plans)) == propose.FULL


def test_deep_models_get_spread_depths() -> None:
    """Beyond twelve depths they are spread from the first cut to the one before the head."""
    deep = [Block(name=str(n), path=str(n), parameters=10, head=n == 39) for n in range(40)]
    depths = [plan.freeze_depth for plan in propose.depths(deep).values()]

    assert len(depths) == 1 + propose.MOST_DEPTHS
    assert depths[:2] == [0, 1]
    assert depths[-1] == 39
    assert depths == sorted(set(depths))


def test_no_cut_before_a_block_that_holds_next_to_nothing() -> None:
    """Freezing up to a norm layer and freezing it too is one plan, not two; the head always counts."""
    sizes = {"stem": 5000, "conv": 5000, "norm": 4, "stage": 5000, "head": 4}
    stack = [Block(name=name, path=name, parameters=size, head=name == "head") for name, size in sizes.items()]

    assert [plan.freeze_depth for plan in propose.depths(stack).values()] == [0, 1, 3, 4]


def test_user_patterns_make_one_plan_a_group() -> None:
    """Semicolons separate plans, commas the patterns of one plan."""
    plans = propose.patterns(BLOCKS, "stem, layer[0]; layer[-1] ;")

    assert {id: plan.frozen_in_order for id, plan in plans.items()} == {
        "full": (),
        "plan-1": ("stem", "layer.0"),
        "plan-2": ("layer.2",),
    }


def test_candidate_counts_what_trains() -> None:
    """The record of a plan has its depth and its trainable share."""
    record = propose.candidate("depth-2", FreezePlan.upto(BLOCKS, "layer.0"), BLOCKS)

    assert (record.freeze_depth, record.trainable_parameters, record.trainable_share) == (2, 300, 0.6)
