"""Giveaways: planted ones are found, honest data are left alone, and only the train split is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.tree import DecisionTreeClassifier

from frostline.core.records import Giveaway
from frostline.data.giveaways import best_threshold
from frostline.data.sources import load_data
from frostline.demos import spam

WORDS = ["see", "you", "at", "six", "call", "me", "free", "win", "prize", "home", "now", "dear", "ok", "lunch"]


def found(path: Path, **options: str) -> tuple[Giveaway, ...]:
    giveaways = load_data(path, **options).summary.audit.giveaways  # type: ignore[arg-type]
    assert giveaways is not None
    return giveaways


def table(path: Path, *, telling: float = 0.0, rows: int = 400, classes: int = 2, order: bool = False) -> Path:
    """Random numbers; in the column "paid" the given share of rows tells the class."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(rows) % classes)
    if order:
        labels = np.sort(labels)
    told = np.where(rng.random(rows) < telling, labels, rng.integers(0, classes, rows))
    lines = [
        f"c{label},{rng.normal() + 0.8 * label:.4f},{answer + rng.random() / 2:.4f}"
        for label, answer in zip(labels, told, strict=True)
    ]
    path.write_text("\n".join(["label,size,paid", *lines]) + "\n", encoding="utf-8")
    return path


def messages(path: Path, sign: str = "", rows: int = 400, *, sorted_by_class: bool = False) -> Path:
    """Random words; the sign ends every message of one class."""
    rng = np.random.default_rng(0)
    kinds = ["spam" if n % 4 == 0 else "ham" for n in range(rows)]
    kinds = sorted(kinds) if sorted_by_class else [str(kind) for kind in rng.permutation(kinds)]
    lines = []
    for number, kind in enumerate(kinds):
        words = " ".join(rng.choice(WORDS, size=6))
        lines.append(f"{kind},{words} {number}{sign if kind == 'spam' else ''}")
    path.write_text("\n".join(["label,text", *lines]) + "\n", encoding="utf-8")
    return path


def test_the_sms_collection_holds_no_giveaway(tmp_path: Path) -> None:
    """'free', 'txt' and 'call' speak for spam, but none of them gives it away, and neither does the row."""
    assert found(spam.export(tmp_path)) == ()


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), levels=st.integers(2, 50))
def test_threshold_agrees_with_a_stump(seed: int, levels: int) -> None:
    """The oracle: no other threshold, tried one by one, does better; and a balanced decision stump does no better."""
    rng = np.random.default_rng(seed)
    values, positive = rng.integers(0, levels, 60).astype(float), rng.random(60) < 0.4
    positive[:2] = [True, False]
    threshold, accuracy = best_threshold(values, positive)

    tried = [
        0.5 + abs((values[positive] > at).mean() - (values[~positive] > at).mean()) / 2 for at in np.unique(values)
    ]
    assert accuracy == pytest.approx(max(tried))
    stump = DecisionTreeClassifier(max_depth=1, class_weight="balanced").fit(values[:, None], positive)
    answered = stump.predict(values[:, None])
    assert accuracy >= (answered[positive].mean() + (~answered[~positive]).mean()) / 2 - 1e-9
    above = values > threshold
    assert accuracy == pytest.approx(0.5 + abs(above[positive].mean() - above[~positive].mean()) / 2)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_feature_that_tells_is_found(tmp_path: Path, classes: int) -> None:
    """The column is named, the honest one is not; with several classes by as many ranges."""
    named = {"positive": "c1"} if classes == 2 else {}
    (giveaway,) = found(table(tmp_path / "n.csv", telling=1.0, rows=600, classes=classes), **named)

    assert (giveaway.kind, giveaway.name) == ("feature", "paid")
    assert (giveaway.balanced_accuracy, giveaway.examples) == (1.0, 300)
    assert "'paid'" in giveaway.sentence and giveaway.sentence.endswith("100.0 %.")


@pytest.mark.parametrize("telling", [0.0, 0.5, 0.9])
def test_a_feature_that_is_only_good_is_left_alone(tmp_path: Path, telling: float) -> None:
    """The clean twin: balanced accuracy of about .95 is a good feature, no giveaway."""
    assert found(table(tmp_path / "n.csv", telling=telling), positive="c1") == ()


def test_fewer_than_thirty_of_a_class_say_nothing(tmp_path: Path) -> None:
    """With 100 rows the train split holds 25 of each class: too few to accuse a column."""
    assert found(table(tmp_path / "n.csv", telling=1.0, rows=100), positive="c1") == ()


def test_an_id_given_out_by_class_is_found(tmp_path: Path) -> None:
    """A column that numbers the rows of a sorted file is an id; in a shuffled file it is no giveaway."""
    for name, order in (("sorted", True), ("shuffled", False)):
        lines = table(tmp_path / f"{name}.csv", order=order).read_text(encoding="utf-8").splitlines()
        numbered = [f"{lines[0]},id", *(f"{line},{1000 + n}" for n, line in enumerate(lines[1:]))]
        (tmp_path / f"{name}.csv").write_text("\n".join(numbered) + "\n", encoding="utf-8")

    told = found(tmp_path / "sorted.csv", positive="c1")

    assert {(giveaway.kind, giveaway.name) for giveaway in told} == {("id", "id"), ("row order", "row")}
    assert found(tmp_path / "shuffled.csv", positive="c1") == ()


@pytest.mark.parametrize(("sign", "name"), [(" stop", "stop"), (" ®", "®")])
def test_a_word_or_sign_that_tells_is_found(tmp_path: Path, sign: str, name: str) -> None:
    """What only one source writes is named, with how often it stands where."""
    (giveaway,) = found(messages(tmp_path / "m.csv", sign))

    assert (giveaway.kind, giveaway.name, giveaway.balanced_accuracy) == ("token", name, 1.0)
    assert "100.0 % of the examples of 'spam' and in 0.0 % of the others" in giveaway.sentence


def test_messages_without_a_sign_have_no_giveaway(tmp_path: Path) -> None:
    """The clean twin."""
    assert found(messages(tmp_path / "m.csv")) == ()


def test_a_file_sorted_by_class_is_told_from_a_mixed_one(tmp_path: Path) -> None:
    """The row tells the class of examples that were not asked."""
    (giveaway,) = found(messages(tmp_path / "m.csv", sorted_by_class=True))

    assert giveaway.kind == "row order" and giveaway.balanced_accuracy > 0.95


def test_numbers_in_file_names_are_read(tmp_path: Path) -> None:
    """Numbered class by class they tell the label; numbered across the classes they do not."""
    rng = np.random.default_rng(0)
    for name, number in (("apart", lambda kind, n: 100 * kind + n), ("mixed", lambda kind, n: 2 * n + kind)):
        for kind, label in enumerate(("cat", "dog")):
            (tmp_path / name / label).mkdir(parents=True)
            for n in range(70):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / label / f"img_{number(kind, n):04d}.png")

    (giveaway,) = found(tmp_path / "apart", positive="cat")

    assert (giveaway.kind, giveaway.name) == ("file name", "number in the file name")
    assert found(tmp_path / "mixed", positive="cat") == ()


def test_only_the_train_split_is_read(tmp_path: Path) -> None:
    """A sign in every spam of a given test split is no giveaway of the training data: the seal holds."""
    messages(tmp_path / "train.csv")
    lines = messages(tmp_path / "test.csv", " ®").read_text(encoding="utf-8").replace(" 1", " one 1")
    (tmp_path / "test.csv").write_text(lines, encoding="utf-8")

    assert found(tmp_path) == ()
