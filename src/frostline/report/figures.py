"""The charts: their numbers, their words, their tables. Drawn by `templates/charts.js`."""

from __future__ import annotations

from collections.abc import Sequence

from frostline.core.records import Estimate, Result, Run, StudyRecord
from frostline.measure.curves import read_curve
from frostline.report import words
from frostline.report.parts import Figure, Json, Row, Table
from frostline.report.plan_view import axis_around, leading_plans, mark_of, select_estimate

COMPARED = ("recall", "precision", "f1", "accuracy")
"""Metrics shown where several contenders stand side by side."""

_ROOM_BELOW = 0.2
"""How far below the candidates an axis may reach for a baseline: a longer one would flatten every other difference."""


def depth_figure(study: StudyRecord) -> Figure:
    """The metric against the freeze depth: candidates, linear probes, baselines."""
    metric, plans = study.choice.metric, leading_plans(study)
    candidates = [(depth, c.id, select_estimate(study, c.id)) for depth, c in plans.items()]
    probes = [(p.depth, p.block, p.measures.metrics.get(metric)) for p in study.probes]
    shown = [estimate for _, _, estimate in (*candidates, *probes) if estimate is not None]
    axis = axis_around(shown)
    baselines = [(r.name, r.measures.metrics.get(metric)) for r in study.select if r.kind == "baseline"]
    drawn = [(name, e.value) for name, e in baselines if e and e.value is not None and e.value >= axis[0] - _ROOM_BELOW]
    axis = axis_around([*shown, *(Estimate(value=value) for _, value in drawn)])
    data: dict[str, Json] = {
        "metric": words.heading(metric),
        "blocks": len(study.blocks),
        "axis": list(axis),
        "candidates": [
            {"depth": depth, "name": name, "mark": mark_of(study, name), **_numbers(estimate)}
            for depth, name, estimate in candidates
        ],
        "probes": [{"depth": depth, "name": name, **_numbers(estimate)} for depth, name, estimate in probes],
        "baselines": [{"name": name, "value": value} for name, value in drawn],
    }
    return Figure(
        id="depth",
        title=f"Freeze depth and {words.metric_name(metric)}",
        alt=_depth_words(study),
        data=data,
        table=_depth_table(study, candidates, probes, baselines),
    )


def curves_figure(study: StudyRecord) -> Figure:
    """Loss and accuracy by epoch, on train and on validation, for the chosen and the full fine-tune."""
    chosen = study.choice.candidate
    runs = [study.run_of(name) for name in dict.fromkeys((chosen, study.reference)) if name]
    roles = {chosen: "chosen"}
    titles = {run.candidate: f"{run.candidate}, {roles.get(run.candidate, 'freezes nothing')}" for run in runs}
    points: list[Json] = []
    for run in runs:
        for epoch in run.epochs:
            common: dict[str, Json] = {"run": titles[run.candidate], "epoch": epoch.epoch}
            train = {"split": "train", "loss": epoch.train_loss, "accuracy": epoch.train_accuracy}
            stop = {"split": "validation", "loss": epoch.stop_loss, "accuracy": epoch.stop_accuracy}
            points += [{**common, **train}, {**common, **stop}]
    best: list[Json] = [{"run": titles[run.candidate], "epoch": run.best_epoch} for run in runs]
    seen: list[Json] = [
        {"run": titles[run.candidate], "first": sight.first_epoch, "last": sight.last_epoch, "kind": sight.kind}
        for run in runs
        for sight in read_curve(run)
    ]
    return Figure(
        id="curves",
        title="Loss and accuracy while training",
        alt=" ".join(filter(None, (*map(_curve_words, runs), *map(_seen_words, runs)))),
        data={"runs": list(titles.values()), "points": points, "best": best, "seen": seen},
        table=_curves_table(runs),
    )


def contenders_figure(study: StudyRecord) -> Figure:
    """The chosen candidate beside the full fine-tune and the baselines, on the test split."""
    chosen = study.choice.candidate
    points: list[Json] = []
    for result in study.test:
        for metric in COMPARED:
            estimate = result.measures.metrics.get(metric)
            text = words.metric_value(metric, estimate.value if estimate else None)
            common: dict[str, Json] = {"name": result.name, "metric": words.heading(metric), "text": text}
            points.append({**common, "mark": "chosen" if result.name == chosen else "", **_numbers(estimate)})
    return Figure(
        id="contenders",
        title="The chosen candidate beside the others, on the test split",
        alt="; ".join(_contender_words(result, study.choice.metric) for result in study.test) + ".",
        data={
            "points": points,
            "names": [result.name for result in study.test],
            "metrics": [words.heading(metric) for metric in COMPARED],
            "start": _start(study),
        },
        table=contenders_table(study.test, chosen, "On the test split"),
    )


def _start(study: StudyRecord) -> float:
    """Where the axis of the contenders begins: a little below the chosen candidate's intervals."""
    tested = study.result(study.choice.candidate, "test")
    shown = [] if tested is None else [e for m in COMPARED if (e := tested.measures.metrics.get(m))]
    return max(0.0, axis_around(shown)[0] - _ROOM_BELOW)


