"""From files to sealed splits: layouts, guesses, laws, and refusals."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frostline.core.errors import DataError, InvalidEvidence
from frostline.data.examples import text_digest
from frostline.data.sources import Dataset, load_data
from frostline.data.splits import SplitShares

Row = tuple[str, ...]


def write(path: Path, rows: Iterable[Row], header: Row = ("label", "text")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


def messages(count: int, name: str = "m", every: int = 4) -> list[Row]:
    return [("spam" if number % every == 0 else "ham", f"{name} {number}") for number in range(count)]


def numbers(count: int, first: int = 0) -> list[Row]:
    return [("bad" if n % 4 == 0 else "good", str(n), str(n / 4 - 2)) for n in range(first, first + count)]


def paint(folder: Path, colours: Iterable[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for colour in colours:
        Image.new("RGB", (2, 2), (colour, 0, 0)).save(folder / f"{colour}.png")


def sizes(data: Dataset) -> dict[str, int]:
    return {split.name: split.examples for split in data.summary.splits}


def labels_of(data: Dataset) -> list[str]:
    """All labels, the sealed ones too."""
    labels = data.labels.copy()
    labels[data.rows["test"]], _ = data.sealed.open(["the test of this test"])
    return [data.task.labels[label] for label in labels]


# ---------------------------------------------------------------- layouts


def test_one_file_is_dealt_out_and_said(tmp_path: Path) -> None:
    """A table without splits becomes four, with the shares, the seed and the guesses in the notes."""
    data = load_data(write(tmp_path / "m.csv", messages(100)), seed=3)

    assert sizes(data) == {"train": 50, "stop": 10, "select": 20, "test": 20}
    assert data.summary.split("stop").origin == "10 % of m.csv"
    assert data.task.positive == "spam"
    assert data.summary.notes == (
        "text column: 'text' (guessed from its name)",
        "label column: 'label' (guessed from its name)",
        "positive class: 'spam' (the rarer one; --positive names another)",
        "m.csv was dealt out by class with seed 3: train 50 %, stop 10 %, select 20 %, test 20 %",
    )
    assert data.where[0] == "m.csv row 2"


def test_given_tables_are_honoured(tmp_path: Path) -> None:
    """train, dev and test stay what they are; dev is halved by class into stop and select."""
    for name, file in (("train", "train.csv"), ("dev", "dev.csv"), ("test", "test.csv")):
        write(tmp_path / file, messages(40, name))

    data = load_data(tmp_path)

    assert sizes(data) == {"train": 40, "stop": 20, "select": 20, "test": 40}
    for split, name in (("train", "train"), ("stop", "dev"), ("select", "dev"), ("test", "test")):
        assert {data.texts[row].split()[0] for row in data.rows[split]} == {name}  # type: ignore[index]
        assert data.summary.split(split).per_class["spam"] == data.summary.split(split).examples // 4
    assert data.summary.split("test").origin == "given: test.csv"
    assert data.summary.split("stop").origin == "50 % of dev.csv"
    assert "dev.csv was dealt out by class with seed 0: stop 50 %, select 50 %" in data.summary.notes


def test_missing_splits_are_carved_out_of_train(tmp_path: Path) -> None:
    """Without validation data stop and select come out of train in the usual proportions; the test file stays whole."""
    write(tmp_path / "train.csv", messages(80, "train"))
    write(tmp_path / "test.csv", messages(20, "test"))

    data = load_data(tmp_path)

    assert sizes(data) == {"train": 50, "stop": 10, "select": 20, "test": 20}
    assert data.summary.split("train").origin == "62.5 % of train.csv"


def test_split_column_of_one_table(tmp_path: Path) -> None:
    """A column may tell the splits; it is honoured like files are."""
    rows = [(*row, split) for split in ("train", "valid", "test") for row in messages(16, split)]
    path = write(tmp_path / "m.csv", rows, ("label", "text", "fold"))

    data = load_data(path, split_column="fold")

    assert sizes(data) == {"train": 16, "stop": 8, "select": 8, "test": 16}
    assert data.summary.split("test").origin == "given: m.csv (fold = test)"


def test_image_folders_with_and_without_splits(tmp_path: Path) -> None:
    """Class folders are dealt out; split folders above them are honoured; other files are counted."""
    for number, label in enumerate(("cat", "dog")):
        paint(tmp_path / "plain" / label, range(100 * number, 100 * number + 20 - 10 * number))
        paint(tmp_path / "given" / "train" / label, range(100 * number, 100 * number + 10 - number))
        paint(tmp_path / "given" / "test" / label, range(50 + 100 * number, 50 + 100 * number + 5 - number))
    (tmp_path / "plain" / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "plain" / ".DS_Store").write_text("left by a system")

    plain, given_splits = load_data(tmp_path / "plain"), load_data(tmp_path / "given")

    assert plain.kind == "image"
    assert plain.task.positive == "dog"
    assert sizes(plain) == {"train": 15, "stop": 3, "select": 6, "test": 6}
    assert plain.where[0] == "cat/0.png"
    assert any(note.startswith("1 files or folders that are no") for note in plain.summary.notes)
    assert len(given_splits.rows["test"]) == 9
    assert not plain.texts
    assert plain.images[0].name == "0.png"


def test_several_classes_have_no_positive_one(tmp_path: Path) -> None:
    """Numbered classes are ordered by number, not by their first digit."""
    rows = [(str(number % 11), f"t {number}") for number in range(110)]

    data = load_data(write(tmp_path / "m.csv", rows))

    assert data.task.labels == tuple(map(str, range(11)))
    assert data.task.positive is None


def test_shares_are_used(tmp_path: Path) -> None:
    """A caller may ask for other sizes."""
    shares = SplitShares(train=0.25, stop=0.25, select=0.25, test=0.25)

    assert set(sizes(load_data(write(tmp_path / "m.csv", messages(80)), shares=shares)).values()) == {20}


def test_groups_stay_whole(tmp_path: Path) -> None:
    """Messages of one sender are all on the same side."""
    rows = [(*row, str(number // 3)) for number, row in enumerate(messages(120))]
    data = load_data(write(tmp_path / "m.csv", rows, ("label", "text", "sender")), group_column="sender")
    senders = [{int(data.texts[row].split()[1]) // 3 for row in rows} for rows in data.rows.values()]

    assert sum(map(len, senders)) == len(set.union(*senders)) == 40


def test_a_table_of_numbers(tmp_path: Path) -> None:
    """Numbers keep rows and columns; the files' label names stay; texts and images are empty."""
    path = write(tmp_path / "n.csv", numbers(40), ("label", "a", "b"))

    data = load_data(path)

    assert data.kind == data.summary.kind == "table"
    assert data.features.dtype == np.float32
    assert data.features.tolist() == [[number, number / 4 - 2] for number in range(40)]
    assert (data.texts, data.images) == ((), ())
    assert data.summary.notes[0] == "2 number columns are the features: 'a', 'b'"
    assert sizes(data) == {"train": 20, "stop": 4, "select": 8, "test": 8}
    with pytest.raises(ValueError, match="read-only"):
        data.features[0] = 0


