"""What can be read off a training curve: where it lies flat, breaks down, rises unseen, jumps, ends too soon.

Knows series of numbers by epoch, of one run; no plan, no model, no file. Epoch 0 is the model before training: the
pretrained network with its fitted head. Rates are fractions. An epoch whose loss was not finite has None and is left
out, but by `divergence`, which looks for it. The limits are ours; each page in `docs/checks` says what it rests on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from frostline.core.records import Epoch, Run

PLATEAU_FALL = 0.01
"""Part of the loss by which it must fall to count as falling."""
PLATEAU_EPOCHS = 3
"""So many epochs without a fall are a plateau."""
RISE = 1.05
"""Validation loss over its best that counts as risen."""
RISES = 3
"""So many rises in a row are no accident."""
SLIGHT = 1.02
"""Loss at the end of a rise over that at its start, below which it is a plateau with a slope."""
DIVERGED = 2.0
"""Validation loss over that of epoch 0."""
JUMP = 0.10
"""Rise of the validation loss in the first epoch, as a part of it: more than the noise of a small stop split."""
STILL_FALLING = 0.05
"""Fall in the last epoch, as a part of the loss before it."""
UNSTEADY = 0.5
"""Of its total fall, what the validation loss may rise in between."""
BY_HEART = 0.99
"""Accuracy in training from which the examples count as known by heart."""
GAP = (0.03, 0.10)
"""Train minus held-out accuracy that counts: points, or a part of the train accuracy, the larger of the two."""
PER_PARAMETER = 2
"""Examples per trained parameter up to which any labels at all can be learned by heart: see `few_examples`."""
HEAD_OR_LAST = 2
"""Blocks that train when it is the head, or the last block and the head."""

Kind = Literal["plateau", "diverged", "loss rises", "over-fits", "jump", "ends too soon", "by heart", "unsteady"]
Losses = list[tuple[Epoch, float]]


@dataclass(frozen=True, slots=True)
class Seen:
    """Something on the curve, from one epoch to another, both counted in."""

    kind: Kind
    """Short enough for a label."""
    first_epoch: int
    last_epoch: int
    sentence: str
    """With the numbers."""


def read_curve(run: Run) -> tuple[Seen, ...]:
    """All that is seen on the curve of a run, by first epoch.

    >>> from frostline.core.records import Proof
    >>> epochs = tuple(Epoch(epoch=n, stop_loss=loss, stop_accuracy=0.9) for n, loss in enumerate((0.7, 0.4, 0.2)))
    >>> proof = Proof(frozen_tensors=0, sha256_before="", sha256_after="")
    >>> run = Run(id="r", candidate="full", seed=0, status="finished", epochs=epochs, best_epoch=2, ended="",
    ...     proof=proof, train_fit=None, seconds_s=1.0, train_flops=1, evaluate_flops=1)
    >>> [(seen.kind, seen.first_epoch, seen.last_epoch) for seen in read_curve(run)]
    [('ends too soon', 2, 2)]
    """
    readings = (
        divergence(run),
        jump_at_unfreezing(run),
        plateau(run),
        rising_under_steady_accuracy(run),
        rising_while_training_falls(run),
        memorises(run),
        unsteady(run),
        stopped_too_early(run),
    )
    return tuple(sorted((seen for seen in readings if seen is not None), key=lambda seen: seen.first_epoch))


def losses(run: Run) -> Losses:
    """Epochs with their validation loss, those left out where it was not finite."""
    return [(epoch, epoch.stop_loss) for epoch in run.epochs if epoch.stop_loss is not None]


def plateau(run: Run, *, fall: float = PLATEAU_FALL, epochs: int = PLATEAU_EPOCHS) -> Seen | None:
    """Where validation loss no longer falls, up to the last epoch. One that rises again lies not flat.

    Args:
        run: A run.
        fall: Part of the loss by which it must fall, at once or bit by bit, to count as falling.
        epochs: So many epochs without a fall are a plateau.
    """
    known = losses(run)
    if not known:
        return None
    since = 0
    for place, (_, loss) in enumerate(known):
        if loss < (1 - fall) * known[since][1]:
            since = place
    (_, reached), flat = known[since], known[since + 1 :]
    if len(flat) < epochs or any(loss > RISE * reached for _, loss in flat):
        return None
    first, last = flat[0][0].epoch, flat[-1][0].epoch
    return Seen(
        "plateau",
        first,
        last,
        f"From epoch {first} to {last} validation loss fell by no more than {_percent(fall)} below {reached:#.3g}.",
    )


def divergence(run: Run) -> Seen | None:
    """Where the loss was not finite, or where both losses are far above the validation loss of the start.

    A validation loss that rises while the training loss falls is over-fitting: `rising_while_training_falls`.
    """
    trained = run.epochs[1:]
    broken = [epoch for epoch in trained if epoch.stop_loss is None or epoch.train_loss is None]
    # Where the training loss was not noted at all, its absence says nothing.
    if all(epoch.train_loss is None for epoch in trained):
        broken = [epoch for epoch in broken if epoch.stop_loss is None]
    if broken:
        first = broken[0].epoch
        return Seen("diverged", first, run.epochs[-1].epoch, f"The loss was not finite from epoch {first} on.")
    start = run.epochs[0].stop_loss if run.epochs else None
    if start is None:
        return None
    far = [
        epoch
        for epoch in trained
        if (epoch.stop_loss or 0.0) > DIVERGED * start and (epoch.train_loss is None or epoch.train_loss > start)
    ]
    if not far:
        return None
    worst = max(epoch.stop_loss or 0.0 for epoch in far)
    return Seen(
        "diverged",
        far[0].epoch,
        far[-1].epoch,
        f"Validation loss rose from {start:#.3g} before training to {worst:#.3g}, and training loss is high as well.",
    )


def rising_under_steady_accuracy(run: Run) -> Seen | None:
    """The longest rise of validation loss, when it is long and validation accuracy held or rose all the same."""
    rise = longest_rise(losses(run))
    if len(rise) <= RISES:
        return None
    (first, low), (last, high) = rise[0], rise[-1]
    if last.stop_accuracy < first.stop_accuracy or high < SLIGHT * low:
        return None
    return Seen(
        "loss rises",
        first.epoch,
        last.epoch,
        f"From epoch {first.epoch} to {last.epoch} validation loss rose from {low:#.3g} to {high:#.3g} while accuracy "
        f"went from {_percent(first.stop_accuracy)} to {_percent(last.stop_accuracy)}: right as often, but ever more "
        "sure of what is wrong.",
    )


def longest_rise(known: Sequence[tuple[Epoch, float]]) -> Losses:
    """The longest stretch of epochs in which each loss is higher than the one before; the first of equally long ones.

    >>> [loss for _, loss in longest_rise([(Epoch(epoch=n, stop_loss=loss, stop_accuracy=0.9), loss)
    ...     for n, loss in enumerate((0.7, 0.3, 0.4, 0.5, 0.2, 0.3))])]
    [0.3, 0.4, 0.5]
    """
    longest: Losses = []
    current: Losses = []
    for epoch, loss in known:
        current = [*current, (epoch, loss)] if current and loss > current[-1][1] else [(epoch, loss)]
        longest = max(longest, current, key=len)
    return longest


def rising_while_training_falls(run: Run) -> Seen | None:
    """Validation loss at the end above its best, with a training loss that went on falling."""
    known = losses(run)
    if not known:
        return None
    (best, lowest), (last, highest) = min(known, key=lambda pair: pair[1]), known[-1]
    if best.train_loss is None or last.train_loss is None:
        return None
    if highest < RISE * lowest or last.train_loss >= best.train_loss:
        return None
    return Seen(
        "over-fits",
        best.epoch,
        last.epoch,
        f"After epoch {best.epoch} validation loss rose from {lowest:#.3g} to {highest:#.3g} while training loss went "
        f"on falling ({best.train_loss:#.3g} to {last.train_loss:#.3g}).",
    )


def jump_at_unfreezing(run: Run, *, tolerance: float = JUMP) -> Seen | None:
    """Whether the first epoch of training made worse what the pretrained network with its fitted head could do.

    Args:
        run: A run.
        tolerance: Rise of the validation loss that is let pass, as a part of it.
    """
    if len(run.epochs) < 2:
        return None
    before, after = run.epochs[0].stop_loss, run.epochs[1].stop_loss
    if before is None or after is None or after <= (1 + tolerance) * before:
        return None
    return Seen(
        "jump",
        run.epochs[0].epoch,
        run.epochs[1].epoch,
        f"In the first epoch of training validation loss rose from {before:#.3g} to {after:#.3g}.",
    )


def stopped_too_early(run: Run, *, still: float = STILL_FALLING) -> Seen | None:
    """Whether training ended although its last epoch was its best, and by far. A run that was paused did not end.

    Args:
        run: A run.
        still: Fall in the last epoch that counts, as a part of the loss before it.
    """
    known = losses(run)
    if run.status != "finished" or len(known) < 2:
        return None
    (_, before), (last, loss) = known[-2:]
    if run.best_epoch != last.epoch or last is not run.epochs[-1] or not 0 <= loss < (1 - still) * before:
        return None
    return Seen(
        "ends too soon",
        last.epoch,
        last.epoch,
        f"Training ended with epoch {last.epoch}, the best, in which validation loss still fell by "
        f"{_percent(1 - loss / before)}, from {before:#.3g} to {loss:#.3g}.",
    )


def unsteady(run: Run, *, share: float = UNSTEADY) -> Seen | None:
    """Whether validation loss goes up and down by much of what it falls in all.

    Rises count as far as a fall took them back: what lasts is over-fitting. The first epoch of training does not count
    either: `jump_at_unfreezing` reads it.

    Args:
        run: A run.
        share: Of the total fall, what it may rise in between.
    """
    known = losses(run)
    if len(known) < 2:
        return None
    fall = known[0][1] - min(loss for _, loss in known)
    peaks = _peaks(known)
    risen = sum(rise for _, _, rise in peaks)
    if fall <= 0 or risen <= share * fall:
        return None
    first, last = peaks[0][0], peaks[-1][1]
    return Seen(
        "unsteady",
        first,
        last,
        f"Between epoch {first} and {last} validation loss went up by {risen:.3f} in all and down again, while it fell "
        f"by {fall:.3f} from start to best.",
    )


def _peaks(known: Sequence[tuple[Epoch, float]]) -> list[tuple[int, int, float]]:
    """Rises after epoch 0 that a fall took back: the epoch before, the epoch at its end, how much went up and down."""
    turns: Losses = []
    for epoch, loss in (entry for entry in known if entry[0].epoch > 0):
        # On the way on in the same direction the last turn was none.
        if len(turns) > 1 and (loss - turns[-1][1]) * (turns[-1][1] - turns[-2][1]) >= 0:
            turns.pop()
        turns.append((epoch, loss))
    return [
        (before.epoch, after.epoch, min(peak - low, peak - again))
        for (before, low), (_, peak), (after, again) in zip(turns, turns[1:], turns[2:], strict=False)
        if peak > max(low, again)
    ]


def memorises(run: Run) -> Seen | None:
    """Epochs in which training examples are known by heart and validation examples are not."""
    known = [
        (epoch, epoch.train_accuracy)
        for epoch in run.epochs
        if epoch.train_accuracy is not None
        and epoch.train_accuracy >= BY_HEART
        and far_above(epoch.train_accuracy, epoch.stop_accuracy)
    ]
    if not known:
        return None
    first, (last, trained) = known[0][0], known[-1]
    return Seen(
        "by heart",
        first.epoch,
        last.epoch,
        f"At epoch {last.epoch} accuracy was {_percent(trained)} in training and {_percent(last.stop_accuracy)} on "
        "validation: the training examples are known by heart.",
    )


def head_memorises(run: Run, *, blocks_trained: int, trainable_parameters: int, examples: int) -> Seen | None:
    """Whether the head, alone or with the last block, learned few examples by heart.

    Args:
        run: A run.
        blocks_trained: Blocks of which anything trains, the head among them.
        trainable_parameters: How many parameters train.
        examples: Of the train split.
    """
    only_last = blocks_trained <= HEAD_OR_LAST
    return memorises(run) if only_last and few_examples(examples, trainable_parameters) else None


def few_examples(examples: int, trainable_parameters: int) -> bool:
    """Whether any labels of them could be learned by heart.

    Source: Cover (1965), Geometrical and statistical properties of systems of linear inequalities with applications in
        pattern recognition: a linear separator parts two examples for each parameter, whatever their labels.

    >>> few_examples(1_500, 770), few_examples(1_600, 770)
    (True, False)
    """
    return examples <= PER_PARAMETER * trainable_parameters


def far_above(trained: float, held_out: float) -> bool:
    """Whether an accuracy in training is above one on held-out examples by more than is usual.

    >>> far_above(1.0, 0.89), far_above(1.0, 0.91)
    (True, False)
    """
    return trained - held_out >= max(GAP[0], GAP[1] * trained)


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"
