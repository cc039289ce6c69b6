"""Data sets with one fault each, and healthy ones: written as files, read and audited as `frostline audit` does.

Texts are made of invented words, some of which are a little commoner in some class; tables of numbers whose means
differ a little by class; pictures of smooth random patterns. All of it by chance, so no two examples are alike.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from frostline.cli.audit import verdict_of
from frostline.core.errors import DataError, InvalidEvidence
from frostline.data.sources import load_data
from frostline.judge.data_checks import audit_findings
from planted_case import Fault, Outcome, answered

SUSPECTS, REFUSED = "suspects", "refused"
"""What an audit says without a check: look-alike images, and data that cannot be read as asked."""

CLEAN, ISSUE, INVALID = frozenset({"CLEAN"}), frozenset({"ISSUE"}), frozenset({"INVALID"})
EDGE = 32
Row = dict[str, str]
Pixels = NDArray[np.uint8]


@dataclass(slots=True)
class Table:
    """Rows by file, and the options they are read with."""

    rows: dict[str, list[Row]]
    options: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """One file alone is the data; several are a folder of splits."""
        for name, rows in self.rows.items():
            with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        return folder / "data.csv" if list(self.rows) == ["data"] else folder


@dataclass(slots=True)
class Pictures:
    """Pixels by split and class, with the name of each file."""

    files: list[tuple[str, Pixels]]
    """Name and pixels; the suffix says how they are saved."""
    options: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """As an image folder."""
        for name, pixels in self.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name)
        return folder


@dataclass(frozen=True, slots=True)
class Planted:
    """Makes a data set, writes it and audits it."""

    make: Callable[[Generator], Table | Pictures]

    def __call__(self, random: Generator) -> Outcome:
        made = self.make(random)
        with TemporaryDirectory(prefix="planted-") as place:
            path = made.write(Path(place))
            try:
                summary = load_data(path, **made.options).summary  # type: ignore[arg-type]  # names of columns
            except InvalidEvidence as error:
                # `frostline audit` gives this refusal the code of the exact duplicates that it amounts to.
                return Outcome(verdict="INVALID", outcomes={"FRL501": "issue"}, sentences={"FRL501": str(error)})
            except DataError as error:
                return Outcome(verdict="REFUSED", outcomes={REFUSED: "issue"}, sentences={REFUSED: str(error)})
        findings = audit_findings(summary)
        found = answered(verdict_of(findings), findings)
        looked_at = {SUSPECTS: "note" if summary.audit.suspects else "passed"} if summary.kind == "image" else {}
        said = {SUSPECTS: str(summary.audit.suspects)} if summary.audit.suspects else {}
        return Outcome(
            verdict=found.verdict, outcomes={**found.outcomes, **looked_at}, sentences={**found.sentences, **said}
        )


# ---------------------------------------------------------------- healthy data


def texts(random: Generator, *, words: tuple[int, int] = (9, 24), given: bool | None = None) -> Table:
    """Messages of two to four classes, in one file or in two."""
    classes, counts = _classes(random)
    vocabulary = _vocabulary(random)
    rows = []
    for number, count in enumerate(counts):
        tilted = random.dirichlet(np.full(len(vocabulary), 2.0))
        for _ in range(count):
            drawn = random.choice(vocabulary, size=random.integers(*words), p=tilted)
            rows.append({"text": " ".join(drawn), "label": classes[number]})
    return _dealt(random, rows, given)


def numbers(random: Generator, *, given: bool | None = None) -> Table:
    """A table of three to twelve columns; their means differ by up to one standard deviation and a half."""
    classes, counts = _classes(random)
    columns = [f"x{n}" for n in range(random.integers(3, 13))]
    means = random.uniform(-0.75, 0.75, (len(classes), len(columns)))
    rows = [
        {**{c: f"{v:.4f}" for c, v in zip(columns, random.normal(means[k], 1.0), strict=True)}, "label": classes[k]}
        for k, count in enumerate(counts)
        for _ in range(count)
    ]
    return _dealt(random, rows, given)


def pictures(random: Generator, *, by_class: bool = False) -> Pictures:
    """Two or three classes of 60 to 90 pictures for training and 32 to 40 for the test; files numbered by chance."""
    files: list[tuple[str, Pixels]] = []
    classes = int(random.integers(2, 4))
    for split, low, high in (("train", 60, 90), ("test", 32, 40)):
        counts = [int(random.integers(low, high)) for _ in range(classes)]
        numbers = np.arange(sum(counts)) if by_class else random.permutation(sum(counts))
        names = iter(numbers.tolist())
        files += [
            (f"{split}/{'abc'[k]}/img{next(names):05d}.png", _pattern(random))
            for k, count in enumerate(counts)
            for _ in range(count)
        ]
    # Equal counts would leave open which of two classes is the positive one.
    return Pictures(files, {"positive": "a"} if classes == 2 else {})


# ---------------------------------------------------------------- copies


def exact_copies(random: Generator) -> Table:
    """Two to thirty per cent of the test stand in the train file as well."""
    made = (texts if random.random() < 0.6 else numbers)(random, given=True)
    made.rows["train"] += _some(random, made.rows["test"], random.uniform(0.02, 0.3))
    return made


def near_copies(random: Generator) -> Table:
    """The same with another word at the end, other punctuation and case, or one word of fifty or more changed."""
    kind = random.integers(0, 3)
    made = texts(random, given=True, words=(55, 80) if kind == 2 else (16, 30))
    vary = (_longer_by_a_word, _otherwise_spelled, _one_word_changed)[kind]
    copied = _some(random, made.rows["test"], random.uniform(0.03, 0.3))
    made.rows["train"] += [{**row, "text": vary(random, row["text"])} for row in copied]
    return made


def near_copies_beyond(random: Generator) -> Table:
    """One inner word of 15 to 30 changed: below the similarity of .8 by its definition."""
    made = texts(random, given=True, words=(15, 30))
    copied = _some(random, made.rows["test"], random.uniform(0.03, 0.3))
    made.rows["train"] += [{**row, "text": _one_word_changed(random, row["text"])} for row in copied]
    return made


def near_pictures(random: Generator) -> Pictures:
    """Test pictures stand in training too, brighter, larger or compressed."""
    made = pictures(random)
    tested = [name for name, _ in made.files if name.startswith("test/")]
    pixels = dict(made.files)
    for number, name in enumerate(random.choice(tested, size=max(2, len(tested) // 8), replace=False)):
        image, kind = pixels[name], random.integers(0, 3)
        varied = (image * 0.8 + 20).astype(np.uint8) if kind == 0 else image.repeat(2, axis=0).repeat(2, axis=1)
        suffix = "jpg" if kind == 2 else "png"
        made.files.append((f"train/{name.split('/')[1]}/img{90_000 + number}.{suffix}", varied))
    return made


def train_is_test(random: Generator) -> Table:
    """The test file holds the training examples, in another order."""
    made = (texts if random.random() < 0.5 else numbers)(random, given=True)
    made.rows["test"] = [made.rows["train"][n] for n in random.permutation(len(made.rows["train"]))]
    return made


def straddling_group(random: Generator) -> Table:
    """Authors are named, and some stand in train and test."""
    made = texts(random, given=True)
    for split, rows in made.rows.items():
        for row in rows:
            row["author"] = f"{split}-{random.integers(0, 60)}"
    for row in _some(random, made.rows["test"], 0.02):
        row["author"] = made.rows["train"][int(random.integers(0, len(made.rows["train"])))]["author"]
    made.options["group_column"] = "author"
    return made


# ---------------------------------------------------------------- time, giveaways, labels


def later_than_test(random: Generator) -> Table:
    """Train and test are from the same weeks, though a model will be asked about later ones."""
    made = texts(random, given=True)
    for split, rows in made.rows.items():
        first = 0 if split == "train" else int(random.integers(10, 90))
        for row in rows:
            day = int(random.integers(first, 100))
            row["sent"] = str(np.datetime64("2026-01-01") + day)
    made.options["time_column"] = "sent"
    return made


def timely(random: Generator) -> Table:
    """Healthy: all of the test is later than all that trains."""
    made = texts(random, given=True)
    for split, rows in made.rows.items():
        for row in rows:
            row["sent"] = str(np.datetime64("2026-01-01") + int(random.integers(0, 50)) + 60 * (split == "test"))
    made.options["time_column"] = "sent"
    return made


def giveaway_column(random: Generator) -> Table:
    """A column holds the label under another name, wrong in one of 200; of two classes, or of more."""
    made = numbers(random)
    classes = sorted({row["label"] for rows in made.rows.values() for row in rows})
    for rows in made.rows.values():
        for row in rows:
            told = classes.index(row["label"]) if random.random() > 0.005 else int(random.integers(0, len(classes)))
            row["status"] = f"{10 * told + random.normal():.3f}"
    return made


def giveaway_token(random: Generator) -> Table:
    """One source signs its messages, and it is the source of one class."""
    made = texts(random)
    for rows in made.rows.values():
        for row in rows:
            if (row["label"] == "b") == (random.random() > 0.004):
                row["text"] += " zzsent"
    return made


def sorted_by_label(random: Generator) -> Table | Pictures:
    """The rows of a file, or the numbers of image files, go class by class."""
    if random.random() < 0.3:
        return pictures(random, by_class=True)
    made = (texts if random.random() < 0.5 else numbers)(random, given=False)
    made.rows["data"].sort(key=lambda row: row["label"])
    return made


def conflicting(random: Generator) -> Table:
    """Some inputs occur twice, with different labels."""
    made = texts(random, given=False)
    rows = made.rows["data"]
    again = [{**row, "label": "a" if row["label"] != "a" else "b"} for row in _some(random, rows, 0.02)]
    made.rows["data"] = [(rows + again)[n] for n in random.permutation(len(rows) + len(again))]
    return made


def few_positives(random: Generator) -> Table:
    """Five to 29 positives in the test file."""
    made = texts(random, given=True)
    while {row["label"] for row in made.rows["test"]} != {"a", "b"}:
        made = texts(random, given=True)
    positives = [row for row in made.rows["test"] if row["label"] == "b"]
    others = [row for row in made.rows["test"] if row["label"] == "a"]
    made.rows["test"] = [*others, *positives[: int(random.integers(5, 30))]]
    made.options["positive"] = "b"
    return made


# ---------------------------------------------------------------- how they are made


def _classes(random: Generator) -> tuple[list[str], list[int]]:
    """Names, and examples of each: 170 or more, so that 30 or more of each stand in a carved test."""
    count = 2 if random.random() < 0.6 else int(random.integers(3, 5))
    counts = [int(random.integers(200, 500)), *(int(random.integers(165, 260)) for _ in range(count - 1))]
    return list("abcd"[:count]), counts


def _vocabulary(random: Generator) -> list[str]:
    letters = np.array(list("aeioubdfgklmnprst"))
    return sorted({"".join(random.choice(letters, size=random.integers(3, 9))) for _ in range(1_500)})


def _dealt(random: Generator, rows: Sequence[Row], given: bool | None) -> Table:
    """In any order; in one file, or three quarters in train.csv and the rest in test.csv."""
    mixed = [rows[n] for n in random.permutation(len(rows))]
    if random.random() < 0.5 if given is None else given:
        cut = 3 * len(mixed) // 4
        return Table({"train": mixed[:cut], "test": mixed[cut:]})
    return Table({"data": mixed})


def _some(random: Generator, rows: Sequence[Row], share: float) -> list[Row]:
    count = max(int(np.ceil(share * len(rows))), 2)
    return [rows[n] for n in random.choice(len(rows), size=count, replace=False)]


def _longer_by_a_word(random: Generator, text: str) -> str:
    return f"{text} {random.choice(['thanks', 'bye', 'regards'])}"


def _otherwise_spelled(random: Generator, text: str) -> str:
    words = text.split()
    words[int(random.integers(0, len(words)))] += ","
    return f"{' '.join(words).upper() if random.random() < 0.5 else ' '.join(words)}!"


def _one_word_changed(random: Generator, text: str) -> str:
    words = text.split()
    words[int(random.integers(5, len(words) - 5))] = "qqother"
    return " ".join(words)


def _pattern(random: Generator) -> Pixels:
    """A smooth random picture: noise of 8 by 8 points, enlarged."""
    small = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return np.asarray(small.resize((EDGE, EDGE), Image.Resampling.BICUBIC))


DATA_FAULTS = tuple(
    Fault(name=name, codes=codes, plant=Planted(make), expected=expected)
    for name, codes, make, expected in (
        ("exact duplicates across splits", ("FRL501",), exact_copies, INVALID),
        ("near-duplicate texts across splits", ("FRL504",), near_copies, INVALID),
        ("near-duplicate images", (SUSPECTS,), near_pictures, CLEAN),
        ("train equal to test", ("FRL501",), train_is_test, INVALID),
        ("group on both sides", (REFUSED,), straddling_group, frozenset({"REFUSED"})),
        ("later than the test", ("FRL506",), later_than_test, ISSUE),
        ("giveaway column", ("FRL505",), giveaway_column, ISSUE),
        ("giveaway token", ("FRL505",), giveaway_token, ISSUE),
        ("position predicts label", ("FRL508",), sorted_by_label, CLEAN),
        ("conflicting labels", ("FRL507",), conflicting, CLEAN),
        ("too few positives, data", ("FRL102",), few_positives, CLEAN),
    )
)
HEALTHY_DATA = (
    ("healthy texts", Planted(texts)),
    ("healthy tables", Planted(numbers)),
    ("healthy images", Planted(pictures)),
    ("healthy texts in time", Planted(timely)),
)
BEYOND = Fault(
    name="near-duplicate texts, one inner word of 15 to 30", codes=("FRL504",), plant=Planted(near_copies_beyond)
)
