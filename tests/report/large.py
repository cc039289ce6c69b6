"""A study as large as they come: a hundred candidates of thirty epochs, a hundred classes."""

from __future__ import annotations

import numpy as np

from builders import make_study
from frostline.core.records import Confusion, Epoch, Measures, Result, Run, StudyRecord, Task, Verdict
from report.samples import judged

CANDIDATES, EPOCHS, CLASSES, EXAMPLES = 100, 30, 100, 20


def large_study(candidates: int = CANDIDATES, classes: int = CLASSES) -> tuple[StudyRecord, Verdict]:
    """Names, curves and counts all differ, as they would; every fifth answer is wrong, anywhere."""
    usual = make_study(classes=4)
    random = np.random.default_rng(0)
    names = [usual.choice.candidate, *(f"plan-{n}" for n in range(1, candidates))]
    labels = tuple(f"class number {n}" for n in range(classes))
    usual_run, usual_candidate = usual.run_of(names[0]), usual.candidate(names[0])
    selected, tested = usual.result(names[0], "select"), usual.result(names[0], "test")
    assert selected is not None and tested is not None
    choice = usual.choice.model_copy(update={"best": names[1], "tied": tuple(names[:3])})
    return judged(
        usual.model_copy(
            update={
                "data": usual.data.model_copy(update={"task": Task(labels=labels)}),
                "candidates": tuple(usual_candidate.model_copy(update={"id": name}) for name in names),
                "runs": tuple(_run(usual_run, name, random) for name in names),
                "select": tuple(_result(selected, name, labels, random) for name in names),
                "test": (_result(tested, names[0], labels, random),),
                "choice": choice,
                "reference": None,
                "comparisons": (),
            }
        )
    )


def large_study_of_two() -> tuple[StudyRecord, Verdict]:
    """As many candidates and epochs of the usual two classes, so that the chosen one has scores and a threshold."""
    usual = make_study()
    random = np.random.default_rng(0)
    names = [usual.choice.candidate, *(f"plan-{n}" for n in range(1, CANDIDATES))]
    result = usual.result(names[0], "select")
    assert result is not None
    study = usual.model_copy(
        update={
            "candidates": tuple(usual.candidate(names[0]).model_copy(update={"id": name}) for name in names),
            "runs": tuple(_run(usual.run_of(names[0]), name, random) for name in names),
            "select": tuple(result.model_copy(update={"name": name}) for name in names),
            "test": tuple(one for one in usual.test if one.name == names[0]),
            "choice": usual.choice.model_copy(update={"best": names[1], "tied": tuple(names[:3])}),
            "reference": None,
            "comparisons": (),
        }
    )
    return judged(study)


def _run(run: Run, name: str, random: np.random.Generator) -> Run:
    values = random.uniform(0.1, 0.9, (EPOCHS + 1, 4)).tolist()
    epochs = tuple(
        Epoch(epoch=n, train_loss=a, train_accuracy=b, stop_loss=c, stop_accuracy=d)
        for n, (a, b, c, d) in enumerate(values)
    )
    return run.model_copy(update={"id": f"{name}-seed0", "candidate": name, "epochs": epochs})


def _result(result: Result, name: str, labels: tuple[str, ...], random: np.random.Generator) -> Result:
    return result.model_copy(update={"name": name, "measures": _measures(result.measures, labels, random)})


def _measures(measures: Measures, labels: tuple[str, ...], random: np.random.Generator) -> Measures:
    classes = len(labels)
    counts = np.zeros((classes, classes), dtype=int)
    true = np.repeat(np.arange(classes), EXAMPLES)
    said = np.where(random.random(len(true)) < 0.2, random.integers(0, classes, len(true)), true)
    np.add.at(counts, (true, said), 1)
    one = measures.per_class[0]
    per_class = tuple(one.model_copy(update={"label": label, "support": EXAMPLES}) for label in labels)
    confusion = Confusion(labels=labels, counts=tuple(map(tuple, counts.tolist())))
    return measures.model_copy(update={"examples": len(true), "confusion": confusion, "per_class": per_class})
