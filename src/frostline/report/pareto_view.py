"""New task against old task: who is best at both, drawn as a front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frostline.core.records import Estimate, StudyRecord
from frostline.report import words
from frostline.report.parts import Figure, Json, Mark, Row, Table


@dataclass(frozen=True, slots=True)
class Both:
    """One network on both tasks."""

    name: str
    new: Estimate
    """Of the metric that the choice was made by, on the select split."""
    old: Estimate
    """Accuracy on the old task."""

    def is_beaten_by(self, other: Both) -> bool:
        """Whether the other is no worse on both tasks and better on one."""
        mine, its = _values(self), _values(other)
        return its != mine and all(a >= b for a, b in zip(its, mine, strict=True))


def networks_on_both(study: StudyRecord) -> tuple[Both, ...]:
    """Every finalist and every setting of the dial that was asked for both tasks."""
    metric = study.choice.metric
    found: dict[str, Both] = {}
    for name, forgotten in study.forgetting.items():
        result = study.result(name, "select")
        if result is not None:
            found[name] = Both(name, result.measures.metrics[metric], forgotten.after)
    for point in study.dial:
        found.setdefault(point.candidate, Both(point.candidate, point.select.metrics[metric], point.forgetting.after))
    return tuple(both for both in found.values() if None not in (both.new.value, both.old.value))


def pareto_front(networks: Sequence[Both]) -> tuple[Both, ...]:
    """Those that nobody beats on both tasks, by falling accuracy on the old one."""
    front = [both for both in networks if not any(both.is_beaten_by(other) for other in networks)]
    return tuple(sorted(front, key=lambda both: -_values(both)[1]))


def pareto_figure(study: StudyRecord) -> Figure | None:
    """The new task against the old one; None when fewer than two networks were asked for both."""
    networks = networks_on_both(study)
    if len(networks) < 2:
        return None
    front, metric = pareto_front(networks), study.choice.metric
    before = next(iter(study.forgetting.values())).before.value if study.forgetting else None
    points: list[Json] = [
        {
            "name": both.name,
            "mark": _mark(study, both),
            "front": both in front,
            **_sides("new", both.new),
            **_sides("old", both.old),
        }
        for both in networks
    ]
    names = words.listed(tuple(both.name for both in front))
    return Figure(
        id="pareto",
        title="The new task against the old one",
        alt=f"Nobody is better on both tasks than {names}.",
        data={"metric": words.heading(metric), "points": points, "before": before},
        table=Table(
            caption="Both tasks",
            columns=("Network", f"{words.heading(metric)} on select", "Accuracy on the old task", "On the front"),
            align="lrrl",
            rows=tuple(
                Row(
                    (
                        both.name,
                        words.estimate_text(metric, both.new),
                        words.estimate_text("accuracy", both.old),
                        "yes" if both in front else "no",
                    ),
                    _mark(study, both),
                )
                for both in networks
            ),
            note="On the front stands who is beaten by nobody on both tasks at once.",
        ),
    )


def _values(both: Both) -> tuple[float, float]:
    return both.new.value or 0.0, both.old.value or 0.0


def _mark(study: StudyRecord, both: Both) -> Mark:
    return "chosen" if both.name == study.choice.candidate else ""


def _sides(name: str, estimate: Estimate) -> dict[str, Json]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
