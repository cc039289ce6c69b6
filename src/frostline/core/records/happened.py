"""What happened: candidates, runs with their proof, probes, results, the choice, openings, cost."""

from __future__ import annotations

from typing import Literal

from frostline.core.records.base import Record
from frostline.core.records.measured import Estimate, Measures

REWOUND = "@rewound"
"""Ends the id of a candidate whose first blocks were put back after training."""


class Candidate(Record):
    """One freeze plan that is tried."""

    id: str
    """Stable name within the study, usable as a file name: "depth-4", "full"."""
    plan: str
    """In words: "freeze embeddings to encoder.layer.2 (4 of 8 blocks)"."""
    frozen: tuple[str, ...]
    freeze_depth: int
    trainable_parameters: int
    total_parameters: int
    learning_rate: float | None = None
    """Peak rate of the backbone."""
    spared: Literal["", "norms", "biases", "adapters"] = ""
    """Parameters inside the frozen blocks that train all the same."""
    ends_after: str = ""
    """Last block that runs, of a network that ends early with a fitted linear head; empty when all of them run."""

    @property
    def is_rewound(self) -> bool:
        """Whether it is a finished run with its first blocks put back to their pretrained weights."""
        return REWOUND in self.id

    @property
    def trainable_share(self) -> float:
        return self.trainable_parameters / self.total_parameters


class Epoch(Record):
    """One pass over the train split. Epoch 0 is the model before training."""

    epoch: int
    train_loss: float | None = None
    """Mean over the epoch's batches, in training mode. None at epoch 0 or when not finite."""
    train_accuracy: float | None = None
    stop_loss: float | None
    """Validation loss; None when not finite."""
    stop_accuracy: float
    seconds_s: float = 0.0
    train_flops: int = 0
    evaluate_flops: int = 0
    spared_train_flops: int = 0
    """Of frozen blocks' forward passes in training that were replayed: the ordinary way would cost them too."""
    spared_evaluate_flops: int = 0
    """The same in evaluation."""


class Fit(Record):
    """Loss and accuracy in evaluation mode at the restored epoch."""

    examples: int
    loss: float | None
    accuracy: float


class Proof(Record):
    """Evidence that what was frozen stayed frozen during one run."""

    frozen_tensors: int
    sha256_before: str
    """Of all frozen parameters and buffers, by name."""
    sha256_after: str
    changed: tuple[str, ...] = ()
    optimizer_holds: tuple[str, ...] = ()
    """Frozen parameters that the optimizer holds: must be none."""
    training_mode: tuple[str, ...] = ()
    """Frozen modules that were no longer held in evaluation mode: must be none."""

    @property
    def holds(self) -> bool:
        return self.sha256_before == self.sha256_after and not (
            self.changed or self.optimizer_holds or self.training_mode
        )


class Run(Record):
    """One candidate trained with one seed."""

    id: str
    candidate: str
    seed: int
    status: Literal["finished", "failed", "paused"]
    """Paused: given up in the race before its end."""
    epochs: tuple[Epoch, ...]
    updates: int = 0
    """Steps of the optimizer. A run that was paused may have stopped within an epoch."""
    best_epoch: int
    """Epoch with the lowest stop loss, whose weights were restored. 0 is the model before training."""
    ended: str
    """Why training ended, in words."""
    train_fit: Fit | None
    """On a fixed sample of the train split, at most as large as the stop split; None when paused."""
    proof: Proof
    seconds_s: float
    train_flops: int
    evaluate_flops: int
    spared_train_flops: int = 0
    """See `Epoch`."""
    spared_evaluate_flops: int = 0
    prepare_flops: int = 0
    """Of examining, capturing and verifying what is replayed."""

    @property
    def ordinary_train_flops(self) -> int:
        """What training would have cost without replay."""
        return self.train_flops + self.spared_train_flops

    @property
    def ordinary_flops(self) -> int:
        """What the run would have cost without replay."""
        return self.ordinary_train_flops + self.evaluate_flops + self.spared_evaluate_flops


class HeadRate(Record):
    """One learning rate of the head, tried on fixed features of the pretrained backbone."""

    learning_rate: float
    best_epoch: int
    """From the head that all candidates start from; 0 when no epoch was better than that start."""
    loss: float | None
    """Stop loss of that epoch."""
    fresh_losses: tuple[float | None, ...] = ()
    """The same from random beginnings, one a seed."""


