"""The embedded photographs, as an image folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from frostline.data.images import decode
from frostline.data.sources import load_data
from frostline.demos import signs


def test_export_holds_every_photograph_as_it_was(tmp_path: Path) -> None:
    """Each image is in the folder of its digit with its own pixels, and loads as ten classes without copies."""
    data = load_data(signs.export(tmp_path / "new"))
    with np.load(signs.ORIGINAL) as arrays:
        photographs, digits = arrays["x"], arrays["y"]

    assert len(data) == len(photographs) == 2062
    assert data.task.labels == tuple("0123456789")
    assert all(path.parent.name == str(digits[int(path.stem)]) for path in data.images)
    for path in data.images[::50]:
        assert np.array_equal(decode(path), photographs[int(path.stem)])
