"""`card.md`: the model card of the chosen candidate, with the metadata that the Hugging Face Hub reads.

Says what the record knows, and where it does not know, that it does not.
"""

from __future__ import annotations

from pathlib import PurePath

from frostline.core.records import StudyRecord, Verdict
from frostline.report import words
from frostline.report.markdown import as_table, code, confusion, escaped, finding_items, items
from frostline.report.parts import Row, Table
from frostline.report.view import ReportView, build_view

Plain = str | int | float | list["Plain"] | dict[str, "Plain"]

_TASKS = {"text": "text-classification", "image": "image-classification", "table": "tabular-classification"}
_LOADERS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".parquet": "parquet"}
"""The `datasets` loader that reads such a file: what stands for a data set that has no name on the Hub."""
_METRICS = {"mcc": "matthews_correlation", "pr_auc": "average_precision", "brier": "brier_score"}
"""Names on the Hub, where they are not the same."""

_HUB_CACHE = "models--"
"""Begins a folder of the Hub's own cache, such as models--google--vit-base: no name on the Hub holds two dashes."""


def render_card(study: StudyRecord, verdict: Verdict) -> str:
    """The model card of a study.

    Args:
        study: All evidence.
        verdict: The answer to it.

    Returns:
        Markdown with YAML metadata before it. It depends on the two records alone.
    """
    view = build_view(study, verdict)
    sections = {
        "Verdict": _verdict(view),
        "What it is for, and what not": items(_purpose(study, verdict, view)),
        "What is frozen": _frozen(study, view),
        "Data and splits": _data(view),
        "Metrics on the test split": _metrics(view),
        "Confusion matrix": confusion(verdict, view.verdict.confusion),
        "Forgetting": "\n\n".join([escaped(view.forgotten), *([as_table(view.forgetting)] if view.forgetting else [])]),
        "Baselines": f"{as_table(view.beside)}\n\n{items([f'{name}: {what}' for name, what in view.who])}",
        "Costs": as_table(view.costs.table),
        "How it was made": _making(view),
        "Limits": _limits(verdict),
    }
    head = "\n".join(["---", *_block(card_metadata(study)), "---", "", f"# {escaped(study.name)}"])
    return "\n\n".join([head, *(f"## {title}\n\n{body}" for title, body in sections.items())]) + "\n"


def card_metadata(study: StudyRecord) -> dict[str, Plain]:
    """What the Hub reads: library, task, tags, and the metrics of the chosen candidate on the test split.

    Nothing in it is guessed: no licence and no language, which the record does not know, and a base model only
    where the folder it was read from is the Hub's own and so names it. A metric that is undefined is left out.
    """
    task = _TASKS[study.data.kind]
    base = _base_model(study)
    index = _model_index(study, task)
    return {
        "library_name": "transformers" if _is_transformers_folder(study) else "pytorch",
        "pipeline_tag": task,
        **({"base_model": base} if base else {}),
        "tags": ["frostline", "layer-freezing", task],
        **({"model-index": index} if index else {}),
    }


def _is_transformers_folder(study: StudyRecord) -> bool:
    chosen = study.candidate(study.choice.candidate)
    # A network that ends early or holds adapters is no longer one that transformers builds from its folder.
    return ":" not in _model(study) and not chosen.ends_after and chosen.spared != "adapters"


def _model(study: StudyRecord) -> str:
    return str(study.settings.get("model") or study.model)


def _base_model(study: StudyRecord) -> str:
    named = (part for part in PurePath(_model(study)).parts if part.startswith(_HUB_CACHE))
    return next(named, "").removeprefix(_HUB_CACHE).replace("--", "/")


def _model_index(study: StudyRecord, task: str) -> list[Plain]:
    tested = study.result(study.choice.candidate, "test")
    estimates = {} if tested is None else {**tested.measures.metrics, **tested.measures.scored}
    of = f" of {study.data.task.positive}" if study.data.task.positive else ", mean over the classes"
    metrics: list[Plain] = [
        {
            "type": _METRICS.get(metric, metric),
            "value": estimate.value,
            "name": words.heading(metric) + (of if metric in ("recall", "precision", "f1") else ""),
        }
        for metric, estimate in estimates.items()
        if estimate.value is not None
    ]
    source = PurePath(study.data.source)
    loader = "imagefolder" if study.data.kind == "image" else _LOADERS.get(source.suffix.lower(), "unknown")
    dataset: Plain = {"type": loader, "name": source.name or study.data.source, "split": "test"}
    results: list[Plain] = [{"task": {"type": task}, "dataset": dataset, "metrics": metrics}]
    return [{"name": study.name, "results": results}] if metrics else []


# ---------------------------------------------------------------- YAML: no more of it than the metadata needs


