"""Studies that were judged, studies whose names are hostile, and studies with a race."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from builders import (
    BINARY,
    CANDIDATES,
    make_confirmations,
    make_forgetting,
    make_head_rates,
    make_non_inferiority,
    make_predictions,
    make_replay,
    make_slices,
    make_study,
    spam_counts,
)
from frostline.core.records import DialPoint, Standing, StudyRecord, Verdict
from frostline.judge.floors import default_floors
from frostline.judge.verdict import judge_study
from frostline.measure.measures import measure
from frostline.measure.slices import sliced_on_select

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Settings of the dial."""
NAMES = ("chat", "sms", "mail")
"""Parts of the select split."""
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def judged(study: StudyRecord) -> tuple[StudyRecord, Verdict]:
    """A study with the verdict the judge gives it on the default floors."""
    return study, judge_study(study, default_floors(study.data.task))


def renamed(study: StudyRecord, **names: str) -> StudyRecord:
    """The study with names replaced wherever they stand, as if the user's data had held them."""
    text = study.model_dump_json()
    for old, new in names.items():
        text = text.replace(old, json.dumps(new)[1:-1])
    return StudyRecord.model_validate_json(text)


# candidate, rung, updates, loss, decision, reason
Decision = tuple[str, int | None, int, float | None, str, str]
NO_ROOM = "the budget has no room for it beside finishing the leader"
USUAL_RACE: tuple[Decision, ...] = (
    ("depth-6@1.7e-05", 0, 75, 0.1019, "pruned", "depth-6@1.5e-04 has a lower loss after as many updates"),
    ("depth-6@5.0e-05", 0, 75, 0.0869, "pruned", "depth-6@1.5e-04 has a lower loss after as many updates"),
    ("depth-6@1.5e-04", 0, 75, 0.0687, "kept", "the learning rate of every other plan follows from it"),
    ("full", None, 0, None, "skipped", NO_ROOM),
    ("norms", None, 0, None, "skipped", NO_ROOM),
    ("depth-2", None, 75, None, "failed", "its loss was no longer finite"),
    ("depth-4", 1, 75, 0.0663, "kept", "lowest loss of 4"),
    (
        "depth-6@1.5e-04",
        1,
        75,
        0.0687,
        "kept",
        "second lowest loss of 4; its loss is 0.0025 ± 0.0057 above that of depth-4",
    ),
    ("depth-5", 1, 75, 0.0917, "pruned", "its loss is 0.0254 ± 0.0105 above that of depth-4 on the same examples"),
    ("depth-7", 1, 75, 0.1122, "pruned", "its loss is 0.0459 ± 0.0046 above that of depth-4 on the same examples"),
    ("depth-4", 2, 150, 0.0391, "kept", "lowest loss of 2"),
    (
        "depth-6@1.5e-04",
        2,
        150,
        0.0532,
        "pruned",
        "its loss is 0.0141 ± 0.0041 above that of depth-4 on the same examples",
    ),
    ("depth-4", None, 300, 0.0302, "finished", "no other is within the paired noise"),
)
"""Three rates of one plan, two plans without room, one that breaks down, four that are compared, one winner."""

CLOSE_RACE: tuple[Decision, ...] = (
    *((f"depth-{n}", 1, 25, 0.4 + n / 2000, "kept" if n in (3, 4) else "pruned", "") for n in range(1, 8)),
    ("depth-4", None, 100, 0.3, "finished", "no other is within the paired noise"),
    ("depth-3", None, 100, 0.302, "finished", "no other is within the paired noise"),
)
"""Seven losses on nearly one spot, two of them finished."""

HUNDRED: tuple[Decision, ...] = (
    *((f"depth-{n}", 1, 25, 0.3 + (37 * n % 100) / 250, "kept" if n < 50 else "pruned", "") for n in range(100)),
    *((f"depth-{n}", 2, 50, 0.2 + (13 * n % 50) / 200, "kept" if n < 5 else "pruned", "") for n in range(50)),
    ("depth-4", None, 100, 0.15, "finished", "no other is within the paired noise"),
)
"""A hundred candidates, half of them given up at each rung."""

