"""Near-duplicate texts: kept together where frostline deals, out of the earlier of two given splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from frostline.core.errors import DataError
from frostline.data.near_text import near_texts
from frostline.data.sources import Dataset, load_data

NAMES = ["ann", "ben", "cat", "dan", "eve", "fay"]


def message(number: int, salt: str = "") -> str:
    """A long text like no other; the name at its end makes it a near-duplicate of itself."""
    rng = np.random.default_rng(number)
    return " ".join(str(word) for word in rng.integers(1000, 9999, 30)) + salt


def write(path: Path, texts: list[tuple[str, str]], header: str = "label,text") -> Path:
    path.write_text("\n".join([header, *(f"{label},{text}" for label, text in texts)]) + "\n", encoding="utf-8")
    return path


def messages(first: int, count: int) -> list[tuple[str, str]]:
    return [("spam" if n % 4 == 0 else "ham", message(n)) for n in range(first, first + count)]


def campaigns(first: int, count: int) -> list[tuple[str, str]]:
    """Each mail sent to six people."""
    return [(label, f"{text} {name}") for label, text in messages(first, count) for name in NAMES]


def owners(data: Dataset) -> list[set[int]]:
    """The clusters that each split holds."""
    clusters = near_texts(data.texts)
    return [set(clusters[rows].tolist()) for rows in data.rows.values()]


def test_mass_mailings_are_kept_in_one_split(tmp_path: Path) -> None:
    """240 mails of 40 campaigns: all are kept, none of a campaign is in two splits, and it is counted and said."""
    data = load_data(write(tmp_path / "m.csv", campaigns(0, 40)))

    assert len(data) == 240
    assert sum(map(len, owners(data))) == len(set.union(*owners(data))) == 40
    assert data.summary.audit.near_clusters == 40 and data.summary.audit.overlaps == ()
    assert "clusters of near-duplicates, each kept in one split: 40" in data.summary.notes
    assert all(min(split.per_class.values()) >= 1 for split in data.summary.splits)


def test_without_near_duplicates_nothing_is_said(tmp_path: Path) -> None:
    """The clean twin."""
    data = load_data(write(tmp_path / "m.csv", messages(0, 80)))

    assert data.summary.audit.near_clusters == 0
    assert not any("near-duplicate" in note for note in data.summary.notes)


def test_near_duplicates_join_the_groups_that_were_named(tmp_path: Path) -> None:
    """Neither a sender nor a campaign straddles, though campaigns connect senders two by two."""
    rows = [(label, f"{text} {n},sender {n // 2}") for n, (label, text) in enumerate(messages(0, 120))]
    rows += [(rows[n][0], f"{message(n)} again,sender {500 + n}") for n in range(10)]

    data = load_data(write(tmp_path / "m.csv", rows, "label,text,sender"), group_column="sender")

    assert sum(map(len, owners(data))) == len(set.union(*owners(data)))
    assert data.summary.audit.near_clusters == 10


def test_near_duplicates_of_a_later_given_split_leave_the_earlier_one(tmp_path: Path) -> None:
    """As copies do: train loses them, validation loses those of the test, the test examples are marked."""
    write(tmp_path / "train.csv", [*messages(0, 40), ("ham", f"{message(101)} ann"), ("ham", f"{message(201)} ann")])
    write(tmp_path / "val.csv", [*messages(100, 40), ("ham", f"{message(202)} ann")])
    write(tmp_path / "test.csv", messages(200, 40))

    data = load_data(tmp_path)

    audit = data.summary.audit
    assert {split.name: split.examples for split in data.summary.splits} == {
        "train": 40,
        "stop": 20,
        "select": 20,
        "test": 40,
    }
    assert audit.dropped_from_training == 3 and audit.near_clusters == 0
    assert [(one.kind, one.earlier, one.later, one.examples) for one in audit.overlaps] == [
        ("near text", "train", "validation", 1),
        ("near text", "train", "test", 1),
        ("near text", "validation", "test", 1),
    ]
    assert audit.overlaps[1].share == pytest.approx(1 / 40)
    assert audit.overlaps[1].sample == ("test.csv row 3 ~ train.csv row 43",)
    marked = [data.texts[row] for row in data.rows["test"][data.overlap_test]]
    assert marked == [message(201), message(202)]


def test_exact_and_near_copies_are_counted_apart(tmp_path: Path) -> None:
    """A test example with both is marked once; the overlaps say which was which."""
    write(tmp_path / "train.csv", [*messages(0, 40), ("ham", message(201)), ("ham", f"{message(202)} ann")])
    write(tmp_path / "val.csv", messages(100, 40))
    write(tmp_path / "test.csv", messages(200, 40))

    data = load_data(tmp_path)

    assert [(one.kind, one.examples) for one in data.summary.audit.overlaps] == [("exact", 1), ("near text", 1)]
    assert data.overlap_test.sum() == 2 and data.summary.audit.dropped_from_training == 2


def test_given_test_keeps_near_duplicates_inside_itself(tmp_path: Path) -> None:
    """What is not dealt out is not counted as kept together."""
    write(tmp_path / "train.csv", messages(0, 40))
    write(tmp_path / "val.csv", messages(100, 40))
    write(tmp_path / "test.csv", campaigns(200, 8))

    data = load_data(tmp_path)

    assert len(data.rows["test"]) == 48 and data.summary.audit.near_clusters == 0


def test_templates_that_leave_too_few_different_texts_are_refused(tmp_path: Path) -> None:
    """Three spam campaigns cannot serve four splits; the sentence says that near-duplicates count once."""
    spam = [("spam", f"{message(n)} {name}") for n in range(3) for name in NAMES]
    ham = [("ham", message(n)) for n in range(100, 160)]

    with pytest.raises(DataError, match=r"Class 'spam' has 3 examples in m\.csv, near-duplicates counting once; 4 are"):
        load_data(write(tmp_path / "m.csv", spam + ham))


def test_places_of_conflicts_are_told_without_their_labels(tmp_path: Path) -> None:
    """Where the same input has two labels is named, not which label stands where: one may be sealed."""
    rows = [*messages(0, 40), ("spam", message(1)), ("ham", message(1)), ("spam", message(2))]

    audit = load_data(write(tmp_path / "m.csv", rows)).summary.audit

    assert audit.conflicting == 2
    assert audit.conflicting_sample == ("m.csv row 3 = m.csv row 42", "m.csv row 4 = m.csv row 44")
