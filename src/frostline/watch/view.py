"""What the page shows of a study, as plain data: the answer of `/state.json`."""

from __future__ import annotations

from typing import Literal

from frostline.core.records import Candidate, Epoch, Run, Standing, StudyRecord, Verdict
from frostline.core.settings import Settings
from frostline.report import words
from frostline.report.parts import Json
from frostline.watch.reading import Activity, Seen

State = Literal["open", "finished", "given up", "failed", "interrupted"]

_ENDED: dict[str, State] = {"finished": "finished", "failed": "failed", "paused": "given up"}
_ACTIVITIES: dict[Activity, str] = {
    "running": "A process is working on it.",
    "stopped": "Nobody is working on it. It goes on from here with --resume.",
    "finished": "It is finished.",
}


def state_of(
    name: str,
    settings: Settings,
    seen: Seen,
    activity: Activity,
    *,
    elapsed_s: float,
    idle_s: float,
    verdict: Verdict | None = None,
    report: bool = False,
) -> dict[str, Json]:
    """Everything the page shows.

    Args:
        name: Of the study.
        settings: What it was asked.
        seen: One look into its ledger.
        activity: What it is doing.
        elapsed_s: Since it was begun; of a finished one, what it took.
        idle_s: Since something was last acknowledged.
        verdict: Of a finished study.
        report: Whether its report can be asked for.

    Returns:
        Rates are fractions; what is undefined is None.
    """
    record = seen.record
    order = list(dict.fromkeys([*seen.epochs, *seen.runs]))
    return {
        "schema": "frostline.watch/1",
        "name": name,
        "model": settings.model,
        "data": settings.data,
        "activity": activity,
        "sentence": _ACTIVITIES[activity],
        "elapsed": words.duration(elapsed_s),
        "idle": words.duration(idle_s),
        "trained": words.duration(sum(epoch.seconds_s for own in seen.epochs.values() for epoch in own)),
        "stage": _stage(seen),
        "epochs": settings.epochs,
        "budget": _budget(settings),
        "runs": [_run(run, settings, seen, activity) for run in order],
        "points": [_point(run, epoch) for run in order for epoch in _epochs(run, seen)],
        "raced": settings.budget != "all",
        "decisions": [_decision(standing) for standing in (seen.decisions if record is None else record.race)],
        "chosen": None if record is None else _chosen(record),
        "verdict": None if verdict is None else {"name": verdict.verdict, "sentence": verdict.sentence},
        "report": report,
    }


def _budget(settings: Settings) -> str:
    if settings.budget == "all":
        return "every candidate to its end"
    return f"{settings.budget:g} full fine-tune{'' if settings.budget == 1 else 's'}"


def _stage(seen: Seen) -> str:
    if seen.record is not None:
        return "everything is done"
    if seen.openings:
        return "the test labels were read; the record is being written"
    if seen.epochs:
        return "candidates are trained"
    if seen.started:
        return "the pretrained model was probed; nothing is trained yet"
    return "data and model are read, and the pretrained model is probed"


def _epochs(run: str, seen: Seen) -> tuple[Epoch, ...]:
    concluded = seen.runs.get(run)
    return seen.epochs.get(run) or (concluded.epochs if concluded else ())


def _run(run: str, settings: Settings, seen: Seen, activity: Activity) -> dict[str, Json]:
    concluded, epochs = seen.runs.get(run), _epochs(run, seen)
    state, why = _state(run, concluded, epochs, settings, seen, activity)
    last = epochs[-1] if epochs else None
    best = min((e for e in epochs if e.stop_loss is not None), key=lambda e: e.stop_loss or 0.0, default=None)
    plan = _plan_of(concluded, seen.record)
    return {
        "run": run,
        "candidate": _name(run, concluded, settings),
        "plan": "" if plan is None else plan.plan,
        "state": state,
        "why": why,
        "epochs": 0 if last is None else last.epoch,
        "stop_loss": words.number(last.stop_loss) if last else "",
        "best_stop_loss": words.number(best.stop_loss) if best else "",
        "stop_accuracy": words.percent(last.stop_accuracy) if last else "",
    }


def _name(run: str, concluded: Run | None, settings: Settings) -> str:
    """The candidate of a run, and its seed where that is not the study's own."""
    candidate, _, seed = run.rpartition("-seed-")
    if concluded is not None:
        candidate, seed = concluded.candidate, str(concluded.seed)
    if not candidate:
        return run
    return candidate if seed == str(settings.seed) else f"{candidate} (seed {seed})"


def _plan_of(concluded: Run | None, record: StudyRecord | None) -> Candidate | None:
    if concluded is None or record is None:
        return None
    return next((candidate for candidate in record.candidates if candidate.id == concluded.candidate), None)


def _state(
    run: str, concluded: Run | None, epochs: tuple[Epoch, ...], settings: Settings, seen: Seen, activity: Activity
) -> tuple[State, str]:
    if concluded is not None:
        return _ENDED[concluded.status], concluded.ended
    if activity != "running":
        return "interrupted", f"after epoch {epochs[-1].epoch} of {settings.epochs}"
    if run == seen.latest:
        return "open", f"epoch {epochs[-1].epoch} of {settings.epochs} was the last to be acknowledged"
    if run in seen.paused:
        return "open", "paused in the race; it may go on or be given up"
    return "open", f"epoch {epochs[-1].epoch} of {settings.epochs}"


def _point(run: str, epoch: Epoch) -> dict[str, Json]:
    return {"run": run, "epoch": epoch.epoch, "loss": epoch.stop_loss, "accuracy": epoch.stop_accuracy}


def _decision(standing: Standing) -> dict[str, Json]:
    return {
        "candidate": standing.candidate,
        "rung": "" if standing.rung is None else str(standing.rung),
        "updates": words.count(standing.updates),
        "loss": "" if standing.loss is None else words.number(standing.loss),
        "decision": standing.decision,
        "reason": standing.reason,
    }


def _chosen(record: StudyRecord) -> dict[str, Json]:
    chosen = record.candidate(record.choice.candidate)
    return {"candidate": chosen.id, "plan": chosen.plan, "reason": record.choice.reason}