def costs_figure(study: StudyRecord) -> Figure:
    """What the search cost beside one full fine-tune, the ordinary sweep and its lower bound."""
    cost = study.cost
    entries = (
        ("This search", cost.search_flops),
        ("One full fine-tune", cost.full_finetune_flops),
        ("Every candidate, the ordinary way", cost.sweep_flops),
        ("Lower bound of that sweep", cost.bound_flops),
    )
    full = cost.full_finetune_flops
    rows = tuple(
        Row((name, words.flops(flops), f"{flops / full:.2f}" if full else words.UNDEFINED)) for name, flops in entries
    )
    return Figure(
        id="costs",
        title="What finding the plan cost",
        alt="; ".join(f"{name}: {words.flops(flops)}" for name, flops in entries) + ".",
        data={"bars": [{"name": name, "flops": flops, "text": words.flops(flops)} for name, flops in entries]},
        table=Table(
            caption="Work, measured in floating-point operations",
            columns=("What", "Work", "In full fine-tunes"),
            align="lrr",
            rows=rows,
            note=f"The whole study took {words.duration(cost.seconds_s)}.",
        ),
    )


def contenders_table(results: Sequence[Result], chosen: str, caption: str) -> Table:
    """Contenders side by side, each metric with its interval."""
    estimates = [e for result in results for metric in COMPARED if (e := result.measures.metrics.get(metric))]
    rows = tuple(
        Row(
            (
                result.name,
                *(words.estimate_text(metric, result.measures.metrics.get(metric)) for metric in COMPARED),
                words.number(result.measures.loss),
            ),
            "chosen" if result.name == chosen else "",
        )
        for result in results
    )
    examples = results[0].measures.examples if results else 0
    return Table(
        caption=f"{caption} ({words.count(examples)} examples)",
        columns=("Contender", *map(words.heading, COMPARED), "Loss"),
        align="lrrrrr",
        rows=rows,
        note=words.methods(e.method for e in estimates),
    )


def _numbers(estimate: Estimate | None) -> dict[str, Json]:
    if estimate is None:
        return {"value": None, "low": None, "high": None}
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _depth_words(study: StudyRecord) -> str:
    metric, choice = study.choice.metric, study.choice
    chosen = words.estimate_text(metric, select_estimate(study, choice.candidate))
    best = words.estimate_text(metric, select_estimate(study, choice.best))
    return (
        f"{words.metric_name(metric)} on the select split: {chosen} for the chosen {choice.candidate}, "
        f"{best} for the best, {choice.best}. Tied: {words.listed(choice.tied)}."
    )


Point = tuple[int, str, Estimate | None]


def _depth_table(
    study: StudyRecord,
    candidates: Sequence[Point],
    probes: Sequence[Point],
    baselines: Sequence[tuple[str, Estimate | None]],
) -> Table:
    metric = study.choice.metric
    rows = [
        Row((name, str(depth), words.estimate_text(metric, estimate)), mark_of(study, name))
        for depth, name, estimate in candidates
    ]
    rows += [
        Row((f"linear probe after {block}", str(depth), words.estimate_text(metric, estimate)))
        for depth, block, estimate in probes
    ]
    rows += [Row((name, "", words.estimate_text(metric, estimate))) for name, estimate in baselines]
    return Table(
        caption=f"{words.heading(metric)} on the select split",
        columns=("Contender", "Freeze depth", words.heading(metric)),
        align="lrr",
        rows=tuple(rows),
        note="A linear probe is a linear classifier on the untouched pretrained features after that block.",
    )


def _curve_words(run: Run) -> str:
    best = next((epoch for epoch in run.epochs if epoch.epoch == run.best_epoch), None)
    if best is None:
        return f"{run.candidate}: no epoch was finished."
    return (
        f"{run.candidate}: the validation loss is lowest at epoch {run.best_epoch} ({words.number(best.stop_loss)}), "
        f"with a validation accuracy of {words.percent(best.stop_accuracy)}; {run.ended}."
    )


def _seen_words(run: Run) -> str:
    """What was seen on a curve; empty when nothing was."""
    seen = read_curve(run)
    return f"Seen on {run.candidate}: {' '.join(sight.sentence for sight in seen)}" if seen else ""


def _curves_table(runs: Sequence[Run]) -> Table:
    rows = tuple(
        Row(
            (
                run.candidate,
                f"{epoch.epoch} (best)" if epoch.epoch == run.best_epoch else str(epoch.epoch),
                "" if epoch.epoch == 0 else words.number(epoch.train_loss),
                words.number(epoch.stop_loss),
                "" if epoch.epoch == 0 else words.percent(epoch.train_accuracy),
                words.percent(epoch.stop_accuracy),
            ),
            "chosen" if epoch.epoch == run.best_epoch else "",
        )
        for run in runs
        for epoch in run.epochs
    )
    return Table(
        caption="Loss and accuracy by epoch",
        columns=("Run", "Epoch", "Train loss", "Validation loss", "Train accuracy", "Validation accuracy"),
        align="lrrrrr",
        rows=rows,
        note=" ".join(
            (
                "Epoch 0 is the model before training. Validation is the stop split: it decides when training ends.",
                *filter(None, map(_seen_words, runs)),
            )
        ),
    )


def _contender_words(result: Result, metric: str) -> str:
    estimate = words.estimate_text(metric, result.measures.metrics.get(metric))
    return f"{result.name} has {words.metric_name(metric)} {estimate}"
