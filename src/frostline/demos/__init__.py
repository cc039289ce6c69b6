"""The main job on embedded real data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from frostline.core.errors import BadInputError, suggestion

if TYPE_CHECKING:
    from frostline.study import Study


def export_data(name: str, folder: Path) -> tuple[Path, str]:
    """Write a demo's data as the files a user could have; say where, and with which model they go.

    Raises:
        BadInputError: There is no demo data of that name.
    """
    from frostline.demos import signs, spam

    known: dict[str, tuple[Callable[[Path], Path], Callable[[], str]]] = {
        "spam": (spam.export, lambda: str(spam.minilm())),
        "signs": (signs.export, lambda: signs.MODEL),
    }
    if name not in known:
        raise BadInputError(f"There is no demo data named {name!r}. {suggestion(name, known)}")
    export, model = known[name]
    return export(folder), model()


def study_of(name: str, out: Path, *, resume: bool = False) -> Study:
    """The study a demo runs.

    Raises:
        BadInputError: There is no demo of that name, or its model is not installed.
    """
    from frostline.demos import signs, spam

    known: dict[str, Callable[..., Study]] = {"spam": spam.study, "signs": signs.study}
    if name not in known:
        raise BadInputError(f"There is no demo named {name!r}. {suggestion(name, known)}")
    return known[name](out, resume=resume)
