"""How many planted faults the checks catch, and how often they cry wolf.

Studies, predictions and data sets are made up from seeds: each with one fault, or healthy. The faults stand in the
`fault_*.py` files beside this one. Counted are, for each check, the planted faults on which it fires (aim: 98 %), and
the healthy cases on which it raises an issue (aim: 2 %); notes are counted apart. What else fires on a fault is listed:
it may be just as true. Three cases are real (`fault_real.py`); what they need and do not find is said.

An aim for one check or one fault counts as missed when it is missed by more than chance explains anywhere in its
table (limits at 95 % for all shares of the table together, Bonferroni); an aim for all of them together, when the share
itself misses it. Exit code 1 when an aim is missed.

    python benchmarks/planted_faults.py [--seeds 20] [--seed 20261125] [--only WORDS] [--no-real]
"""

from __future__ import annotations

import argparse
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
import sklearn
from numpy.random import Generator

from fault_data import BEYOND, DATA_FAULTS, HEALTHY_DATA
from fault_predictions import PREDICTION_FAULTS
from fault_predictions import Planted as PlantedPredictions
from fault_predictions import healthy as healthy_predictions
from fault_real import real_cases
from fault_studies import STUDY_FAULTS
from fault_studies import Planted as PlantedStudy
from fault_studies import healthy as healthy_study
from frostline.judge.registry import CHECKS
from planted_case import Fault, Outcome
from statistics_table import Share, Table, heading, pooled, progress

SEED = 20261125
"""Of the run that `make faults` makes; --seed takes another."""
DETECTED, FALSE = 0.98, 0.02
FAULTS = (*STUDY_FAULTS, *PREDICTION_FAULTS, *DATA_FAULTS)
HEALTHY: dict[str, tuple[int, tuple[tuple[str, Callable[[Generator], Outcome]], ...]]] = {
    "studies": (8, (("healthy studies", PlantedStudy(healthy_study)),)),
    "predictions": (3, (("healthy predictions", PlantedPredictions(healthy_predictions)),)),
    "data": (1, HEALTHY_DATA),
}
"""By group: how many times the seeds of a fault, and the kinds."""


