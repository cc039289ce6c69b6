"""Curves that are read: each kind on a curve that shows it, none on one that does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.core.records import Epoch, Proof, Run
from frostline.measure import curves
from frostline.measure.curves import Seen, read_curve

CLEAN = (0.685, 0.270, 0.190, 0.182)
Losses = Sequence[float | None]


def run_of(
    stop: Losses,
    train: Losses | None = None,
    *,
    accuracy: Sequence[float] | None = None,
    trained: Sequence[float] | None = None,
    status: Literal["finished", "failed", "paused"] = "finished",
) -> Run:
    """A run with these losses and accuracies, that of epoch 0 first; training loss falls steadily unless given."""
    train = train or [None, *(0.5 / epoch for epoch in range(1, len(stop)))]
    accuracy, trained = accuracy or [0.9] * len(stop), trained or [0.9] * len(stop)
    finite = [float("inf") if loss is None else loss for loss in stop]
    return Run(
        id="depth-4-seed0",
        candidate="depth-4",
        seed=0,
        status=status,
        epochs=tuple(
            Epoch(
                epoch=epoch,
                train_loss=train[epoch],
                train_accuracy=trained[epoch] if epoch else None,
                stop_loss=loss,
                stop_accuracy=accuracy[epoch],
            )
            for epoch, loss in enumerate(stop)
        ),
        best_epoch=finite.index(min(finite)),
        ended="all epochs done",
        train_fit=None,
        proof=Proof(frozen_tensors=1, sha256_before="a", sha256_after="a"),
        seconds_s=1.0,
        train_flops=1,
        evaluate_flops=1,
    )


SHOWN: dict[str, tuple[Callable[[Run], Seen | None], Run, tuple[str, int, int]]] = {
    "plateau": (curves.plateau, run_of([0.7, 0.4, 0.399, 0.398, 0.397]), ("plateau", 2, 4)),
    "not finite": (curves.divergence, run_of([0.7, 0.4, None, None]), ("diverged", 2, 3)),
    "far above": (curves.divergence, run_of([0.4, 0.5, 0.9], [None, 0.9, 1.5]), ("diverged", 2, 2)),
    "rises": (curves.rising_under_steady_accuracy, run_of([0.7, 0.2, 0.3, 0.4, 0.5]), ("loss rises", 1, 4)),
    "over-fits": (curves.rising_while_training_falls, run_of([0.7, 0.3, 0.2, 0.22]), ("over-fits", 2, 3)),
    "jump": (curves.jump_at_unfreezing, run_of([0.40, 0.45, 0.2]), ("jump", 0, 1)),
    "too soon": (curves.stopped_too_early, run_of([0.7, 0.4, 0.3]), ("ends too soon", 2, 2)),
    "unsteady": (curves.unsteady, run_of([0.7, 0.3, 0.55, 0.28]), ("unsteady", 1, 3)),
    "by heart": (curves.memorises, run_of(CLEAN, trained=[0, 0.9, 0.995, 1.0], accuracy=[0.8] * 4), ("by heart", 2, 3)),
}


@pytest.mark.parametrize("what", SHOWN)
def test_each_kind_is_seen_where_it_is(what: str) -> None:
    """The planted stretch of epochs is found with its first and last, and said with its numbers."""
    reading, run, expected = SHOWN[what]
    seen = reading(run)

    assert seen is not None
    assert (seen.kind, seen.first_epoch, seen.last_epoch) == expected
    assert seen in read_curve(run)
    assert seen.sentence.endswith(".") and any(character.isdigit() for character in seen.sentence)


@pytest.mark.parametrize("what", SHOWN)
def test_nothing_is_seen_on_a_clean_curve(what: str) -> None:
    """A loss that comes down steadily and flattens shows none of it."""
    assert SHOWN[what][0](run_of(CLEAN)) is None
    assert read_curve(run_of(CLEAN)) == ()


@pytest.mark.parametrize(
    ("reading", "just", "not_quite"),
    [
        (curves.jump_at_unfreezing, [0.5, 0.5501], [0.5, 0.55]),
        (curves.stopped_too_early, [0.7, 0.4, 0.3799], [0.7, 0.4, 0.3801]),
        (curves.unsteady, [1.0, 0.5, 0.76, 0.5], [1.0, 0.5, 0.75, 0.5]),
        (curves.plateau, [0.4, 0.3961, 0.3961, 0.3961], [0.4, 0.3959, 0.3959, 0.3959]),
        (curves.plateau, [0.4, 0.4, 0.42, 0.41], [0.4, 0.4, 0.43, 0.41]),
        (curves.rising_while_training_falls, [0.7, 0.2, 0.2101], [0.7, 0.2, 0.2099]),
    ],
)
def test_each_limit_is_where_it_is_said_to_be(
    reading: Callable[[Run], Seen | None], just: Losses, not_quite: Losses
) -> None:
    """A hair beyond the limit is seen, a hair before it is not."""
    assert reading(run_of(just)) is not None
    assert reading(run_of(not_quite)) is None


def test_falls_that_are_small_one_by_one_count_together() -> None:
    """Three falls of half a percent are one of more than one percent: no plateau yet."""
    assert curves.plateau(run_of([0.4, 0.3980, 0.3960, 0.3940, 0.3920])) is None


def test_rising_validation_loss_with_falling_training_loss_is_not_divergence() -> None:
    """Over-fitting is no breakdown, however high validation loss gets."""
    over_fits = run_of([0.2, 0.3, 0.6], [None, 0.15, 0.05])

    assert curves.divergence(over_fits) is None
    assert curves.divergence(run_of([0.2, 0.3, 0.6], [None, 0.5, 0.9])) is not None


def test_training_loss_alone_can_break_down() -> None:
    """An epoch whose training loss was not finite has diverged, though validation was still measured; a run that never
    noted its training loss has not."""
    assert curves.divergence(run_of([0.7, 0.4, 0.4], [None, 0.5, None])) is not None
    assert curves.divergence(run_of([0.7, 0.4, 0.4], [None, None, None])) is None


def test_rise_with_falling_accuracy_is_seen_by_everyone() -> None:
    """Who watches accuracy alone is warned by it."""
    falling = run_of([0.7, 0.2, 0.3, 0.4, 0.5], accuracy=[0.6, 0.9, 0.89, 0.88, 0.87])

    assert curves.rising_under_steady_accuracy(falling) is None


def test_rise_that_lasts_is_not_unsteady() -> None:
    """Up once and never down again is over-fitting; up at the first step is a jump."""
    assert curves.unsteady(run_of([0.7, 0.2, 0.3, 0.6])) is None
    assert curves.unsteady(run_of([0.7, 1.5, 0.4, 0.3])) is None


def test_rise_counts_only_as_far_as_a_fall_takes_it_back() -> None:
    """A loss that rises and then stays up, but for a dip, over-fits; one that comes back as far is unsteady."""
    stays_up = [0.324, 0.128, 0.170, 0.221, 0.230, 0.214, 0.223, 0.225, 0.228]
    comes_back = [0.324, 0.128, 0.170, 0.221, 0.230, 0.130, 0.125]

    assert curves.unsteady(run_of(stays_up)) is None
    assert curves.unsteady(run_of(comes_back)) is not None


@pytest.mark.parametrize("status", ["paused", "failed"])
def test_run_that_was_not_ended_did_not_end_too_soon(status: Literal["failed", "paused"]) -> None:
    """The race paused it on purpose, or it broke down."""
    assert curves.stopped_too_early(run_of([0.7, 0.4, 0.2], status=status)) is None


@pytest.mark.parametrize(
    ("blocks", "parameters", "examples", "seen"),
    [(1, 770, 1_540, True), (2, 770, 1_540, True), (3, 770, 1_540, False), (1, 770, 1_541, False)],
)
def test_head_memorises_when_it_alone_trains_on_few(blocks: int, parameters: int, examples: int, seen: bool) -> None:
    """Head or last block, and at most two examples for each parameter."""
    run = run_of(CLEAN, trained=[0, 0.9, 0.995, 1.0], accuracy=[0.8] * 4)
    found = curves.head_memorises(run, blocks_trained=blocks, trainable_parameters=parameters, examples=examples)

    assert (found is not None) == seen


LOSS = st.none() | st.floats(0, 10)


@given(stop=st.lists(LOSS, min_size=1, max_size=8), train=st.lists(LOSS, min_size=8, max_size=8))
def test_any_curve_can_be_read(stop: Losses, train: Losses) -> None:
    """Whatever the losses, what is seen lies within the epochs, in order."""
    seen = read_curve(run_of(stop, [None, *train[1:]]))

    assert all(0 <= one.first_epoch <= one.last_epoch < len(stop) for one in seen)
    assert [one.first_epoch for one in seen] == sorted(one.first_epoch for one in seen)
    assert "nan" not in " ".join(one.sentence for one in seen)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8, unique=True))
def test_loss_that_only_falls_is_never_called_anything_bad(losses: list[float]) -> None:
    """Down and down: at most flat, or ended too soon."""
    seen = read_curve(run_of(sorted(losses, reverse=True)))

    assert {one.kind for one in seen} <= {"plateau", "ends too soon"}


@given(st.lists(st.floats(0.125, 8), min_size=2, max_size=8), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_what_is_seen_does_not_depend_on_the_scale_of_the_loss(losses: list[float], factor: float) -> None:
    """Every limit is a part of the loss: twice the losses show the same."""
    flat = [None, *[1.0] * (len(losses) - 1)]
    one = read_curve(run_of(losses, flat))
    other = read_curve(run_of([factor * loss for loss in losses], [None, *[factor] * (len(losses) - 1)]))

    assert [(s.kind, s.first_epoch, s.last_epoch) for s in one] == [
        (s.kind, s.first_epoch, s.last_epoch) for s in other
    ]
