"""How often the statistics keep their promises: simulations in which the truth is known.

1. Two equally good models: how often one is called better (p < .05). Aim: at most 5 %.
2. Displayed 95 % intervals: how often they hold the truth, as the mean over a grid of true rates. Aim: at least 94 %.
3. One-sided 95 % bounds, which floors are tested against: the same. Aim: at least 95 %.
4. The chosen of 13 candidates on the split that chose it, with and without the correction. Aim: at least 94 % with it.
5. Floors that lie exactly at the truth: how often one of them is said to be met. Aim: at most 5 %.

Every share is printed with exact 95 % limits of its Monte Carlo error. An aim counts as missed when the share misses it
by more than chance would explain anywhere in the table: the limit is taken at 95 % for all shares of the table together
(Bonferroni). What misses it by less is in the table all the same. Exit code 1 when an aim is missed.

    python benchmarks/statistics_hold.py

Shape letters: N examples, M models, K classes.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import scipy
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import ndtri

from frostline.core.predictions import Predictions
from frostline.core.records import Confusion, Estimate, Floor, Task
from frostline.judge.evidence import Evidence
from frostline.judge.gate import hold_against
from frostline.measure.bounds import bounds
from frostline.measure.choose import choose, chosen_among
from frostline.measure.compare import compare
from frostline.measure.measures import estimate, measure_confusion
from frostline.measure.metrics import METRICS, Margins, metric_values
from statistics_table import Share, Table, heading, pooled, progress

SEED = 20261125
SIZES = (60, 200, 1000)
PREVALENCES = (0.5, 0.1)
CORRELATIONS = (0.0, 0.5, 0.9)
RECALL, SPECIFICITY = 0.8, 0.9
BINARY = Task(labels=("yes", "no"), positive="yes")
THREE = Task(labels=("a", "b", "c"))

Floats = NDArray[np.float64]


def generator(*place: int) -> Generator:
    return np.random.default_rng((SEED, *place))


def correlated_wrong(random: Generator, wrong_rates_MN: Floats, correlation: float) -> NDArray[np.bool_]:
    """Which model is wrong on which example: normal variates with one part shared by all models."""
    models, examples = wrong_rates_MN.shape
    shared_N, own_MN = random.standard_normal(examples), random.standard_normal((models, examples))
    latent_MN = np.sqrt(correlation) * shared_N + np.sqrt(1 - correlation) * own_MN
    wrong_MN: NDArray[np.bool_] = latent_MN < ndtri(wrong_rates_MN)
    return wrong_MN


def answers(
    random: Generator, examples: int, prevalence: float, recalls: Floats, specificities: Floats, correlation: float
) -> list[Predictions]:
    """Models of given quality on the same fresh split."""
    true_N = (random.random(examples) >= prevalence).astype(np.int64)
    wrong_rates_MN = 1 - np.where(true_N == 0, recalls[:, None], specificities[:, None])
    wrong_MN = correlated_wrong(random, wrong_rates_MN, correlation)
    return [
        Predictions(task=BINARY, true_N=true_N, predicted_N=np.where(wrong_N, 1 - true_N, true_N))
        for wrong_N in wrong_MN
    ]


# ---------------------------------------------------------------- 1. two equal models


def equal_models() -> list[str]:
    """How often two models of the same quality are told apart, by metric."""
    heading("1. Share of p < .05 between two equally good models (recall .8, specificity .9); aim: at most .05")
    metrics = ("accuracy", "recall", "precision", "f1")
    print(f"{'n':>5} {'positive':>8} {'rho':>4}  " + "".join(f"{metric:<21}" for metric in metrics))
    table = Table("1. false better")
    quality = np.full(2, RECALL), np.full(2, SPECIFICITY)
    for size, prevalence, correlation in product(SIZES, PREVALENCES, CORRELATIONS):
        random = generator(1, size, int(100 * prevalence), int(100 * correlation))
        shares = {metric: Share() for metric in metrics}
        for repeat in range(1_000 if size == SIZES[-1] else 2_000):
            first, second = answers(random, size, prevalence, *quality, correlation)
            found = compare(first, second, names=("first", "second"), split="simulated", seed=repeat).differences
            for metric, share in shares.items():
                p = found[metric].p
                share.add(p is not None and p < 0.05)
        row = f"{size:>5} {prevalence:>8} {correlation:>4}"
        print(f"{row}  " + "".join(f"{shares[metric]!s:<21}" for metric in metrics), flush=True)
        table.shares |= {
            f"{metric} at n, positive share, rho = {' '.join(row.split())}": shares[metric] for metric in metrics
        }
        progress(f"two equal models: {row}")
    return table.missed(at_most=0.05)


# ---------------------------------------------------------------- 2 and 3. intervals and bounds


@dataclass(slots=True)
class Coverage:
    """What became of one metric's interval and bounds at one true value."""

    interval: Share = field(default_factory=Share)
    lower: Share = field(default_factory=Share)
    upper: Share = field(default_factory=Share)
    undefined: int = 0


