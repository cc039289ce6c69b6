"""What a study keeps of frozen computation: where, for which plans, captured once for all of them.

Every candidate's frozen part starts from the same pretrained weights, so one pass of the backbone captures what all
candidates replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from frostline.capture import batches
from frostline.capture.batch_rows import BatchRows
from frostline.capture.capturing import Rows as Captured
from frostline.capture.cost import Place, Room, Speeds, measure_speeds
from frostline.capture.origin import Origin
from frostline.capture.replay import Replay
from frostline.capture.sharing import Sharing
from frostline.capture.store import ActivationStore
from frostline.core.progress import Progress
from frostline.core.records import ReplayedRun, ReplaySummary
from frostline.core.sizes import size_text
from frostline.models.task_model import Batch, TaskModel
from frostline.plan.apply import evaluating
from frostline.plan.freeze_plan import FreezePlan
from frostline.train.evaluate import on_device, shape_of
from frostline.train.flops import FlopsMeter
from frostline.train.inputs import Inputs, Rows
from frostline.train.recipe import Keeping
from frostline.train.replaying import Replaying, call_of, content_ids

_TIMED_EXAMPLES = 16

_WORTH_EXAMINING = 64
"""Passes of one padded length, over all epochs, from which on it pays to find out what can be replayed of them."""


class Activations:
    """The replays of all candidates, and the store that they share.

    Args:
        model: With the weights from which every candidate starts.
        rows: Positions of all examples that training and choosing see.
        plans: By candidate.
        frozen_by: The model frozen by a candidate's plan, and by nothing else.
        keeping: What was asked.
        folder: Where rows on disk lie.
        epochs: How often every example comes back.
    """

    def __init__(
        self,
        model: TaskModel,
        inputs: Inputs,
        rows: Rows,
        plans: Mapping[str, FreezePlan],
        frozen_by: Callable[[str, FreezePlan], TaskModel],
        keeping: Keeping,
        folder: Path,
        progress: Progress,
        epochs: int = _WORTH_EXAMINING,
    ) -> None:
        self._model, self._inputs, self._progress = model, inputs, progress
        self._ids = content_ids(model, inputs, rows, len(inputs.padded_N))
        self.passing = FlopsMeter()
        """Passes over augmented batches, each for all candidates, and checks of slices."""
        self._lengths = inputs.padded_N[rows]
        samples = list(self._one_of_each(rows))
        counts = {length: int((self._lengths == length).sum()) for length, _ in samples}
        self._samples = [pair for pair in samples if counts[pair[0]] * epochs >= _WORTH_EXAMINING]
        self._rare = [sample for length, sample in samples if counts[length] * epochs < _WORTH_EXAMINING]
        self._rows = BatchRows(ActivationStore.in_memory(budget_bytes=0))
        self._replaying: dict[str, Replaying] = {}
        origin = Origin.of(model.module, _tensors(model))
        with progress.step("finding out what can be replayed", len(plans)) as step:
            for candidate, plan in plans.items():
                if plan.frozen:
                    self._replaying[candidate] = self._examined(frozen_by(candidate, plan), origin)
                step.advance()
        self._speeds = self._measured(None if keeping.place == "memory" else folder)
        for replaying in self._replaying.values():
            self._drop_when_cheaper_to_compute(replaying.replay, keeping)
        self._sharing = Sharing(model.module, {id: r.replay for id, r in self._replaying.items()}, self._rows)
        self.predicted_bytes = sum(
            self._sharing.row_bytes(sample) * int((self._lengths == length).sum()) for length, sample in self._samples
        ) // (2 if keeping.half else 1)
        self.place = self._placed(keeping, origin, folder)
        self._say()

    def replaying(self, candidate: str) -> Replaying | None:
        """The candidate's replay; None when it computes everything each time."""
        replaying = self._replaying.get(candidate)
        return None if replaying is None or replaying.replay.refused else replaying

    def capture(self, rows: Rows, batch: Batch) -> Tensor:
        """Logits of the pretrained model, all that is kept of the pass being stored on the way."""
        result = self._sharing.capture(call_of(self._model, batch), [self._ids[row] for row in rows])
        return self._model.logits_in(result)

    def pass_over(self, batch: Batch) -> Captured:
        """What the frozen parts of all candidates give for a batch that does not come back."""
        call = call_of(self._model, batch)
        return self.passing.count(shape_of(batch), lambda: self._sharing.pass_over(call)[0])

    def settle(self) -> None:
        """Check slices of the batch that was captured last; its FLOPs are not the pass's."""
        self.passing.measure(self._sharing.check)

    def finish(self) -> None:
        """All rows of the pass are checked, and durable where they are kept on disk."""
        self._sharing.check()
        self._rows.store.flush()
        for note in self._rows.store.notes:
            self._progress.say(note)

    @property
    def prepare_flops(self) -> int:
        """Spent on examining, capturing and verifying so far, for all candidates."""
        return sum(replaying.preparing.total for replaying in self._replaying.values())

    def discard(self) -> int:
        """Delete every row; bytes freed."""
        return self._rows.store.discard()

    # ------------------------------------------------------------ what can be replayed

    def _one_of_each(self, rows: Rows) -> Iterator[tuple[int, batches.Batch]]:
        """Two examples of each padded length."""
        for length in sorted(set(self._lengths.tolist())):
            same = rows[self._lengths == length]
            if len(same) > 1:
                yield length, call_of(self._model, on_device(self._model, self._inputs.batch(same[:2])))

    def _examined(self, model: TaskModel, origin: Origin) -> Replaying:
        replay = Replay(model.module, self._rows, origin)
        replaying = Replaying(replay, model, self._ids)
        for sample in self._rare:
            replay.leave(sample)
        if not self._samples:
            replay.refused = "there are too few examples to be worth finding out what can be replayed"
        model.module.train()
        for _, sample in self._samples:
            replaying.preparing.measure(partial(replaying.replay.plan_like, sample))
            with evaluating(model.module), torch.no_grad():
                replaying.preparing.measure(partial(replaying.replay.plan_like, sample))
        return replaying

    def _drop_when_cheaper_to_compute(self, replay: Replay, keeping: Keeping) -> None:
        if replay.refused or self._speeds is None:
            return
        place: Place = "disk" if keeping.place == "disk" else "memory"
        compute_s, read_s = self._passes_s(replay, self._speeds, place)
        if read_s > compute_s:
            replay.refused = f"reading its frozen part takes {read_s:.2g} s a pass, computing it {compute_s:.2g} s"

    def _passes_s(self, replay: Replay, speeds: Speeds, place: Place) -> tuple[float, float]:
        """What computing the frozen part of all examples takes, and what reading their rows takes."""
        flops = size = 0
        for length, sample in self._samples:
            plan = next(iter(replay.plans_like(sample)), None)
            if plan is not None:
                examples = int((self._lengths == length).sum())
                flops, size = flops + plan.spared_flops * examples, size + plan.row_bytes * examples
        return speeds.compute_s(flops), speeds.read_s(place, size)

    def _measured(self, folder: Path | None) -> Speeds | None:
        """Speeds of the model and of the store; None when nothing is replayed."""
        if not self._samples or all(replaying.replay.refused for replaying in self._replaying.values()):
            return None
        _, sample = max(self._samples, key=lambda pair: pair[0])
        batch = sample.pick(list(range(2)) * (_TIMED_EXAMPLES // 2))
        meter = FlopsMeter()

        def forward() -> int:
            meter.total = 0
            with evaluating(self._model.module), torch.no_grad():
                meter.count("sample", partial(batch, self._model.module))
            return meter.total

        return measure_speeds(forward, folder)

    def _placed(self, keeping: Keeping, origin: Origin, folder: Path) -> Place:
        room = Room.here(folder)
        place: Place = room.place_for(self.predicted_bytes) if keeping.place == "auto" else keeping.place
        budget = keeping.budget_bytes or (room.memory_bytes if place == "memory" else room.disk_bytes)
        if place == "memory":
            self._rows.store = ActivationStore.in_memory(budget_bytes=budget, half=keeping.half)
        else:
            self._rows.store = ActivationStore.at(folder, origin.key(), budget_bytes=budget, half=keeping.half)
        return place

    def _say(self) -> None:
        alive = [id for id, replaying in self._replaying.items() if not replaying.replay.refused]
        for candidate, replaying in self._replaying.items():
            if replaying.replay.refused:
                self._progress.say(f"{candidate}: {replaying.replay.sentence}")
        if alive:
            self._progress.say(
                f"activations of {len(self._lengths):,} examples for {len(alive)} of {len(self._replaying)} freeze "
                f"plans: {size_text(self.predicted_bytes)}, {_WHERE[self.place]}"
            )

    # ------------------------------------------------------------ afterwards

    def summary(self, trained: Iterable[str] | None = None) -> ReplaySummary:
        """What was predicted and what came, for the candidates that were trained; by default for all."""
        store = self._rows.store
        return ReplaySummary(
            place=self.place,
            predicted_bytes=self.predicted_bytes,
            kept_bytes=store.kept_bytes,
            refused_rows=store.refused_rows,
            half_error=store.half_error,
            notes=store.notes,
            runs=tuple(
                self._run_summary(id, self._replaying[plan].replay)
                for id in (self._replaying if trained is None else trained)
                if (plan := id.partition("@")[0]) in self._replaying
            ),
        )

    def _run_summary(self, candidate: str, replay: Replay) -> ReplayedRun:
        counts = replay.counts
        examples = counts["replayed examples"] + counts["ordinary examples"]
        compute_s, read_s = (
            self._passes_s(replay, self._speeds, self.place)
            if self._speeds and any(replay.plans_like(sample) for _, sample in self._samples)
            else (None, None)
        )
        rows_read = counts["replayed examples"]
        return ReplayedRun(
            candidate=candidate,
            replayed_share=counts["replayed examples"] / examples if examples else None,
            off_because=replay.refused,
            computed_again=replay.reasons,
            predicted_compute_s=compute_s,
            predicted_read_s=read_s,
            measured_read_s=replay.read_s * len(self._lengths) / rows_read if rows_read else None,
        )


_WHERE: Mapping[Place, str] = {"memory": "kept in memory", "disk": "kept on disk"}


def _tensors(model: TaskModel) -> dict[str, Tensor]:
    """All but the head, which is fitted after the pass, under every name that they have."""
    module = model.module
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    in_head = set(map(id, model.head.parameters())) if model.head is not None else set()
    return {name: tensor for name, tensor in named if id(tensor) not in in_head}
