"""Time: cells that are read, splits that follow it, and examples that are later than the test."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.core.errors import DataError
from frostline.core.records import SplitName
from frostline.data.sources import load_data
from frostline.data.times import deal_by_time, later_than_test, read_times

SHARES: dict[SplitName, float] = {"train": 0.5, "stop": 0.1, "select": 0.2, "test": 0.2}
HEADER = "label,text,sent\n"


def rows(days: range, name: str, sent: str = "2024-{month:02d}-{day:02d}") -> str:
    """One message a day; every fourth is spam."""
    return "".join(
        f"{'spam' if day % 4 == 0 else 'ham'},{name} says {day * day},"
        f"{sent.format(month=1 + day // 28, day=1 + day % 28, number=day)}\n"
        for day in days
    )


def write(path: Path, content: str) -> Path:
    path.write_text(HEADER + content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "cells",
    [
        ["-3", "0.5", "1e3", "20240101"],
        ["2023-12-31", "2024-01-01", "2024-01-01T00:00:01", "2024-01-01 09:30:00.5"],
        ["2024-01-01T12:00:00+02:00", "2024-01-01T10:30:00Z", "2024-01-01T05:45:00-05:00"],
    ],
)
def test_cells_are_put_in_order(cells: list[str]) -> None:
    """Numbers, dates with and without a time of day, and times of different zones."""
    assert (np.diff(read_times(cells, cells, "sent")) > 0).all()


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["2024-01-01", "yesterday"], r"row 3 has 'yesterday' in column 'sent', where a time is needed\. Write"),
        (["2024-01-01", "01/02/2024"], r"row 3 has '01/02/2024'"),
        (["1", "nan"], r"row 3 has 'nan'"),
        (["1", " "], r"row 3 has nothing"),
        (
            ["2024-01-01", "7"],
            r"row 3 has '7' .* and row 2 has '2024-01-01': numbers and dates and times without a zone",
        ),
        (["2024-01-01", "2024-01-01T00:00Z"], r"row 3 .* with a zone and dates and times without a zone cannot"),
    ],
)
def test_what_is_no_time_is_refused_with_its_row(cells: list[str], said: str) -> None:
    """No guess between day and month, and no order between kinds."""
    with pytest.raises(DataError, match=said):
        read_times(cells, ["row 2", "row 3"], "sent")


@given(times=st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_cuts_follow_time_and_never_part_equal_times(times: list[int]) -> None:
    """Every example once; whatever is in a later split is strictly later."""
    times_N = np.array(times, dtype=float)

    dealt = deal_by_time(times_N, SHARES)

    assert np.array_equal(np.sort(np.concatenate(list(dealt.values()))), np.arange(len(times)))
    filled = [times_N[part] for part in dealt.values() if len(part)]
    assert all(before.max() < after.min() for before, after in pairwise(filled))


def test_different_times_give_the_shares_exactly() -> None:
    """Nothing is equal, so nothing moves a cut."""
    dealt = deal_by_time(np.random.default_rng(0).permutation(100).astype(float), SHARES)

    assert {split: len(part) for split, part in dealt.items()} == {"train": 50, "stop": 10, "select": 20, "test": 20}


def test_carved_splits_follow_time(tmp_path: Path) -> None:
    """Train is earliest and test latest, whatever the seed; it is said, and nothing is later than the test."""
    path = write(tmp_path / "m.csv", rows(range(100), "ann"))
    data, again = (load_data(path, time_column="sent", seed=seed) for seed in (0, 7))

    days = {split: [int(data.where[row].split()[-1]) for row in part] for split, part in data.rows.items()}
    assert max(days["train"]) < min(days["stop"]) and max(days["stop"]) < min(days["select"])
    assert max(days["select"]) < min(days["test"])
    assert all(np.array_equal(data.rows[split], again.rows[split]) for split in data.rows)
    assert data.summary.audit.later_than_test == 0
    assert data.summary.splits[0].origin == "50 % of m.csv by time"
    assert "time column: 'sent' (as asked); splits that are carved follow it" in data.summary.notes


def test_time_that_leaves_a_split_without_a_class_is_refused(tmp_path: Path) -> None:
    """All spam came early: a test of the latest messages would have none."""
    early = "".join(f"spam,{n * n} prizes,{n}\n" for n in range(20))
    late = "".join(f"ham,see you at {n * n},{n}\n" for n in range(20, 60))

    with pytest.raises(DataError, match=r"m\.csv, cut at points in time, leaves stop without class 'spam'"):
        load_data(write(tmp_path / "m.csv", early + late), time_column="sent")


def test_groups_and_time_together_are_refused(tmp_path: Path) -> None:
    """One of the two would have to give way."""
    path = tmp_path / "m.csv"
    path.write_text("label,text,sent,by\n" + rows(range(60), "ann").replace("\n", ",ann\n"), encoding="utf-8")

    with pytest.raises(DataError, match="--group-column and --time-column were both asked for"):
        load_data(path, time_column="sent", group_column="by")


def test_given_splits_that_ignore_time_are_counted(tmp_path: Path) -> None:
    """Train goes on for ten days after the test begins: the ten are counted, the latest is named first."""
    write(tmp_path / "train.csv", rows(range(60), "ann"))
    write(tmp_path / "val.csv", rows(range(8), "ben"))
    write(tmp_path / "test.csv", rows(range(49, 90), "cat"))

    audit = load_data(tmp_path, time_column="sent").summary.audit

    assert audit.later_than_test == 10
    assert audit.later_sample[0] == "train.csv row 61 (2024-03-04)"
    assert load_data(tmp_path).summary.audit.later_than_test is None


def test_given_splits_in_order_have_nothing_later(tmp_path: Path) -> None:
    """The clean twin; a training message of the very time of the first test message is not later."""
    write(tmp_path / "train.csv", rows(range(50), "ann"))
    write(tmp_path / "val.csv", rows(range(8), "ben"))
    write(tmp_path / "test.csv", rows(range(49, 90), "cat"))

    assert load_data(tmp_path, time_column="sent").summary.audit.later_than_test == 0


def test_near_duplicates_that_time_parts_leave_the_earlier_split(tmp_path: Path) -> None:
    """A cut in time cannot bend, so the earlier of two near-duplicates goes, and is counted."""
    text = "your parcel with the new phone will be with you on monday between nine and noon"
    content = rows(range(100), "ann").splitlines(keepends=True)
    content[10] = f"ham,{text},2024-01-11\n"
    content[95] = f"ham,{text.upper()}!,2024-04-12\n"

    data = load_data(write(tmp_path / "m.csv", "".join(content)), time_column="sent")

    assert len(data) == 99 and "m.csv row 12" not in data.where and "m.csv row 97" in data.where
    assert data.summary.audit.dropped_from_training == 1
    assert sorted(np.concatenate(list(data.rows.values())).tolist()) == list(range(99))
    assert not data.overlap_test.any()


def test_later_examples_are_named_latest_first() -> None:
    """The sample is the worst of it."""
    times_N = np.array([1.0, 9.0, 5.0, 3.0, 4.0])
    parts: dict[SplitName, np.ndarray] = {
        "train": np.array([0, 1]),
        "stop": np.array([2]),
        "select": np.array([3]),
        "test": np.array([4]),
    }

    assert later_than_test(times_N, parts, str) == (2, ("1", "2"))


def test_slices_are_kept_and_never_read_as_features(tmp_path: Path) -> None:
    """Every example has its slice, in order; a column of numbers that is one is no input."""
    lines = "".join(f"{'bad' if n % 4 == 0 else 'good'},{n},{n % 3},{n}\n" for n in range(60))
    path = tmp_path / "n.csv"
    path.write_text("label,size,site,day\n" + lines, encoding="utf-8")

    data = load_data(path, slice_column="site", time_column="day")

    assert data.features.shape == (60, 1) and data.summary.features == 1
    assert data.slices == tuple(str(int(size) % 3) for size in data.features[:, 0])
    assert load_data(path).slices == () and load_data(path).features.shape == (60, 3)
    assert load_data(path, slice_column="day", time_column="day").slices[5] == "5"
    with pytest.raises(DataError, match="--label-column and --slice-column both mean column 'label'"):
        load_data(path, slice_column="label", label_column="label")
