"""All candidates of a study, from one pretrained model: trained, paused, asked for answers.

Whatever the ledger or the study folder already holds is read, not done again.

Shape letters: N examples, C classes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from frostline.core.ledger import Ledger
from frostline.core.progress import Progress
from frostline.core.records import Block, Epoch, Run, SplitName
from frostline.core.study_folder import StudyFolder
from frostline.data.sources import Dataset
from frostline.models.task_model import TaskModel
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.proof import Seal
from frostline.train.activations import Activations
from frostline.train.asking import Asking, Losses, Probabilities
from frostline.train.checkpoint import Checkpoints, load_trained
from frostline.train.derived import Derived
from frostline.train.evaluate import on_device
from frostline.train.inputs import Inputs
from frostline.train.loop import train_candidate
from frostline.train.networks import Networks
from frostline.train.recipe import Keeping, Recipe
from frostline.train.replaying import Replaying
from frostline.train.start import Beginning, Start
from frostline.train.trainer import Leg, Material, steps_of
from frostline.train.update import class_weights

LORA_RATE = 10
"""Adapters start from zero and have further to go: their learning rate over that of other plans.

Source: Schulman and Thinking Machines Lab (2025), LoRA without regret."""


@dataclass(frozen=True, kw_only=True)
class Race:
    """What all candidates share."""

    data: Dataset
    model: TaskModel
    inputs: Inputs
    blocks: Sequence[Block]
    plans: dict[str, FreezePlan]
    """By candidate. The race adds the same plan at other learning rates, as `plan@rate`."""
    recipe: Recipe
    seed: int
    examined: Collection[str] | None = None
    """Candidates for which it is worth finding out what can be replayed; None: all."""
    in_step: bool = False
    """Whether candidates are trained together, since batches are augmented at random."""
    keeping: Keeping | None
    """Where activations are kept; None when nothing is to be replayed."""
    folder: StudyFolder
    ledger: Ledger
    progress: Progress
    beginning: dict[str, Tensor] = field(default_factory=dict)
    """Every tensor of the module as each run finds it; filled by `start`."""

    rates: dict[str, float] = field(default_factory=dict)
    """Peak learning rate of the backbone, of the candidates that have one of their own."""

    _activations: list[Activations] = field(default_factory=list)
    """One, once `start` has made it."""

    confirming: bool = False
    """Whether candidates are trained again with another seed: their answers are kept apart."""

    _derived: dict[str, Derived] = field(default_factory=dict)
    """Of candidates that come of another one's run without training."""

    _made: list[Networks] = field(default_factory=list)
    """One, once `start` has made it."""

    @property
    def material(self) -> Material:
        """What training may see."""
        rows = self.data.rows
        return Material(
            inputs=self.inputs,
            labels=self.data.labels,
            train=rows["train"],
            stop=rows["stop"],
            class_weights_C=self.class_weights()[0],
            blocks=tuple(self.blocks),
        )

    def class_weights(self) -> tuple[NDArray[np.float64] | None, str]:
        """Of the training loss, and what to say about them."""
        labels = self.data.task.labels
        counts = np.bincount(self.data.labels[self.data.rows["train"]], minlength=len(labels))
        return class_weights(counts.tolist(), labels, self.recipe.class_weights)

    @property
    def asking(self) -> Asking:
        """What candidates answered."""
        return Asking(self.data, self.inputs, self.folder, self.ledger)

    @property
    def updates_an_epoch(self) -> int:
        return steps_of(self.material, self.recipe)

    def checkpoints(self, run: str) -> Checkpoints:
        return Checkpoints(self.folder.weights, run)

    def start(self) -> Start:
        """Probe every depth and give the head its starting weights; the module is then the start of every run."""
        self._made.append(
            Networks(
                model=self.model,
                blocks=self.blocks,
                folder=self.folder,
                seed=self.seed,
                example=on_device(self.model, self.inputs.batch(self.data.rows["train"][:2])),
                beginning=self.beginning,
                fixed={name for name, p in self.model.module.named_parameters() if not p.requires_grad},
            )
        )
        if self.keeping is not None and any(plan.frozen for plan in self.plans.values()):
            self._activations.append(self._made_activations(self.keeping))
        start = Beginning(
            data=self.data,
            model=self.model,
            inputs=self.inputs,
            blocks=self.blocks,
            recipe=self.recipe,
            seed=self.seed,
            activations=self.activations,
            replayed_splits=self._replayed_splits,
            ends=frozenset(plan.freeze_depth for plan in self.plans.values() if plan.ends_after),
            folder=self.folder,
            ledger=self.ledger,
            progress=self.progress,
        ).start()
        self.beginning.update({name: tensor.clone() for name, tensor in self.model.module.state_dict().items()})
        return start

    @property
    def activations(self) -> Activations | None:
        """What is kept of frozen computation; None when nothing is replayed."""
        return self._activations[0] if self._activations else None

    def _made_activations(self, keeping: Keeping) -> Activations:
        rows = np.sort(np.concatenate([self.data.rows[split] for split in self._replayed_splits]))
        networks = self.networks
        frozen_by = networks.twin if self.in_step else lambda _, plan: networks.frozen_by(plan)
        wanted = {
            id: plan
            for id, plan in self.plans.items()
            if (self.examined is None or id in self.examined) and not (plan.spared == "adapters" or plan.ends_after)
        }
        made = Activations(
            self.model,
            self.inputs,
            rows,
            wanted,
            frozen_by,
            keeping,
            self.folder.activations,
            self.progress,
            # Batches augmented at random are passed over in every epoch: they are worth it by themselves.
            **({} if self.in_step else {"epochs": self.recipe.epochs}),
        )
        networks.frozen_by(None)
        return made

    @property
    def _replayed_splits(self) -> tuple[SplitName, ...]:
        """Splits whose examples come back as they are."""
        return ("stop", "select") if self.in_step else ("train", "stop", "select")

    @property
    def networks(self) -> Networks:
        """Of all candidates."""
        return self._made[0]

    def seconds_already_trained(self) -> float:
        """What finished runs took in the process that trained them."""
        return sum(run.seconds_s for id in self.plans if (run := self.ledger.run(self.run_id(id))))

    def confirm(self, candidate: str, start: Start, seed: int) -> tuple[Run, Probabilities, int]:
        """Train a candidate whole with another seed: the run, its answers on the select split, and FLOPs in all."""
        again, derived = replace(self, seed=seed, confirming=True, _derived={}), self._derived.get(candidate)
        trained = candidate if derived is None else derived.source.candidate
        run = again.known_run(trained) or again.train(trained, start)
        answers = again.answers(run if derived is None else again.derive(replace(derived, source=run)), "select")
        asked = self.asking.flops(again._named(candidate), "select")
        return run, answers, run.train_flops + run.evaluate_flops + asked

    def train_all(self, start: Start) -> dict[str, Run]:
        """One run a candidate, each from the same weights; finished ones are read from the ledger."""
        runs = self.ended_early(start)
        for number, (candidate, plan) in enumerate(list(self.plans.items()), start=1):
            if plan.ends_after:
                continue
            run = self.ledger.run(self.run_id(candidate))
            if run is None:
                self.progress.say(f"candidate {number} of {len(self.plans)}: {candidate}, {plan.sentence}")
                run = self.train(candidate, start)
            self.progress.say(_outcome(run))
            runs[candidate] = run
        return {candidate: runs[candidate] for candidate in self.plans if candidate in runs}

    def ended_early(self, start: Start) -> dict[str, Run]:
        """Runs of the networks that end early: their heads are fitted, so nothing is left to train."""
        runs = {}
        for candidate, plan in self.plans.items():
            if not plan.ends_after or plan.freeze_depth not in start.probes:
                continue
            probed, module = start.probes[plan.freeze_depth], self.networks.begun(self.plans[candidate]).module
            stop = Epoch(epoch=0, stop_loss=probed.stop.loss, stop_accuracy=probed.stop.accuracy)
            runs[candidate] = Run(
                id=self.run_id(candidate),
                candidate=candidate,
                seed=self.seed,
                status="finished",
                epochs=(stop,),
                best_epoch=0,
                ended="its head is fitted, and nothing else is trained",
                train_fit=probed.train,
                proof=Seal.of(module).compare(module),
                seconds_s=0.0,
                train_flops=0,
                evaluate_flops=0,
            )
            # The probe has answered already: its scores carry the candidate's name.
            self.asking.acknowledge(candidate, "select", 0)
        return runs

    def answers(self, run: Run, split: SplitName) -> Probabilities:
        """What the run's best weights answer on a split (N, C), asked once and then read from disk."""
        name = self._named(run.candidate)
        if not self.asking.is_known(name, split):
            self._ask(run.candidate, split, self.restore(run))
        return self.asking.answers(name, split)

    def trainable_parameters(self, plan: FreezePlan) -> int | None:
        """Counted in the network where blocks do not tell: inside them or beside them, some parameters train."""
        if not plan.spared and not plan.ends_after:
            return None
        network = self.networks.of(plan).module
        count = sum(p.numel() for p in network.parameters() if p.requires_grad)
        self.networks.frozen_by(None)
        return count

    def known_run(self, candidate: str) -> Run | None:
        """A run that ended, in this process or before."""
        return self.ledger.run(self.run_id(candidate))

    def losses_at(self, candidate: str, updates: int) -> Losses | None:
        """Losses (N,) on the select split, acknowledged when the candidate was paused after so many updates."""
        name = _paused(candidate, updates)
        return self.asking.losses(name) if self.asking.is_known(name, "select") else None

    def losses_of(self, run: Run) -> Losses:
        """The same of a run as it is: of one that has ended with its best weights, of a paused one with its last."""
        if run.status == "paused":
            name, model = _paused(run.candidate, run.updates), self.networks.begun(self.plans[run.candidate])
            checkpoints = self.checkpoints(run.id)
            ends_epoch = run.updates == (len(run.epochs) - 1) * self.updates_an_epoch
            path = checkpoints.path(run.epochs[-1].epoch) if ends_epoch else checkpoints.path_within(run.updates)
            checkpoints.load(path, model.module)
            self._ask(run.candidate, "select", model, name)
            return self.asking.losses(name)
        self.answers(run, "select")
        return self.asking.losses(self._named(run.candidate))

    def last_answers(self, run: Run) -> Probabilities:
        """What a paused run answered on the select split when it was paused for good."""
        return self.asking.answers(_paused(run.candidate, run.updates), "select")

    def rate_of(self, candidate: str) -> float:
        """Peak learning rate of the backbone, or of the adapters in it."""
        rate = self.rates.get(candidate) or self.recipe.learning_rate or self.model.learning_rate
        return LORA_RATE * rate if self.plans[candidate].spared == "adapters" else rate

    def serving_flops(self) -> dict[str, int]:
        """One forward pass of the examples that the blocks were traced on, by candidate."""
        flops = [block.forward_flops for block in self.blocks]
        reached = {id: plan.freeze_depth if plan.ends_after else len(flops) for id, plan in self.plans.items()}
        return {id: sum(flops[:depth]) for id, depth in reached.items()}

    def passing_flops(self) -> int:
        """Spent on passes over augmented batches and on checks of slices, in this process."""
        return self.activations.passing.total if self.activations else 0

    def answering_flops(self, *splits: SplitName) -> int:
        """Spent on asking trained candidates for these splits, in this process or before; not those of other seeds."""
        return sum(self.asking.flops("%", split) - self.asking.flops("%-seed-%", split) for split in splits)

    def derive(self, derived: Derived) -> Run:
        """A candidate of its own that comes of a run without training, with a proof of what its plan freezes."""
        id, source = derived.candidate, derived.source
        self.plans[id], self._derived[id] = self.plans[derived.plan], derived
        self.rates[id] = self.rates.get(source.candidate) or self.recipe.learning_rate or self.model.learning_rate
        free = dict.fromkeys(("train_flops", "evaluate_flops", "spared_train_flops", "spared_evaluate_flops"), 0)
        run = source.model_copy(update={"id": self.run_id(id), "candidate": id, "seconds_s": 0.0, **free})
        seal = Seal.of(self.networks.begun(self.plans[id]).module)
        return run.model_copy(update={"ended": derived.sentence, "proof": seal.compare(self.restore(run).module)})

    def source_of(self, candidate: str) -> str:
        """The candidate that was trained for it: itself, unless it comes of another one's run."""
        derived = self._derived.get(candidate)
        return candidate if derived is None else self.source_of(derived.source.candidate)

    def restore(self, run: Run) -> TaskModel:
        """The run's model, frozen by its plan, with its best weights."""
        if (derived := self._derived.get(run.candidate)) is not None:
            tuned = {name: t.clone() for name, t in self.restore(derived.source).module.state_dict().items()}
            model = self.networks.begun(self.plans[run.candidate])
            load_trained(model.module, derived.tensors(model.module, self.beginning, tuned))
            return model
        model, checkpoints = self.networks.begun(self.plans[run.candidate]), self.checkpoints(run.id)
        if not self.plans[run.candidate].ends_after:
            checkpoints.load(checkpoints.path(run.best_epoch), model.module)
        return model

    def probe_answers(self, depth: int) -> Probabilities:
        """What the linear probe after `depth` blocks answers on the select split."""
        return self.asking.answers(f"probe-{depth}", "select")

    def _named(self, candidate: str) -> str:
        """Under which its answers are kept."""
        return self.run_id(candidate) if self.confirming else candidate

    def run_id(self, candidate: str) -> str:
        """Of a candidate with this seed."""
        return f"{candidate}-seed-{self.seed}"

    def finish(self, candidate: str, run: Run, model: TaskModel) -> None:
        """Acknowledge a run that has ended, and what it answers on the select split."""
        if run.status == "finished":
            self._ask(candidate, "select", model)  # now, while its weights are in place
        self.ledger.add_run(run)

    def train(self, candidate: str, start: Start, leg: Leg | None = None) -> Run:
        """Train a candidate from where it is, to its end or to that of a leg."""
        model = self.networks.begun(self.plans[candidate])
        run = train_candidate(
            candidate,
            model,
            self.material,
            self.recipe_of(candidate, start),
            seed=self.seed,
            before=start.before,
            ledger=self.ledger,
            checkpoints=self.checkpoints(self.run_id(candidate)),
            progress=self.progress,
            replaying=self.replaying(candidate),
            leg=leg,
        )
        if run.status == "paused":
            return run
        self.finish(candidate, run, model)
        return run

    def recipe_of(self, candidate: str, start: Start) -> Recipe:
        """With the learning rates of a candidate."""
        rates = {"head_learning_rate": start.head_learning_rate, "learning_rate": self.rate_of(candidate)}
        return self.recipe.model_copy(update=rates)

    def replaying(self, candidate: str) -> Replaying | None:
        """What spares a candidate computing its frozen part; None when everything is computed."""
        return self.activations.replaying(candidate.partition("@")[0]) if self.activations else None

    def _ask(self, candidate: str, split: SplitName, model: TaskModel, name: str | None = None) -> None:
        self.asking.ask(name or self._named(candidate), split, model, self.replaying(candidate))


def _paused(candidate: str, updates: int) -> str:
    """Name of a candidate's scores where it was paused."""
    return f"{candidate}.{updates}"


def _outcome(run: Run) -> str:
    best = run.epochs[run.best_epoch]
    loss = "not finite" if best.stop_loss is None else f"{best.stop_loss:.4f}"
    return (
        f"{run.candidate}: {run.status}, best epoch {run.best_epoch} with validation loss {loss} and accuracy "
        f"{best.stop_accuracy:.1%} ({run.ended})"
    )
