"""Every error a user can cause, and the sentence it prints.

    FrostlineError
    ├── BadInputError            something given to frostline cannot be used; exit code 2
    │   ├── DataError            a file, a row, a column, an image, a split
    │   ├── ModelError           a model folder, a factory, a weights file
    │   ├── PlanError            a freeze plan or a pattern
    │   ├── FloorError           a floor that cannot be read
    │   ├── AimError             an aim that cannot be read or reached
    │   └── StudyError           a study folder that cannot be made, resumed or read
    ├── InvalidEvidence          what was given cannot judge anything; exit code 5
    └── FrozenPartChanged        the freeze was broken: the evidence is worthless

A sentence says what was asked, what was found where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def plain(text: str) -> str:
    """Text with its control characters made visible, so that no label can break a line or steer a terminal.

    >>> plain("spam" + chr(27) + "[31m")
    'spam\\\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class FrostlineError(Exception):
    """Base of everything frostline raises on purpose: one line, whatever was found in a file."""

    def __init__(self, sentence: str) -> None:
        super().__init__(plain(sentence))


class BadInputError(FrostlineError):
    """Something given to frostline cannot be used. The command line exits with 2."""


class DataError(BadInputError):
    """A file, a row, a column, an image or a split cannot be used."""


class ModelError(BadInputError):
    """A model folder, a factory or a weights file cannot be used."""


class PlanError(BadInputError):
    """A freeze plan or one of its patterns cannot be used."""


class FloorError(BadInputError):
    """A floor cannot be read."""


class AimError(BadInputError):
    """What a threshold is to be chosen for cannot be read, or cannot be reached."""


class StudyError(BadInputError):
    """A study folder cannot be made, resumed or read."""


class InvalidEvidence(FrostlineError):
    """What was given can be read, but whatever is measured on it proves nothing. The command line exits with 5."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f"INVALID: {sentence}")


class FrozenPartChanged(FrostlineError):
    """What is frozen is not what it was, or not what it should be: whatever was measured is worthless."""

    def __init__(
        self,
        names: Sequence[str],
        during: str,
        *,
        did: str = "changed",
        cause: str = "Look for code that writes parameters or buffers directly, or for a second optimizer.",
        evidence: Sequence[object] = (),
    ) -> None:
        self.names = tuple(names)
        """Of the tensors and modules; the first one is the one that `did` and `cause` speak of."""
        self.evidence = tuple(evidence)
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        super().__init__(f"{names[0]!r}{more} should be frozen but {did} during {during}. {cause}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint for a name that was not found: the nearest known one, else all of them.

    >>> suggestion("lable", ["label", "text"])
    "Did you mean 'label'?"
    >>> suggestion("x", ["label", "text"])
    'There is: label, text.'
    """
    names = list(known)
    near = get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There is: {', '.join(names)}."
