"""The seal: labels are not in sight, and an opening is counted."""

from __future__ import annotations

import numpy as np
import pytest

from frostline.core.errors import StudyError
from frostline.data.sealed import SealedLabels


def sealed() -> SealedLabels:
    return SealedLabels(np.array([7, 7, 3]), sha256="ab" * 32)


def test_labels_are_not_in_the_representation() -> None:
    """Printing a data set or logging it gives nothing away, opened or not."""
    labels = sealed()

    assert "7" not in repr(labels)
    labels.open(["full"])
    assert "7" not in repr(labels)
    assert "opened" in repr(labels)


def test_opening_for_the_same_contenders_again_is_the_same_opening() -> None:
    """A resumed study reads what it had read, in whatever order it names the contenders."""
    labels = sealed()
    first, opening = labels.open(["full", "depth-4"])

    again, same = labels.open(["depth-4", "full"])

    assert same is opening
    assert again.tolist() == first.tolist() == [7, 7, 3]
    assert opening.test_sha256 == "ab" * 32


def test_opening_for_another_contender_is_refused() -> None:
    """Whoever joins after the labels were seen was chosen by them."""
    labels = sealed()
    labels.open(["full"])

    with pytest.raises(StudyError, match=r"opened at .* for full and are now asked for by depth-4"):
        labels.open(["depth-4"])


def test_opening_for_nobody_is_refused() -> None:
    """An opening without contenders could not be counted against anybody."""
    with pytest.raises(StudyError, match="without naming"):
        sealed().open([])


def test_labels_cannot_be_changed_through_what_was_read() -> None:
    """What is judged tomorrow is what was sealed today."""
    labels, _ = sealed().open(["full"])

    with pytest.raises(ValueError, match="read-only"):
        labels[0] = 1
