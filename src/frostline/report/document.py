"""`report.json`: everything the page says, as one document."""

from __future__ import annotations

import json
from typing import Any

from frostline.core.records import Run, StudyRecord, Verdict
from frostline.report.old_task_view import forgetting_sentence

SCHEMA = "frostline.report/1"


def report_document(study: StudyRecord, verdict: Verdict) -> dict[str, Any]:
    """The evidence and the answer, ready for `json.dumps`.

    The page is a function of this document alone: read it back with `StudyRecord.model_validate`
    and `Verdict.model_validate`, and `render_html` draws the same page.

    Args:
        study: All evidence.
        verdict: The answer to it.

    Returns:
        Plain values only. What is undefined or was not finite is None.
    """
    return {
        "schema": SCHEMA,
        # Through JSON text: pydantic turns non-finite numbers into null only there.
        "study": json.loads(study.model_dump_json()),
        "verdict": json.loads(verdict.model_dump_json()),
    }


def search_document(study: StudyRecord, verdict: Verdict) -> dict[str, Any]:
    """What `frostline search --json` prints: the verdict, and what it stands on in short.

    Args:
        study: All evidence.
        verdict: The answer to it.

    Returns:
        The keys of the verdict, with `chosen`, `candidates`, `cost`, `proof` and `forgetting`.
    """
    chosen = study.candidate(study.choice.candidate)
    answer: dict[str, Any] = json.loads(verdict.model_dump_json())
    return answer | {
        "chosen": {
            "candidate": chosen.id,
            "plan": chosen.plan,
            "freeze_depth": chosen.freeze_depth,
            "frozen": list(chosen.frozen),
            "reason": study.choice.reason,
        },
        "candidates": [_candidate(study, run) for run in study.runs],
        "cost": study.cost.model_dump(mode="json") | {"seconds": study.cost.seconds_s},
        "proof": _proof(study.runs),
        "forgetting": _forgetting(study),
    }


def _candidate(study: StudyRecord, run: Run) -> dict[str, Any]:
    candidate = study.candidate(run.candidate)
    result = study.result(run.candidate, "select")
    return candidate.model_dump(mode="json") | {
        "status": run.status,
        "best_epoch": run.best_epoch,
        "train_flops": run.train_flops,
        "tied": run.candidate in study.choice.tied,
        "select": {} if result is None else json.loads(result.measures.model_dump_json())["metrics"],
    }


def _forgetting(study: StudyRecord) -> dict[str, Any]:
    found = study.forgetting.get(study.choice.candidate)
    measured = {} if found is None else json.loads(found.model_dump_json())
    return {"measured": found is not None, "sentence": forgetting_sentence(study), **measured}


def _proof(runs: tuple[Run, ...]) -> dict[str, Any]:
    return {
        "frozen_unchanged": all(run.proof.holds for run in runs),
        "runs": {run.candidate: json.loads(run.proof.model_dump_json()) for run in runs},
    }
