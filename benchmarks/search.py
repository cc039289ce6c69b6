"""The race within one full fine-tune beside the exhaustive sweep: what each finds, and what it costs.

For each task and seed, in one process: `frostline search --budget 1.0`, which has to find the learning rate as well;
and one sweep over all candidates to their ends for each of the three rates that the race may choose from, best rate
and plan taken on the select split. Printed are the test metric of what each chose, of full fine-tuning at the best
rate, and measured FLOPs over those of one full fine-tune at a known rate. Where activations are replayed, the sweep's
FLOPs are what the ordinary way would have cost.

    python benchmarks/search.py [--tasks signs-20,nsl-kdd] [--seeds 3]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from frostline.core.records import StudyRecord
from frostline.study import Study
from frostline.train.budgeted import RATES
from search_tasks import SHARED, SearchTask, search_tasks

TASKS = ("signs-20", "signs-noise", "signs-inversion", "signs-permuted", "nsl-kdd", "mammography")


@dataclass(frozen=True, slots=True)
class Row:
    """One task with one seed."""

    task: str
    seed: int
    race: float
    sweep: float
    full: float
    chosen: tuple[str, str]
    """By the race, by the sweep."""
    race_cost: float
    sweep_cost: float

    @property
    def regret_points(self) -> float:
        return 100 * (self.sweep - self.race)


def tested(record: StudyRecord, name: str) -> float:
    """F1 on the test split; 0 where it is undefined."""
    result = record.result(name, "test")
    assert result is not None
    return result.measures.metrics["f1"].value or 0.0


def selected(record: StudyRecord) -> float:
    """Loss of the chosen candidate on the select split."""
    result = record.result(record.choice.candidate, "select")
    assert result is not None and result.measures.loss is not None
    return result.measures.loss


def run(task: SearchTask, seed: int, cache: Path) -> Row:
    """Race and sweeps of one task."""
    asked = task.prepare(cache)

    def study(**more: object) -> StudyRecord:
        with tempfile.TemporaryDirectory() as folder:
            return Study(**{**asked, "seed": seed, "out": Path(folder) / "study", **more}).run().record  # type: ignore[arg-type]

    race = study(budget=1.0)
    default = 5e-5 if Path(str(asked["model"])).is_dir() else 1e-3
    sweeps = [study(learning_rate=factor * default) for factor in RATES]
    best = min(sweeps, key=selected)
    full = best.cost.full_finetune_flops
    return Row(
        task=task.name,
        seed=seed,
        race=tested(race, race.choice.candidate),
        sweep=tested(best, best.choice.candidate),
        full=tested(best, best.reference or best.choice.candidate),
        chosen=(race.choice.candidate, best.choice.candidate),
        race_cost=race.cost.search_flops / full,
        sweep_cost=sum(sweep.cost.sweep_flops for sweep in sweeps) / full,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Race and sweep side by side.")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    if not SHARED.is_dir():
        print(f"The benchmark's data are missing: {SHARED}. Nothing was run.")
        return
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, one thread; F1 on test, cost in full fine-tunes")
    print("| task | seed | race | sweep | full | regret, points | race cost | sweep cost | race chose | sweep chose |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(asked.seeds):
            for task in search_tasks(seed):
                if task.name in asked.tasks.split(","):
                    rows.append(row := run(task, seed, Path(cache)))
                    print(
                        f"| {row.task} | {row.seed} | {row.race:.3f} | {row.sweep:.3f} | {row.full:.3f} | "
                        f"{row.regret_points:+.1f} | {row.race_cost:.2f} | {row.sweep_cost:.1f} | {row.chosen[0]} | "
                        f"{row.chosen[1]} |",
                        flush=True,
                    )
    costs = [row.race_cost for row in rows]
    print(f"race cost: median {statistics.median(costs):.2f}, most {max(costs):.2f}")
    print(f"race over sweep: median {statistics.median(r.race_cost / r.sweep_cost for r in rows):.3f}")
    print(f"regret in points: median {statistics.median(r.regret_points for r in rows):+.1f}, ", end="")
    print(f"most {max(r.regret_points for r in rows):+.1f}")


if __name__ == "__main__":
    main()