def test_tables_of_numbers_that_are_split(tmp_path: Path) -> None:
    """Given files are honoured; columns go by name, whatever their order in the other files."""
    write(tmp_path / "train.csv", numbers(40), ("label", "a", "b"))
    swapped = [(b, a, label) for label, a, b in numbers(20, first=100)]
    write(tmp_path / "test.csv", swapped, ("b", "a", "label"))

    data = load_data(tmp_path)

    assert data.features[data.rows["test"]][0].tolist() == [100, 23]
    assert data.summary.split("test").origin == "given: test.csv"


def test_other_kinds_have_no_features(tmp_path: Path) -> None:
    """Texts carry no numbers."""
    assert load_data(write(tmp_path / "m.csv", messages(40))).features.size == 0


# ---------------------------------------------------------------- laws


texts = st.text(st.sampled_from("ab \u00e9e\u0301"), min_size=1, max_size=3).filter(str.strip)
tables = st.lists(st.tuples(st.sampled_from(["ham", "spam"]), texts), max_size=40)
BASE = {name: messages(24, name, every=3) for name in ("train", "val", "test")}


def partition_holds(data: Dataset) -> None:
    assert np.array_equal(np.sort(np.concatenate(list(data.rows.values()))), np.arange(len(data)))
    assert len(data.texts) == len(data.where) == len(data)
    contents = [text_digest(text) for text in data.texts]
    assert len(set(contents)) == len(contents)
    assert (data.labels[data.rows["test"]] == -1).all()
    assert (np.delete(data.labels, data.rows["test"]) >= 0).all()
    assert sizes(data) == {split: len(rows) for split, rows in data.rows.items()}


