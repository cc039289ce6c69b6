"""Believable records for tests: a complete study that is clean and READY, with one knob per planted fault."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from zlib import crc32

import numpy as np

from frostline.core.predictions import Predictions
from frostline.core.records import (
    Audit,
    Block,
    Candidate,
    Choice,
    Comparison,
    Confirmation,
    Cost,
    DataSummary,
    Epoch,
    Fit,
    Forgetting,
    HeadRate,
    Measures,
    Met,
    NonInferiority,
    Opening,
    Overlap,
    Probe,
    Proof,
    ReplayedRun,
    ReplaySummary,
    Result,
    Run,
    Slice,
    SplitSummary,
    StudyRecord,
    Task,
)
from frostline.measure.compare import compare
from frostline.measure.forgetting import forgetting as measured_forgetting
from frostline.measure.measures import measure
from frostline.measure.slices import sliced

BINARY = Task(labels=("ham", "spam"), positive="spam")
TOPICS = Task(labels=("billing", "delivery", "returns", "other"))
BLOCKS = ("embeddings", *(f"encoder.layer.{n}" for n in range(6)), "head")
CANDIDATES = ("full", *(f"depth-{depth}" for depth in range(1, 8)))
BASELINES = {
    "majority": "always answers the majority class",
    "tfidf-logistic": "TF-IDF with logistic regression",
}
_BLOCK_PARAMETERS = (11_920_000, *(1_774_000,) * 6, 770)

Matrix = tuple[tuple[int, ...], ...]
Curve = Sequence[tuple[float | None, float | None, float | None, float]]
"""Per epoch: train loss, train accuracy, stop loss, stop accuracy; the first is epoch 0."""


def spam_counts(tp: int, fn: int, fp: int, tn: int) -> Matrix:
    """Counts as a matrix over ("ham", "spam"), rows = true."""
    return ((tn, fp), (fn, tp))


def topic_counts(hits: int, per_class: int = 150) -> Matrix:
    """Four classes of equal size, each with `hits` right answers and the mistakes spread over the others."""
    missed = per_class - hits
    shares = (missed - 2 * (missed // 3), missed // 3, missed // 3)
    return tuple(
        tuple(hits if column == row else shares[(column - row) % 4 - 1] for column in range(4)) for row in range(4)
    )


# The baseline counts are the same on select and test, to keep the numbers in a test's head.
_SPAM: dict[str, Matrix] = {
    "full": spam_counts(284, 16, 9, 711),
    "depth-1": spam_counts(283, 17, 9, 711),
    "depth-2": spam_counts(283, 17, 10, 710),
    "depth-3": spam_counts(282, 18, 9, 711),
    "depth-4": spam_counts(282, 18, 10, 710),
    "depth-5": spam_counts(264, 36, 14, 706),
    "depth-6": spam_counts(255, 45, 18, 702),
    "depth-7": spam_counts(240, 60, 22, 698),
    "majority": spam_counts(0, 300, 0, 720),
    "tfidf-logistic": spam_counts(246, 54, 14, 706),
}
_TOPICS: dict[str, Matrix] = {
    name: topic_counts(hits)
    for name, hits in {
        "full": 139,
        "depth-1": 139,
        "depth-2": 138,
        "depth-3": 138,
        "depth-4": 138,
        "depth-5": 129,
        "depth-6": 124,
        "depth-7": 118,
        "tfidf-logistic": 116,
    }.items()
} | {"majority": ((150, 0, 0, 0),) * 4}


def make_study(
    *,
    classes: int = 2,
    chosen: str = "depth-4",
    select: Mapping[str, Matrix] | None = None,
    test: Mapping[str, Matrix] | None = None,
    curves: Mapping[str, Curve] | None = None,
    train_fit: Mapping[str, Fit] | None = None,
    failed: Collection[str] = (),
    changed: Sequence[str] = (),
    optimizer_holds: Sequence[str] = (),
    training_mode: Sequence[str] = (),
    overlap: int = 0,
    audit: Mapping[str, object] | None = None,
    openings: int = 1,
    reference: str | None = "full",
    replay: ReplaySummary | None = None,
    head_rates: Sequence[HeadRate] = (),
    slices: Sequence[Slice] = (),
    forgetting: Mapping[str, Forgetting] | None = None,
    confirmations: Sequence[Confirmation] = (),
    non_inferiority: NonInferiority | None = None,
    tied: Sequence[str] = (),
    train_flops: Mapping[str, int] | None = None,
) -> StudyRecord:
    """A study of eight blocks, eight candidates and two baselines.

    Args:
        classes: 2 (ham and spam, 300 of 1,020 test messages are spam) or 4 (topics, 150 each).
        chosen: Candidate that was chosen.
        select: Counts on the select split that replace the usual ones, by contender.
        test: The same for the test split.
        curves: Training curves that replace the usual ones, by candidate.
        train_fit: Fits on the train sample that replace the usual ones, by candidate.
        failed: Candidates whose run failed.
        changed: Frozen tensors of the chosen run that changed.
        optimizer_holds: Frozen parameters of the chosen run that its optimizer held.
        training_mode: Frozen modules of the chosen run that ran in training mode.
        overlap: Test examples that also stand in the train split.
        audit: Fields of the audit that replace the usual ones.
        openings: How often the test labels were read.
        reference: Candidate that freezes nothing, or None.
        replay: What was replayed, as `make_replay` makes it; a quarter of the work of a replayed run was spared.
        head_rates: Learning rates of the head that were tried.
        slices: Parts of the test split, as `make_slices` makes them.
        forgetting: What finalists have forgotten, as `make_forgetting` makes it.
        confirmations: Trainings with other seeds, as `make_confirmations` makes them.
        non_inferiority: Of the chosen candidate against full fine-tuning on the test split, as `make_non_inferiority`
            makes it.
        tied: Candidates tied with the chosen one, beside the usual ones.
        train_flops: Work of training that replaces the usual one, by candidate.
    """
    task, usual = (BINARY, _SPAM) if classes == 2 else (TOPICS, _TOPICS)
    on_select = _answers(task, {**usual, **(select or {})}, failed, "select")
    tested = [name for name in (chosen, reference, *BASELINES) if name is not None]
    on_test = {
        name: answers
        for name, answers in _answers(task, {**usual, **(test or {})}, failed, "test").items()
        if name in tested
    }
    reference = reference if reference in on_test else None
    candidates = tuple(map(_candidate, CANDIDATES))
    proof = _proof(changed, optimizer_holds, training_mode)
    replayed = {run.candidate for run in replay.runs if not run.off_because} if replay else set()
    return StudyRecord(
        name="spam" if classes == 2 else "topics",
        created="2026-03-02T09:30:00Z",
        command="frostline search --model minilm --data messages.csv",
        settings={"epochs": 3, "batch_size": 32, "learning_rate": 5e-5, "seed": 0},
        model="MiniLM-L6",
        data=_data(task, on_test["majority"], overlap, audit or {}),
        blocks=tuple(map(_block, BLOCKS, _BLOCK_PARAMETERS)),
        candidates=candidates,
        runs=tuple(
            _worked(
                _run(c, curves or {}, train_fit or {}, failed, proof if c.id == chosen else _proof(), c.id in replayed),
                train_flops or {},
            )
            for c in candidates
        ),
        select=_results(on_select, "select", scored=[chosen]),
        probes=_probes(task, usual),
        head_rates=tuple(head_rates),
        choice=_choice(chosen, tied),
        reference=reference,
        test=_results(
            {name: on_test[name] for name in dict.fromkeys(tested) if name in on_test}, "test", scored=[chosen]
        ),
        test_without_overlap=_results(on_test, "test", scored=()) if overlap else (),
        comparisons=_comparisons(chosen, reference, on_select, on_test, non_inferiority),
        forgetting=dict(forgetting or {}),
        confirmations=tuple(confirmations),
        slices=tuple(slices),
        slices_from="column 'source'" if slices else "",
        openings=tuple(_opening(number, tested) for number in range(openings)),
        cost=_cost(),
        replay=replay,
        environment={"python": "3.11", "frostline": "0.1.0"},
    )


def make_replay(
    *,
    off: Mapping[str, str] | None = None,
    computed_again: Sequence[str] = (),
    half_error: float | None = None,
    refused_rows: int = 0,
    notes: Sequence[str] = (),
) -> ReplaySummary:
    """What became of seven freeze plans: all replayed, from 30 MB on disk.

    Args:
        off: Why nothing is replayed, by candidate.
        computed_again: Why some parts of what is replayed are not.
        half_error: Largest error of rows at half the size.
        refused_rows: Rows that the budget did not allow.
        notes: Of the store.
    """
    off = off or {}
    return ReplaySummary(
        place="disk",
        predicted_bytes=31_000_000,
        kept_bytes=30_500_000,
        refused_rows=refused_rows,
        half_error=half_error,
        notes=tuple(notes),
        runs=tuple(
            ReplayedRun(
                candidate=name,
                replayed_share=None if name in off else 0.987,
                off_because=off.get(name, ""),
                computed_again=() if name in off else tuple(computed_again),
                predicted_compute_s=None if name in off else 12.5,
                predicted_read_s=None if name in off else 0.75,
                measured_read_s=None if name in off else 0.66,
            )
            for name in CANDIDATES[1:]
        ),
    )


def make_slices(
    task: Task = BINARY,
    *,
    parts: Mapping[str, Matrix] | None = None,
    full: Mapping[str, Matrix] | None = None,
    unseen: Collection[str] = ("chat",),
) -> tuple[Slice, ...]:
    """Three parts of a test split, in all of which the model does as well.

    Args:
        task: Of two classes or four.
        parts: Counts of the chosen candidate that replace the usual ones, by part.
        full: Counts of full fine-tuning that replace those of the chosen candidate, by part; of every part None when
            it is left out.
        unseen: Parts of which training had no example.
    """
    usual = spam_counts(94, 6, 4, 236) if task == BINARY else topic_counts(46, 50)
    counts = dict.fromkeys(("sms", "mail", "chat"), usual) | dict(parts or {})
    names = [name for name, matrix in counts.items() for _ in range(sum(map(sum, matrix)))]
    chosen, reference = (
        _joined([make_predictions(task, matrix, seed=seed + n) for n, matrix in enumerate(given.values())])
        for seed, given in ((0, counts), (100, counts | dict(full or {})))
    )
    return sliced(
        chosen,
        names,
        {name: 0 if name in unseen else 400 for name in counts},
        reference=None if full is None else reference,
        names=("depth-4", "full"),
        seed=0,
    )


def _joined(parts: Sequence[Predictions]) -> Predictions:
    return Predictions(
        task=parts[0].task,
        true_N=np.concatenate([part.true_N for part in parts]),
        predicted_N=np.concatenate([part.predicted_N for part in parts]),
    )


def make_forgetting(lost: int = 10, gained: int = 8, *, examples: int = 2_000) -> Forgetting:
    """An old task of four classes of which the pretrained network knew four fifths, some lost and some gained since.

    Args:
        lost: Examples that were right before and are wrong after.
        gained: Examples that were wrong before and are right after.
        examples: In all.
    """
    true_N = np.arange(examples) % 4
    knew = np.arange(examples) < 0.8 * examples
    knows = knew.copy()
    knows[:lost] = False
    knows[len(knows) - gained :] = True
    before, after = (
        Predictions(task=TOPICS, true_N=true_N, predicted_N=np.where(right, true_N, (true_N + 1) % 4))
        for right in (knew, knows)
    )
    return measured_forgetting(before, after, seed=0)


def make_confirmations(
    counts: Mapping[str, Sequence[Matrix]] | None = None, task: Task = BINARY
) -> tuple[Confirmation, ...]:
    """The chosen candidate and the runner-up trained with two more seeds, much as with the first.

    Args:
        counts: Counts on the select split that replace the usual ones, by candidate, one a seed from 1 on.
        task: Of two classes or four.
    """
    if task == BINARY:
        usual = {"depth-4": (spam_counts(281, 19, 10, 710),) * 2, "full": (spam_counts(284, 16, 9, 711),) * 2}
    else:
        usual = {"depth-4": (topic_counts(138),) * 2, "full": (topic_counts(139),) * 2}
    return tuple(
        Confirmation(
            candidate=name,
            seed=seed,
            select=measure(make_predictions(task, matrix, seed=seed), "select"),
            flops=4_500_000_000,
        )
        for name, matrices in (counts or usual).items()
        for seed, matrix in enumerate(matrices, start=1)
    )


def make_non_inferiority(met: Met = "yes") -> NonInferiority:
    """F1 of depth-4 against full fine-tuning, with a margin of two points."""
    low = {"yes": -0.012, "cannot tell": -0.031, "no": -0.082}[met]
    said = {
        "yes": "no worse, by the margin of",
        "cannot tell": "neither shown nor ruled out by",
        "no": "worse by more than",
    }
    return NonInferiority(
        metric="f1",
        margin=0.02,
        low=low,
        met=met,
        sentence=f"F1 of depth-4 may be up to {-100 * low:.1f} points below full: {said[met]} 2.0 points.",
        needed=2_450 if met == "cannot tell" else None,
    )


def make_head_rates() -> tuple[HeadRate, ...]:
    """Three rates: too low, right, and too high to get anywhere."""
    return (
        HeadRate(learning_rate=1e-4, best_epoch=3, loss=0.312, fresh_losses=(0.61, 0.58, 0.64)),
        HeadRate(learning_rate=1e-3, best_epoch=2, loss=0.255, fresh_losses=(0.27, 0.29, None)),
        HeadRate(learning_rate=1e-2, best_epoch=0, loss=0.401, fresh_losses=(None, None, None)),
    )


def make_predictions(task: Task, counts: Matrix, *, seed: int = 0) -> Predictions:
    """Answers with exactly these counts, examples grouped by true label.

    Which examples of a class are wrong depends on the seed, so two models err independently.
    """
    random = np.random.default_rng(seed)
    true = np.repeat(np.arange(len(counts)), [sum(row) for row in counts])
    answers = [random.permutation(np.repeat(np.arange(len(counts)), row)) for row in counts]
    return Predictions(task=task, true_N=true.astype(np.int64), predicted_N=np.concatenate(answers).astype(np.int64))


def with_scores(predictions: Predictions, *, sure: float | None = None, seed: int = 0) -> Predictions:
    """The same answers with probabilities that give them, about as often right as they claim.

    Args:
        sure: Probability of every answer instead, however often it is right.
        seed: Of the jitter that keeps scores apart.
    """
    classes = len(predictions.task.labels)
    right = predictions.true_N == predictions.predicted_N
    answered = np.bincount(predictions.predicted_N, minlength=classes)
    hits = np.bincount(predictions.predicted_N[right], minlength=classes)
    honest_N = (hits / np.maximum(answered, 1))[predictions.predicted_N]
    jitter_N = np.random.default_rng(seed).uniform(-0.02, 0.02, len(predictions))
    # An answer stays the answer: above one half, whatever it is worth.
    score_N = np.clip((honest_N if sure is None else np.full(len(predictions), sure)) + jitter_N, 0.51, 0.999)
    probabilities = np.repeat((1 - score_N)[:, None] / (classes - 1), classes, axis=1)
    probabilities[np.arange(len(predictions)), predictions.predicted_N] = score_N
    return replace(predictions, probabilities_NC=probabilities)


@cache
def _with_scores_measured(task: Task, true: bytes, predicted: bytes, split: str) -> Measures:
    true_N, predicted_N = (np.frombuffer(side, dtype=np.int64) for side in (true, predicted))
    return measure(with_scores(Predictions(task=task, true_N=true_N, predicted_N=predicted_N)), split, scored=True)


def _answers(task: Task, counts: Mapping[str, Matrix], failed: Collection[str], split: str) -> dict[str, Predictions]:
    return {
        name: make_predictions(task, matrix, seed=crc32(f"{name} {split}".encode()))
        for name, matrix in counts.items()
        if name not in failed
    }


def _results(answers: Mapping[str, Predictions], split: str, scored: Collection[str]) -> tuple[Result, ...]:
    """Resampling is slow and the same answers are asked for by many tests, so what has scores is measured once."""

    def measured(name: str, given: Predictions) -> Measures:
        if name not in scored:
            return measure(given, split)
        return _with_scores_measured(given.task, given.true_N.tobytes(), given.predicted_N.tobytes(), split)

    return tuple(
        Result(
            name=name,
            kind="baseline" if name in BASELINES else "candidate",
            sentence=BASELINES.get(name) or _candidate(name).plan,
            measures=measured(name, predictions).model_copy(update={"loss": 0.17}),
        )
        for name, predictions in answers.items()
    )


def _comparisons(
    chosen: str,
    reference: str | None,
    on_select: Mapping[str, Predictions],
    on_test: Mapping[str, Predictions],
    non_inferiority: NonInferiority | None,
) -> tuple[Comparison, ...]:
    others = [name for name in (reference, *BASELINES) if name not in (None, chosen)]
    tested = [
        compare(on_test[chosen], on_test[name], names=(chosen, name), split="test").model_copy(
            update={"non_inferiority": non_inferiority if name == reference else None}
        )
        for name in others
        if name is not None
    ]
    if chosen == "full" or "full" not in on_select:
        return tuple(tested)
    return (*tested, compare(on_select[chosen], on_select["full"], names=(chosen, "full"), split="select"))


def _choice(chosen: str, others: Sequence[str]) -> Choice:
    tied = tuple(dict.fromkeys(("full", "depth-1", "depth-2", "depth-3", chosen, *others)))
    return Choice(
        candidate=chosen,
        best="full",
        tied=tied,
        metric="f1",
        reason=f"{chosen} is the cheapest of {len(tied)} candidates that cannot be told apart from the best, full.",
    )


def _candidate(name: str) -> Candidate:
    depth = 0 if name == "full" else int(name.removeprefix("depth-"))
    words = "freeze nothing" if depth == 0 else f"freeze {BLOCKS[0]} to {BLOCKS[depth - 1]} ({depth} of {len(BLOCKS)})"
    return Candidate(
        id=name,
        plan=words,
        frozen=BLOCKS[:depth],
        freeze_depth=depth,
        trainable_parameters=sum(_BLOCK_PARAMETERS[depth:]),
        total_parameters=sum(_BLOCK_PARAMETERS),
    )


def _block(name: str, parameters: int) -> Block:
    return Block(
        name=name,
        path=name if name == "head" else f"encoder.{name}".replace("encoder.encoder", "encoder"),
        parameters=parameters,
        forward_flops=0 if name == "embeddings" else 2 * parameters * 32,
        output_bytes=32 * 384 * 4 if name != "head" else 8,
        head=name == "head",
    )


_CURVE: Curve = (
    (None, None, 0.685, 0.600),
    (0.410, 0.830, 0.270, 0.910),
    (0.215, 0.930, 0.190, 0.945),
    (0.160, 0.955, 0.182, 0.955),
)


def _run(
    candidate: Candidate,
    curves: Mapping[str, Curve],
    fits: Mapping[str, Fit],
    failed: Collection[str],
    proof: Proof,
    replayed: bool = False,
) -> Run:
    broken = candidate.id in failed
    curve = curves.get(candidate.id, [*_CURVE[:2], (None, None, None, 0.6)] if broken else _CURVE)
    losses = [loss if loss is not None else float("inf") for _, _, loss, _ in curve]
    return Run(
        id=f"{candidate.id}-seed0",
        candidate=candidate.id,
        seed=0,
        status="failed" if broken else "finished",
        epochs=tuple(_epoch(number, *point) for number, point in enumerate(curve)),
        best_epoch=losses.index(min(losses)),
        ended="the training loss was not finite at epoch 2" if broken else "all 3 epochs done",
        train_fit=None if broken else fits.get(candidate.id, Fit(examples=600, loss=0.150, accuracy=0.960)),
        proof=proof,
        seconds_s=40.0,
        train_flops=3_000_000_000 if replayed else 4_000_000_000,
        evaluate_flops=375_000_000 if replayed else 500_000_000,
        spared_train_flops=1_000_000_000 if replayed else 0,
        spared_evaluate_flops=125_000_000 if replayed else 0,
        prepare_flops=10_000_000 if replayed else 0,
    )


def _worked(run: Run, train_flops: Mapping[str, int]) -> Run:
    return run.model_copy(update={"train_flops": train_flops.get(run.candidate, run.train_flops)})


def _epoch(
    number: int,
    train_loss: float | None,
    train_accuracy: float | None,
    stop_loss: float | None,
    stop_accuracy: float,
) -> Epoch:
    return Epoch(
        epoch=number,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        stop_loss=stop_loss,
        stop_accuracy=stop_accuracy,
        seconds_s=0.0 if number == 0 else 12.0,
        train_flops=0 if number == 0 else 1_300_000_000,
        evaluate_flops=160_000_000,
    )


def _proof(
    changed: Sequence[str] = (), optimizer_holds: Sequence[str] = (), training_mode: Sequence[str] = ()
) -> Proof:
    return Proof(
        frozen_tensors=53,
        sha256_before="a" * 64,
        sha256_after=("b" if changed else "a") * 64,
        changed=tuple(changed),
        optimizer_holds=tuple(optimizer_holds),
        training_mode=tuple(training_mode),
    )


def _probes(task: Task, usual: Mapping[str, Matrix]) -> tuple[Probe, ...]:
    # A probe at a depth does a little worse than the plan that freezes as much.
    names = ("depth-5", "depth-5", "depth-5", "depth-4", "depth-4", "depth-5", "depth-6")
    return tuple(
        Probe(
            depth=depth,
            block=block,
            measures=measure(make_predictions(task, usual[name], seed=depth), "select"),
            regularisation=1.0,
        )
        for depth, (block, name) in enumerate(zip(BLOCKS, names, strict=False), start=1)
    )


def _data(task: Task, test: Predictions, overlap: int, audit: Mapping[str, object]) -> DataSummary:
    tested = {label: int((test.true_N == number).sum()) for number, label in enumerate(task.labels)}
    sizes = {"train": 3, "stop": 1, "select": 1, "test": 1}
    overlaps = Overlap(
        earlier="train",
        later="test",
        examples=overlap,
        share=overlap / len(test),
        sample=("test.csv row 17 = train.csv row 4",),
    )
    return DataSummary(
        source="messages.csv",
        kind="text",
        task=task,
        splits=tuple(
            SplitSummary(
                name=name,  # type: ignore[arg-type]
                examples=size * len(test),
                per_class={label: size * count for label, count in tested.items()},
                origin=f"carved from messages.csv, {size} of 6 parts",
            )
            for name, size in sizes.items()
        ),
        audit=Audit(
            dropped_copies=3, overlaps=(overlaps,) if overlap else (), later_than_test=0, giveaways=()
        ).model_copy(update=dict(audit)),
        notes=("text read from column 'text', labels from column 'label'",),
        content_sha256="c" * 64,
    )


def _opening(number: int, contenders: Sequence[str]) -> Opening:
    return Opening(at=f"2026-03-02T09:3{number}:00Z", test_sha256="d" * 64, contenders=tuple(contenders))


def _cost() -> Cost:
    return Cost(
        search_flops=21_000_000_000,
        full_finetune_flops=5_100_000_000,
        sweep_flops=26_000_000_000,
        bound_flops=12_000_000_000,
        seconds_s=212.0,
    )
