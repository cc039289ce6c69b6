"""Claims about which plans a study tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.core.errors import PlanError
from frostline.core.records import Block
from frostline.plan import propose
from frostline.plan.freeze_plan import FreezePlan

NAMES = ("stem", "layer.0", "layer.1", "layer.2", "head")


def stack(*sizes: int, head: bool = True, norms: bool = False) -> list[Block]:
    """Blocks b1, b2, ... and a head."""
    body = [
        Block(name=f"b{k}", path=f"b{k}", parameters=size, norms=(f"b{k}.norm",) if norms else ())
        for k, size in enumerate(sizes, 1)
    ]
    return [*body, Block(name="head", path="head", parameters=4, head=True)] if head else body


BLOCKS = tuple(Block(name=name, path=name, parameters=100, head=name == "head") for name in NAMES)


def test_one_candidate_for_each_depth_and_full_fine_tuning() -> None:
    """The depths of a model of five blocks are 0 (full) to 4."""
    plans = propose.depths(BLOCKS)

    assert [plan.freeze_depth for plan in plans.values()] == [0, 1, 2, 3, 4]
    assert next(iter(plans)) == propose.FULL


def test_deep_models_get_spread_depths() -> None:
    """Beyond twelve depths they are spread from the first cut to the one before the head."""
    deep = [Block(name=str(n), path=str(n), parameters=10, head=n == 39) for n in range(40)]
    depths = [plan.freeze_depth for plan in propose.depths(deep).values()]

    assert len(depths) == 1 + propose.MOST
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


@given(
    sizes=st.lists(st.sampled_from([1, 5000, 9000]), min_size=2, max_size=30),
    head=st.booleans(),
)
def test_a_surgical_plan_trains_one_block_of_weight_and_the_head(sizes: list[int], head: bool) -> None:
    """Whatever the network: the block is the one its id counts to, all others are frozen, at most twelve plans."""
    blocks = stack(*sizes, head=head)
    plans = propose.surgical(blocks)

    for id, plan in plans.items():
        k = int(id.removeprefix("only-"))
        assert set(plan.blocks) - plan.frozen == {f"b{k}", *(["head"] if head else [])}
        assert blocks[k - 1].parameters >= 0.001 * sum(block.parameters for block in blocks)
    heavy = [k for k, b in enumerate(blocks, 1) if not b.head and b.parameters >= 0.001 * sum(sizes, 4)]
    assert len(plans) == min(len(heavy), propose.MOST)
    if heavy:
        assert {f"only-{heavy[0]}", f"only-{heavy[-1]}"} <= plans.keys()


def test_a_single_block_and_a_head_have_no_surgical_plan() -> None:
    """It would be full fine-tuning."""
    assert propose.surgical(stack(100)) == {}


def test_narrow_plans_freeze_all_but_the_head_and_spare_a_part() -> None:
    """Norm layers only where a block before the head has some."""
    plans = propose.narrow(stack(100, 100, norms=True))

    assert {id: (plan.spared, plan.frozen_in_order) for id, plan in plans.items()} == {
        "norms": ("norms", ("b1", "b2")),
        "biases": ("biases", ("b1", "b2")),
    }
    assert list(propose.narrow(stack(100, 100))) == ["biases"]
    assert propose.narrow(stack()) == {}


@pytest.mark.parametrize("given", ["depths", "depths;", " full ; depths"])
def test_depths_asked_for_in_words_are_the_depths(given: str) -> None:
    """What a study always did."""
    assert propose.proposed(BLOCKS, given) == propose.depths(BLOCKS)


@pytest.mark.parametrize("given", ["stem, layer[0]; layer[-1] ;", "", "*.0;layer*"])
def test_patterns_alone_are_the_patterns(given: str) -> None:
    """What a study always did."""
    assert propose.proposed(BLOCKS, given) == propose.patterns(BLOCKS, given)


@given(st.lists(st.sampled_from(["depths", "surgical", "norms", "biases", "full", "b1,b3", "b[12]", "b2;b3,b1"])))
def test_any_mix_begins_with_full_and_tries_no_plan_twice(items: list[str]) -> None:
    """Every plan asked for is there, once, whatever the order."""
    blocks = stack(100, 100, 100, norms=True)
    plans = propose.proposed(blocks, ";".join(items))

    assert next(iter(plans)) == propose.FULL
    assert len(set(plans.values())) == len(plans)
    wanted = {"depths": propose.depths(blocks), "surgical": propose.surgical(blocks)}
    for word, expected in wanted.items():
        if word in items:
            assert set(expected.values()) <= set(plans.values())
    for word in {"norms", "biases"} & set(items):
        assert plans[word] == propose.narrow(blocks)[word]


def test_a_mistyped_word_gets_the_word_suggested() -> None:
    """And a mistyped block the block."""
    with pytest.raises(PlanError, match=r"'surgcal', which is neither.* Did you mean 'surgical'\?"):
        propose.proposed(BLOCKS, "depths;surgcal")
    with pytest.raises(PlanError, match=r"'stam' matches no block.* Did you mean 'stem'\?"):
        propose.proposed(BLOCKS, "surgical;stam")


def test_norms_that_are_not_there_are_refused() -> None:
    """The word is named, and what to do."""
    with pytest.raises(PlanError, match=r"ask for 'norms', but no block before the head has any\. Leave"):
        propose.proposed(BLOCKS, "depths;norms")


def test_candidate_counts_what_trains() -> None:
    """The record of a plan has its depth and its trainable share."""
    record = propose.candidate("depth-2", FreezePlan.upto(BLOCKS, "layer.0"), BLOCKS)

    assert (record.freeze_depth, record.trainable_parameters, record.trainable_share) == (2, 300, 0.6)


def test_candidate_of_a_sparing_plan_needs_a_count() -> None:
    """From block records alone the number would be wrong, so none is given."""
    plan = propose.proposed(BLOCKS, "biases")["biases"]
    with pytest.raises(ValueError, match="not known from the blocks"):
        propose.candidate("biases", plan, BLOCKS)

    record = propose.candidate("biases", plan, BLOCKS, trainable_parameters=108)
    assert (record.trainable_parameters, record.total_parameters, record.freeze_depth) == (108, 500, 0)
