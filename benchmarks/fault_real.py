"""Three real faults: attacks training never met, a corpus with its copies left in, a frozen backbone far from home."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from frostline.core.predictions import Predictions, load_probabilities
from frostline.core.records import Comparison, StudyRecord, Task
from frostline.core.study_folder import StudyFolder
from frostline.measure.compare import compare
from frostline.measure.slices import sliced

NSL_KDD = Path(__file__).parents[2] / "shared" / "data" / "nsl_kdd"
R2L = frozenset(
    (
        "ftp_write",
        "guess_passwd",
        "httptunnel",
        "imap",
        "multihop",
        "named",
        "phf",
        "sendmail",
        "snmpgetattack",
        "snmpguess",
        "spy",
        "warezclient",
        "warezmaster",
        "worm",
        "xlock",
        "xsnoop",
    )
)
"""Attacks from outside that gain local access, after the documentation of the data set."""
WORDS, ATTACK = (1, 2, 3), 41
"""Columns of words, and of the name of the attack."""
FROZEN, EPOCHS = "plan-1", 2
"""Id of the first plan that is given by patterns; and how long each is trained."""


@dataclass(frozen=True, slots=True)
class RealCase:
    """What became of one."""

    name: str
    said: str
    held: bool | None
    """Whether what had to be found was; None when the data are not there."""


def real_cases() -> Iterator[RealCase]:
    """The three, those first that take seconds."""
    yield nsl_kdd()
    yield sms()
    yield signs()


# ---------------------------------------------------------------- attacks that training never met


def nsl_kdd() -> RealCase:
    """R2L attacks against normal traffic: logistic regression on the train file, judged on the test file."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler

    import frostline as fl

    name = "NSL-KDD, R2L against normal"
    files = [NSL_KDD / part for part in ("KDDTrain+_20Percent.txt.gz", "KDDTest+.txt.gz")]
    if not all(file.is_file() for file in files):
        return RealCase(name, f"{name}: skipped, {NSL_KDD} is not there.", None)
    (train, train_attacks), (test, test_attacks) = (_connections(file) for file in files)
    model = make_pipeline(DictVectorizer(), MaxAbsScaler(), LogisticRegression(max_iter=2_000))
    model.fit(train, [attack in R2L for attack in train_attacks])
    scores_N = model.predict_proba(test)[:, 1]
    answers = Predictions.from_probabilities(
        Task(labels=("normal", "R2L"), positive="R2L"),
        np.array([attack in R2L for attack in test_attacks]).astype(np.int64),
        np.stack([1 - scores_N, scores_N], axis=1),
    )
    labels = answers.task.labels
    verdict = fl.check(
        [labels[number] for number in answers.true_N],
        [labels[number] for number in answers.predicted_N],
        scores_N,
        positive="R2L",
    )
    recall = next(floor for floor in verdict.floors if floor.metric == "recall")
    held = verdict.verdict == "NOT READY" and recall.met == "no"
    fired = ", ".join(f"{finding.code} {finding.outcome}" for finding in verdict.findings)
    said = f"{name}: {verdict.verdict} (expected NOT READY for recall). {recall.sentence}\n    fired: {fired}"
    return RealCase(name, f"{said}\n    {_by_part(answers, train_attacks, test_attacks)}", held)


def _by_part(answers: Predictions, train_attacks: Sequence[str], test_attacks: Sequence[str]) -> str:
    """Recall of attacks by whether training met their kind."""
    known = set(train_attacks)
    parts = sliced(
        answers,
        ["attacks and traffic met in training" if attack in known else "new attacks" for attack in test_attacks],
        {"attacks and traffic met in training": len(train_attacks)},
        reference=None,
        names=("logistic regression", ""),
        seed=0,
    )
    recalls = (f"{part.name} {part.measures.metrics['recall'].value:.3f}" for part in parts)
    return f"recall: {'; '.join(recalls)}"


def _connections(file: Path) -> tuple[list[dict[str, str | float]], list[str]]:
    """Normal and R2L connections: features by column number, and the name of the attack, "normal" among them."""
    with gzip.open(file, "rt", encoding="ascii") as lines:
        rows = [line.rstrip("\n").split(",") for line in lines]
    kept = [row for row in rows if row[ATTACK] == "normal" or row[ATTACK] in R2L]
    features = [
        {f"c{n}": cell if n in WORDS else float(np.log1p(float(cell))) for n, cell in enumerate(row[:ATTACK])}
        for row in kept
    ]
    return features, [row[ATTACK] for row in kept]


# ---------------------------------------------------------------- copies left in


