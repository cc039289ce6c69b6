"""Which freeze plans a study tries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Literal

from frostline.core.errors import PlanError, suggestion
from frostline.core.records import Block, Candidate
from frostline.models.truncated import reached_parameters
from frostline.plan.adapters import lora_missing
from frostline.plan.freeze_plan import FreezePlan

FULL = "full"
"""The candidate that freezes nothing: the reference."""

MOST = 12
"""More depths or single blocks than this are spread: each one costs a training run."""


def proposed(blocks: Sequence[Block], given: str) -> dict[str, FreezePlan]:
    """Full fine-tuning, then the plans that a study's setting asks for, by candidate id.

    The setting is a list separated by ";" of words (depths, surgical, norms, biases, probes, lora, full) and pattern
    groups, in any mix. A plan that is already there is not tried twice.

    Raises:
        PlanError: An item is neither a word nor a pattern that matches, or asks for what the model lacks.

    >>> stack = [Block(name=n, path=n, parameters=100, head=n == "head") for n in ("stem", "a", "b", "head")]
    >>> list(proposed(stack, "depths;surgical;a"))
    ['full', 'depth-1', 'depth-2', 'depth-3', 'only-1', 'only-2', 'plan-1']
    """
    plans, number = {FULL: _full(blocks)}, 0
    for item in _items(given, ";"):
        if item in _WORDS:
            found = _WORDS[item](blocks)
        else:
            number += 1
            found = {f"plan-{number}": _group(blocks, item)}
        plans |= {id: plan for id, plan in found.items() if plan not in plans.values()}
    return plans


def depths(blocks: Sequence[Block]) -> dict[str, FreezePlan]:
    """Full fine-tuning and one plan for each freeze depth, by candidate id.

    A cut right before a block that holds next to nothing (a norm layer after its convolution) is
    left out: it is the same plan as the cut behind it.

    >>> stack = [Block(name=n, path=n, parameters=100) for n in ("stem", "layer.0", "head")]
    >>> {id: plan.sentence for id, plan in depths(stack).items()}["depth-2"]
    'freeze stem to layer.0 (2 of 3 blocks)'
    """
    names = _names(blocks)
    cuts = [d for d in range(1, len(blocks)) if blocks[d].head or _counts(blocks[d], blocks)]
    plans = {FULL: _full(blocks)}
    for depth in _spread(cuts, MOST):
        plans[f"depth-{depth}"] = FreezePlan(blocks=names, frozen=frozenset(names[:depth]))
    return plans


def surgical(blocks: Sequence[Block]) -> dict[str, FreezePlan]:
    """One plan for each block that trains alone with the head: `only-2` is the second in execution order.

    Blocks that hold next to nothing are left out, and what would be full fine-tuning.

    Source: Lee et al. (2023), Surgical fine-tuning improves adaptation to distribution shifts, ICLR.

    >>> stack = [Block(name=n, path=n, parameters=100, head=n == "head") for n in ("stem", "layer.0", "head")]
    >>> {id: plan.sentence for id, plan in surgical(stack).items()}
    {'only-1': 'freeze layer.0 (1 of 3 blocks)', 'only-2': 'freeze stem (1 of 3 blocks)'}
    """
    names, body = _names(blocks), _body(blocks)
    places = [k for k, block in enumerate(blocks, 1) if not block.head and _counts(block, blocks)]
    plans = {f"only-{k}": FreezePlan(blocks=names, frozen=body - {names[k - 1]}) for k in _spread(places, MOST)}
    return {id: plan for id, plan in plans.items() if plan.frozen}


def narrow(blocks: Sequence[Block]) -> dict[str, FreezePlan]:
    """Plans that train a thin part of every block, and the head: all norm layers, all biases.

    Norm layers are left out where no block before the head has one. Block records do not tell whether there are
    biases: `freeze` refuses that plan where there are none.

    Source: Frankle et al. (2021), Training BatchNorm and only BatchNorm, ICLR; Ben Zaken et al. (2022), BitFit, ACL.
    """
    names, body = _names(blocks), _body(blocks)
    kinds: list[Literal["norms", "biases"]] = ["norms", "biases"]
    if not any(block.norms for block in blocks if block.name in body):
        kinds.remove("norms")
    return {kind: FreezePlan(blocks=names, frozen=body, spared=kind) for kind in kinds if body}


def probes(blocks: Sequence[Block]) -> dict[str, FreezePlan]:
    """Networks that end early, at every depth but the last: `probe-2` runs two blocks, and a linear head answers.

    Nothing of them is trained but that head, which is fitted exactly; what stands behind is dropped, so they are
    smaller and faster to serve.

    >>> stack = [Block(name=n, path=n, parameters=100, head=n == "head") for n in ("stem", "layer.0", "head")]
    >>> {id: plan.sentence for id, plan in probes(stack).items()}
    {'probe-1': 'end after stem with a fitted linear head (1 of 3 blocks run)'}
    """
    names = _names(blocks)
    places = [k for k, block in enumerate(blocks, 1) if not block.head and _counts(block, blocks)]
    return {
        f"probe-{k}": FreezePlan(blocks=names, frozen=frozenset(names[:k]), ends_after=names[k - 1])
        for k in _spread(places[:-1], MOST)
    }


def lora(blocks: Sequence[Block]) -> dict[str, FreezePlan]:
    """One plan: low-rank adapters beside the linear layers of frozen blocks, and the head, are trained.

    Raises:
        PlanError: The package peft, which makes them, is not installed.
    """
    if missing := lora_missing():
        raise PlanError(missing)
    return {"lora": FreezePlan(blocks=_names(blocks), frozen=_body(blocks), spared="adapters")}


def patterns(blocks: Sequence[Block], given: str) -> dict[str, FreezePlan]:
    """Full fine-tuning and one plan for each of the user's `pattern,pattern;pattern` groups.

    Raises:
        PlanError: A pattern matches no block, or a plan freezes everything.
    """
    plans = {FULL: _full(blocks)}
    for number, group in enumerate(_items(given, ";"), start=1):
        plans[f"plan-{number}"] = FreezePlan.matching(blocks, *_items(group, ","))
    return plans


def candidate(
    id: str, plan: FreezePlan, blocks: Sequence[Block], *, trainable_parameters: int | None = None
) -> Candidate:
    """The record of a plan.

    Args:
        trainable_parameters: Counted on the frozen model. A plan that spares something or ends early needs it:
            block records do not tell how many parameters those have.

    Raises:
        ValueError: The plan spares something or ends early, and no count was given.
    """
    if trainable_parameters is None:
        if plan.spared or plan.ends_after:
            what = plan.spared or f"a head after {plan.ends_after}"
            raise ValueError(f"How many parameters train is not known from the blocks alone with {what}.")
        trainable_parameters = sum(block.parameters for block in blocks if block.name not in plan.frozen)
    total = sum(block.parameters for block in blocks)
    if plan.ends_after:
        total = reached_parameters(blocks, plan.freeze_depth) + trainable_parameters
    elif plan.spared == "adapters":
        total += trainable_parameters - sum(block.parameters for block in blocks if block.name not in plan.frozen)
    return Candidate(
        id=id,
        plan=plan.sentence,
        frozen=plan.frozen_in_order,
        freeze_depth=plan.freeze_depth,
        trainable_parameters=trainable_parameters,
        total_parameters=total,
        spared=plan.spared,
        ends_after=plan.ends_after,
    )


def _group(blocks: Sequence[Block], group: str) -> FreezePlan:
    try:
        return FreezePlan.matching(blocks, *_items(group, ","))
    except PlanError as error:
        if not get_close_matches(group, _WORDS, n=1):
            raise
        raise PlanError(
            f"The plans ask for {group!r}, which is neither one of the words nor a pattern that matches a block. "
            f"{suggestion(group, _WORDS)}"
        ) from error


def _narrowed(kind: str) -> Callable[[Sequence[Block]], dict[str, FreezePlan]]:
    def plans(blocks: Sequence[Block]) -> dict[str, FreezePlan]:
        found = narrow(blocks)
        if kind not in found:
            raise PlanError(
                f"The plans ask for {kind!r}, but no block before the head has any. "
                "Leave the word out; `frostline blocks MODEL` lists the blocks."
            )
        return {kind: found[kind]}

    return plans


_WORDS: Mapping[str, Callable[[Sequence[Block]], dict[str, FreezePlan]]] = {
    "depths": depths,
    "surgical": surgical,
    "norms": _narrowed("norms"),
    "biases": _narrowed("biases"),
    "probes": probes,
    "lora": lora,
    FULL: lambda blocks: {FULL: _full(blocks)},
}


def _full(blocks: Sequence[Block]) -> FreezePlan:
    return FreezePlan(blocks=_names(blocks))


def _names(blocks: Sequence[Block]) -> tuple[str, ...]:
    return tuple(block.name for block in blocks)


def _body(blocks: Sequence[Block]) -> frozenset[str]:
    return frozenset(block.name for block in blocks if not block.head)


def _counts(block: Block, blocks: Sequence[Block]) -> bool:
    """Whether a block holds more than next to nothing."""
    return block.parameters >= 0.001 * sum(other.parameters for other in blocks)


def _items(given: str, separator: str) -> list[str]:
    return [item.strip() for item in given.split(separator) if item.strip()]


def _spread(places: Sequence[int], most: int) -> list[int]:
    if len(places) <= most:
        return list(places)
    return sorted({places[round(i * (len(places) - 1) / (most - 1))] for i in range(most)})
