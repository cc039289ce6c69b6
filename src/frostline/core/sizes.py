"""Amounts of memory, in words."""

from __future__ import annotations


def size_text(size_bytes: int) -> str:
    """A size with three digits that count, in decimal units.

    >>> [size_text(n) for n in (0, 999, 1_500, 23_456_789)]
    ['0 B', '999 B', '1.50 kB', '23.5 MB']
    """
    size, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size_bytes} B" if unit == "B" else f"{size:#.3g} {unit}".replace(". ", " ")