def sms() -> RealCase:
    """The SMS Spam Collection, 403 copies left in, cut at random into a train and a test file."""
    import csv

    from frostline.data.sources import load_data
    from frostline.demos import spam
    from frostline.judge.data_checks import audit_findings

    name = "SMS Spam, copies left in"
    with TemporaryDirectory(prefix="planted-") as place:
        folder = Path(place)
        whole = spam.export(folder)
        with whole.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file))
        whole.unlink()
        mixed = [rows[n] for n in np.random.default_rng(0).permutation(len(rows))]
        cut = 3 * len(mixed) // 4
        for split, part in (("train", mixed[:cut]), ("test", mixed[cut:])):
            with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([header, *part])
        findings = audit_findings(load_data(folder).summary)
    broken = [finding for finding in findings if finding.breaks_evidence]
    said = "".join(f"\n    {finding.code}: {finding.sentence[:200]}" for finding in broken)
    copies = len(rows) - len({row[1] for row in rows})
    held = any(finding.code == "FRL501" for finding in broken)
    return RealCase(
        name,
        f"{name}: {'INVALID' if broken else 'not INVALID'} (expected INVALID), {copies} copies in all.{said}",
        held,
    )


# ---------------------------------------------------------------- everything but the head frozen


def signs() -> RealCase:
    """Inverted, noisy hand signs, a ResNet-20 from CIFAR-10, and a plan that freezes everything but the head."""
    import torch

    import frostline as fl
    from frostline.demos.resnet import resnet20
    from frostline.judge.verdict import judge_study

    name = "sign digits, everything but the head frozen"
    with TemporaryDirectory(prefix="planted-") as place:
        folder = Path(place)
        _write_signs(folder / "signs")
        body = [block.name for block in fl.blocks(resnet20(10), torch.zeros(1, 3, 32, 32)) if not block.head]
        study = fl.Study(
            model="frostline.demos.resnet:resnet20",
            data=folder / "signs",
            plans=",".join(body),
            budget="all",
            epochs=EPOCHS,
            out=folder / "study",
            activations="memory",
        )
        result = study.run()
        chosen = result.record.choice.candidate
        verdict = judge_study(_as_if_frozen(result.record, study.folder, folder / "signs"))
    named = next(finding for finding in verdict.checks if finding.code == "FRL204")
    held = named.outcome == "issue"
    fired = ", ".join(f"{finding.code} {finding.outcome}" for finding in verdict.findings)
    said = (
        f"{name}: the study itself chose {chosen} ({result.verdict.verdict}). Had the frozen plan been chosen: "
        f"{verdict.verdict}; too much frozen {'is' if held else 'is NOT'} named.\n"
        f"    FRL204 {named.outcome}: {named.sentence}\n    fired: {fired}"
    )
    return RealCase(name, said, held)


def _as_if_frozen(record: StudyRecord, folder: StudyFolder, data: Path) -> StudyRecord:
    """The same study, had its user taken the frozen plan instead of what was chosen."""
    from frostline.data.sources import load_data

    if record.choice.candidate == FROZEN:
        return record
    dataset = load_data(data)
    labels = dataset.labels[dataset.rows["select"]]
    frozen, full = (
        Predictions.from_probabilities(record.data.task, labels, load_probabilities(folder.scores(name, "select")))
        for name in (FROZEN, "full")
    )
    turned = [_turned(one) for one in record.comparisons if (one.first, one.second) == ("full", FROZEN)]
    return record.model_copy(
        update={
            "choice": record.choice.model_copy(update={"candidate": FROZEN, "best": "full", "tied": ("full",)}),
            "comparisons": (*turned, compare(frozen, full, names=(FROZEN, "full"), split="select")),
        }
    )


def _turned(comparison: Comparison) -> Comparison:
    """The other one first."""
    return comparison.model_copy(
        update={
            "first": comparison.second,
            "second": comparison.first,
            "differences": {
                metric: one.model_copy(
                    update={
                        "value": None if one.value is None else -one.value,
                        "low": None if one.high is None else -one.high,
                        "high": None if one.low is None else -one.low,
                    }
                )
                for metric, one in comparison.differences.items()
            },
        }
    )


def _write_signs(folder: Path) -> None:
    from PIL import Image

    from frostline.demos import signs as demo

    with np.load(demo.ORIGINAL, allow_pickle=False) as arrays:
        photographs, digits = arrays["x"], arrays["y"]
    random = np.random.default_rng(0)
    for digit in np.unique(digits):
        (folder / str(digit)).mkdir(parents=True)
        for number in np.flatnonzero(digits == digit):
            Image.fromarray(_spoilt(photographs[number], random)).save(folder / str(digit) / f"{number:04d}.png")


def _spoilt(photograph: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Inverted, with noise."""
    noisy = 255.0 - photograph + random.normal(0, 25, photograph.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