@settings(deadline=None, max_examples=50)
@given(rows=tables, seed=st.integers(0, 9))
def test_no_two_carved_splits_share_content(rows: list[Row], seed: int) -> None:
    """Whatever copies a file holds, each content is in exactly one split, and the seed decides which."""
    with TemporaryDirectory() as folder:
        path = write(Path(folder, "m.csv"), [*BASE["train"], *rows])
        data, again = load_data(path, seed=seed, positive="spam"), load_data(path, seed=seed, positive="spam")

    partition_holds(data)
    assert {text_digest(text) for text in data.texts} == {text_digest(text) for _, text in (*BASE["train"], *rows)}
    assert all(np.array_equal(data.rows[split], again.rows[split]) for split in data.rows)


@settings(deadline=None, max_examples=50)
@given(train=tables, val=tables, test=tables)
def test_no_two_given_splits_share_content(train: list[Row], val: list[Row], test: list[Row]) -> None:
    """Every content of the test file is in the test split, and nothing of it is left elsewhere."""
    drawn = {"train": train, "val": val, "test": test}
    with TemporaryDirectory() as folder:
        for name, rows in drawn.items():
            write(Path(folder, f"{name}.csv"), [*BASE[name], *rows])
        data, again = load_data(Path(folder), positive="spam"), load_data(Path(folder), positive="spam")

    partition_holds(data)
    given_test = {text_digest(text) for _, text in (*BASE["test"], *test)}
    assert {text_digest(data.texts[row]) for row in data.rows["test"]} == given_test
    earlier = {text_digest(text) for _, text in (*train, *val)}
    marked = [text_digest(data.texts[row]) in earlier for row in data.rows["test"]]
    assert data.overlap_test.tolist() == marked
    assert all(np.array_equal(data.rows[split], again.rows[split]) for split in data.rows)
    assert data.sealed.sha256 == again.sealed.sha256


# ---------------------------------------------------------------- copies


def test_copies_in_one_file_are_dropped_and_counted(tmp_path: Path) -> None:
    """Later copies go, conflicting labels are counted, and the first label stands."""
    rows = [*messages(40), ("ham", " m 1 "), ("spam", "m 2"), ("ham", "m 3"), ("ham", "m 3")]

    data = load_data(write(tmp_path / "m.csv", rows))

    assert len(data) == 40
    assert (data.summary.audit.dropped_copies, data.summary.audit.conflicting) == (4, 1)
    assert labels_of(data)[data.where.index("m.csv row 4")] == "ham"
    assert "exact copies inside the data dropped, the first kept: 4" in data.summary.notes


def test_copies_across_given_splits_leave_the_earlier_side(tmp_path: Path) -> None:
    """A test message found in train and validation is judged, not trained on; the overlap is on record."""
    write(tmp_path / "train.csv", [*messages(40, "train"), ("ham", "both"), ("ham", "val 1")])
    write(tmp_path / "val.csv", [*messages(40, "val"), ("ham", "both")])
    write(tmp_path / "test.csv", [*messages(39, "test"), ("ham", "both"), ("ham", "both")])

    data = load_data(tmp_path)

    audit = data.summary.audit
    assert sizes(data) == {"train": 40, "stop": 20, "select": 20, "test": 40}
    assert (audit.dropped_copies, audit.dropped_from_training) == (1, 3)
    assert [(one.earlier, one.later, one.examples) for one in audit.overlaps] == [
        ("train", "validation", 2),
        ("train", "test", 1),
        ("validation", "test", 1),
    ]
    assert audit.overlaps[1].share == pytest.approx(1 / 40)
    assert audit.overlaps[1].sample == ("test.csv row 41 = train.csv row 42",)
    assert data.overlap_test.sum() == 1
    assert data.texts[data.rows["test"][data.overlap_test.argmax()]] == "both"


def test_rows_of_numbers_are_compared_by_value(tmp_path: Path) -> None:
    """Other spellings of the same numbers are copies, and so are numbers that 32 bits cannot tell apart."""
    rows = [*numbers(40), ("bad", "0.0", "-2e0"), ("good", "1.00000000001", "-1.75"), ("bad", "8", "-0.0")]

    data = load_data(write(tmp_path / "n.csv", rows, ("label", "a", "b")))

    assert len(data) == 40
    assert (data.summary.audit.dropped_copies, data.summary.audit.conflicting) == (3, 0)


