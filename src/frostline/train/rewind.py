"""Freezing after the fact: how many of the first blocks can go back to their pretrained weights unnoticed.

The winner of a race is asked a few times more, with deeper and deeper of its blocks put back; nothing is trained. What
the select split cannot tell from the winner is a candidate of its own that freezes more.

Shape letters: N examples of the select split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, log2

from frostline.core.records import Run, Standing
from frostline.train.allocation import Losses, paired_gap
from frostline.train.derived import Rewound
from frostline.train.race import Race

REWINDING = 0.06
"""Most of the budget that is set aside for it."""


MATTERS = 0.01
"""Rise of the loss that counts, however certain, as a share of the winner's loss: blocks that hardly moved shift every
answer alike by next to nothing."""


def asks_of(depths: int) -> int:
    """Answers that such a search needs among so many depths, about.

    >>> [asks_of(depths) for depths in (0, 1, 3, 7, 8)]
    [0, 1, 2, 3, 4]
    """
    return ceil(log2(depths + 1))


def rewound_runs(
    race: Race, winner: Run, deeper: Sequence[str], asks: int, told: Callable[[Standing], None]
) -> tuple[dict[str, Run], list[str]]:
    """Look for the deepest plan that the winner can be put back to, between depths that were asked.

    Put back, a network is as good when its loss is at most one paired standard error above the winner's, or so little
    that nobody would notice: `MATTERS` of it.

    Args:
        winner: A finished run.
        deeper: Candidates that freeze a longer leading run of blocks than the winner, the shallowest first.
        asks: How often the select split is answered, at most.
        told: Called with every decision.

    Returns:
        Every candidate that was asked, and those as good as the winner, the shallowest first.
    """
    tuned_N = race.losses_of(winner)
    runs: dict[str, Run] = {}
    good: list[str] = []
    low, high = 0, len(deeper)
    while low < high and len(runs) < asks:
        # More often than not only the shallower depths are unnoticed.
        middle = (3 * low + high) // 4
        run = race.derive(Rewound(winner, deeper[middle]))
        runs[run.candidate] = run
        losses_N = race.losses_of(run)
        if is_good := _is_as_good(losses_N, tuned_N):
            good.append(run.candidate)
            low = middle + 1
        else:
            high = middle
        told(_standing(run, winner, losses_N, tuned_N, is_good))
    return runs, good


def _is_as_good(losses_N: Losses, tuned_N: Losses) -> bool:
    gap, error = paired_gap(losses_N, tuned_N)
    return gap <= max(error, MATTERS * float(tuned_N.mean()))


def _standing(run: Run, winner: Run, losses_N: Losses, tuned_N: Losses, is_good: bool) -> Standing:
    gap, error = paired_gap(losses_N, tuned_N)
    where = f"{abs(gap):.4f} ± {error:.4f} {'above' if gap > 0 else 'below'} that of {winner.candidate}"
    return Standing(
        candidate=run.candidate,
        rung=None,
        updates=winner.updates,
        loss=float(losses_N.mean()),
        decision="kept" if is_good else "pruned",
        reason=f"{run.ended}: its loss is {where} on the same examples",
    )
