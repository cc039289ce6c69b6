"""New patterns and thresholds: candidates part by part, and from which score on the chosen one answers."""

from __future__ import annotations

from frostline.core.records import SelectSlice, Slice, StudyRecord
from frostline.measure.slices import slice_metrics
from frostline.report import words
from frostline.report.parts import Mark, Row, Table

UNSEEN = "new: none in training"


def slices_sentence(study: StudyRecord) -> str:
    """What the parts are, and how many of them training had not seen; empty without any."""
    if not study.slices:
        return ""
    unseen = sum(part.in_training == 0 for part in study.slices)
    said = f"{unseen} of them new to the model" if unseen else "all of them met in training"
    return f"The test split in {len(study.slices)} parts ({study.slices_from}), {said}."


def slices_table(study: StudyRecord) -> Table | None:
    """Each part of the test split with its metrics; None when it was not parted."""
    if not study.slices:
        return None
    shown = slice_metrics(study.data.task)
    return Table(
        caption="Part by part, on the test split",
        columns=(
            "Part",
            "Examples",
            "In training",
            *map(words.heading, shown),
            f"{words.heading(shown[0])} minus that elsewhere, in points",
            "p, corrected",
        ),
        align=f"lrr{'r' * len(shown)}rr",
        rows=tuple(_row(part, shown) for part in study.slices),
        note="p by the mid-p of Fisher's exact test, corrected for the number of parts (Benjamini and Hochberg). A "
        "part with few examples has a wide interval: read that, not the value.",
    )


def _row(part: Slice, shown: tuple[str, ...]) -> Row:
    cells = (
        part.name,
        words.count(part.examples),
        _met(part.in_training),
        *(words.estimate_text(metric, part.measures.metrics[metric]) for metric in shown),
        words.difference_text("recall", part.against_rest),
        words.p_value(part.against_rest.adjusted_p),
    )
    return Row(cells, _new(part.in_training))


def _met(in_training: int) -> str:
    return words.count(in_training) if in_training else UNSEEN


def _new(in_training: int) -> Mark:
    return "" if in_training else "unsure"


def select_slices_table(study: StudyRecord, candidate: str) -> Table | None:
    """Each part of the select split as one candidate answers it; None when it was not parted, or not answered."""
    if not any(candidate in part.metrics for part in study.select_slices):
        return None
    shown = slice_metrics(study.data.task)
    usual = " Everybody answers the most probable class here, whatever the threshold." if study.thresholds else ""
    return Table(
        caption=f"{candidate} part by part, on the select split",
        columns=("Part", "Examples", "In training", *map(words.heading, shown)),
        align=f"lrr{'r' * len(shown)}",
        rows=tuple(_select_row(part, candidate, shown) for part in study.select_slices),
        note=f"Parts: {study.slices_from}. The choice was made on these examples, and nothing is judged by them: the "
        f"test split stays sealed for whoever is no finalist.{usual} A part with few examples has a wide interval: "
        "read that, not the value.",
    )


def _select_row(part: SelectSlice, candidate: str, shown: tuple[str, ...]) -> Row:
    texts = (words.estimate_text(metric, part.metrics[candidate][metric]) for metric in shown)
    return Row((part.name, words.count(part.examples), _met(part.in_training), *texts), _new(part.in_training))


def thresholds_table(study: StudyRecord) -> Table | None:
    """From which score on the positive class is answered; None when no aim was stated."""
    if not study.thresholds:
        return None
    rows = []
    for name, chosen in study.thresholds.items():
        for at, estimates in ((chosen.at, chosen.select), (0.5, chosen.default)):
            texts = (words.estimate_text(metric, estimates.get(metric)) for metric in ("recall", "precision", "f1"))
            mark: Mark = "chosen" if name == study.choice.candidate and estimates is chosen.select else ""
            rows.append(Row((name, f"{at:.3g}", *texts), mark))
    aims = words.listed(tuple(dict.fromkeys(chosen.aim for chosen in study.thresholds.values())))
    costs = {n: c.cost_per_1000 for n, c in study.thresholds.items() if c.cost_per_1000 is not None}
    dear = (
        f" Cost of 1,000 examples: {'; '.join(f'{name} {cost:,.1f}' for name, cost in costs.items())}." if costs else ""
    )
    return Table(
        caption=f"Threshold, chosen on the select split for: {aims}",
        columns=("Contender", "From a score of", "Recall", "Precision", "F1"),
        align="lrrrr",
        rows=tuple(rows),
        note="Fixed before the test labels were read; the rows at 0.5 show what the usual threshold gives on the same "
        f"split. A threshold looks a little better on the examples it was chosen on.{dear}",
    )
