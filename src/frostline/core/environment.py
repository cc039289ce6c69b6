"""What a study ran on, for the report."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("frostline", "torch", "transformers", "scikit-learn", "scipy", "numpy", "safetensors")


def environment(device: str) -> dict[str, str]:
    """Versions and machine. No names of users, hosts or folders."""
    return {
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := _version(name))},
        "system": f"{platform.system()} {platform.machine()}",
        "processors": str(os.cpu_count()),
        "device": device,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
