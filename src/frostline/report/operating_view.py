"""Where to answer "positive", and whether scores are probabilities: thresholds on select, calibration on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frostline.core.records import CurvePoint, StudyRecord, ThresholdChoice
from frostline.report import words
from frostline.report.parts import Figure, Json, Row, Table

SHOWN = 10
"""Thresholds in the table: enough to see the trade without scripts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingView:
    """Thresholds on the score of the positive class, measured on the select split."""

    positive: str
    last: int
    """Number of the last point of the slider; the first is 0, with the lowest threshold."""
    start: int
    """Number of the point that the slider begins at."""
    alt: str
    data: Mapping[str, Json]
    """For `operating` in `templates/live.js`; points from the lowest threshold to the highest."""
    table: Table


def operating_view(study: StudyRecord) -> OperatingView | None:
    """What other thresholds would give on the select split.

    The test split has no part in it: a threshold chosen on what judges would flatter the verdict.

    Args:
        study: All evidence.

    Returns:
        The slider, its curve and its table; None unless the chosen candidate has scores for two classes.
    """
    chosen = study.choice.candidate
    result = study.result(chosen, "select")
    counts = result.measures.confusion.binary if result else None
    if result is None or counts is None or not result.measures.curve:
        return None
    points = result.measures.curve[::-1]
    positives, negatives = counts["tp"] + counts["fn"], counts["fp"] + counts["tn"]
    fixed = study.thresholds.get(chosen)
    # With an aim the test split is answered from another score on than the select split was chosen by.
    found = _counts_of(fixed, positives) if fixed is not None else (counts["tp"], counts["fp"])
    present = [n for n, point in enumerate(points) if (point.tp, point.fp) == found]
    start = present[0] if present else min(range(len(points)), key=lambda n: abs(_answered(points[n]) - sum(found)))
    confusion = result.measures.confusion
    positive = confusion.positive or ""
    other = next((label for label in confusion.labels if label != positive), f"not {positive}")
    at = 0.5 if fixed is None else fixed.at
    said = _reading(points[start], positives)
    return OperatingView(
        positive=positive,
        last=len(points) - 1,
        start=start,
        alt=f"Answering {positive} at a score of {words.number(at)} or more gives recall {said[0]}, "
        f"precision {said[1]} and F1 {said[2]}, all on the select split."
        if present
        else f"The present answers of {chosen} lie at no threshold of this curve; it begins at the nearest.",
        data={
            "positive": positive,
            "other": other,
            "positives": positives,
            "negatives": negatives,
            "current": start if present else None,
            "at": at,
            "points": [[float(f"{point.threshold:.5g}"), point.tp, point.fp] for point in points],
        },
        table=_thresholds(points, start if present else None, positives, negatives, positive),
    )


def calibration_figure(study: StudyRecord) -> Figure | None:
    """Mean scores of the chosen candidate beside what came true, on the test split; None without scores."""
    result = study.result(study.choice.candidate, "test")
    calibration = result.measures.calibration if result else None
    if calibration is None or not calibration.bins:
        return None
    positive = study.data.task.positive
    of = f"score of {positive}" if positive is not None else "score of the answer given"
    came = f"truly {positive}" if positive is not None else "answered right"
    within = calibration.error <= calibration.null_error
    return Figure(
        id="calibration",
        title="Can the scores be read as probabilities?",
        alt=f"On the test split the {of} lies {100 * calibration.error:.1f} points from the share {came}, in the mean; "
        f"perfectly calibrated scores of as many examples stay below {100 * calibration.null_error:.1f} in 95 of "
        f"100 cases, so {'this may be chance' if within else 'this is more than chance'}.",
        data={
            "score": f"mean {of}",
            "observed": f"share {came}",
            "bins": [
                {"examples": bin.examples, "value": bin.score, "observed": bin.observed} for bin in calibration.bins
            ],
        },
        table=Table(
            caption=f"Calibration of {study.choice.candidate} on the test split",
            columns=(f"Mean {of}", f"Share {came}", "Examples"),
            align="rrr",
            rows=tuple(
                Row((words.percent(bin.score), words.percent(bin.observed), words.count(bin.examples)))
                for bin in calibration.bins
            ),
            note="Examples in groups of equal size, by their score. On the diagonal a score is a probability; above it "
            "the model is more often right than it claims, below it less.",
        ),
    )


def _counts_of(fixed: ThresholdChoice, positives: int) -> tuple[int, int]:
    """True and false positives on the select split from the threshold that was fixed there."""
    recall, precision = fixed.select["recall"].value or 0.0, fixed.select["precision"].value
    tp = round(recall * positives)
    # Without precision nothing is answered; with none right, how many are answered is not in the record.
    return tp, round(tp / precision) - tp if precision else 0


def _answered(point: CurvePoint) -> int:
    return point.tp + point.fp


def _reading(point: CurvePoint, positives: int) -> tuple[str, str, str]:
    """Recall, precision and F1; what has no denominator is undefined."""
    answered = _answered(point)
    return (
        words.share(point.tp, positives),
        words.share(point.tp, answered),
        words.share(2 * point.tp, positives + answered),
    )


def _thresholds(
    points: Sequence[CurvePoint], current: int | None, positives: int, negatives: int, positive: str
) -> Table:
    """Thresholds spread evenly over those there are, the current one among them."""
    last, steps = len(points) - 1, SHOWN - 1
    spread = {round(step * last / steps) for step in range(SHOWN)}
    if current is not None and current not in spread:
        # The current one takes the place of its neighbour, so that there are still as many.
        inner = spread - {0, last} or spread
        spread = spread - {min(inner, key=lambda n: abs(n - current))} | {current}
    rows = []
    for n in sorted(spread):
        point = points[n]
        counts = (point.tp, positives - point.tp, point.fp, negatives - point.fp)
        cells = (f"{point.threshold:.3g}", *_reading(point, positives), *map(words.count, counts))
        rows.append(Row(cells, "chosen" if n == current else ""))
    return Table(
        caption=f"What a threshold on the score of {positive} gives, on the select split",
        columns=(
            "From a score of",
            "Recall",
            "Precision",
            "F1",
            "Found",
            "Missed",
            "False alarms",
            "Rightly left alone",
        ),
        align="rrrrrrrr",
        rows=tuple(rows),
        note="Measured on the select split, never on test. The row in bold gives the present answers; the others look "
        "a little better here than they would on new examples if you choose among them.",
    )
