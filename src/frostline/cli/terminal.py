"""What was asked of the terminal by the options that stand before the command: colour, and how much is told.

Makes no console: rich and typer read NO_COLOR whenever they make one, so one variable reaches all of them, the help and
the errors of typer included.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_NO_COLOR = "NO_COLOR"
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def one_run() -> Iterator[None]:
    """Everything asked for in it is forgotten after it, so that one process can run several commands.

    >>> with one_run():
    ...     be_quiet(True)
    ...     is_quiet()
    True
    >>> is_quiet()
    False
    """
    token, before = _quiet.set(False), os.environ.get(_NO_COLOR)
    try:
        yield
    finally:
        _quiet.reset(token)
        if before is None:
            os.environ.pop(_NO_COLOR, None)
        else:
            os.environ[_NO_COLOR] = before


def be_quiet(wanted: bool) -> None:
    """Tell no progress until the run is over; answers and errors stay."""
    _quiet.set(wanted)


def is_quiet() -> bool:
    """Whether progress is unwanted."""
    return _quiet.get()


def leave_out_colour(wanted: bool) -> None:
    """Print without colour until the run is over; bold and dim stay, since they are none.

    Not wanted leaves it to the environment.
    """
    if wanted:
        os.environ[_NO_COLOR] = "1"
