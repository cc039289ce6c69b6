"""FRL106: scores that cannot be read as probabilities."""

from __future__ import annotations

from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import percent, points

FEWEST = 500
"""Examples below which chance alone gives perfect scores an error about as large as `LARGEST`."""
LARGEST = 0.05
"""Calibration error up to which nobody would decide otherwise."""


@check(code="FRL106", name="miscalibrated", severity="note")
def miscalibrated(evidence: Evidence) -> Answer:
    """Can the scores be read as probabilities?"""
    calibration, examples = evidence.measures.calibration, evidence.measures.examples
    if calibration is None:
        raise NotApplicable("it reads scores, and only labels are known")
    if examples < FEWEST:
        raise NotApplicable(f"there are {examples:,} examples, and calibration is asked of {FEWEST} or more")
    said = (
        f"scores and observed shares are {points(calibration.error)} apart on average, and perfect scores would show "
        f"up to {points(calibration.null_error)} on {examples:,} examples"
    )
    if calibration.error <= max(LARGEST, calibration.null_error):
        return passed(f"On these examples {said}.")
    mean_score = sum(b.examples * b.score for b in calibration.bins) / examples
    mean_observed = sum(b.examples * b.observed for b in calibration.bins) / examples
    return note(
        f"The scores are no probabilities: {said}. Their mean is {percent(mean_score)}, and "
        f"{percent(mean_observed)} {_came_true(evidence)}.",
        "Do not read a score as a probability: fit a temperature to the scores on the select split (or another that "
        "judges nothing), or use them to rank only.",
    )


def _came_true(evidence: Evidence) -> str:
    positive = evidence.task.positive
    return "of the answers were right" if positive is None else f"of the examples are {positive!r}"
