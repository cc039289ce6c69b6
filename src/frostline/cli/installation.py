"""The installation, looked over: whether everything frostline needs is there, and what to do where it is not.

Every question is asked by itself: whatever one of them runs into is written down as its answer.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

from frostline import __version__
from frostline.core.errors import plain
from frostline.core.openings import TestOpenings, state_folder
from frostline.core.sizes import size_text

SCHEMA = "frostline.doctor/1"

_REQUIREMENT = re.compile(
    r"^(?P<name>[\w.-]+)(?:\[(?P<extras>[\w,-]+)\])?\s*(?P<versions>[^;]*)(?:;.*extra == ['\"](?P<extra>[\w-]+)['\"])?"
)
_LEAST = re.compile(r"[>=]=\s*([\d.]+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found of one thing."""

    group: str
    """`needed`, `device`, `room`, or the name of an extra."""
    name: str
    found: str
    """A version, an amount, a place; or what is wrong."""
    problem: str = ""
    """What to do about it; empty when nothing stands in the way."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One package that frostline asks for."""

    name: str
    least: str
    """Lowest version; empty when any will do."""
    extra: str
    """Empty when it is always needed."""


def examine() -> tuple[Answer, ...]:
    """Everything there is to say, in the order it is shown. Never raises."""
    return (
        Answer("needed", "python", platform.python_version()),
        Answer("needed", "frostline", __version__),
        *_asked("needed", "packages", _packages),
        *_asked("needed", "torchvision", _torchvision),
        *_asked("device", "torch", _devices),
        *_asked("room", "free disk", _disk),
        *_asked("room", "free memory", _memory),
        *_asked("room", "test openings", _openings),
    )


def _asked(group: str, name: str, ask: Callable[[], Iterable[Answer]]) -> tuple[Answer, ...]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a driver or a library warns of is no answer
            return tuple(ask())
    except Exception as error:
        return (Answer(group, name, f"cannot be told ({_told(error)})", "Mend what is named there, then ask again."),)


def _told(error: BaseException) -> str:
    return plain(f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])


def exit_code(answers: Iterable[Answer]) -> int:
    """0, or 2 when something needed is missing or broken."""
    return 2 if any(answer.problem for answer in answers if _counts(answer)) else 0


def _counts(answer: Answer) -> bool:
    """An extra is asked for by whoever wants it; everything else is needed."""
    return answer.group in ("needed", "device", "room")


# ---------------------------------------------------------------- packages


def parse_requirement(text: str) -> Requirement | None:
    """A line of the package's metadata; None when it names frostline itself, as an extra made of extras does.

    >>> parse_requirement('transformers>=5.0; extra == "hf"')
    Requirement(name='transformers', least='5.0', extra='hf')
    """
    match = _REQUIREMENT.match(text)
    if match is None or match["name"] == "frostline":
        return None
    least = _LEAST.search(match["versions"])
    return Requirement(match["name"], least[1] if least else "", match["extra"] or "")


def _packages() -> Iterable[Answer]:
    """Every package that the metadata of frostline names, those of extras after those always needed."""
    try:
        lines = requires("frostline") or []
    except PackageNotFoundError:
        yield Answer(
            "needed", "packages", "not known: frostline is not installed as a package", "Run `pip install frostline`."
        )
        return
    asked = [requirement for line in lines if (requirement := parse_requirement(line))]
    for requirement in sorted(asked, key=lambda requirement: requirement.extra):
        yield _package(requirement)


def _package(wanted: Requirement) -> Answer:
    group = wanted.extra or "needed"
    install = (
        f"Run `pip install 'frostline[{wanted.extra}]'`." if wanted.extra else f"Run `pip install {_spec(wanted)}`."
    )
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return Answer(group, wanted.name, "missing", install)
    if _numbers(found) < _numbers(wanted.least):
        return Answer(group, wanted.name, f"{found}, older than {wanted.least}", install)
    return Answer(group, wanted.name, found)


def _spec(wanted: Requirement) -> str:
    return f"'{wanted.name}>={wanted.least}'" if wanted.least else wanted.name


def _numbers(text: str) -> tuple[int, ...]:
    """The release part of a version, as numbers that compare.

    >>> _numbers("2.13.0+cpu") >= _numbers("2.9"), _numbers("")
    (True, ())
    """
    release = re.match(r"[\d.]*", text)
    return tuple(int(part) for part in (release[0] if release else "").split(".") if part)