def test_clean_splits_have_no_overlap(tmp_path: Path) -> None:
    """The twin without copies: nothing is dropped, nothing is marked."""
    for name in ("train", "val", "test"):
        write(tmp_path / f"{name}.csv", messages(20, name))

    data = load_data(tmp_path)

    assert data.summary.audit.overlaps == ()
    assert not data.overlap_test.any()


def test_images_are_compared_by_pixels(tmp_path: Path) -> None:
    """The same picture in another format under another name is a copy; another size of the same colour is not."""
    paint(tmp_path / "cat", range(8))
    paint(tmp_path / "dog", range(100, 105))
    Image.new("RGB", (2, 2), (3, 0, 0)).save(tmp_path / "cat" / "copy.bmp")
    Image.new("RGB", (4, 1), (3, 0, 0)).save(tmp_path / "cat" / "other.png")

    data = load_data(tmp_path)

    assert data.summary.audit.dropped_copies == 1
    assert len(data) == 14


def test_validation_that_is_the_test_file_is_refused(tmp_path: Path) -> None:
    """What chooses cannot judge, even when rows were shuffled between the two files."""
    write(tmp_path / "train.csv", messages(40, "train"))
    write(tmp_path / "val.csv", messages(40, "same"))
    write(tmp_path / "test.csv", reversed(messages(40, "same")))

    with pytest.raises(InvalidEvidence, match=r"^INVALID: val\.csv and test\.csv hold the very same inputs"):
        load_data(tmp_path)


# ---------------------------------------------------------------- the seal


def test_test_labels_are_reached_only_through_the_seal(tmp_path: Path) -> None:
    """The labels that the files gave come out, aligned with the test rows."""
    data = load_data(write(tmp_path / "m.csv", messages(60)))
    truth = {text: label for label, text in messages(60)}

    labels, opening = data.sealed.open(["full"])

    assert [data.task.labels[label] for label in labels] == [truth[data.texts[row]] for row in data.rows["test"]]
    assert opening.test_sha256 == data.sealed.sha256


def test_seal_hash_follows_content_not_order(tmp_path: Path) -> None:
    """The same test file in another order is the same test; one changed label makes another."""
    hashes = []
    for name, test in {
        "a": messages(20, "test"),
        "b": list(reversed(messages(20, "test"))),
        "c": [("ham", "test 0"), *messages(20, "test")[1:]],
    }.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name / "train.csv", messages(40, "train"))
        write(tmp_path / name / "test.csv", test)
        hashes.append(load_data(tmp_path / name).sealed.sha256)

    assert hashes[0] == hashes[1] != hashes[2]


# ---------------------------------------------------------------- bad input


def test_missing_path_and_empty_folder_are_refused(tmp_path: Path) -> None:
    """A path without data says what could be there."""
    with pytest.raises(DataError, match="does not exist"):
        load_data(tmp_path / "none")
    with pytest.raises(DataError, match="It holds: nothing"):
        load_data(tmp_path)


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([("ham", f"t {n}") for n in range(9)], {}, "m.csv: the only class is 'ham'"),
        ([*messages(40), ("ham", " ")], {}, "m.csv row 42 has nothing in column 'text'"),
        ([*messages(40), ("", "hi")], {}, "m.csv row 42 has nothing in column 'label'"),
        (messages(9), {}, "Class 'spam' has 3 examples in m.csv"),
        (messages(40, every=2), {}, "occur 20 times each"),
        (messages(40), {"positive": "spma"}, "'spma' does not occur in m.csv. Did you mean 'spam'?"),
        ([*messages(40), *[("x", f"x {n}") for n in range(9)]], {"positive": "spam"}, "m.csv holds 3 classes"),
        (messages(40), {"label_column": "lable"}, "m.csv has no column 'lable'. Did you mean 'label'?"),
        (messages(40), {"split_column": "label"}, "--label-column"),
        (messages(40), {"seed": -1}, "The seed -1 cannot be used"),
    ],
)
def test_unusable_table_is_refused(tmp_path: Path, rows: list[Row], options: dict[str, object], said: str) -> None:
    """Each refusal names the file and what to look at."""
    with pytest.raises(DataError) as caught:
        load_data(write(tmp_path / "m.csv", rows), **options)  # type: ignore[arg-type]

    assert said in str(caught.value)


