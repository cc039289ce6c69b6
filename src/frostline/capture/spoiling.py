"""Asking which tensors matter, by spoiling them: whatever the result does not notice need not be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from frostline.capture.batches import Batch
from frostline.capture.calls import CallName, Flow, Reading, standing_in
from frostline.capture.descent import TRAINING, Descent, Marks
from frostline.capture.eligible import foreign_hooks
from frostline.capture.examine import Examined
from frostline.capture.guard import undisturbed
from frostline.capture.leftovers import attributes
from frostline.capture.outputs import PLAIN, Layout, same_values, unflatten
from frostline.capture.plans import with_gradient
from frostline.capture.recording import Leaf
from frostline.capture.verify import gradients_of
from frostline.plan.chance import seed_everything

Fault = Callable[[Any, Layout | None, int], Any]
"""What is put in the place of a leaf."""


def _nan(leaf: Any, layout: Layout | None, examples: int) -> Any:
    return torch.full_like(leaf, float("nan")) if isinstance(leaf, Tensor) else None


def _noise(leaf: Any, layout: Layout | None, examples: int) -> Any:
    return noise_like(leaf) if isinstance(leaf, Tensor) else None


def _stand_in(leaf: Any, layout: Layout | None, examples: int) -> Any:
    return layout.stand_in(examples, leaf.device) if layout is not None else None


def noise_like(leaf: Tensor) -> Tensor:
    """Random numbers that no dropout of the model misses."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(leaf.shape, generator=generator).mul(10).to(leaf)


class Reached(NamedTuple):
    """What a pass says of the leaves, whatever their numbers are."""

    leaves: frozenset[Leaf]
    """From which the result or its gradients may have been made, or something else that somebody may look at."""
    only_result: frozenset[Leaf]
    """Those that nobody looks at in another way than through the result and its gradients."""
    choosing: Marks
    """Leaves, or what trains, whose numbers decide which other ones count."""


class Spoiling:
    """Asks whether the result changes when leaves are replaced by something else."""

    def __init__(self, model: nn.Module, forward: Callable[..., Any], batch: Batch, examined: Examined) -> None:
        self._model, self._forward, self._batch, self._examined = model, forward, batch, examined
        self._gradients: dict[str, Tensor | None] = {}

    def with_calls_of(self, examined: Examined) -> Spoiling:
        """The same questions when only these calls are replayed."""
        return Spoiling(self._model, self._forward, self._batch, examined)

    def spoilable(self) -> Iterator[Leaf]:
        """Leaves that can turn out not to matter: whole numbers always count."""
        for name, call in self._examined.calls.items():
            for position, leaf in enumerate(call.leaves):
                if _can_be_spoilt(leaf):
                    yield Leaf(name, position)

    def matters(
        self, leaves: Sequence[Leaf], faults: Sequence[Fault] = (_nan, _noise, _stand_in), *, gradients: bool = False
    ) -> bool:
        """Whether the result, or with `gradients` one of them, is another for any of these faults.

        An exception says that it is. Gradients are known from `reached`.
        """
        return any(not self._same(dict.fromkeys(leaves, fault), gradients=gradients) for fault in faults)

    def noise_matters(self, leaves: Sequence[Leaf]) -> bool:
        """The same by one question: enough for what was found not to matter in another shape of batch."""
        return not self._same(dict.fromkeys(leaves, _noise))

    def reached(self) -> Reached | None:
        """Follow every leaf through the pass; None when replaying does not give the model's own result."""
        descent = Descent()
        descent.mark([parameter for parameter in self._model.parameters() if parameter.requires_grad], TRAINING)
        with _seen_by_hooks(self._model, descent):
            flow, result, random_state, gradients = self._run({}, descent, gradients=True)
        if not self._is_own(flow, result, random_state):
            return None
        self._gradients = gradients
        of_result = descent.of(result)
        elsewhere = descent.of([list(attributes(module)) for module in self._model.modules()]) | descent.read
        if descent.counted or flow.has_hidden(descent.looks):
            elsewhere |= descent.held  # code that nobody can follow may take it up for other examples
        marks = of_result | descent.of(gradients) | elsewhere
        leaves = {Leaf(name, n) for name, call in self._examined.calls.items() for n in range(len(call.leaves))}
        only_result = leaves & of_result - elsewhere
        return Reached(frozenset(leaves & marks), frozenset(only_result), frozenset(descent.choosing))

    def those_that_matter(self, leaves: Sequence[Leaf]) -> list[Leaf]:
        """By halving: one trial clears many."""
        if not leaves or not self.matters(leaves):
            return []
        if len(leaves) == 1:
            return list(leaves)
        half = len(leaves) // 2
        return self.those_that_matter(leaves[:half]) + self.those_that_matter(leaves[half:])

    def _same(self, faults: Mapping[Leaf, Fault], *, gradients: bool = False) -> bool:
        try:
            flow, result, random_state, found = self._run(faults, gradients=gradients)
        except Exception:  # whatever the model raises on spoilt numbers: they mattered
            return False
        return self._is_own(flow, result, random_state) and (not gradients or same_values(found, self._gradients))

    def _is_own(self, flow: Flow, result: Any, random_state: Tensor) -> bool:
        """Whether a pass ended as the model's own: random numbers that it draws count, they shift all later ones."""
        now = self._examined.now
        drawn_alike = now.random_state is not None and torch.equal(random_state, now.random_state)
        return tuple(flow.reads) == now.way and drawn_alike and same_values(result, now.result)

    def _run(
        self, faults: Mapping[Leaf, Fault], descent: Descent | None = None, *, gradients: bool
    ) -> tuple[Flow, Any, Tensor, dict[str, Tensor | None]]:
        calls, layouts = self._examined.calls, self._examined.layouts

        def answer(name: CallName, total: int, compute: Callable[[], Any], inputs: Any) -> Any:
            if name not in calls:
                return compute()
            given = [
                faults[Leaf(name, n)](leaf, layouts[name][n], self._batch.examples)
                if Leaf(name, n) in faults
                else leaf.clone()
                if isinstance(leaf, Tensor)
                else leaf
                for n, leaf in enumerate(calls[name].leaves)
            ]
            for n, requires_grad in enumerate(calls[name].requires_grad):
                given[n] = with_gradient(given[n], requires_grad)
                if descent is not None:
                    descent.mark(given[n], Leaf(name, n))
            return unflatten(given, calls[name].structure)

        flow = Flow()
        with undisturbed(self._model):
            seed_everything(1)
            with standing_in(self._examined.modules, answer, flow), Reading(flow), descent or nullcontext():
                result = self._batch(self._forward)
            random_state = torch.get_rng_state()
            with descent or nullcontext():  # what is checkpointed is computed again from what it was given
                found = gradients_of(self._model, result) if gradients else {}
        return flow, result, random_state, found


@contextmanager
def _seen_by_hooks(model: nn.Module, descent: Descent) -> Iterator[None]:
    """Whatever somebody's hooks may look at counts as read."""

    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        descent.read |= descent.of((args, kwargs, output))

    handles = [m.register_forward_hook(hook, with_kwargs=True) for m in model.modules() if foreign_hooks(m)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _can_be_spoilt(leaf: Any) -> bool:
    if isinstance(leaf, Tensor):
        return leaf.is_floating_point() or leaf.is_complex()
    return not isinstance(leaf, PLAIN)
