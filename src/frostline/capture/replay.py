"""Replaying what the frozen part of a model computes, in any training loop.

What a frozen module gave for an example is stored when the example is first met, and given back ever after,
to the last bit what the module would compute. Whatever stands against it is found by running the
model (`examine`), and then nothing is replayed and it is said why.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from frostline.capture.batch_rows import BatchRows
from frostline.capture.batches import Batch
from frostline.capture.calls import CallName, Flow, Reading, standing_in
from frostline.capture.capturing import Rows, capture, shelf_of
from frostline.capture.examine import Learnt, examine
from frostline.capture.guard import State
from frostline.capture.liveness import another_way, make_plan
from frostline.capture.origin import Origin
from frostline.capture.outputs import same_values, tensors_of
from frostline.capture.plans import Divide, Kept, Refused, ReplayPlan, UnlikeExamined
from frostline.capture.store import ActivationStore
from frostline.capture.verify import HALF_TOLERANCE, VERIFIED_EXAMPLES, difference
from frostline.capture.watching import Watch
from frostline.plan.apply import evaluating, is_inert

log = logging.getLogger("frostline")

MEMORY_BYTES = 2 * 2**30
"""Rows that are kept in memory when no store is given."""

VERIFIED_BATCHES = 2
MOST_WAYS = 8
"""Batches of one shape that may go astray and have their way through the model looked into."""

Modes = tuple[bool, ...]
Went = Literal["replayed", "astray", "rowless"]


class _Astray(BaseException):
    """The pass goes another way than any that was examined. No `Exception`, so that no model catches it."""


class _Rowless(BaseException):
    """The pass goes a known way on which rows of some examples are not there."""


class _NotEnough(Exception):
    """A slice of a tensor was enough for some examples and is not for others."""


class Replay:
    """Computes what is frozen of a model once per example, and replays it from then on.

    Args:
        model: Frozen already, by `frostline.freeze`.
        store: Where rows are kept, which several plans for one model may share; by default up to 2 GiB of memory.
        origin: What the rows in the store were computed from; by default the model as it is now.
        verify: Compare two batches with the ordinary model, to the last bit: the results of the first, and results and
            gradients of a few examples of both, those of the second in another order as well.

    >>> from frostline.plan.apply import freeze
    >>> net = freeze(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), "0")
    >>> replay, x_B4 = Replay(net), torch.randn(6, 4)
    >>> for _ in range(2):
    ...     with replay():
    ...         logits_B2 = net(x_B4)
    >>> replay.sentence
    'replayed 2 of 2 batches, 100.0 % of the examples'
    """

    def __init__(
        self,
        model: nn.Module,
        store: ActivationStore | BatchRows | None = None,
        origin: Origin | None = None,
        *,
        verify: bool = True,
    ) -> None:
        self._model, self._verify = model, verify
        self._watch = Watch(model, origin)
        kept = store or ActivationStore.in_memory(budget_bytes=MEMORY_BYTES)
        self.rows = kept if isinstance(kept, BatchRows) else BatchRows(kept)
        self._forward: Callable[..., Any] = model.forward
        self._plans: dict[tuple[str, Modes], ReplayPlan | Refused] = {}
        self._astray: Counter[str] = Counter()
        self._slices = True
        self._learnt = Learnt()
        self._verified: Counter[bool] = Counter()
        self._last_verified: tuple[bool, tuple[str, ...]] = (False, ())
        self.given: Rows | None = None
        """Rows of the batches to come, computed elsewhere; None when they are in the store."""
        self.ready: tuple[ReplayPlan | None, Rows] | None = None
        """What `prepare` gave for the very next call; None when the call is to be prepared."""
        self.refused = "the model is compiled" if _is_compiled(model) else ""
        """Why nothing is replayed; empty while something is."""
        self.read_s = self.capturing_s = 0.0
        """Spent on getting rows out of the store, and on computing missing ones."""
        self.spared_flops = 0
        """Of forward passes that were not computed; what capturing cost is not taken off."""
        self.counts: Counter[str] = Counter()
        """Batches and examples that were replayed, or computed the ordinary way."""
        self.reasons: tuple[str, ...] = ()
        """Why some frozen parts are computed each time although others are replayed."""
        self.cautions: tuple[str, ...] = ()
        """What the model gives that must not be used while it is replayed: a cache of keys and values, say."""

    @property
    def sentence(self) -> str:
        """What was done so far."""
        if self.refused:
            return f"replay is off because {self.refused}"
        batches = self.counts["replayed batches"] + self.counts["ordinary batches"]
        examples = self.counts["replayed examples"] + self.counts["ordinary examples"]
        share = self.counts["replayed examples"] / examples if examples else 0.0
        said = (
            f"replayed {self.counts['replayed batches']:,} of {batches:,} batches, {100 * share:.1f} % of the examples"
        )
        if self.counts["astray batches"]:
            said += f"; {self.counts['astray batches']:,} went ways through the model that were not examined"
        return said

    @contextmanager
    def __call__(self, ids: Sequence[str] | None = None) -> Iterator[Replay]:
        """Replay in the calls of the model that are made meanwhile; the backward pass may come later.

        Args:
            ids: One for each example, standing for its content: an id that comes back with other content gets
                the old rows. By default a hash of the content.
        """
        own = self._model.__dict__.get("forward")
        if getattr(own, "func", None) != self._answer:  # else this stands in another one of the same replay
            self._forward = self._model.forward
        self._model.__dict__["forward"] = partial(self._answer, None if ids is None else tuple(ids))
        try:
            yield self
        finally:
            if own is None:
                del self._model.__dict__["forward"]
            else:
                self._model.__dict__["forward"] = own

    def _answer(self, ids: tuple[str, ...] | None, *args: Any, **kwargs: Any) -> Any:
        if self.refused or torch.compiler.is_compiling():
            return self._forward(*args, **kwargs)
        batch = batch_of(args, kwargs, ids)
        names = ids or batch.ids()
        (plan, rows), self.ready = self.ready or self.prepare(batch, names), None
        if plan is not None:
            went, result = self._replayed(plan, batch, rows, names)
            if went == "replayed":
                self._count("replayed", batch)
                self.spared_flops += plan.spared_flops * batch.examples
                return result
            self._count(went, batch)
            self._learn(plan, batch, names, went)
        self._count("ordinary", batch)
        return batch(self._forward)

    def _count(self, how: str, batch: Batch) -> None:
        self.counts[f"{how} batches"] += 1
        self.counts[f"{how} examples"] += batch.examples

    def refuse(self, why: str) -> None:
        """Replay nothing any more, and say so."""
        if not self.refused:
            self.refused = why
            log.warning("Replay is off because %s. Training goes on the ordinary way.", why)

    # ------------------------------------------------------------ before a batch

    def prepare(self, batch: Batch, ids: Sequence[str]) -> tuple[ReplayPlan | None, Rows]:
        """Do all that a batch needs before it can be replayed: examine its shape, capture its rows, verify.

        Returns:
            What is replayed and the rows of the batch; None when it is computed the ordinary way.
        """
        plan = self.plan_for(batch)
        if plan is None:
            return None, {}
        try:
            began = time.perf_counter()
            captured = self.capturing_s
            if self.given is not None:
                rows = self.given
            else:
                rows = self.rows.of(plan, batch, ids, partial(self._capture, plan))
            self.read_s += time.perf_counter() - began - (self.capturing_s - captured)
        except UnlikeExamined as error:
            self.refuse(str(error))
            return None, {}
        except _NotEnough:
            self._keep_whole()
            return self.prepare(batch, ids)
        if self._is_to_be_verified(batch):
            self._verify_on(plan, batch, rows, ids)
        return (None, {}) if self.refused else (plan, rows)

    def is_ready(self, batch: Batch, ids: Sequence[str]) -> bool:
        """Whether `prepare` would have nothing to do."""
        if self.refused or batch.examples < 2:
            return True
        plan = self._plans.get((batch.shape(), self._modes())) if self._is_as_stored() else None
        if plan is None or self._is_to_be_verified(batch):
            return False
        if isinstance(plan, Refused) or self.given is not None:
            return True
        return not self.rows.missing(batch.shape(), plan, ids)

    def _is_to_be_verified(self, batch: Batch) -> bool:
        grad = torch.is_grad_enabled()
        # Without gradients there is less that could differ.
        wanted = VERIFIED_BATCHES if grad else 1
        # Whether it is the same batch is asked of its content: ids may lie.
        return self._verify and self._verified[grad] < wanted and self._last_verified != (grad, batch.ids())

    def plan_for(self, batch: Batch) -> ReplayPlan | None:
        """What is replayed of this batch; None when it is computed the ordinary way."""
        plan = self.plan_like(batch)
        return plan if plan is not None and batch.examples >= plan.least else None

    def plan_like(self, batch: Batch) -> ReplayPlan | None:
        """What is replayed of large batches of this shape, found by running the model when it is not known yet."""
        # One row is rounded otherwise than many: a batch of one is computed the ordinary way.
        if self.refused or batch.examples < 2 or not self._is_as_stored():
            return None
        key = batch.shape(), self._modes()
        if key not in self._plans:
            self._plans[key] = found = self._adopted(batch) or self._examine(batch)
            if isinstance(found, Refused) and not any(isinstance(p, ReplayPlan) for p in self._plans.values()):
                self.refuse(found.why)
        plan = self._plans[key]
        return plan if isinstance(plan, ReplayPlan) else None

    def leave(self, batch: Batch) -> None:
        """Compute batches of this shape the ordinary way, without finding out what of them could be replayed."""
        self._model.train()
        self._plans[batch.shape(), self._modes()] = left = Refused("there are too few examples of that shape")
        with evaluating(self._model):
            self._plans[batch.shape(), self._modes()] = left

    def _adopted(self, batch: Batch) -> ReplayPlan | None:
        """What is replayed in other modes, where it gives what the model gives in these: cheaper than examining."""
        for plan in self.plans_like(batch):
            if plan.steered or plan.narrowed:
                continue
            rows, _ = capture(self._model, self._forward, batch, [plan])
            ways: list[Went] = []

            def replayed(plan: ReplayPlan = plan, rows: Rows = rows, ways: list[Went] = ways) -> Any:
                went, result = self._replayed(plan, batch, rows, ())
                ways.append(went)
                return result

            differs = difference(self._model, partial(batch, self._forward), replayed)
            if ways == ["replayed"] and not differs:
                return plan
        return None

    def plans_like(self, batch: Batch) -> list[ReplayPlan]:
        """What is known already of batches of this shape, in whatever modes."""
        shape = batch.shape()
        return [p for (known, _), p in self._plans.items() if known == shape and isinstance(p, ReplayPlan)]

    def check_slices(self, batch: Batch, rows: Rows, result: Any) -> None:
        """Give up keeping slices when they are not enough for these captured examples."""
        if any(not self._is_enough(plan, batch, rows, result) for plan in self.plans_like(batch) if plan.narrowed):
            self._keep_whole()

    def _keep_whole(self) -> None:
        self._slices = False
        self._plans.clear()

    def _examine(self, batch: Batch) -> ReplayPlan | Refused:
        why = batch.unusable()
        examined = why or examine(self._model, self._forward, batch, self._learnt)
        if isinstance(examined, str):
            return Refused(examined)
        made = make_plan(self._model, self._forward, batch, examined, self._learnt, slices=self._slices)
        if isinstance(made, Divide):
            self._learnt.divide(made.paths)
            return self._examine(batch)
        self.reasons = tuple(dict.fromkeys((*self.reasons, *examined.reasons)))
        self.cautions = tuple(dict.fromkeys((*self.cautions, *examined.cautions)))
        self._watch.add(examined.buffers)
        return Refused(made) if isinstance(made, str) else made

    def _modes(self) -> Modes:
        return tuple(module.training and not is_inert(module) for module in self._model.modules())

    def _is_as_stored(self) -> bool:
        """Whether the frozen part is what the rows were computed from."""
        if self._watch.has_other_parts():
            self._learnt = Learnt()
            self._plans.clear()
        complaint = self._watch.complaint()
        if complaint:
            self.refuse(complaint)
        return not self.refused

    def _capture(self, plan: ReplayPlan, part: Batch) -> Rows:
        """Rows of the examples that lack some. Where only a slice is kept, every one is checked to be enough."""
        began = time.perf_counter()
        rows, result = capture(self._model, self._forward, part, [plan], whole=plan.narrowed)
        self.capturing_s += time.perf_counter() - began
        if plan.narrowed and not self._is_enough(plan, part, rows, result):
            raise _NotEnough
        return rows

    def _is_enough(self, plan: ReplayPlan, batch: Batch, rows: Rows, result: Any) -> bool:
        with evaluating(self._model), torch.no_grad():
            went, other = self._replayed(plan, batch, rows, ())
            if went == "astray" and self._knows_now(plan, batch):
                went, other = self._replayed(plan, batch, rows, ())
        return went == "replayed" and same_values(result, other)

    # ------------------------------------------------------------ one batch

    def _replayed(self, plan: ReplayPlan, batch: Batch, rows: Rows, ids: Sequence[str]) -> tuple[Went, Any]:
        """Whether the pass went a known way with all rows at hand, and what the model gave."""
        flow, shape, device = Flow(), batch.shape(), next(self._model.parameters()).device
        before = State.of(self._model) if plan.steered else None

        def row(kept: Kept) -> Tensor:
            shelf = shelf_of(shape, flow.reads)
            rows_B = rows.get((shelf, kept.name))
            # What was given belongs to a batch that does not come back: its ids stand for nothing in the store.
            if rows_B is None and ids and self.given is None:
                rows_B = self.rows.look_up(shelf, kept, ids)
            if rows_B is None:
                raise _Rowless
            return rows_B.to(device)

        def answer(name: CallName, total: int, compute: Callable[[], Any], inputs: Any) -> Any:
            call = plan.calls.get(name)
            return compute() if call is None else call.answer(row, batch.examples, device)

        def known_way() -> None:
            if not any(way[: len(flow.reads)] == tuple(flow.reads) for way in plan.flows):
                raise _Astray

        try:
            with standing_in(plan.modules, answer, flow), Reading(flow, known_way) if plan.steered else nullcontext():
                result = batch(self._forward)
            if plan.steered and tuple(flow.reads) not in plan.flows:
                raise _Astray
        except (_Astray, _Rowless) as ended:
            if before is not None:
                before.put_back()
            return "astray" if isinstance(ended, _Astray) else "rowless", None
        return "replayed", result

    def _learn(self, plan: ReplayPlan, batch: Batch, ids: Sequence[str], went: Went) -> None:
        """After a batch that was not replayed: look into its way, and keep its rows under it."""
        if (went == "astray" and not self._knows_now(plan, batch)) or self.rows.store.is_full:
            return
        if self.given is not None:
            return
        try:
            rows = self._capture(plan, batch.pick(range(batch.examples)))
        except UnlikeExamined as error:
            self.refuse(str(error))
        except _NotEnough:
            self._keep_whole()
        else:
            self.rows.put(batch.shape(), [plan], rows, ids)

    def _knows_now(self, plan: ReplayPlan, batch: Batch) -> bool:
        """Look into the way of a batch; whether what the plan keeps is all that matters on it."""
        shape = batch.shape()
        self._astray[shape] += 1
        way = another_way(self._model, self._forward, batch, plan) if self._astray[shape] <= MOST_WAYS else None
        if way is not None:
            plan.flows.add(way)
        return way is not None

    def _verify_on(self, plan: ReplayPlan, batch: Batch, rows: Rows, ids: Sequence[str]) -> None:
        """Compare a few examples with the ordinary model; the second time in another order as well."""
        verified = self._verified[torch.is_grad_enabled()]
        self._last_verified = torch.is_grad_enabled(), batch.ids()
        few = range(min(batch.examples, max(plan.least, VERIFIED_EXAMPLES)))
        # At first all of them, gradients aside: some kernels, and some models, go another way with many than with few.
        asked = [(few, True), (few[::-1], True)] if verified else [(range(batch.examples), False), (few, True)]
        for order, gradients in asked:
            part, some = batch.pick(order), _picked(rows, batch, order)
            went, differs = self._compare(plan, part, some, [ids[n] for n in order], gradients=gradients)
            if went != "replayed":
                return  # these take another way than the whole batch: the next batch is asked
            if differs:
                self.refuse(f"replaying was tried and {differs}")
                return
        self._verified[torch.is_grad_enabled()] += 1

    def _compare(
        self, plan: ReplayPlan, part: Batch, rows: Rows, ids: Sequence[str], *, gradients: bool
    ) -> tuple[Went, str]:
        """Whether a replayed pass went a known way, and what of it is not as in the ordinary one."""
        ways: list[Went] = []

        def replayed() -> Any:
            went, result = self._replayed(plan, part, rows, ids)
            ways.append(went)
            return result

        tolerance = HALF_TOLERANCE if self.rows.store.half else 0.0
        # A gradient that is nothing but rounding, as before a batch norm, has no size to be close to.
        exact = gradients and not self.rows.store.half
        differs = difference(self._model, partial(part, self._forward), replayed, tolerance, gradients=exact)
        return ways[0], differs


def _is_compiled(model: nn.Module) -> bool:
    # By attribute: importing the class of compiled modules would load the compiler.
    return hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None


def _picked(rows: Rows, batch: Batch, order: Sequence[int]) -> Rows:
    """The rows of some examples; a constant has one for all."""
    return {key: rows_B[list(order)] if len(rows_B) == batch.examples else rows_B for key, rows_B in rows.items()}


def batch_of(args: tuple[Any, ...], kwargs: dict[str, Any], ids: Sequence[str] | None) -> Batch:
    """The arguments of a call; examples are counted by the first tensor when no ids are given."""
    first = next((len(tensor) for tensor in tensors_of((args, kwargs)) if tensor.dim()), 0)
    return Batch(args, kwargs, first if ids is None else len(ids))
