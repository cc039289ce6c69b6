"""FRL206: another seed, another answer."""

from __future__ import annotations

from statistics import mean, stdev

from frostline.core.records import StudyRecord
from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import NAMES, points, value_text

TRAININGS = 3
"""Fewer say nothing of how much a result depends on its seed."""
SPREAD = 0.02
"""Standard deviation over seeds from which a result is unstable."""
CHI_OF_THREE, WIDTH_IN_ERRORS = 1.73, 3.92
"""Root of the 95th percentile of chi-squared over its two degrees of freedom; width of a 95 % interval in errors."""


@check(code="FRL206", name="seeds-disagree", severity="issue")
def seeds_disagree(evidence: Evidence) -> Answer:
    """Do trainings with other seeds give the same answer?"""
    study = evidence.needs_study()
    chosen, rival = _confirmed(study)
    own, name = evidence.over_seeds(chosen), NAMES[study.choice.metric]
    if len(own) < TRAININGS:
        raise NotApplicable(
            f"{chosen} was trained with {len(own)} seeds, and a spread needs {TRAININGS}: --seeds {TRAININGS}"
        )
    values, spread = list(own.values()), stdev(own.values())
    middle = value_text(study.choice.metric, mean(values))
    seen = f"over {len(own)} seeds {name} of {chosen} is {middle} with a standard deviation of {points(spread)}"
    other = {} if rival is None else evidence.over_seeds(rival)
    leads = [own[seed] - other[seed] for seed in own if seed in other]
    turns = bool(leads) and min(leads) < 0 < max(leads)
    if turns:
        ahead, behind = points(max(leads)), points(min(leads))
        seen = f"{seen}, and against {rival} it is {ahead} ahead with one seed and {behind} behind with another"
    # Tied candidates change sides by chance: on a small split a point is an example or two.
    if spread > max(SPREAD, _sampling_spread(evidence)) or (turns and rival not in study.choice.tied):
        return issue(f"Unstable: {seen}.", _steady(chosen, study))
    if turns:
        return note(
            f"Which of two tied candidates is ahead changes with the seed: {seen}.",
            f"Do not say that {chosen} is better than {rival}: take whichever costs less or forgets less.",
        )
    return passed(f"Stable: {seen}.")


def _sampling_spread(evidence: Evidence) -> float:
    """Largest standard deviation over three seeds that a select split of this size alone gives, in 19 of 20 cases.

    The spread of three draws around its own is that of a chi-squared variable with two degrees of freedom.
    """
    estimate = evidence.chosen_on_select(evidence.needs_study().choice.metric)
    if estimate.low is None or estimate.high is None:
        return 0.0
    return CHI_OF_THREE * (estimate.high - estimate.low) / WIDTH_IN_ERRORS


def _confirmed(study: StudyRecord) -> tuple[str, str | None]:
    """Who was trained again: the chosen (or what its weights were taken from), and the runner-up.

    Raises:
        NotApplicable: Nobody was.
    """
    names = list(dict.fromkeys(confirmation.candidate for confirmation in study.confirmations))
    if not names:
        raise NotApplicable(f"every candidate was trained once; --seeds {TRAININGS} trains the two best again")
    chosen = study.choice.candidate if study.choice.candidate in names else names[0]
    return chosen, next((name for name in names if name != chosen), None)


def _steady(chosen: str, study: StudyRecord) -> str:
    free = [b.name for b in study.blocks if not b.head and b.name not in study.candidate(chosen).frozen]
    frozen = f"freeze {free[0]!r} as well, " if free else ""
    return (
        f"Train {chosen} longer or with a lower --learning-rate, {frozen}or add examples; "
        "then ask again with --seeds 5."
    )
