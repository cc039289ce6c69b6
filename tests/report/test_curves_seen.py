"""What was seen on a curve stands in the words, the table and the drawing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builders import make_study
from frostline.report.figures import curves_figure
from frostline.report.html import render_html
from report.samples import judged
from report.test_browser import _open

RISING = [
    (None, None, 0.69, 0.60),
    (0.30, 0.88, 0.20, 0.930),
    (0.20, 0.93, 0.25, 0.935),
    (0.10, 0.97, 0.31, 0.940),
    (0.05, 0.98, 0.40, 0.940),
]


def test_what_is_seen_is_data_words_and_note() -> None:
    """The run, the epochs and the kind for the drawing; the sentence for whoever cannot see it."""
    figure = curves_figure(make_study(curves={"depth-4": RISING}))
    sentence = "From epoch 1 to 4 validation loss rose from 0.200 to 0.400"

    assert figure.data["seen"] == [
        {"run": "depth-4, chosen", "first": 1, "last": 4, "kind": "loss rises"},
        {"run": "depth-4, chosen", "first": 1, "last": 4, "kind": "over-fits"},
    ]
    assert f"Seen on depth-4: {sentence}" in figure.alt
    assert sentence in figure.table.note


def test_clean_curves_have_no_marks() -> None:
    """Nothing seen, nothing said."""
    figure = curves_figure(make_study())

    assert figure.data["seen"] == []
    assert "Seen" not in figure.alt + figure.table.note


@pytest.mark.browser
def test_bands_are_drawn_with_their_labels(tmp_path: Path) -> None:
    """Each kind stands once in each of the two charts of its run, and nowhere else."""
    document, complaints = _open(render_html(*judged(make_study(curves={"depth-4": RISING}))), tmp_path)
    drawn = "".join(re.findall(r'data-chart="curves".*?>((?:<svg.*?</svg>)+)', document, re.DOTALL))

    assert complaints == []
    assert drawn.count(">loss rises</text>") == drawn.count(">over-fits</text>") == 2
    assert drawn.count('aria-label="rect"') == 2
    assert "NaN" not in drawn
