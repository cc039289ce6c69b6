"""The values that cross rooms: immutable, checked when built, written to JSON as they are.

Knows no tensor, no model, no file. Rates are fractions in [0, 1]; durations end in `_s`,
sizes in `_bytes`, work in `_flops`. What is undefined or was not finite is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SplitName = Literal["train", "stop", "select", "test"]
Severity = Literal["issue", "note"]
Outcome = Literal["issue", "note", "passed", "not applicable"]
VerdictName = Literal["READY", "NOT READY", "INCONCLUSIVE", "INVALID"]
Met = Literal["yes", "no", "cannot tell"]

EXIT_CODES: Mapping[VerdictName, int] = {"READY": 0, "NOT READY": 1, "INCONCLUSIVE": 4, "INVALID": 5}


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# ---------------------------------------------------------------- what is asked


class Task(Record):
    """What the labels are, and which of them is the positive one."""

    labels: tuple[str, ...]
    """Class labels; the position is the class number used everywhere."""
    positive: str | None = None
    """Label whose recall and precision are judged. None with three classes or more."""

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        if len(self.labels) == 2 and self.positive not in self.labels:
            raise ValueError(f"a task of two classes names its positive one, got {self.positive!r}")
        if len(self.labels) != 2 and self.positive is not None:
            raise ValueError("only a task of two classes has a positive one")
        return self

    @property
    def positive_index(self) -> int | None:
        return None if self.positive is None else self.labels.index(self.positive)

    @property
    def average(self) -> Literal["binary", "macro"]:
        """How recall, precision and F1 are formed: of the positive class, or the mean over classes."""
        return "macro" if self.positive is None else "binary"


class Floor(Record):
    """One demand: the metric must be at least this, with confidence."""

    metric: str
    floor: float
    default: bool = False
    """True when the user gave no floor and frostline supplied this one."""


# ---------------------------------------------------------------- what was measured


class Estimate(Record):
    """A metric with its interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    """How the interval was computed, in words."""
    undefined: str = ""
    """Why the value is undefined; empty when it is not."""


class Confusion(Record):
    """Counts by true label (rows) and predicted label (columns)."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    positive: str | None = None

    @property
    def total(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def binary(self) -> dict[str, int] | None:
        """`tp`, `fn`, `fp`, `tn` of the positive class; None with three classes or more."""
        if self.positive is None:
            return None
        p = self.labels.index(self.positive)
        n = 1 - p
        return {"tp": self.counts[p][p], "fn": self.counts[p][n], "fp": self.counts[n][p], "tn": self.counts[n][n]}


class ClassMeasures(Record):
    """One class against the rest."""

    label: str
    support: int
    """Examples whose true label it is."""
    recall: Estimate
    precision: Estimate
    f1: Estimate


class Measures(Record):
    """Everything measured of one set of predictions on one split."""

    split: str
    examples: int
    average: Literal["binary", "macro"]
    confusion: Confusion
    metrics: dict[str, Estimate]
    """Keys: accuracy, recall, precision, f1, balanced_accuracy, mcc."""
    per_class: tuple[ClassMeasures, ...] = ()
    loss: float | None = None
    """Mean cross-entropy; None when only labels were given or it was not finite."""


class Difference(Record):
    """Metric of one minus metric of the other on the same examples, with its interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    """Two-sided p-value of "no difference"."""
    method: str = ""


class Comparison(Record):
    """Two models on the same examples."""

    first: str
    second: str
    split: str
    examples: int
    differences: dict[str, Difference]
    """Keys as in `Measures.metrics`; each is `first - second`."""


# ---------------------------------------------------------------- what was given


class SplitSummary(Record):
    name: SplitName
    examples: int
    per_class: dict[str, int]
    origin: str
    """Where it comes from, in words: "given: test.csv", "20 % of data.csv"."""


class Overlap(Record):
    """Examples of a later split whose exact content also stands in an earlier one."""

    earlier: str
    later: str
    examples: int
    share: float
    """Of the later split."""
    sample: tuple[str, ...] = ()
    """Where a few of them are: "test.csv row 17 = train.csv row 4"."""


class Audit(Record):
    """What was found wrong between and inside the splits."""

    dropped_copies: int = 0
    """Exact copies of an earlier example, dropped before splitting or inside one split."""
    conflicting: int = 0
    """Inputs that occur with two different labels."""
    dropped_from_training: int = 0
    """Examples of train, stop or select dropped because a later split holds them too."""
    overlaps: tuple[Overlap, ...] = ()
    """Only between splits that were given; splits we carve cannot overlap."""


class DataSummary(Record):
    source: str
    kind: Literal["text", "image"]
    task: Task
    splits: tuple[SplitSummary, ...]
    audit: Audit
    notes: tuple[str, ...] = ()
    """What was guessed or decided, said aloud: columns, carved splits, positive class."""
    content_sha256: str

    def split(self, name: str) -> SplitSummary:
        return next(split for split in self.splits if split.name == name)


