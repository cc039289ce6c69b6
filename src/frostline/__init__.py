"""frostline: choose which layers to freeze, prove the freeze, measure honestly, judge the result.

Names load when they are first used: importing frostline costs next to nothing and does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frostline.capture.replay import Replay
    from frostline.explain.summary import summary
    from frostline.judge.check import check
    from frostline.plan.apply import freeze, unfreeze
    from frostline.plan.blocks import blocks
    from frostline.plan.delta import load_delta, read_delta, save_delta
    from frostline.plan.freeze_plan import FreezePlan
    from frostline.plan.groups import param_groups, sync_optimizer
    from frostline.plan.precision import keep_trainable_float32
    from frostline.plan.prove import prove_frozen
    from frostline.plan.rows import freeze_rows, unfreeze_rows
    from frostline.plan.schedule import Schedule, apply_schedule, freeze_as_you_go, gradual_unfreezing, lp_ft
    from frostline.result import StudyResult
    from frostline.study import Study

__version__ = "0.1.0"

_HOME = {
    "FreezePlan": "frostline.plan.freeze_plan",
    "Replay": "frostline.capture.replay",
    "Schedule": "frostline.plan.schedule",
    "Study": "frostline.study",
    "StudyResult": "frostline.result",
    "apply_schedule": "frostline.plan.schedule",
    "blocks": "frostline.plan.blocks",
    "check": "frostline.judge.check",
    "freeze": "frostline.plan.apply",
    "freeze_as_you_go": "frostline.plan.schedule",
    "freeze_rows": "frostline.plan.rows",
    "gradual_unfreezing": "frostline.plan.schedule",
    "keep_trainable_float32": "frostline.plan.precision",
    "load_delta": "frostline.plan.delta",
    "lp_ft": "frostline.plan.schedule",
    "param_groups": "frostline.plan.groups",
    "prove_frozen": "frostline.plan.prove",
    "read_delta": "frostline.plan.delta",
    "save_delta": "frostline.plan.delta",
    "summary": "frostline.explain.summary",
    "sync_optimizer": "frostline.plan.groups",
    "unfreeze": "frostline.plan.apply",
    "unfreeze_rows": "frostline.plan.rows",
}

__all__ = [
    "FreezePlan",
    "Replay",
    "Schedule",
    "Study",
    "StudyResult",
    "apply_schedule",
    "blocks",
    "check",
    "freeze",
    "freeze_as_you_go",
    "freeze_rows",
    "gradual_unfreezing",
    "keep_trainable_float32",
    "load_delta",
    "lp_ft",
    "param_groups",
    "prove_frozen",
    "read_delta",
    "save_delta",
    "summary",
    "sync_optimizer",
    "unfreeze",
    "unfreeze_rows",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'frostline' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
