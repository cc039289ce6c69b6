"""How long `frostline check` takes from start to answer, beside a bare interpreter and what it does not import.

Runs every command in turn, several rounds, so that a busy machine slows all of them alike.
Exits with 1 when torch was loaded.

    python benchmarks/check_start.py
"""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version
from statistics import median
from time import perf_counter

ROUNDS = 7
COUNTS = ["check", "--counts", "tp=12,fn=88,fp=12,tn=4888", "--positive", "fraud"]
_MAIN = "from frostline.cli.app import main; main()"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "frostline check --counts (text)": ["-c", _MAIN, *COUNTS],
    "frostline check --counts (--json)": ["-c", _MAIN, *COUNTS, "--json"],
    "import numpy": ["-c", "import numpy"],
    "import scipy.special": ["-c", "import scipy.special"],
    "import scipy.stats": ["-c", "import scipy.stats"],
    "import sklearn.metrics": ["-c", "import sklearn.metrics"],
    "import torch": ["-c", "import torch"],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one interpreter from start to exit."""
    start = perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    return perf_counter() - start


def loads_torch() -> bool:
    """Whether torch is among the modules after a check."""
    program = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); {_MAIN}"
    result = subprocess.run([sys.executable, "-c", program, *COUNTS], capture_output=True, text=True, check=False)
    return result.stderr.split()[-1] == "True"


def main() -> None:
    """Measure and print a table in seconds."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-learn", "torch"))
    print(f"Python {platform.python_version()}, {versions}; {ROUNDS} rounds\n")
    print(f"{'command':<34} {'median_s':>8} {'fastest_s':>9} {'slowest_s':>9}")
    for name, taken in times.items():
        print(f"{name:<34} {median(taken):>8.2f} {min(taken):>9.2f} {max(taken):>9.2f}")
    loaded = loads_torch()
    print(f"\ntorch in sys.modules after a check: {loaded}")
    sys.exit(int(loaded))


if __name__ == "__main__":
    main()
