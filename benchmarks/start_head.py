"""Where a head starts, and what fine-tuning makes of it: as loaded, exact probe, probe that is not tempered, tempered.

For each task and seed, full fine-tuning, a middle freeze depth and the deepest that trains more than the head are
trained to their end from four starts of the head, at the default learning rate:

- **as loaded**: the head as the model brings it: fresh, or that of the network it was before;
- **exact probe**: `fit_probe` on the features before the head, every feature standardised by itself, of the strength
  that is best on the validation split;
- **probe, not tempered**: `fit_start_head` with `TEMPER` at 1: one scale for all features, the simplest probe within
  one standard error of the best;
- **tempered probe**: `fit_start_head` as it is.

The head's learning rate is what a study takes: for probes the rate that gets furthest on fixed features, for a head as
it was loaded that of the recipe. A probe is not taken where the head as loaded has the lower validation loss.

    python benchmarks/start_head.py [--tasks signs-20,nsl-kdd] [--seeds 3]
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from frostline.core.predictions import Predictions
from frostline.core.progress import Silent
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder
from frostline.measure.measures import measure
from frostline.plan.propose import FULL
from frostline.study import prepare
from frostline.train import start, start_head
from frostline.train.probes import Features, fit_probe, head_weights
from frostline.train.race import Race
from search_tasks import SHARED, search_tasks

# Shape letters: N examples, F features, C classes.

TASKS = ("mammography", "nsl-kdd", "signs-20", "signs-inversion", "signs-permuted")
HEADER = ("task", "plan", "start", "F1", "loss", "val. 0", "val. 1", "val. best", "head rate")


def exact_probe(
    train_NF: Features, train_N: NDArray[np.int64], stop_NF: Features, stop_N: NDArray[np.int64]
) -> tuple[Tensor, Tensor, float]:
    """In place of `fit_start_head`: a layer that answers what the probe for comparison answers."""
    probe = fit_probe(train_NF, train_N, stop_NF, stop_N)
    return *head_weights(probe), probe.stop_loss


STARTS: Mapping[str, Callable[[], AbstractContextManager[object]]] = {
    "as loaded": lambda: patch.object(start.Beginning, "_fit_head", lambda self, features: False),
    "exact probe": lambda: patch.object(start, "fit_start_head", exact_probe),
    "probe, not tempered": lambda: patch.object(start_head, "TEMPER", 1.0),
    "tempered probe": nullcontext,
}
"""What is swapped while a study starts, by the name of the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One plan of one task and seed, trained from one start."""

    task: str
    plan: str
    start: str
    seed: int
    f1: float
    """On test."""
    loss: float
    """On test; infinite where it is not finite."""
    begun: float
    """Validation loss at epoch 0."""
    first: float
    """After epoch 1."""
    best: float
    """At the best epoch, whose weights are tested."""
    head_rate: float
    fitted: bool
    """Whether the probe was taken."""


def some_depths(plans: Iterable[str]) -> tuple[str, str, str]:
    """Full fine-tuning, a middle depth, and the deepest but for the one that trains the head alone.

    >>> some_depths(["full", "depth-1", "depth-2", "depth-3", "depth-4", "depth-5"])
    ('full', 'depth-3', 'depth-4')
    """
    depths = [id for id in plans if id != FULL]
    return FULL, depths[(len(depths) - 1) // 2], depths[-2]


def trained(asked: Mapping[str, object], task: str, seed: int, name: str) -> list[Case]:
    """The plans of one task and seed, trained to their end from one start."""
    settings = Settings.checked(**{**asked, "seed": seed, "plans": "depths", "activations": "off", "budget": "all"})
    with tempfile.TemporaryDirectory() as folder, StudyFolder(Path(folder) / "s").opened(settings, resume=False) as led:
        race, _ = prepare(settings, StudyFolder(Path(folder) / "s"), led, Silent())
        with STARTS[name]():
            begun = race.start()
        return [ended(race, begun, plan, task, seed, name) for plan in some_depths(race.plans)]


def ended(race: Race, begun: start.Start, plan: str, task: str, seed: int, name: str) -> Case:
    """One run, and what it answers on the test split."""
    run = race.train(plan, begun)
    assert run.status == "finished", run.ended
    labels = race.data.sealed.open(("benchmark",))[0]
    tested = measure(Predictions.from_probabilities(race.data.task, labels, race.answers(run, "test")), "test")
    losses = [float("inf") if epoch.stop_loss is None else epoch.stop_loss for epoch in run.epochs]
    return Case(
        task=task,
        plan=plan,
        start=name,
        seed=seed,
        f1=tested.metrics["f1"].value or 0.0,
        loss=float("inf") if tested.loss is None else tested.loss,
        begun=losses[0],
        first=losses[1],
        best=losses[run.best_epoch],
        head_rate=begun.head_learning_rate,
        fitted=begun.head_fitted,
    )


def row(cases: Sequence[Case]) -> str:
    """Means over the seeds of one task, plan and start."""
    one = cases[0]
    means = [fmean(getattr(case, field) for case in cases) for field in ("f1", "loss", "begun", "first", "best")]
    rates = ", ".join(f"{rate:g}" for rate in sorted({case.head_rate for case in cases}))
    return "| " + " | ".join([one.task, one.plan, one.start, *(f"{mean:.3f}" for mean in means), rates]) + " |"


def mean_ranks(cases: Sequence[Case]) -> list[tuple[float, float]]:
    """Of the starts, in their order: by loss and by F1 over all tasks, plans and seeds; 1 is best, ties share."""
    places = dict.fromkeys((case.task, case.plan, case.seed) for case in cases)
    found = {(case.task, case.plan, case.seed, case.start): case for case in cases}
    rivals = [[found[*place, name] for name in STARTS] for place in places]
    by_loss = np.mean([rankdata([case.loss for case in four]) for four in rivals], axis=0)
    by_f1 = np.mean([rankdata([-case.f1 for case in four]) for four in rivals], axis=0)
    return list(zip(by_loss.tolist(), by_f1.tolist(), strict=True))


def show_ranks(cases: Sequence[Case]) -> None:
    """Over everything, and task by task."""
    tasks = list(dict.fromkeys(case.task for case in cases))
    columns = [mean_ranks(cases), *(mean_ranks([case for case in cases if case.task == task]) for task in tasks)]
    print(f"\nMean rank by test loss / by F1, {len(cases) // len(STARTS)} cases of task, plan and seed\n")
    print(f"| start | all | {' | '.join(tasks)} |\n|{'---|' * (len(tasks) + 2)}")
    for name, *ranks in zip(STARTS, *columns, strict=True):
        print(f"| {name} | {' | '.join(f'{by_loss:.2f} / {by_f1:.2f}' for by_loss, by_f1 in ranks)} |")
    kept = {f"{c.task}, seed {c.seed}, {c.start}" for c in cases if not c.fitted and c.start != "as loaded"}
    print(f"\nThe head as loaded was kept instead of a probe: {'; '.join(sorted(kept)) or 'nowhere'}.")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description="Four starts of the head side by side.")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    if not SHARED.is_dir():
        print(f"The benchmark's data are missing: {SHARED}. Nothing was run.")
        return
    torch.set_num_threads(1)
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, one thread; ", end="")
    print(f"means over {asked.seeds} seeds; F1 and loss on test\n\n| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    cases: list[Case] = []
    with tempfile.TemporaryDirectory() as cache:
        for task in asked.tasks.split(","):
            for seed in range(asked.seeds):
                began = time.perf_counter()
                settings = {one.name: one for one in search_tasks(seed)}[task].prepare(Path(cache))
                for name in STARTS:
                    cases += trained(settings, task, seed, name)
                print(f"{task}, seed {seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
            mine = [case for case in cases if case.task == task]
            for plan in dict.fromkeys(case.plan for case in mine):
                for name in STARTS:
                    print(row([case for case in mine if (case.plan, case.start) == (plan, name)]), flush=True)
    show_ranks(cases)


if __name__ == "__main__":
    main()
