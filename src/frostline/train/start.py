"""Where every candidate starts: the pretrained model probed at every depth, its head fitted, its gradients scored.

Whatever the ledger or the study folder already holds is read, not done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load_file, save
from torch.nn import functional

from frostline.core.errors import ModelError
from frostline.core.files import write_atomically
from frostline.core.ledger import Ledger
from frostline.core.predictions import save_features, save_probabilities
from frostline.core.progress import Progress
from frostline.core.records import Block, Epoch, Fit, HeadRate, Record, SplitName
from frostline.core.study_folder import StudyFolder
from frostline.data.sources import Dataset
from frostline.models.task_model import TaskModel
from frostline.plan.network import LinearHead
from frostline.train.activations import Activations
from frostline.train.evaluate import fit, predict
from frostline.train.flops import FlopsMeter
from frostline.train.head_rate import best_rate, try_head_rates
from frostline.train.inputs import Inputs
from frostline.train.probes import Features, FittedLogistic, features_by_depth, fit_probe, head_weights, set_head
from frostline.train.recipe import Recipe
from frostline.train.scores import score_blocks, scored_examples
from frostline.train.start_head import fit_start_head

_COMPARED = 8
"""Examples that are answered by the network and by its head alone."""


class Probed(Record):
    """A linear probe: a classifier in its own right, of a network that ends there."""

    strength: float
    """Regularisation that was chosen on the stop split."""
    stop: Fit
    train: Fit


class Start(Record):
    """What is known before any training: acknowledged once, so that a resumed study begins from the same weights."""

    before: Epoch
    """Epoch 0 of every run: the pretrained model with its starting head."""
    probes: dict[int, Probed]
    """By depth."""
    forward_flops: int
    """One forward pass over the train split."""
    flops: int
    """Spent on the probes' pass and on epoch 0."""
    head_fitted: bool
    """Whether the head starts from the probe of the last block."""
    head_rates: tuple[HeadRate, ...] = ()
    """Tried on the features before the head; empty when it was not fitted."""
    prepare_flops: int = 0
    """Spent on finding out what can be replayed."""
    block_scores: dict[str, dict[str, float]] = Field(default_factory=dict)
    """By score and block: from the gradients of a sample at the pretrained weights."""
    embedding_depth: int | None = None
    """Blocks after which the pretrained features told the classes apart best; they are kept to look for patterns."""
    step_over_forward: float = 3.0
    """Forward and backward pass of full fine-tuning over the forward pass, measured on a sample."""

    @property
    def head_learning_rate(self) -> float:
        """The rate that got furthest on fixed features; the recipe's when none got anywhere."""
        return best_rate(self.head_rates) or Recipe().head_learning_rate


def probe_head(folder: StudyFolder, depth: int) -> LinearHead:
    """The probe after so many blocks, as the head of a network that ends there."""
    tensors = load_file(folder.probes)
    return LinearHead(tensors[f"{depth}|weight"], tensors[f"{depth}|bias"])