LOST: tuple[Decision, ...] = (
    ("full", None, 25, None, "failed", "its loss was no longer finite"),
    ("depth-4", 1, 25, None, "kept", "lowest loss of 1"),
    ("depth-4", None, 100, float("inf"), "finished", "no other is within the paired noise"),
)
"""Nobody has a finite loss."""

ALONE: tuple[Decision, ...] = (
    ("depth-4", 1, 25, 0.4, "kept", "lowest loss of 1"),
    ("depth-4", None, 100, 0.3, "finished", "no other is within the paired noise"),
)
"""A race of one."""

WIDE: tuple[Decision, ...] = (
    ("full", 1, 25, 12.0, "pruned", ""),
    ("depth-3", 1, 25, 3.0, "pruned", ""),
    ("depth-4", 1, 25, 0.4, "kept", ""),
    ("depth-4", None, 100, 0.02, "finished", ""),
)
"""Losses over nearly three powers of ten."""


def raced(decisions: Iterable[Decision], chosen: str = "depth-4", **parts: Any) -> StudyRecord:
    """The usual study, with a race of these decisions, a budget, and other parts that `make_study` knows."""
    known = chosen in CANDIDATES
    study = make_study(chosen=chosen, **parts) if known else renamed(make_study(**parts), **{"depth-4": chosen})
    fields = ("candidate", "rung", "updates", "loss", "decision", "reason")
    race = tuple(Standing.model_validate(dict(zip(fields, each, strict=True))) for each in decisions)
    return study.model_copy(
        update={
            "race": race,
            "cost": study.cost.model_copy(update={"budget_flops": study.cost.full_finetune_flops}),
        }
    )


def with_everything() -> tuple[StudyRecord, Verdict]:
    """A race, a replay, an old task, other seeds, new patterns and findings: every part that a report can have."""
    return judged(
        raced(
            USUAL_RACE,
            failed=["depth-2"],
            openings=2,
            replay=make_replay(off={"depth-1": "reading its frozen part takes 3 s a pass, computing it 2 s"}),
            head_rates=make_head_rates(),
            slices=make_slices(full={}),
            forgetting={name: make_forgetting(lost=n) for n, name in ((10, "depth-4"), (40, "full"))},
            confirmations=make_confirmations(),
            non_inferiority=make_non_inferiority(),
        )
    )


def dialled(chosen: float | None = 0.75, *, found: int = 210, metric: str = "f1") -> StudyRecord:
    """The usual study with five settings between the weights: the further, the better on the new task and the worse
    on the old.

    Args:
        chosen: Share of the setting that was chosen; None when none of them was.
        found: Positives that the pretrained end finds.
        metric: What the choice was made by.
    """
    study = make_study()
    points = tuple(
        DialPoint(
            candidate=study.choice.candidate if share == chosen else f"full@wise-{share:g}",
            share=share,
            select=measure(make_predictions(BINARY, spam_counts(hits, 300 - hits, false, 720 - false)), "select"),
            forgetting=make_forgetting(lost, gained=lost // 8),
        )
        for share, hits, false, lost in zip(
            SHARES,
            (found, 250, 270, 280, 283),
            (12 if found else 0, 12, 11, 11, 10),
            (0, 20, 60, 150, 420),
            strict=True,
        )
    )
    return study.model_copy(update={"dial": points, "choice": study.choice.model_copy(update={"metric": metric})})


def parted(*, failed: Sequence[str] = ()) -> StudyRecord:
    """The usual study with three parts of the select split, one of them new, that everybody answers otherwise."""
    answers = {
        name: make_predictions(BINARY, spam_counts(290 - 8 * n, 10 + 8 * n, 5 + n, 715 - n), seed=n)
        for n, name in enumerate(CANDIDATES)
        if name not in failed
    }
    names = [NAMES[n % 3] for n in range(1_020)]
    return make_study(failed=failed).model_copy(
        update={
            "select_slices": sliced_on_select(answers, names, {"sms": 400, "mail": 300}),
            "slices_from": "by the values of the slice column",
        }
    )
