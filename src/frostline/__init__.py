"""frostline: choose which layers to freeze, prove the freeze, measure honestly, judge the result.

Names load when they are first used: importing frostline costs next to nothing and does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frostline.judge.check import check
    from frostline.plan.apply import freeze, unfreeze
    from frostline.plan.blocks import blocks
    from frostline.plan.freeze_plan import FreezePlan
    from frostline.plan.summary import summary
    from frostline.study import Study, StudyResult

__version__ = "0.1.0"

_HOME = {
    "FreezePlan": "frostline.plan.freeze_plan",
    "Study": "frostline.study",
    "StudyResult": "frostline.study",
    "blocks": "frostline.plan.blocks",
    "check": "frostline.judge.check",
    "freeze": "frostline.plan.apply",
    "summary": "frostline.plan.summary",
    "unfreeze": "frostline.plan.apply",
}

__all__ = ["FreezePlan", "Study", "StudyResult", "blocks", "check", "freeze", "summary", "unfreeze"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'frostline' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