class Block(Record):
    """Smallest named unit that a plan freezes."""

    name: str
    """Name used in plans: the module path without the backbone prefix."""
    path: str
    """Path of the module in the model (`model.get_submodule(path)`), or of a parameter held by a parent."""
    parameters: int
    buffers: int = 0
    """Elements in buffers, running statistics among them."""
    forward_flops: int = 0
    """Of the traced example."""
    output_bytes: int = 0
    """Of the traced example."""
    head: bool = False
    tied: tuple[str, ...] = ()
    """Other places in the model that share its parameters: freezing the block freezes these names too."""
    norms: tuple[str, ...] = ()
    """Paths of the norm layers inside."""


# ---------------------------------------------------------------- what happened


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
    status: Literal["finished", "failed"]
    epochs: tuple[Epoch, ...]
    best_epoch: int
    """Epoch with the lowest stop loss, whose weights were restored. 0 is the model before training."""
    ended: str
    """Why training ended, in words."""
    train_fit: Fit | None
    """On a fixed sample of the train split, at most as large as the stop split."""
    proof: Proof
    seconds_s: float
    train_flops: int
    evaluate_flops: int


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


class Opening(Record):
    """One reading of the sealed test labels."""

    at: str
    """UTC, ISO 8601."""
    test_sha256: str
    contenders: tuple[str, ...]


class Cost(Record):
    search_flops: int
    """Everything measured in this study: probes, training, evaluation."""
    full_finetune_flops: int
    """Training and evaluating the candidate that freezes nothing."""
    sweep_flops: int
    """Training and evaluating every candidate the ordinary way."""
    bound_flops: int
    """Lower bound of the sweep (design, section 8)."""
    seconds_s: float


class StudyRecord(Record):
    """All evidence of one study: enough to judge and to render it without torch."""

    schema_: Literal["frostline.study/1"] = Field("frostline.study/1", alias="schema")
    name: str
    created: str
    """UTC, ISO 8601."""
    command: str
    """How to run it again."""
    settings: dict[str, str | int | float | bool | None]
    model: str
    data: DataSummary
    blocks: tuple[Block, ...]
    """In execution order."""
    candidates: tuple[Candidate, ...]
    runs: tuple[Run, ...]
    """One per candidate, in the order of `candidates`."""
    select: tuple[Result, ...]
    """Every candidate and baseline on the select split."""
    probes: tuple[Probe, ...]
    """On the select split, by depth."""
    choice: Choice
    reference: str | None
    """Candidate that freezes nothing, when it was trained and did not fail."""
    test: tuple[Result, ...]
    """The chosen candidate, the reference and the baselines on the test split."""
    test_without_overlap: tuple[Result, ...] = ()
    """The same without the test examples that stand in an earlier split; empty when there are none."""
    comparisons: tuple[Comparison, ...]
    """On the test split: the chosen against the reference and each baseline; on the select split: against the best."""
    openings: tuple[Opening, ...]
    cost: Cost
    environment: dict[str, str]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    def candidate(self, id: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.id == id)

    def run_of(self, candidate: str) -> Run:
        return next(run for run in self.runs if run.candidate == candidate)

    def result(self, name: str, split: Literal["select", "test"]) -> Result | None:
        return next((result for result in getattr(self, split) if result.name == name), None)

    def comparison(self, first: str, second: str, split: str) -> Comparison | None:
        return next(
            (c for c in self.comparisons if (c.first, c.second, c.split) == (first, second, split)),
            None,
        )


# ---------------------------------------------------------------- what is concluded


class Finding(Record):
    """What one check answered."""

    code: str
    name: str
    severity: Severity
    outcome: Outcome
    sentence: str
    """With the numbers. For "not applicable", the reason."""
    next: str = ""
    """What to do: blocks, threshold or data by name. Empty when nothing is needed."""
    breaks_evidence: bool = False
    """The measurement itself cannot be trusted: INVALID."""
    withholds_ready: bool = False
    """Too little is known to claim READY while this stands: INCONCLUSIVE at best."""


class FloorResult(Record):
    metric: str
    floor: float
    value: float | None
    bound: float | None
    """One-sided 95 % lower bound, corrected for the number of floors."""
    met: Met
    default: bool = False
    sentence: str
    more_needed: str = ""
    """When it cannot be told: which cases would tell, such as "115 more examples of 'spam' (215 in all)"."""


class Verdict(Record):
    """The answer, with its reasons in order."""

    schema_: Literal["frostline.verdict/1"] = Field("frostline.verdict/1", alias="schema")
    verdict: VerdictName
    exit_code: int
    sentence: str
    """One sentence a colleague understands."""
    reasons: tuple[str, ...]
    positive: str | None
    average: Literal["binary", "macro"]
    confusion: dict[str, int] | dict[str, tuple[str, ...] | tuple[tuple[int, ...], ...]]
    """`tp fn fp tn`, or `labels` and `counts` with rows = true, columns = predicted."""
    metrics: dict[str, Estimate]
    per_class: tuple[ClassMeasures, ...] = ()
    floors: tuple[FloorResult, ...]
    findings: tuple[Finding, ...]
    """Issues and notes, issues first."""
    checks: tuple[Finding, ...]
    """Every check that was asked, whatever its outcome."""
    next: str
    """The next thing to do."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)