RATES = (0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
GRIDS: dict[str, tuple[Task, list[tuple[float, ...]]]] = {
    "two classes": (BINARY, [(share, 1 - share) for share in PREVALENCES]),
    "three classes": (THREE, [(0.5, 0.3, 0.2)]),
}


def truth_of(shares: tuple[float, ...], rate: float) -> Floats:
    """Cell probabilities when every class is recognised at the same rate and mistaken for the others alike."""
    classes = len(shares)
    rows_KK = np.full((classes, classes), (1 - rate) / (classes - 1))
    np.fill_diagonal(rows_KK, rate)
    cells_KK: Floats = rows_KK * np.array(shares)[:, None]
    return cells_KK


def covered(task: Task, truth_KK: Floats, size: int, repeats: int, random: Generator) -> dict[str, Coverage]:
    """Coverage of all metrics at one truth."""
    positive, classes = task.positive_index, len(task.labels)
    values = {metric: float(metric_values(metric, Margins.of(truth_KK), positive)) for metric in METRICS}
    found = {metric: Coverage() for metric in METRICS}
    for counts in random.multinomial(size, truth_KK.ravel(), size=repeats).reshape(-1, classes, classes):
        cells = tuple(map(tuple, counts.tolist()))
        confusion = Confusion(labels=task.labels, counts=cells, positive=task.positive)
        for metric, value in values.items():
            shown, limit, tally = estimate(metric, confusion), bounds(metric, cells, positive), found[metric]
            if limit is None:
                tally.undefined += 1
                continue
            tally.interval.add(holds(shown, value))
            tally.lower.add(limit.lower(0.95) <= value)
            tally.upper.add(limit.upper(0.95) >= value)
    return found


def holds(shown: Estimate, value: float) -> bool:
    return shown.low is not None and shown.high is not None and shown.low <= value <= shown.high


Covered = dict[tuple[str, str, int], list[tuple[str, Coverage]]]


def coverages(repeats: int = 300) -> Covered:
    """By grid, metric and size: coverage at each point of the grid."""
    found: Covered = {}
    for number, (name, (task, class_shares)) in enumerate(GRIDS.items()):
        for size, shares, rate in product(SIZES, class_shares, RATES):
            random = generator(2, number, size, int(100 * shares[0]), int(100 * rate))
            for metric, tally in covered(task, truth_of(shares, rate), size, repeats, random).items():
                place = f"rate {rate}, first class {shares[0]}"
                found.setdefault((name, metric, size), []).append((place, tally))
        progress(f"coverage: {name}")
    return found


def print_coverage(title: str, found: Covered, part: str) -> tuple[Table, Table]:
    """Print mean and worst of the grid; return both as tables of shares."""
    heading(title)
    print(f"{'':<13} {'metric':<18} {'n':>5}  {'mean of the grid':<20} {'worst of the grid':<20} where; undefined")
    means, cells = Table(f"{title[:2]} mean"), Table(f"{title[:2]} every point")
    for (name, metric, size), tallies in found.items():
        defined = [(place, getattr(tally, part)) for place, tally in tallies if getattr(tally, part).of]
        mean = pooled(share for _, share in defined)
        place, worst = min(defined, key=lambda each: each[1].value)
        undefined = sum(tally.undefined for _, tally in tallies) / (mean.of + sum(t.undefined for _, t in tallies))
        print(f"{name:<13} {metric:<18} {size:>5}  {mean!s:<20} {worst!s:<20} {place}; {undefined:.3f}")
        means.shares[f"{name}, {metric}, n = {size}"] = mean
        cells.shares |= {f"{name}, {metric}, n = {size}, {place}": share for place, share in defined}
    return means, cells


EXACT = ("accuracy", "recall", "precision", "f1")


def intervals_and_bounds() -> list[str]:
    found = coverages()
    means, _ = print_coverage(
        "2. Displayed intervals hold the truth; aim for the mean: at least .94", found, "interval"
    )
    missed = means.missed(at_least=0.94)
    for part in ("lower", "upper"):
        title = f"3. One-sided {part} bounds of 95 % hold; aim for the mean: at least .95; exact ones at every point"
        means, cells = print_coverage(title, found, part)
        missed += [f"{part}: {text}" for text in means.missed(at_least=0.95)]
        cells.shares = {name: share for name, share in cells.shares.items() if is_exact(name)}
        missed += [f"{part}: {text}" for text in cells.missed(at_least=0.95)]
    return missed


def is_exact(name: str) -> bool:
    """Whether the bound is that of one rate: of the positive class, or accuracy."""
    grid, metric = name.split(", ")[:2]
    return metric == "accuracy" or (grid == "two classes" and metric in EXACT)


# ---------------------------------------------------------------- 4. the chosen of many

MANY = 13


def simulated_choices(
    metric: str, size: int, apart: float, correlation: float, repeats: int, *, by_rule: bool
) -> Iterator[tuple[Predictions, float]]:
    """The chosen candidate's answers with its true metric, split after split."""
    prevalence = 1.0 if metric == "recall" else 0.5
    recalls = np.linspace(RECALL, RECALL - apart, MANY)
    specificities = np.linspace(SPECIFICITY, SPECIFICITY - apart, MANY)
    cells = np.moveaxis(
        np.array(
            [
                [prevalence * recalls, prevalence * (1 - recalls)],
                [(1 - prevalence) * (1 - specificities), (1 - prevalence) * specificities],
            ]
        ),
        -1,
        0,
    )
    true_values = metric_values(metric, Margins.of(cells), 0)
    costs = {str(number): (number,) for number in range(MANY)}
    random = generator(4, size, int(1000 * apart), int(100 * correlation), int(by_rule), len(metric))
    for repeat in range(repeats):
        found = answers(random, size, prevalence, recalls, specificities, correlation)
        if by_rule:
            candidates = {str(number): each for number, each in enumerate(found)}
            number = int(choose(candidates, costs, metric=metric, seed=repeat).candidate)
        else:
            hits = [chosen_value(each, metric) for each in found]
            number = int(np.argmax(hits))
        yield found[number], float(true_values[number])


def chosen_value(predictions: Predictions, metric: str) -> float:
    found = predictions.predicted_N == 0
    true = predictions.true_N == 0
    hits = int((found & true).sum())
    return hits / int(true.sum()) if metric == "recall" else 2 * hits / max(1, int(found.sum() + true.sum()))


def chosen_of_many() -> list[str]:
    heading(f"4. Limits of the chosen of {MANY} candidates hold; aim with the correction: at least .94")
    print(
        f"{'metric':<6} {'n':>5} {'apart':>6} {'rho':>4} {'taken':<8} {'corrected, lower':<21}{'corrected, both':<21}"
        f"{'naive 97.5, lower':<21}{'naive 95, lower':<21}{'naive Wilson 95, both':<21}"
    )
    table = Table("4. corrected")
    grid = [(metric, apart, rho, False) for metric in ("recall", "f1") for apart in (0.0, 0.1) for rho in CORRELATIONS]
    grid += [("f1", apart, 0.5, True) for apart in (0.0, 0.1)]
    for (metric, apart, correlation, by_rule), size in product(grid, SIZES):
        shares = [Share() for _ in range(5)]
        repeats = 100 if by_rule else 1_000
        for predictions, value in simulated_choices(metric, size, apart, correlation, repeats, by_rule=by_rule):
            for share, held in zip(shares, promises(predictions, metric, value), strict=True):
                share.add(held)
        row = f"{metric:<6} {size:>5} {apart:>6} {correlation:>4} {'choose()' if by_rule else 'best':<8}"
        print(f"{row} " + "".join(f"{share!s:<21}" for share in shares), flush=True)
        table.shares |= {f"lower, {' '.join(row.split())}": shares[0], f"both, {' '.join(row.split())}": shares[1]}
        if size == SIZES[-1]:
            progress(f"chosen of many: {row}")
    return table.missed(at_least=0.94)


def promises(predictions: Predictions, metric: str, value: float) -> tuple[bool, ...]:
    """Whether each way to bound the chosen candidate's metric held."""
    corrected, naive = chosen_among(predictions, MANY, metric=metric), chosen_among(predictions, 1, metric=metric)
    counts = np.zeros((2, 2), dtype=np.int64)
    np.add.at(counts, (predictions.true_N, predictions.predicted_N), 1)
    cells = tuple(map(tuple, counts.tolist()))
    plain, limit = (
        estimate(metric, Confusion(labels=BINARY.labels, counts=cells, positive="yes")),
        bounds(metric, cells, 0),
    )
    lower = 0.0 if corrected.low is None else corrected.low
    return (
        lower <= value,
        holds(corrected, value),
        (naive.low or 0.0) <= value,
        limit is None or limit.lower(0.95) <= value,
        holds(plain, value),
    )


# ---------------------------------------------------------------- 5. floors at the truth

FLOOR_SETS = (
    *((metric,) for metric in METRICS),
    ("recall", "precision"),
    ("recall", "precision", "accuracy"),
    ("f1", "balanced_accuracy", "mcc"),
)


def floors_at_the_truth(repeats: int = 800) -> list[str]:
    heading("5. Share of splits on which a floor exactly at the truth is said to be met; aim: at most .05")
    print(f"{'floors':<32}" + "".join(f"n = {n}, positive {p}".ljust(25) for n, p in product(SIZES, PREVALENCES)))
    table = Table("5. floors wrongly met")
    for size, prevalence in product(SIZES, PREVALENCES):
        truth = np.array([[RECALL, 1 - RECALL], [1 - SPECIFICITY, SPECIFICITY]]) * [[prevalence], [1 - prevalence]]
        values = {metric: float(metric_values(metric, Margins.of(truth), 0)) for metric in METRICS}
        drawn = generator(5, size, int(100 * prevalence)).multinomial(size, truth.ravel(), size=repeats)
        for number, counts in enumerate(drawn.reshape(-1, 2, 2)):
            cells = tuple(map(tuple, counts.tolist()))
            confusion = Confusion(labels=BINARY.labels, counts=cells, positive="yes")
            evidence = Evidence(task=BINARY, measures=measure_confusion(confusion, "simulated"))
            for names in FLOOR_SETS:
                if "mcc" in names and number % 4:
                    continue  # its level takes forty quantiles of a posterior: a quarter of the splits
                floors = [Floor(metric=metric, floor=values[metric]) for metric in names]
                met = any(result.met == "yes" for result in hold_against(floors, evidence))
                table.shares.setdefault(place(names, size, prevalence), Share()).add(met)
        progress(f"floors: n = {size}, positive {prevalence}")
    for names in FLOOR_SETS:
        row = (str(table.shares[place(names, *at)]) for at in product(SIZES, PREVALENCES))
        print(f"{' + '.join(names):<32}" + "".join(f"{share:<25}" for share in row))
    return table.missed(at_most=0.05)


def place(names: tuple[str, ...], size: int, prevalence: float) -> str:
    return f"{' + '.join(names)}, n = {size}, positive {prevalence}"


# ---------------------------------------------------------------- all


def main() -> int:
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}; seed {SEED}")
    missed = [*equal_models(), *intervals_and_bounds(), *chosen_of_many(), *floors_at_the_truth()]
    heading(
        f"{len(missed)} shares miss their aim by more than chance" if missed else "No aim is missed by more than chance"
    )
    for text in missed:
        print(text)
    progress("done")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