def _torchvision() -> Iterable[Answer]:
    """A torchvision built for another torch raises when imported, and with it whatever imports it on sight."""
    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except Exception as error:
        yield Answer(
            "needed",
            "torchvision",
            f"does not fit the installed torch ({_told(error)})",
            "frostline does not use it, but transformers imports it when it is there and fails with it. "
            "Run `pip uninstall torchvision`, or install the build of it that belongs to your torch.",
        )
    else:
        yield Answer("needed", "torchvision", f"{_version_of('torchvision')}, not used")


def _version_of(name: str) -> str:
    """Of what can be imported; it need not have been installed as a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "there, as no package"


# ---------------------------------------------------------------- devices and room


def _devices() -> Iterable[Answer]:
    try:
        import torch
    except Exception as error:
        fix = "Install torch again: https://pytorch.org/get-started says how for this machine."
        yield Answer("device", "torch", f"cannot be imported ({_told(error)})", fix)
        return
    yield Answer("device", "cpu", f"computes on {torch.get_num_threads()} of {os.cpu_count()} processors")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            yield Answer("device", f"cuda:{number}", f"{about.name}, {size_text(about.total_memory)}")
    else:
        built = torch.version.cuda
        yield Answer(
            "device", "cuda", f"none (torch is built for CUDA {built})" if built else "none (torch is CPU-only)"
        )
    yield Answer("device", "mps", "available" if torch.backends.mps.is_available() else "none")


def _disk() -> Iterable[Answer]:
    yield Answer("room", "free disk", f"{size_text(shutil.disk_usage(Path.cwd()).free)} in the current folder")


def _memory() -> Iterable[Answer]:
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        yield Answer("room", "free memory", "not told by this system")
    else:
        yield Answer("room", "free memory", size_text(free))


def _openings() -> Iterable[Answer]:
    """The count that tells when test labels are read again by another study."""
    folder = state_folder()
    file = TestOpenings(folder).path
    change = "Set FROSTLINE_STATE to a folder of yours: until then readings of test labels are not counted."
    place = next(path for path in (file, *file.parents) if path.exists())
    if place in file.parents and not place.is_dir():
        yield Answer("room", "test openings", f"{folder}: {place} is a file, not a folder", change)
    elif not os.access(place, os.W_OK):
        yield Answer("room", "test openings", f"{folder}: {place} is not writable", change)
    elif place == file and (fault := _not_sqlite(file)):
        yield Answer("room", "test openings", f"{file} cannot be read ({fault})", f"Move the file away, or: {change}")
    else:
        yield Answer("room", "test openings", f"counted in {folder}, writable")


def _not_sqlite(file: Path) -> str:
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        return str(error)
    finally:
        connection.close()
    return ""


# ---------------------------------------------------------------- how it is said


def as_json(answers: Sequence[Answer]) -> str:
    """One JSON document."""
    code = exit_code(answers)
    content = {
        "schema": SCHEMA,
        "exit_code": code,
        "healthy": code == 0,
        "answers": [asdict(answer) | {"decides": _counts(answer)} for answer in answers],
    }
    return json.dumps(content, indent=2)


def as_text(answers: Sequence[Answer]) -> str:
    """Group by group, what stands in the way under what it concerns."""
    lines, width = [], max(len(answer.name) for answer in answers)
    for group in dict.fromkeys(answer.group for answer in answers):
        mine = [answer for answer in answers if answer.group == group]
        lines.append(_title(group, mine))
        for answer in mine:
            lines.append(f"  {answer.name:<{width}}  {plain(answer.found)}")
            if answer.problem and _counts(answer):
                lines.append(f"  {'':<{width}}  {answer.problem}")
    end = (
        "Everything needed is there."
        if exit_code(answers) == 0
        else "Something needed is missing or broken: see above."
    )
    return "\n".join([*lines, end])


def _title(group: str, answers: Iterable[Answer]) -> str:
    titles = {"needed": "Needed", "device": "Devices", "room": "Room"}
    if group in titles:
        return titles[group]
    fix = next((answer.problem for answer in answers if answer.problem), "")
    return f"Extra {group}: {f'not complete. {fix}' if fix else 'complete'}"
