"""The tables that stand behind the verdict: comparisons, proof, data, surroundings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from frostline.core.records import Audit, DataSummary, Proof, SplitName, StudyRecord
from frostline.report import words
from frostline.report.figures import COMPARED
from frostline.report.parts import Mark, Row, Table

_SPLITS: dict[SplitName, str] = {
    "train": "fits the weights",
    "stop": "validation: says when to stop training",
    "select": "chooses the plan",
    "test": "sealed; judges the chosen plan",
}


def differences_table(study: StudyRecord) -> Table:
    """Paired differences between the chosen candidate and each other contender."""
    metric = study.choice.metric
    rows = []
    for comparison in study.comparisons:
        texts = (words.difference_text(name, comparison.differences.get(name)) for name in COMPARED)
        against = comparison.differences.get(metric)
        p = words.p_value(
            None if against is None else against.adjusted_p if against.adjusted_p is not None else against.p
        )
        rows.append(Row((f"{comparison.first} minus {comparison.second}", comparison.split, *texts, p)))
    return Table(
        caption="Paired differences on the same examples, in percentage points",
        columns=(
            "Compared",
            "Split",
            *(words.heading(name) for name in COMPARED),
            f"p ({words.metric_name(metric)})",
        ),
        align="llrrrrr",
        rows=tuple(rows),
        note=" ".join(
            (
                "An interval that holds 0 means the two cannot be told apart. Where several are compared on a split, p "
                "is corrected for their number (Holm).",
                *(c.non_inferiority.sentence for c in study.comparisons if c.non_inferiority is not None),
                words.methods(d.method for c in study.comparisons for d in c.differences.values()),
            )
        ),
    )


def beside_table(study: StudyRecord) -> Table:
    """The deciding metric of every contender, and the paired difference of the chosen one to it."""
    metric, chosen = study.choice.metric, study.choice.candidate
    rows = []
    for result in study.test:
        comparison = study.comparison(chosen, result.name, "test")
        difference = words.difference_text(metric, comparison.differences.get(metric)) if comparison else ""
        estimate = words.estimate_text(metric, result.measures.metrics.get(metric))
        rows.append(Row((result.name, estimate, difference), "chosen" if result.name == chosen else ""))
    return Table(
        caption=f"{words.heading(metric)} on the test split",
        columns=("Contender", f"{words.heading(metric)} (95 % interval)", f"{chosen} minus it, in points"),
        align="lrr",
        rows=tuple(rows),
        note="A difference whose interval holds 0 may be noise.",
    )


def head_rates_table(study: StudyRecord) -> Table | None:
    """Learning rates of the head, tried on fixed features; None when none were tried."""
    if not study.head_rates:
        return None
    rows = []
    for rate in study.head_rates:
        fresh = [loss for loss in rate.fresh_losses if loss is not None]
        spread = f"{words.number(min(fresh))} to {words.number(max(fresh))}" if fresh else words.UNDEFINED
        reached = words.number(rate.loss) if rate.best_epoch else "no better than its start"
        rows.append(Row((f"{rate.learning_rate:g}", reached, str(rate.best_epoch), spread)))
    return Table(
        caption="Learning rates of the head, tried on the pretrained features",
        columns=("Rate", "Validation loss from the fitted head", "Best epoch", "From random heads"),
        align="rrrr",
        rows=tuple(rows),
        note="All train as one matrix product. The rate that gets the fitted head furthest is taken for all plans.",
    )


def proof_table(study: StudyRecord) -> Table:
    """What shows that the frozen part of the chosen run did not move."""
    proof = study.run_of(study.choice.candidate).proof
    held = sum(run.proof.holds for run in study.runs)
    rows = (
        Row(("The freeze", "holds" if proof.holds else "is broken"), "good" if proof.holds else "bad"),
        Row(("Frozen tensors", words.count(proof.frozen_tensors))),
        Row(("SHA-256 before training", proof.sha256_before)),
        Row(("SHA-256 after training", proof.sha256_after), _same(proof)),
        _none_expected("Tensors that changed", proof.changed),
        _none_expected("Frozen parameters the optimizer held", proof.optimizer_holds),
        _none_expected("Frozen modules that ran in training mode", proof.training_mode),
        Row(("Runs whose freeze holds", f"{held} of {len(study.runs)}"), "good" if held == len(study.runs) else "bad"),
    )
    return _facts(f"Proof of the freeze of {study.choice.candidate}", rows)


def splits_table(data: DataSummary) -> Table:
    """What each split is for, its size, and where it comes from."""
    return Table(
        caption="Splits",
        columns=("Split", "What it does", "Examples", "Comes from"),
        align="llrl",
        rows=tuple(Row((s.name, _SPLITS[s.name], words.count(s.examples), s.origin)) for s in data.splits),
    )


def classes_table(data: DataSummary) -> Table:
    """How many examples of each class a split holds."""
    return Table(
        caption="Classes in each split",
        columns=("Class", *(split.name for split in data.splits)),
        align=f"l{'r' * len(data.splits)}",
        rows=tuple(
            Row((label, *(_class_size(split.per_class.get(label, 0), split.examples) for split in data.splits)))
            for label in data.task.labels
        ),
    )


def audit_table(data: DataSummary) -> Table:
    """What was found wrong inside and between the splits."""
    audit: Audit = data.audit
    rows = [
        Row(("Exact copies dropped", words.count(audit.dropped_copies))),
        Row(("Inputs with two different labels", words.count(audit.conflicting))),
        Row(("Dropped from training because a later split holds them", words.count(audit.dropped_from_training))),
    ]
    rows += [
        Row(
            (
                f"Examples of {overlap.later} that also stand in {overlap.earlier}",
                f"{words.count(overlap.examples)} ({words.percent(overlap.share)}): {'; '.join(overlap.sample)}",
            ),
            "bad" if overlap.examples else "",
        )
        for overlap in audit.overlaps
    ]
    rows.append(Row(("SHA-256 of the content", data.content_sha256)))
    return _facts("Audit of the data", rows)


def openings_table(study: StudyRecord) -> Table:
    """Every reading of the sealed test labels."""
    mark: Mark = "good" if len(study.openings) == 1 and not study.earlier_openings else "bad"
    rows = tuple(
        Row((str(number), opening.at, words.listed(opening.contenders), opening.test_sha256[:12]), mark)
        for number, opening in enumerate(study.openings, start=1)
    )
    earlier = tuple(
        Row(
            (f"earlier, by {opening.study}", opening.at, words.listed(opening.contenders), opening.test_sha256[:12]),
            "bad",
        )
        for opening in study.earlier_openings
    )
    return Table(
        caption="Openings of the sealed test split",
        columns=("Opening", "At (UTC)", "For", "Test SHA-256 begins"),
        align="llll",
        rows=(*earlier, *rows),
        note="Labels that are read again after a choice was changed no longer judge it.",
    )


def settings_table(study: StudyRecord) -> Table:
    """What was asked for."""
    return _mapping("Settings", study.settings)


def environment_table(study: StudyRecord) -> Table:
    """Where it ran."""
    return _mapping("Environment", study.environment)


def _mapping(caption: str, values: Mapping[str, object]) -> Table:
    return _facts(
        caption,
        (Row((key.replace("_", " "), "none" if value is None else str(value))) for key, value in values.items()),
    )


def _facts(caption: str, rows: Iterable[Row]) -> Table:
    return Table(caption=caption, columns=("What", "Found"), align="ll", rows=tuple(rows))


def _same(proof: Proof) -> Mark:
    return "good" if proof.sha256_before == proof.sha256_after else "bad"


def _none_expected(what: str, names: tuple[str, ...]) -> Row:
    return Row((what, words.listed(names)), "bad" if names else "good")


def _class_size(examples: int, total: int) -> str:
    return f"{words.count(examples)} ({words.share(examples, total)})"