@dataclass(slots=True)
class Tally:
    """What became of all cases of one kind."""

    fault: Fault
    detected: Share = field(default_factory=Share)
    right_verdict: Share = field(default_factory=Share)
    verdicts: Counter[str] = field(default_factory=Counter)
    others: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Other checks that fired, by code and "i" or "n"."""
    missed: list[int] = field(default_factory=list)
    """Seeds on which nothing that should have fired did."""

    def add(self, seed: int, outcome: Outcome) -> None:
        found = bool(outcome.fired & set(self.fault.codes))
        self.detected.add(found)
        self.right_verdict.add(outcome.verdict in self.fault.expected)
        self.verdicts[outcome.verdict] += 1
        self.others.update((code, outcome.outcomes[code][0]) for code in outcome.fired - set(self.fault.codes))
        self.missed += [] if found else [seed]


def outcomes(fault: Fault, seeds: int, whole: int) -> list[Outcome]:
    progress(fault.name)
    return [fault.plant(np.random.default_rng((whole, crc32(fault.name.encode()), seed))) for seed in range(seeds)]


def tallied(fault: Fault, seeds: int, whole: int) -> Tally:
    tally = Tally(fault)
    for seed, outcome in enumerate(outcomes(fault, seeds, whole)):
        tally.add(seed, outcome)
    return tally


def print_faults(tallies: Sequence[Tally]) -> None:
    heading("1. Planted faults: how many were found, the verdict, and what else fired (i issue, n note)")
    for tally in tallies:
        fault = tally.fault
        verdicts = ", ".join(f"{name} {count}" for name, count in tally.verdicts.most_common())
        others = ", ".join(f"{code}{how} {count}" for (code, how), count in tally.others.most_common())
        missed = f"; missed with seeds {tally.missed}" if tally.missed else ""
        print(f"{fault.name} ({' or '.join(fault.codes)}): {tally.detected.hits} of {tally.detected.of}{missed}")
        print(f"    expected {' or '.join(sorted(fault.expected))}: {tally.right_verdict.hits}; given {verdicts}")
        print(f"    also: {others or 'nothing'}", flush=True)


@dataclass(slots=True)
class Alarms:
    """What fired on healthy cases."""

    asked: Counter[str] = field(default_factory=Counter)
    issues: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    cases: dict[str, Share] = field(default_factory=dict)
    """By group, those with an issue of any check."""
    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def add(self, group: str, name: str, seed: int, outcome: Outcome) -> None:
        self.cases.setdefault(group, Share()).add(bool(outcome.issues))
        self.verdicts.setdefault(group, Counter())[outcome.verdict] += 1
        self.asked.update(code for code, how in outcome.outcomes.items() if how != "not applicable")
        self.issues.update(outcome.issues)
        self.notes.update(outcome.fired - outcome.issues)
        self.said += [f"{name}, seed {seed}, {code}: {outcome.sentences[code]}" for code in sorted(outcome.issues)]


def alarms(seeds: int, whole: int, only: str) -> Alarms:
    found = Alarms()
    for group, (times, kinds) in HEALTHY.items():
        for name, plant in kinds:
            if only in name:
                for seed, outcome in enumerate(outcomes(Fault(name=name, codes=(), plant=plant), times * seeds, whole)):
                    found.add(group, name, seed, outcome)
    return found


def print_checks(tallies: Sequence[Tally], found: Alarms) -> tuple[Table, Table]:
    heading("2. Checks: planted faults found; issues and notes on healthy cases, of those it could be asked of")
    names = {check.code: check.name for check in CHECKS}
    detected, alarmed = Table("found"), Table("false alarms")
    codes = dict.fromkeys((*names, *(code for tally in tallies for code in tally.fault.codes)))
    print(f"{'check':<40} {'found':>9}  {'issues':>20}  {'notes':>6} {'asked':>6}")
    for code in codes:
        share = pooled(tally.detected for tally in tallies if code in tally.fault.codes)
        asked = found.asked[code]
        issues = Share(found.issues[code], asked)
        label = f"{code} {names.get(code, '')}".strip()
        if share.of:
            detected.shares[label] = share
        if asked:
            alarmed.shares[label] = issues
        hits = f"{share.hits}/{share.of}" if share.of else "none"
        print(f"{label:<40} {hits:>9}  {str(issues) if asked else '-':>20}  {found.notes[code]:>6} {asked:>6}")
    for what, shares in (
        ("found", [t.detected for t in tallies]),
        ("with a right verdict", [t.right_verdict for t in tallies]),
    ):
        if (every := pooled(shares)).of:
            print(f"All planted faults {what}: {every.hits} of {every.of}, {every}")
    bare = [code for code in names if not any(code in tally.fault.codes for tally in tallies)]
    print(f"No fault is planted for: {', '.join(bare) or 'none of them'}.", flush=True)
    return detected, alarmed


def print_healthy(found: Alarms) -> None:
    heading("3. Healthy cases with an issue of any check")
    for group, share in found.cases.items():
        verdicts = ", ".join(f"{name} {count}" for name, count in found.verdicts[group].most_common())
        print(f"{group:<12} {share.hits} of {share.of}, {share}; verdicts {verdicts}")
    print(f"{'all':<12} {pooled(found.cases.values())}")
    print("\n".join(found.said), flush=True)


def aims_missed(tallies: Sequence[Tally], found: Alarms, detected: Table, alarmed: Table) -> list[str]:
    by_fault = Table("found", {tally.fault.name: tally.detected for tally in tallies})
    missed = [*detected.missed(at_least=DETECTED), *by_fault.missed(at_least=DETECTED), *alarmed.missed(at_most=FALSE)]
    missed += Table("false alarms, any check", found.cases).missed(at_most=FALSE)
    if tallies and (share := pooled(tally.detected for tally in tallies)).value < DETECTED:
        missed.append(f"found, all faults: {share}")
    if found.cases and (share := pooled(found.cases.values())).value > FALSE:
        missed.append(f"false alarms, all healthy cases: {share}")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="cases of each kind of fault")
    parser.add_argument("--seed", type=int, default=SEED, help="of the whole run")
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    parser.add_argument("--no-real", action="store_true", help="leave the three real cases out")
    asked = parser.parse_args()
    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, scikit-learn {sklearn.__version__}, seed {SEED}"
    )
    tallies = [tallied(fault, asked.seeds, asked.seed) for fault in FAULTS if asked.only in fault.name]
    found = alarms(asked.seeds, asked.seed, asked.only)
    print_faults(tallies)
    missed = aims_missed(tallies, found, *print_checks(tallies, found))
    print_healthy(found)
    heading("4. Known to lie beyond a check: counted here, not in the aims")
    print_faults_beyond(asked.seeds, asked.seed)
    if not asked.no_real:
        heading("5. Real cases")
        for case in real_cases():
            print(case.said, flush=True)
            missed += [f"real: {case.name}"] if case.held is False else []
    heading("Aims")
    print("\n".join(f"MISSED {line}" for line in missed) or "All aims are met.")
    return 1 if missed else 0


def print_faults_beyond(seeds: int, whole: int) -> None:
    tally = tallied(BEYOND, seeds, whole)
    print(f"{BEYOND.name} ({BEYOND.codes[0]}): {tally.detected.hits} of {tally.detected.of}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
