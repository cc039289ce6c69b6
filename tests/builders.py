"""Believable records for tests: a complete study that is clean and READY, with one knob per planted fault."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from zlib import crc32

import numpy as np

from frostline.core.predictions import Predictions
from frostline.core.records import (
    Audit,
    Block,
    Candidate,
    Choice,
    Comparison,
    Cost,
    DataSummary,
    Epoch,
    Fit,
    HeadRate,
    Opening,
    Overlap,
    Probe,
    Proof,
    ReplayedRun,
    ReplaySummary,
    Result,
    Run,
    SplitSummary,
    StudyRecord,
    Task,
)
from frostline.measure.compare import compare
from frostline.measure.measures import measure

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
    openings: int = 1,
    reference: str | None = "full",
    replay: ReplaySummary | None = None,
    head_rates: Sequence[HeadRate] = (),
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
        openings: How often the test labels were read.
        reference: Candidate that freezes nothing, or None.
        replay: What was replayed, as `make_replay` makes it; a quarter of the work of a replayed run was spared.
        head_rates: Learning rates of the head that were tried.
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
        data=_data(task, on_test["majority"], overlap),
        blocks=tuple(map(_block, BLOCKS, _BLOCK_PARAMETERS)),
        candidates=candidates,
        runs=tuple(
            _run(c, curves or {}, train_fit or {}, failed, proof if c.id == chosen else _proof(), c.id in replayed)
            for c in candidates
        ),
        select=_results(on_select, "select"),
        probes=_probes(task, usual),
        head_rates=tuple(head_rates),
        choice=_choice(chosen),
        reference=reference,
        test=_results({name: on_test[name] for name in dict.fromkeys(tested) if name in on_test}, "test"),
        test_without_overlap=_results(on_test, "test") if overlap else (),
        comparisons=_comparisons(chosen, reference, on_select, on_test),
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


def _answers(task: Task, counts: Mapping[str, Matrix], failed: Collection[str], split: str) -> dict[str, Predictions]:
    return {
        name: make_predictions(task, matrix, seed=crc32(f"{name} {split}".encode()))
        for name, matrix in counts.items()
        if name not in failed
    }


def _results(answers: Mapping[str, Predictions], split: str) -> tuple[Result, ...]:
    return tuple(
        Result(
            name=name,
            kind="baseline" if name in BASELINES else "candidate",
            sentence=BASELINES.get(name) or _candidate(name).plan,
            measures=measure(predictions, split).model_copy(update={"loss": 0.17}),
        )
        for name, predictions in answers.items()
    )


def _comparisons(
    chosen: str,
    reference: str | None,
    on_select: Mapping[str, Predictions],
    on_test: Mapping[str, Predictions],
) -> tuple[Comparison, ...]:
    others = [name for name in (reference, *BASELINES) if name not in (None, chosen)]
    tested = [
        compare(on_test[chosen], on_test[name], names=(chosen, name), split="test")
        for name in others
        if name is not None
    ]
    if chosen == "full" or "full" not in on_select:
        return tuple(tested)
    return (*tested, compare(on_select[chosen], on_select["full"], names=(chosen, "full"), split="select"))


def _choice(chosen: str) -> Choice:
    tied = tuple(dict.fromkeys(("full", "depth-1", "depth-2", "depth-3", chosen)))
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
    (0.160, 0.955, 0.172, 0.955),
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


def _data(task: Task, test: Predictions, overlap: int) -> DataSummary:
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
        audit=Audit(dropped_copies=3, overlaps=(overlaps,) if overlap else ()),
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