def known_start(ledger: Ledger) -> Start | None:
    """The start that was acknowledged; None before."""
    known = ledger.fact("start")
    return None if known is None else Start.model_validate_json(known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What the start is made of; leaves the model as every run finds it."""

    data: Dataset
    model: TaskModel
    inputs: Inputs
    blocks: Sequence[Block]
    recipe: Recipe
    seed: int
    activations: Activations | None
    replayed_splits: tuple[SplitName, ...]
    ends: frozenset[int]
    """Depths after which some candidate's network ends."""
    folder: StudyFolder
    ledger: Ledger
    progress: Progress

    def start(self) -> Start:
        """The start that was acknowledged, or a new one."""
        start = known_start(self.ledger)
        if start is None:
            return self._new_start()
        if start.head_fitted and self.model.head is not None:
            tensors = load_file(self.folder.start_head)
            set_head(self.model.head, tensors["weight"], tensors["bias"])
        return start

    def _new_start(self) -> Start:
        probes, features, forward_flops, flops = self._probe()
        labels = {split: self.data.labels[self.data.rows[split]] for split in ("train", "stop")}
        head_fitted = self._fit_head(features)
        meter = FlopsMeter()
        head_rates = meter.measure(lambda: self._try_head_rates(features)) if head_fitted else ()
        begun = fit(self._first_answers(features, meter), labels["stop"])
        if begun.loss is None:
            raise ModelError(
                f"{self.model.source} answers with numbers that are not finite before any training. "
                "Check its weights, and that its inputs are prepared as it was trained."
            )
        scored = score_blocks(
            self.model,
            self.blocks,
            self.inputs,
            self.data.labels,
            self.data.rows["train"],
            meter,
            most=scored_examples(len(self.data.rows["train"])),
        )
        start = Start(
            before=Epoch(epoch=0, stop_loss=begun.loss, stop_accuracy=begun.accuracy),
            probes={
                depth: Probed(
                    strength=probe.strength,
                    **{split: fit(probe.probabilities(features[split][depth]), labels[split]) for split in labels},
                )
                for depth, probe in probes.items()
            },
            forward_flops=forward_flops,
            flops=flops + meter.total,
            head_fitted=head_fitted,
            head_rates=head_rates,
            embedding_depth=self._keep_embedding(probes, features),
            prepare_flops=self.activations.prepare_flops if self.activations else 0,
            step_over_forward=scored.step_over_forward or 3.0,
            block_scores={name: dict(by_block) for name, by_block in scored.scores.items()},
        )
        self.ledger.note("start", start.model_dump_json())
        return start

    def _probe(self) -> tuple[dict[int, FittedLogistic], dict[str, dict[int, Features]], int, int]:
        """Probes by depth, features by split and depth, FLOPs of the train split's forward pass and of all passes."""
        meter, flops, features = FlopsMeter(), {}, {}
        for split in ("train", "stop", "select"):
            before = meter.total
            rows = self.data.rows[split]
            self.progress.say(f"one pass of the pretrained model over the {split} split ({len(rows)} examples)")
            features[split] = features_by_depth(
                self.model,
                self.blocks,
                self.inputs,
                rows,
                meter,
                self.progress,
                self.activations.capture if self.activations and split in self.replayed_splits else None,
                self.activations.settle if self.activations else None,
            )
            flops[split] = meter.total - before
        if self.activations:
            self.activations.finish()
        train_labels, stop_labels = (self.data.labels[self.data.rows[s]] for s in ("train", "stop"))
        probes = {}
        with self.progress.step("linear probes at every depth", len(features["train"])) as step:
            for depth in features["train"]:
                if not np.isfinite(features["train"][depth]).all():
                    continue
                probes[depth] = fit_probe(features["train"][depth], train_labels, features["stop"][depth], stop_labels)
                answer = probes[depth].probabilities(features["select"][depth])
                save_probabilities(self.folder.scores(f"probe-{depth}", "select"), answer)
                step.advance()
        self._save_probes(probes)
        return probes, features, flops["train"], meter.total

    def _first_answers(self, features: Mapping[str, Mapping[int, Features]], meter: FlopsMeter) -> NDArray[np.float64]:
        """What the model answers on the stop split (N, C) before training.

        Its features are known: where a few examples show that the head's answer is the network's, the head is enough.
        """
        stop, head, depths = self.data.rows["stop"], self.model.head, features["stop"]
        last_NF = depths[max(depths)] if depths else None
        if head is None or last_NF is None or last_NF.shape[1] != head.in_features:
            return predict(self.model, self.inputs, stop, meter)
        few = predict(self.model, self.inputs, stop[:_COMPARED], meter)
        with torch.no_grad():
            logits_NC = head(torch.from_numpy(last_NF).to(head.weight))
        answers_NC: NDArray[np.float64] = functional.softmax(logits_NC.double(), dim=1).cpu().numpy()
        if np.allclose(few, answers_NC[:_COMPARED], rtol=1e-3, atol=1e-5):
            return answers_NC
        return predict(self.model, self.inputs, stop, meter)

    def _save_probes(self, probes: Mapping[int, FittedLogistic]) -> None:
        """As weights and biases, of the depths at which the network may end."""
        tensors = {}
        for depth in self.ends & probes.keys():
            tensors[f"{depth}|weight"], tensors[f"{depth}|bias"] = head_weights(probes[depth])
        if tensors:
            write_atomically(self.folder.probes, lambda file: file.write(save(tensors)))

    def _keep_embedding(
        self, probes: Mapping[int, FittedLogistic], features: Mapping[str, Mapping[int, Features]]
    ) -> int | None:
        """The features of the best probe, kept so that a resumed study has them as well; None without a probe."""
        if not probes:
            return None
        depth = min(probes, key=lambda depth: probes[depth].stop_loss)
        for split, by_depth in features.items():
            save_features(self.folder.embedding(split), by_depth[depth])
        return depth

    def _try_head_rates(self, features: Mapping[str, Mapping[int, Features]]) -> tuple[HeadRate, ...]:
        """All rates on the features before the head, at the price of one matrix product a step."""
        head = self.model.head
        splits: tuple[SplitName, ...] = ("train", "stop")
        if head is None or head.bias is None:
            return ()
        fitted = head.weight.detach().cpu(), head.bias.detach().cpu()
        return try_head_rates(
            {split: features[split][max(features[split])] for split in splits},
            {split: self.data.labels[self.data.rows[split]] for split in splits},
            fitted,
            self.recipe,
            self.seed,
        )

    def _fit_head(self, features: Mapping[str, Mapping[int, Features]]) -> bool:
        """Start the head from a tempered probe, unless its own answers are already better on the stop split."""
        head, depths = self.model.head, features["train"]
        if head is None or not depths or not np.isfinite(depths[max(depths)]).all():
            return False
        train_NF, stop_NF = depths[max(depths)], features["stop"][max(depths)]
        train_N, stop_N = (self.data.labels[self.data.rows[split]] for split in ("train", "stop"))
        if train_NF.shape[1] != head.in_features:
            return False
        weight_CF, bias_C, probe_loss = fit_start_head(train_NF, train_N, stop_NF, stop_N)
        if weight_CF.shape != head.weight.shape:
            return False
        bias = None if head.bias is None else head.bias.detach().cpu()
        logits_NC = functional.linear(torch.from_numpy(stop_NF), head.weight.detach().cpu(), bias)
        own = fit(functional.softmax(logits_NC, dim=1).double().numpy(), stop_N)
        if own.loss is not None and own.loss <= probe_loss:
            return False
        ready = {"weight": weight_CF, "bias": bias_C}
        write_atomically(self.folder.start_head, lambda file: file.write(save(ready)))
        set_head(head, weight_CF, bias_C)
        return True
