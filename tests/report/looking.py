"""What pages look like, as numbers coarse enough to be kept as text: how light and how full each patch of a page is.

Patches are about a hundred CSS pixels wide and high, so neither the shape of letters nor a line that breaks elsewhere
counts; a part that is missing, empty, bare or in the wrong colours does. `make looks` writes what is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from report.devtools import Tab

# Shape letters used in this file:  H, W pixels of a part,  R rows and C columns of patches.
Pixels = npt.NDArray[np.uint8]
Patches = npt.NDArray[np.float64]

KEPT = Path(__file__).parent / "looks"
LAYOUT = (Path(__file__).parent / "layout.js").read_text(encoding="utf-8")
PATCH = 100
"""Aimed width and height of a patch, in CSS pixels."""
STANDS_OUT = 24
"""Levels of luminance, of 255, by which a pixel differs from the ground it is on."""
PARTS = """[...document.querySelectorAll('.top, main > section, main > nav, footer, .chart')].map((part) => {
  const box = part.getBoundingClientRect(), holder = part.closest('[data-chart], [data-live]') ?? part;
  const drawn = holder.dataset.chart ?? holder.dataset.live ?? part.id;
  const name = part.className === 'chart' ? `chart ${drawn}` : part.id || part.className || part.localName;
  return [name, box.x + scrollX, box.y + scrollY, box.width, box.height];
}).filter(([, , , width, height]) => width && height)"""


@dataclass(frozen=True, slots=True)
class View:
    """A way in which a page is looked at."""

    width: int = 1280
    """Of the window, or of the paper between its margins, in CSS pixels."""
    dark: bool = False
    paper: bool = False

    def open(self, browser: Tab, place: Path | str, ready: str = "true") -> None:
        """Show a page, and wait until something holds in it."""
        browser.open(place, width=1280 if self.paper else self.width, dark=self.dark)
        browser.wait_for(ready)
        if self.paper:
            browser.print_at(self.width)


VIEWS = {"light": View(), "dark": View(dark=True), "phone": View(width=390), "print": View(width=718, paper=True)}
"""The paper is A4 with margins of a centimetre."""


@dataclass(frozen=True, slots=True)
class Look:
    """One part of a page."""

    width: int
    """In CSS pixels."""
    height: int
    light_RC: Patches
    """Mean luminance of each patch, from 0 to 255."""
    ink_RC: Patches
    """Share of each patch that stands out from the ground of the part, from 0 to 255."""


Looks = dict[str, Look]


def photograph(browser: Tab) -> Image.Image:
    """The whole page that is open."""
    pieces = [(top, Image.open(BytesIO(piece))) for top, piece in browser.photograph()]
    page = Image.new("RGB", (pieces[0][1].width, sum(piece.height for _, piece in pieces)))
    for top, piece in pieces:
        page.paste(piece, (0, top))
    return page


def looks(browser: Tab, page: Image.Image, like: Mapping[str, Look] | None = None) -> Looks:
    """Each part of the page that is open, on its photograph; in as many patches as another look has."""
    grey = np.asarray(page.convert("L"))
    return {
        name: look(grey[round(y) : round(y + height), max(0, round(x)) : round(x + width)], (like or {}).get(name))
        for name, x, y, width, height in browser.run(PARTS)
    }


def look(part_HW: Pixels, like: Look | None = None) -> Look:
    """How a part looks, in patches of the usual size or in as many as another has."""
    height, width = part_HW.shape
    rows, columns = like.light_RC.shape if like else (max(1, round(height / PATCH)), max(1, round(width / PATCH)))
    ground = np.bincount(part_HW.ravel()).argmax()
    ink_HW = np.abs(part_HW.astype(int) - ground) > STANDS_OUT
    return Look(width, height, _means(part_HW, rows, columns), 255 * _means(ink_HW, rows, columns))


def _means(values_HW: npt.NDArray[np.generic], rows: int, columns: int) -> Patches:
    bands = np.array_split(values_HW, rows)
    return np.array([[patch.mean() for patch in np.array_split(band, columns, axis=1)] for band in bands])


# ---------------------------------------------------------------- comparing


def differences(kept: Mapping[str, Look], seen: Mapping[str, Look]) -> list[str]:
    """In what a page looks other than it did, as sentences; nothing of what another font or browser build may change.

    Args:
        kept: Parts of the page as they are to be.
        seen: As they are now, in the same number of patches.
    """
    changed = [f"{name} is missing." for name in kept if name not in seen]
    changed += [f"{name} is new." for name in seen if name not in kept]
    return changed + [told for name in kept if name in seen for told in _differences(name, kept[name], seen[name])]


def _differences(name: str, kept: Look, seen: Look) -> Iterator[str]:
    # A line or two may break elsewhere; a figure, a table or a paragraph is higher than that.
    if abs(seen.height - kept.height) > 60 + 0.08 * kept.height:
        yield f"{name} is {seen.height} pixels high instead of {kept.height}."
    if abs(seen.width - kept.width) > 0.08 * kept.width:
        yield f"{name} is {seen.width} pixels wide instead of {kept.width}."
    low, high = _around(kept.light_RC, np.min), _around(kept.light_RC, np.max)
    if (off := np.maximum(low - seen.light_RC, seen.light_RC - high).max()) > 25:
        yield f"{name} is lighter or darker by {off:.0f} of 255 levels."
    before, now = _around(kept.ink_RC, np.mean), _around(seen.ink_RC, np.mean)
    if (lost := _most(before, now)) > 0.5:
        yield f"{name} has lost {lost:.0%} of what stood in one place."
    if (gained := _most(now, before)) > 0.5:
        yield f"{name} shows {1 / (1 - gained):.1f} times as much in one place."


def _most(more: Patches, less: Patches) -> float:
    # In places where there is something at all: a patch of text is filled to about a tenth.
    places = more >= 0.02 * 255
    return float(np.max(1 - _around(less, np.max)[places] / more[places], initial=0.0))


def _around(values_RC: Patches, of: object) -> Patches:
    """The mean, least or largest of each patch and its neighbours."""
    padded = np.pad(values_RC, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    result: Patches = of(windows, axis=(2, 3))  # type: ignore[operator]
    return result


# ---------------------------------------------------------------- keeping


def keep(name: str, views: Mapping[str, Mapping[str, Look]]) -> None:
    """Write down how a page looks in every view: two hexadecimal digits a patch, a word for each row of patches."""
    written = {
        view: {
            part: {"size": f"{one.width} {one.height}", "light": _hex(one.light_RC), "ink": _hex(one.ink_RC)}
            for part, one in parts.items()
        }
        for view, parts in views.items()
    }
    text = json.dumps(written, indent=1)
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def kept(name: str) -> dict[str, Looks]:
    """How a page is to look, by view."""
    written = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
    return {view: {part: _read(one) for part, one in parts.items()} for view, parts in written.items()}


def _read(written: Mapping[str, str]) -> Look:
    width, height = map(int, written["size"].split())
    return Look(width, height, _patches(written["light"]), _patches(written["ink"]))


def _hex(values_RC: Patches) -> str:
    return " ".join(row.tobytes().hex() for row in values_RC.round().astype(np.uint8))


def _patches(rows: str) -> Patches:
    return np.array([list(bytes.fromhex(row)) for row in rows.split()], dtype=float)
