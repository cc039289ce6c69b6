"""How long a race still takes, from the share of its budget that is spent and the seconds that took.

Knows no terminal and no study: shares in, a sentence out.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

TELLING = 0.05
"""Share of the budget of which more must have been spent under this clock: from less, one slow start would decide."""

MINUTES_UNTIL = 90
"""From there on, hours and tens of minutes."""


class TimeLeft:
    """An estimate that takes what is left of the budget to be spent as fast as what was spent so far.

    A study that goes on after it was stopped is told its earlier decisions at once: shares between which nothing was
    worked on were spent before, and do not count.

    >>> now = [0.0]
    >>> left = TimeLeft(clock=lambda: now[0])
    >>> left.spent(0.1)
    >>> left.works()
    >>> now[0] = 60.0
    >>> left.spent(0.3)
    >>> left.in_words()
    'about 4 min left'
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._share: float | None = None
        self._since_s = 0.0
        """When the share was told that is known."""
        self._worked = False
        self._timed_share, self._timed_s = 0.0, 0.0

    def works(self) -> None:
        """Something is about to be worked on."""
        self._worked = True

    def spent(self, share: float) -> None:
        """Of the budget, as a fraction, until now."""
        if share == self._share:
            return
        now = self._clock()
        if self._share is not None and self._worked:
            self._timed_share += share - self._share
            self._timed_s += now - self._since_s
        self._share, self._since_s, self._worked = share, now, False

    def seconds(self) -> float | None:
        """Until the budget is spent; None: too little is known, or it takes longer than was expected."""
        if self._share is None or self._timed_share <= TELLING:
            return None
        expected = (1 - self._share) * self._timed_s / self._timed_share
        left = expected - (self._clock() - self._since_s)
        return left if left > 0 else None

    def in_words(self) -> str | None:
        """As a sentence says it; None where `seconds` is."""
        left = self.seconds()
        return None if left is None else duration_left(left)


def duration_left(seconds: float) -> str:
    """Rounded to what an estimate is good for.

    >>> [duration_left(s) for s in (3, 42, 119, 3600, 9000)]
    ['a few seconds left', 'about 40 s left', 'about 2 min left', 'about 60 min left', 'about 2 h 30 min left']
    """
    if seconds < 10:
        return "a few seconds left"
    if seconds < 55:
        return f"about {round(seconds / 10) * 10} s left"
    if seconds < 60 * MINUTES_UNTIL:
        return f"about {round(seconds / 60)} min left"
    hours, minutes = divmod(round(seconds / 600) * 10, 60)
    return f"about {hours} h {minutes} min left" if minutes else f"about {hours} h left"