def _block(value: Plain, indent: int = 0) -> list[str]:
    pad = " " * indent
    if isinstance(value, dict):
        return [line for key, part in value.items() for line in _entry(f"{pad}{key}:", part, indent)]
    if isinstance(value, list):
        lines = []
        for part in value:
            first, *rest = _block(part, indent + 2)
            lines += [f"{pad}- {first.lstrip()}", *rest]
        return lines
    return [f"{pad}{_scalar(value)}"]


def _entry(key: str, value: Plain, indent: int) -> list[str]:
    return [key, *_block(value, indent + 2)] if isinstance(value, dict | list) else [f"{key} {_scalar(value)}"]


def _scalar(value: str | int | float) -> str:
    """Text always in double quotes, so that none is read as a number, a date or a Norwegian "no".

    >>> _scalar('"a" - b'), _scalar(0.5), _scalar(1e-05)
    ('"\\\\"a\\\\" - b"', '0.5', '0.0000100000')
    """
    if isinstance(value, str):
        return f'"{"".join(map(_character, value))}"'
    text = repr(value)
    return f"{value:.10f}" if "e" in text else text  # YAML 1.1 reads 1e-05 as text


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


# ---------------------------------------------------------------- the sections


def _verdict(view: ReportView) -> str:
    shown = view.verdict
    return "\n\n".join(
        (
            f"**{shown.name}.** {escaped(shown.sentence)}",
            items(shown.reasons),
            as_table(shown.floors),
            *([f"**Next:** {escaped(shown.next)}"] if shown.next else []),
        )
    )


def _purpose(study: StudyRecord, verdict: Verdict, view: ReportView) -> list[str]:
    task, kind = study.data.task, {"text": "texts", "image": "images", "table": "rows of numbers"}[study.data.kind]
    judged = f" It is judged by how it finds {task.positive}." if task.positive else ""
    fit = {
        "READY": "It is fit for production by the floors above, on inputs like those of the test split.",
        "NOT READY": "It is not for production: what was demanded is not met.",
        "INCONCLUSIVE": "It is not for production yet: what was demanded is not shown.",
        "INVALID": "It is for no use at all until the evidence is mended.",
    }[verdict.verdict]
    return [
        f"It answers one of {words.listed(task.labels)} for {kind} like those of {_name(study.data.source)}.{judged}",
        fit,
        "It always gives one of these answers, also to an input to which none applies.",
        view.sliced or "How it does on new patterns was not measured: the test split was not parted.",
        "Who will use it, in which language and place, under which licence, and whom a wrong answer harms: not known "
        "to the record. Whoever publishes it has to say.",
    ]


def _name(source: str) -> str:
    return PurePath(source).name or source


def _frozen(study: StudyRecord, view: ReportView) -> str:
    plan, chosen = view.plan, study.candidate(study.choice.candidate)
    trains = words.percent(chosen.trainable_share)
    other = "dropped" if chosen.ends_after else "trains"
    rows = tuple(Row((row.name, "frozen" if row.frozen else other, row.parameters)) for row in plan.rows)
    stack = Table(caption="Blocks in execution order", columns=("Block", "State", "Parameters"), align="llr", rows=rows)
    facts = f"{escaped(plan.candidate)}: {escaped(plan.sentence)}; {trains} of the parameters train."
    return "\n\n".join((facts, escaped(plan.reason), as_table(stack), as_table(view.proof)))


def _data(view: ReportView) -> str:
    tables = (view.splits, view.classes, view.audit, view.openings)
    return "\n\n".join([*map(as_table, tables), *([items(view.notes)] if view.notes else [])])


def _metrics(view: ReportView) -> str:
    shown = view.verdict
    several = shown.per_class if len(shown.confusion.labels) > 2 else None
    tables = (shown.metrics, shown.scored, several, view.without_overlap, view.thresholds, view.slices)
    return "\n\n".join(as_table(table) for table in tables if table is not None)


def _making(view: ReportView) -> str:
    base = f"From {escaped(view.model)}, at {escaped(view.created)} (UTC), by:"
    told = items([sentence for sentence in (view.raced, view.replayed) if sentence])
    seeds = as_table(view.seeds) if view.seeds else "Other seeds were not tried."
    tables = (as_table(view.settings), as_table(view.environment))
    return "\n\n".join(filter(None, (base, code(view.command), told, seeds, *tables)))


def _limits(verdict: Verdict) -> str:
    ignored = [check for check in verdict.checks if check.outcome == "ignored"]
    unasked = [f"{c.code} {words.plain(c.name)}: {c.sentence}" for c in verdict.checks if c.outcome == "not applicable"]
    parts = [finding_items((*verdict.findings, *ignored))]
    if unasked:
        parts += ["Not checked, for want of what it takes:", items(unasked)]
    return "\n\n".join(parts)
