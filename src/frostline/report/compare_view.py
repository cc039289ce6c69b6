"""Several studies of one data set side by side: what each chose, and what its verdict rests on.

Knows records, verdicts and words, neither HTML nor terminals. Studies are compared by what each of them measured by
itself: the true labels of the test split are not kept, so no test on the same examples is possible here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from frostline.core.errors import StudyError
from frostline.core.records import Candidate, Estimate, Opening, StudyRecord, Verdict
from frostline.report import words
from frostline.report.parts import Json, Row, Table
from frostline.report.verdict_view import build_verdict_view

WIDEST = 4
"""Studies beyond which each of them becomes a row instead of a column."""

OVERLAP = (
    "Intervals that overlap settle nothing: neither that two studies differ nor that they are equal. Each interval "
    "speaks of its own study; only answers to the same examples, compared one by one, could tell the two apart."
)


@dataclass(frozen=True, slots=True)
class Judged:
    """One finished study and its verdict."""

    record: StudyRecord
    verdict: Verdict

    @property
    def chosen(self) -> Candidate:
        return self.record.candidate(self.record.choice.candidate)

    @property
    def tested(self) -> Estimate | None:
        """The metric of the choice, of the chosen candidate, on the test split."""
        result = self.record.result(self.record.choice.candidate, "test")
        return None if result is None else result.measures.metrics.get(self.record.choice.metric)

    @property
    def validation_loss(self) -> float | None:
        """On the stop split, at the epoch whose weights were kept; None when nothing was trained or it broke down."""
        if not self.record.was_trained(self.chosen.id):
            return None
        run = self.record.run_of(self.chosen.id)
        return next((epoch.stop_loss for epoch in run.epochs if epoch.epoch == run.best_epoch), None)

    @property
    def full_finetunes(self) -> float | None:
        """What the search cost, in ordinary full fine-tunes."""
        cost = self.record.cost
        return cost.search_flops / cost.full_finetune_flops if cost.full_finetune_flops else None

    @property
    def seeds(self) -> int:
        """With which the chosen candidate was trained."""
        return 1 + sum(again.candidate == self.chosen.id for again in self.record.confirmations)

    @property
    def test_splits(self) -> frozenset[str]:
        """Content hashes of the test examples it read."""
        return frozenset(opening.test_sha256 for opening in self.record.openings)

    @property
    def readings(self) -> tuple[Opening, ...]:
        """Every known reading of its test labels, by earlier studies and by itself."""
        return (*self.record.earlier_openings, *self.record.openings)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareView:
    """All that is shown of several studies."""

    source: str
    names: tuple[str, ...]
    tones: tuple[str, ...]
    wide: bool
    """Whether studies stand side by side; when they are too many, each is a row."""
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    """What must be known before anything is read off the table."""


def compare_studies(studies: Sequence[tuple[str, Judged]]) -> CompareView:
    """Put studies of one data set side by side.

    Args:
        studies: At least two, each under the name it is given on the command line.

    Raises:
        StudyError: They are of different data.
    """
    refuse_different_data(studies)
    names, judged = _distinct([name for name, _ in studies]), [study for _, study in studies]
    facts = _facts(judged)
    wide = len(names) <= WIDEST
    return CompareView(
        source=judged[0].record.data.source,
        names=names,
        tones=tuple(build_verdict_view(study.verdict).tone for study in judged),
        wide=wide,
        tables=(_side_by_side(names, facts),) if wide else _below_each_other(names, facts),
        notes=_notes(names, judged),
    )


def refuse_different_data(studies: Sequence[tuple[str, Judged]]) -> None:
    """Nothing is compared between studies of different data.

    Raises:
        StudyError: One of them is of other data than the first.
    """
    first, judged = studies[0]
    data = judged.record.data
    for name, other in studies[1:]:
        theirs = other.record.data
        if theirs.content_sha256 != data.content_sha256:
            raise StudyError(
                f"{name} is a study of other data ({theirs.source}, content {theirs.content_sha256[:12]}) than {first} "
                f"({data.source}, content {data.content_sha256[:12]}). Compare studies of the same data."
            )


def same_test_split(studies: Sequence[Judged]) -> bool:
    """Whether all of them were tested on the same examples."""
    return len({study.test_splits for study in studies}) == 1


def compare_document(studies: Sequence[tuple[str, Judged]]) -> dict[str, Json]:
    """What `frostline compare --json` prints: rates as fractions, and null for what is undefined.

    Raises:
        StudyError: They are of different data.
    """
    refuse_different_data(studies)
    names, judged = _distinct([name for name, _ in studies]), [study for _, study in studies]
    data = judged[0].record.data
    return {
        "schema": "frostline.compare/1",
        "data": {"source": data.source, "content_sha256": data.content_sha256},
        "same_test_split": same_test_split(judged),
        "notes": list(_notes(names, judged)),
        "studies": [_document(name, study) for name, study in zip(names, judged, strict=True)],
    }


def _document(name: str, study: Judged) -> dict[str, Json]:
    record, verdict, chosen = study.record, study.verdict, study.chosen
    forgotten = record.forgetting.get(chosen.id)
    return {
        "study": name,
        "verdict": verdict.verdict,
        "exit_code": verdict.exit_code,
        "positive": verdict.positive,
        "chosen": {"candidate": chosen.id, "plan": chosen.plan, "freeze_depth": chosen.freeze_depth},
        "metric": record.choice.metric,
        "test": None if study.tested is None else study.tested.model_dump(),
        "floors": [floor.model_dump() for floor in verdict.floors],
        "validation_loss": study.validation_loss,
        "cost": {
            "search_flops": record.cost.search_flops,
            "full_finetune_flops": record.cost.full_finetune_flops,
            "full_finetunes": study.full_finetunes,
        },
        "forgetting": None if forgotten is None else forgotten.drop.model_dump(),
        "seeds": study.seeds,
        "findings": [finding.model_dump() for finding in verdict.findings],
        "test_sha256": list[Json](sorted(study.test_splits)),
        "test_openings": len(record.openings),
        "earlier_test_openings": len(record.earlier_openings),
    }


# ---------------------------------------------------------------- the facts


def _facts(studies: Sequence[Judged]) -> dict[str, tuple[str, ...]]:
    metrics = {study.record.choice.metric for study in studies}
    metric = words.heading(metrics.pop()) if len(metrics) == 1 else "Choice metric"
    where = "on test" if same_test_split(studies) else "on test, not of the same examples"
    return {
        "Verdict": tuple(study.verdict.verdict for study in studies),
        "Chosen plan": tuple(f"{study.chosen.id}: {study.chosen.plan}" for study in studies),
        "Freeze depth": tuple(f"{study.chosen.freeze_depth} of {len(study.record.blocks)} blocks" for study in studies),
        f"{metric} {where}": tuple(_tested(study, named=metric == "Choice metric") for study in studies),
        "Floors": tuple(_floors(study.verdict) for study in studies),
        "Validation loss": tuple(_loss(study) for study in studies),
        "Search, in full fine-tunes": tuple(words.number(study.full_finetunes, 2) for study in studies),
        "Forgetting of the old task": tuple(_forgotten(study) for study in studies),
        "Seeds": tuple(_seeds(study) for study in studies),
        "Findings": tuple(_findings(study.verdict) for study in studies),
        "Test labels read": tuple(_read(study) for study in studies),
    }


def _tested(study: Judged, *, named: bool) -> str:
    metric = study.record.choice.metric
    text = words.estimate_text(metric, study.tested)
    return f"{words.heading(metric)}: {text}" if named else text


def _floors(verdict: Verdict) -> str:
    met = {"yes": "met", "no": "not met", "cannot tell": "cannot tell"}
    lines = (
        f"{words.heading(floor.metric)} {words.demand(floor.metric, floor.floor)}: {met[floor.met]}"
        for floor in verdict.floors
    )
    return "\n".join(lines) or "none"


def _loss(study: Judged) -> str:
    if not study.record.was_trained(study.chosen.id):
        return f"{words.UNDEFINED} (nothing was trained)"
    return words.number(study.validation_loss)


def _forgotten(study: Judged) -> str:
    forgotten = study.record.forgetting.get(study.chosen.id)
    if forgotten is None:
        return "not measured"
    return f"{words.difference_text('accuracy', forgotten.drop)} points of accuracy lost"


def _seeds(study: Judged) -> str:
    record, metric = study.record, study.record.choice.metric
    again = [one.select for one in record.confirmations if one.candidate == study.chosen.id]
    if not again:
        return "1: no other was tried"
    chosen = record.result(study.chosen.id, "select")
    measured = [*([chosen.measures] if chosen else []), *again]
    values = [e.value for measures in measured if (e := measures.metrics[metric]).value is not None]
    if not values:
        return f"{study.seeds}; {words.metric_name(metric)} on select is {words.UNDEFINED}"
    low, high = words.metric_value(metric, min(values)), words.metric_value(metric, max(values))
    return f"{study.seeds}; {words.metric_name(metric)} on select from {low.removesuffix(' %')} to {high}"


def _findings(verdict: Verdict) -> str:
    return "\n".join(f"{finding.severity} {finding.code} {finding.name}" for finding in verdict.findings) or "none"


def _read(study: Judged) -> str:
    own, earlier = len(study.record.openings), len(study.record.earlier_openings)
    return f"{_times(own)} by it, {_times(earlier) if earlier else 'never'} before"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


# ---------------------------------------------------------------- tables and notes


def _side_by_side(names: tuple[str, ...], facts: dict[str, tuple[str, ...]]) -> Table:
    rows = tuple(Row((fact, *cells)) for fact, cells in facts.items())
    return Table(caption="Side by side", columns=("", *names), align="l" * (1 + len(names)), rows=rows)


def _below_each_other(names: tuple[str, ...], facts: dict[str, tuple[str, ...]]) -> tuple[Table, ...]:
    verdict, plan, depth, tested, floors, loss, cost, forgotten, seeds, findings, read = facts
    short = facts | {
        plan: tuple(cell.partition(": ")[0] for cell in facts[plan]),
        # Names of checks would not fit beside each other.
        findings: tuple(
            ", ".join(line.split()[1] for line in cell.split("\n") if " " in line) or cell for cell in facts[findings]
        ),
    }
    shown = {
        "Verdicts and costs": (verdict, plan, tested, loss, cost),
        "Plans and floors": (depth, floors, forgotten),
        "What they rest on": (seeds, findings, read),
    }
    return tuple(
        Table(
            caption=caption,
            columns=("Study", *columns),
            align="l" * (1 + len(columns)),
            rows=tuple(Row(cells) for cells in zip(names, *(short[column] for column in columns), strict=True)),
        )
        for caption, columns in shown.items()
    )


def _notes(names: Sequence[str], studies: Sequence[Judged]) -> tuple[str, ...]:
    return (*_about_test(names, studies), *_about_tasks(names, studies), OVERLAP)


def _about_test(names: Sequence[str], studies: Sequence[Judged]) -> tuple[str, ...]:
    readings: dict[frozenset[str], set[tuple[str, str]]] = {}
    for study in studies:
        readings.setdefault(study.test_splits, set()).update((o.at, o.answers_sha256) for o in study.readings)
    if len(readings) == 1:
        (read,) = readings.values()
        split = (
            "All of them were tested on the same examples: the same test split, of which the labels were read "
            f"{_times(len(read))} as far as these studies know."
        )
    else:
        by_split = (
            words.listed(tuple(n for n, study in zip(names, studies, strict=True) if study.test_splits == split))
            for split in readings
        )
        counted = "; ".join(
            f"that of {who}: {_times(len(read))}" for who, read in zip(by_split, readings.values(), strict=True)
        )
        split = (
            "Their test splits differ, so test numbers are not of the same examples and cannot be set against each "
            f"other. How often the labels were read: {counted}."
        )
    using = (
        "Whoever chooses among studies by their test numbers uses the test split for choosing: what is chosen then "
        "looks better on it than it is. Choose by the select split or by other reasons, or confirm on new data."
    )
    return split, using


def _about_tasks(names: Sequence[str], studies: Sequence[Judged]) -> tuple[str, ...]:
    notes = []
    positives = [study.verdict.positive for study in studies]
    if len(set(positives)) > 1:
        told = ", ".join(f"{name}: {positive}" for name, positive in zip(names, positives, strict=True))
        notes.append(
            f"They judge different positive labels ({told}): recall, precision and F1 are not of one question."
        )
    metrics = [words.metric_name(study.record.choice.metric) for study in studies]
    if len(set(metrics)) > 1:
        told = ", ".join(f"{name}: {metric}" for name, metric in zip(names, metrics, strict=True))
        notes.append(f"They chose by different metrics ({told}).")
    return tuple(notes)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names without a second of the same kind.

    >>> _distinct(["spam", "topics", "spam"])
    ('spam (1)', 'topics', 'spam (2)')
    """
    times, seen, distinct = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        distinct.append(f"{name} ({seen[name]})" if times[name] > 1 else name)
    return tuple(distinct)