def test_class_absent_from_a_given_split_is_refused(tmp_path: Path) -> None:
    """The sentence names the class and the file, whichever of the files lacks it."""
    write(tmp_path / "train.csv", messages(40, "train"))
    write(tmp_path / "test.csv", [("ham", f"t {number}") for number in range(9)])

    with pytest.raises(DataError, match=r"Class 'spam' has no examples in test\.csv"):
        load_data(tmp_path)
    write(tmp_path / "test.csv", [*messages(9, "test"), ("scam", "hi")])
    with pytest.raises(DataError, match=r"Class 'scam' has no examples in train\.csv"):
        load_data(tmp_path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("tcp", "n.csv row 42 has 'tcp' in column 'b', where a finite number is needed"),
        ("", "n.csv row 42 has nothing in column 'b', where"),
        ("nan", "row 42 has 'nan'"),
        ("-inf", "row 42 has '-inf'"),
        ("1e39", "row 42 has '1e39'"),
    ],
)
def test_what_is_no_number_in_a_table_is_refused(tmp_path: Path, value: str, said: str) -> None:
    """File, row and column are named, and what to do; in a given test file as well."""
    rows = [*numbers(40), ("good", "7", value)]
    with pytest.raises(DataError) as caught:
        load_data(write(tmp_path / "n.csv", rows, ("label", "a", "b")))
    assert said in str(caught.value)
    assert "Encode the column as numbers" in str(caught.value)

    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "train.csv", numbers(40), ("label", "a", "b"))
    write(folder / "test.csv", rows, ("label", "a", "b"))
    with pytest.raises(DataError, match=r"^test\.csv row 42 has"):
        load_data(folder)


def test_unknown_split_name_is_refused(tmp_path: Path) -> None:
    """The row that names no split is named."""
    path = write(tmp_path / "m.csv", [("ham", "a", "train"), ("ham", "b", "trian")], ("label", "text", "fold"))

    with pytest.raises(DataError, match=r"m\.csv row 3 names the split 'trian'"):
        load_data(path, split_column="fold")


def test_two_files_for_one_split_are_refused(tmp_path: Path) -> None:
    """Which of them was meant is not guessed."""
    for name in ("train.csv", "dev.csv", "val.csv"):
        write(tmp_path / name, messages(40, name))

    with pytest.raises(DataError, match=r"both dev\.csv and val\.csv as the validation split"):
        load_data(tmp_path)


def test_group_on_both_sides_of_given_splits_is_refused(tmp_path: Path) -> None:
    """Given splits that tear a group apart are not repaired in silence."""
    for name in ("train", "test"):
        rows = [(*row, f"{name} {number // 2}") for number, row in enumerate(messages(60, name))]
        write(tmp_path / f"{name}.csv", [*rows, ("ham", name, "ann")], ("label", "text", "sender"))

    with pytest.raises(
        DataError, match=r"'ann' stands on both sides of a split: train\.csv row 62 and test\.csv row 62"
    ):
        load_data(tmp_path, group_column="sender")


def test_too_few_groups_are_refused(tmp_path: Path) -> None:
    """Each split needs a group that holds each class."""
    rows = [(*row, str(number % 3)) for number, row in enumerate(messages(60))]

    with pytest.raises(DataError, match=r"Class 'ham' occurs in 3 groups of m\.csv; 4 are needed"):
        load_data(write(tmp_path / "m.csv", rows, ("label", "text", "sender")), group_column="sender")


def test_unusable_image_folder_is_refused(tmp_path: Path) -> None:
    """An empty class, a corrupt image, missing class folders and column options: a sentence each."""
    paint(tmp_path / "a" / "cat", range(8))
    (tmp_path / "a" / "dog").mkdir()
    with pytest.raises(DataError, match=r"The class folder .*dog holds no image"):
        load_data(tmp_path / "a")
    (tmp_path / "a" / "dog" / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"x\.png is not a readable image"):
        load_data(tmp_path / "a")
    with pytest.raises(DataError, match="images have no columns"):
        load_data(tmp_path / "a", label_column="label")
    paint(tmp_path / "b" / "train", range(8))
    with pytest.raises(DataError, match=r"train holds no class folders"):
        load_data(tmp_path / "b")
    paint(tmp_path / "c" / "test" / "cat", range(8))
    with pytest.raises(DataError, match="holds test but no train folder"):
        load_data(tmp_path / "c")


def test_reading_data_does_not_import_torch() -> None:
    """The data room is cold; tables, which `frostline check` reads, need not even scikit-learn."""
    code = (
        "import sys, frostline.data.tables; assert 'sklearn' not in sys.modules; "
        "import frostline.data.sources; assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
