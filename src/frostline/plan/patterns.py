"""How a user names parts of a network: globs, slices of numbered stacks, dotted suffixes.

Knows names only; no torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from frostline.core.errors import PlanError, suggestion

_NUMBERED = re.compile(r"^(?P<stack>.+?)\[(?P<index>-?\d+|-?\d*:-?\d*)\]$")


def select(pattern: str, names: Sequence[str]) -> list[str]:
    """Names that a pattern means, in the order given.

    A pattern is a glob (`encoder.layer.[0-3]`, `*.bias`), a slice or a number of a numbered stack
    (`encoder.layer[:4]`, `encoder.layer[-1]`), or a plain name. It may leave out leading components:
    `encoder.layer.0` finds `bert.encoder.layer.0`. A whole name means that part and no other.

    Raises:
        PlanError: Nothing has such a name.

    >>> select("layer[-2:]", ["stem", "layer.0", "layer.1", "layer.2"])
    ['layer.1', 'layer.2']
    >>> select("*.bias", ["fc.weight", "fc.bias"])
    ['fc.bias']
    """
    if pattern in names:
        return [pattern]
    numbered = _NUMBERED.match(pattern)
    found = _slice(numbered["stack"], numbered["index"], names) if numbered else []
    found = found or [name for name in names if _means(pattern, name)]
    if not found:
        raise PlanError(
            f"The pattern {pattern!r} matches no block or parameter of the model. {suggestion(pattern, names[:40])} "
            "`frostline blocks MODEL` lists the blocks."
        )
    return found


def _means(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")


def _slice(stack: str, index: str, names: Sequence[str]) -> list[str]:
    """Members `stack.0`, `stack.1`, ... that a Python slice or index picks."""
    members: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        parent, _, last = name.rpartition(".")
        if last.isdigit() and _means(stack, parent):
            members.setdefault(parent, []).append((int(last), name))
    found: list[str] = []
    for numbered in members.values():
        ordered = [name for _, name in sorted(numbered)]
        if ":" in index:
            start, stop = (int(bound) if bound else None for bound in index.split(":"))
            found += ordered[start:stop]
        elif -len(ordered) <= int(index) < len(ordered):
            found.append(ordered[int(index)])
    return found
