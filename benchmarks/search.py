"""The race within one full fine-tune beside the exhaustive sweep and the conventions: what each finds, what it costs.

For each task and seed:

- **race**: `frostline search --budget 1.0`, which has to find the learning rate as well as the plan; and once more with
  `--budget 1.5`, to see what half a fine-tune more buys;
- **sweep**: every freeze depth trained to its end at each of the three learning rates that the race may choose from,
  and where the inputs or the labels shift every single block at the default rate; the best is taken by loss on the
  select split;
- **conventions**: the head only, the last block with the head, the deeper half, everything: each at as many of the
  three rates (the default first) as one full fine-tune pays for, the best taken by loss on the select split;
- **gradual unfreezing** from the head downwards by finetuning-scheduler, when that package is installed: at the default
  rate, from the same starting head.

Costs are measured FLOPs over those of one full fine-tune at one known rate; of sweep and conventions what the ordinary
way costs, nothing replayed. Each study's outcome is written to `--results` as soon as it is there, and is not made
again: FLOPs and metrics do not depend on when they were measured, seconds do.

    python benchmarks/search.py [--tasks signs-20,nsl-kdd] [--seeds 3] [--arms sweep,race,gradual] [--results FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from frostline.core.predictions import Predictions
from frostline.core.progress import Silent
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder
from frostline.measure.measures import measure
from frostline.study import Study, prepare
from frostline.train.budgeted import RATES
from search_old_tasks import old_accuracy
from search_table import show
from search_tasks import SHARED, search_tasks

TASKS = (
    *("mammography", "nsl-kdd", "signs-20", "signs-inversion", "signs-permuted", "signs-noise", "signs-blur"),
    *("spam", "trec", "trec-1000", "signs-56"),
)
SHIFTED = ("signs-inversion", "signs-permuted", "signs-noise", "signs-blur")
"""Tasks on which single blocks are tried as well, since inputs or labels are not those of the pretraining."""

Outcome = dict[str, Any]


def rates_of(asked: Mapping[str, object]) -> list[float]:
    """The learning rates that the race chooses from, the default first."""
    default = 5e-5 if Path(str(asked["model"])).is_dir() else 1e-3
    return [factor * default for factor in sorted(RATES, key=lambda factor: (factor != 1.0, factor))]


def swept(asked: Mapping[str, object], task: str, seed: int, rate: float, plans: str) -> Outcome:
    """Every plan trained to its end at one rate, and what each answers on the select and test splits."""
    settings = Settings.checked(**{**asked, "seed": seed, "learning_rate": rate, "plans": plans, "budget": "all"})
    with tempfile.TemporaryDirectory() as folder, StudyFolder(Path(folder) / "s").opened(settings, resume=False) as led:
        race, _ = prepare(settings, StudyFolder(Path(folder) / "s"), led, Silent())
        runs = race.train_all(race.start())
        answered = {
            id: {split: race.answers(run, split) for split in ("select", "test")}
            for id, run in runs.items()
            if run.status == "finished"
        }
        labels = {"select": race.data.labels[race.data.rows["select"]], "test": race.data.sealed.open(("sweep",))[0]}
        outcome = {}
        for id, answers in answered.items():
            measures = {
                split: measure(Predictions.from_probabilities(race.data.task, labels[split], answer), split)
                for split, answer in answers.items()
            }
            race.restore(runs[id])
            outcome[id] = {
                "select_loss": measures["select"].loss,
                "test": measures["test"].metrics["f1"].value or 0.0,
                "test_accuracy": measures["test"].metrics["accuracy"].value,
                "flops": runs[id].ordinary_flops,
                "depth": len(race.plans[id].frozen),
                "blocks": len(race.blocks),
                "stop_losses": [epoch.stop_loss for epoch in runs[id].epochs],
                "old": old_accuracy(task, asked, race.model.module),
            }
    return outcome


def raced(asked: Mapping[str, object], task: str, seed: int, plans: str, budget: float) -> Outcome:
    """`frostline search --budget BUDGET`, and what it says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        study = Study(**{**asked, "plans": plans, "seed": seed, "budget": budget, "out": Path(folder) / "s"})
        result = study.run()
        record, chosen = result.record, result.chosen
        tested = record.result(chosen.id, "test")
        selected = record.result(chosen.id, "select")
        assert tested is not None and selected is not None
        module: nn.Module = result.model()
        return {
            "chosen": chosen.id,
            "test": tested.measures.metrics["f1"].value or 0.0,
            "select_loss": selected.measures.loss,
            "learning_rate": chosen.learning_rate,
            "flops": record.cost.search_flops,
            "predicted_full_flops": record.cost.full_finetune_flops,
            "standings": [[s.candidate, s.rung, s.decision, s.loss] for s in record.race],
            "evidence": {score.name: score.predicted for score in record.evidence},
            "old": old_accuracy(task, asked, module),
        }


def arms_of(name: str, asked: Mapping[str, object], seed: int) -> dict[str, Callable[[], Outcome]]:
    """What is run for one task and seed, by the name under which its outcome is kept."""
    shifted = name in SHIFTED
    arms: dict[str, Callable[[], Outcome]] = {
        f"sweep {rate:.1e}": lambda rate=rate: swept(asked, name, seed, rate, "depths") for rate in rates_of(asked)
    }
    if shifted:
        arms["sweep single blocks"] = lambda: swept(asked, name, seed, rates_of(asked)[0], "surgical")
    plans = "depths;surgical" if shifted else "depths"
    arms["race"] = lambda: raced(asked, name, seed, plans, 1.0)
    arms["race 1.5"] = lambda: raced(asked, name, seed, plans, 1.5)
    if importlib.util.find_spec("finetuning_scheduler"):
        arms["gradual"] = lambda: unfrozen_gradually(asked, seed)
    return arms


def unfrozen_gradually(asked: Mapping[str, object], seed: int) -> Outcome:
    """The schedule of finetuning-scheduler, which takes seconds to import."""
    from gradual import gradual

    return dict(gradual(asked, seed))


def known_outcomes(results: Path) -> dict[tuple[str, int, str], Outcome]:
    """What was measured before, by task, seed and arm; the last word counts."""
    if not results.exists():
        return {}
    lines = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    return {(line["task"], line["seed"], line["arm"]): line["outcome"] for line in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description="Race, sweep and conventions side by side.")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", default="sweep,race,gradual")
    parser.add_argument(
        "--results", type=Path, help="file of outcomes, one JSON document a line; by default none is kept"
    )
    asked = parser.parse_args()
    if not SHARED.is_dir():
        print(f"The benchmark's data are missing: {SHARED}. Nothing was run.")
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        results = asked.results or Path(cache) / "results.jsonl"
        for seed in range(asked.seeds):
            tasks = {task.name: task for task in search_tasks(seed)}
            for name in asked.tasks.split(","):
                run(name, tasks[name].prepare(Path(cache)), seed, asked.arms.split(","), results)
        print(f"torch {torch.__version__}, {platform.machine()}, one thread; F1 on test, cost in full fine-tunes")
        show(known_outcomes(results))


def run(name: str, asked: Mapping[str, object], seed: int, arms: list[str], results: Path) -> None:
    """Every arm of one task and seed that is wanted and not yet known."""
    known = known_outcomes(results)
    for arm, make in arms_of(name, asked, seed).items():
        if (name, seed, arm) in known or arm.split()[0] not in arms:
            continue
        began = time.perf_counter()
        outcome = make()
        line = {"task": name, "seed": seed, "arm": arm, "seconds": time.perf_counter() - began, "outcome": outcome}
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{name}, seed {seed}, {arm}: {line['seconds']:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