class Probe(Record):
    """A linear classifier on the frozen pretrained features after one block."""

    depth: int
    """Blocks passed through."""
    block: str
    measures: Measures
    regularisation: float
    """Inverse strength C chosen on the stop split."""


class Result(Record):
    """What one contender did on one split: a candidate, or a baseline."""

    name: str
    """A candidate id, or "majority", "tfidf-logistic"."""
    kind: Literal["candidate", "baseline"]
    sentence: str
    """What it is, in words."""
    measures: Measures


class Choice(Record):
    """Which candidate was chosen on the select split, and why."""

    candidate: str
    best: str
    """The candidate with the highest metric."""
    tied: tuple[str, ...]
    """Candidates within the paired noise of the best, the best among them."""
    metric: str
    reason: str
    corrected: Estimate | None = None
    """The metric of the chosen candidate on the select split, its interval corrected for the choosing."""


class CheapScore(Record):
    """What one nearly free score predicted of the candidates, and how well."""

    name: str
    """Such as "relative gradient norm"."""
    predicted: dict[str, float]
    """By candidate; higher is better."""
    rank_correlation: float | None
    """Spearman's, with the loss on the select split of candidates trained equally far; None when too few were."""
    candidates: int
    """Of which the correlation is."""


class Standing(Record):
    """What the race decided about one candidate at one rung."""

    candidate: str
    rung: int | None
    """0 is the search for the learning rate; None where no rung was at stake."""
    updates: int
    """Steps of the optimizer, done by then."""
    loss: float | None
    """On the select split; None when it has none to show."""
    decision: Literal["kept", "pruned", "failed", "skipped", "finished"]
    reason: str

    @property
    def is_rewound(self) -> bool:
        """See `Candidate.is_rewound`: asked after the race, and never trained."""
        return REWOUND in self.candidate


class Opening(Record):
    """One reading of the sealed test labels."""

    at: str
    """UTC, ISO 8601."""
    test_sha256: str
    contenders: tuple[str, ...]
    study: str = ""
    """Name of the study that read them."""
    answers_sha256: str = ""
    """Of what the contenders answered: who asks again with the same answers learns nothing new."""


class ReplayedRun(Record):
    """What became of one candidate's frozen computation."""

    candidate: str
    replayed_share: float | None
    """Of the examples trained on and evaluated, those whose frozen part was replayed; None when there were none."""
    off_because: str = ""
    """Why nothing is replayed: the end of "replay is off because ..."."""
    computed_again: tuple[str, ...] = ()
    """Why some frozen parts are computed each time although others are replayed."""
    predicted_compute_s: float | None = None
    """Computing the frozen part of all examples once."""
    predicted_read_s: float | None = None
    """Reading what was stored of it."""
    measured_read_s: float | None = None
    """What reading took, for as many examples."""


class ReplaySummary(Record):
    """The activation store of a study."""

    place: Literal["memory", "disk"]
    predicted_bytes: int
    """Before it was filled."""
    kept_bytes: int
    refused_rows: int = 0
    """Not kept, for the budget: computed again each time."""
    half_error: float | None = None
    """Largest error of rows kept as float16, as a share of the row's largest value; None when rows are exact."""
    notes: tuple[str, ...] = ()
    runs: tuple[ReplayedRun, ...] = ()


class Cost(Record):
    search_flops: int
    """Everything measured in this study up to the trained winner: probes, capture, training, evaluation."""
    budget_flops: int | None = None
    """What the search was allowed; None when every candidate was trained to its end."""
    judge_flops: int = 0
    """Answers on the test split and on the old task: what judges is not part of the search."""
    confirm_flops: int = 0
    """Training the chosen and the runner-up again with other seeds: asked for by `--seeds`, not part of the search."""
    full_finetune_flops: int
    """Training and evaluating the candidate that freezes nothing; predicted where it was not trained to its end."""
    sweep_flops: int
    """Training and evaluating every candidate to its end the ordinary way, nothing replayed; predicted likewise."""
    bound_flops: int
    """Lower bound of the sweep (design, section 8)."""
    seconds_s: float
