"""The finals of a study: everything that happens once the plan is chosen, up to the labels of the test split.

Finalists are the chosen candidate, full fine-tuning and the best other candidate, as far as they were trained to their
end, beside the simple baselines. They answer first; then their thresholds are fixed on the select split; then the test
labels are read, once; then everything is measured on them.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import AimError
from frostline.core.openings import TestOpenings
from frostline.core.predictions import Predictions
from frostline.core.records import Choice, Comparison, Opening, Run, ThresholdChoice
from frostline.measure.compare import adjusted, compare
from frostline.measure.noninferiority import non_inferiority
from frostline.measure.threshold import choose_threshold, parse_aim
from frostline.plan import propose
from frostline.train.asking import Probabilities
from frostline.train.baselines import Baseline
from frostline.train.race import Race


@dataclass(frozen=True, slots=True, kw_only=True)
class Finals:
    """What the finalists answered, and who read the test labels before."""

    finalists: tuple[str, ...]
    """Candidates, the chosen first."""
    reference: str | None
    """Candidate that freezes nothing, when it was trained to its end."""
    select: Mapping[str, Predictions]
    """Of every candidate and baseline, as the choice was made by."""
    test: Mapping[str, Predictions]
    """Of the finalists and the baselines, with their thresholds."""
    thresholds: Mapping[str, ThresholdChoice]
    earlier: tuple[Opening, ...]


def finalists_of(chosen: str, rivals: Sequence[str], runs: Mapping[str, Run]) -> tuple[str, ...]:
    """The chosen, full fine-tuning and the rivals of the race: those of them that were trained to their end."""
    wanted = dict.fromkeys((chosen, propose.FULL, *rivals))
    return tuple(id for id in wanted if id in runs and runs[id].status == "finished")


def play_finals(
    race: Race,
    finalists: Sequence[str],
    runs: Mapping[str, Run],
    baselines: Sequence[Baseline],
    select: Mapping[str, Predictions],
    aim: str | None,
) -> Finals:
    """Let the finalists answer, fix their thresholds, and read the test labels.

    Args:
        select: Answers on the select split, of candidates.
        aim: What the threshold is chosen for; None to answer the more probable class.
    """
    answers = {id: race.answers(runs[id], "test") for id in finalists}
    answers |= {baseline.name: baseline.probabilities(race.data.rows["test"]) for baseline in baselines}
    labels = race.data.labels[race.data.rows["select"]]
    task = race.data.task
    select = dict(select) | {
        baseline.name: Predictions.from_probabilities(task, labels, baseline.probabilities(race.data.rows["select"]))
        for baseline in baselines
    }
    thresholds = {} if aim is None else thresholds_of({n: select[n] for n in answers}, aim, finalists[0])
    truth, earlier = _open_test(race, answers, thresholds)
    test = {name: Predictions.from_probabilities(task, truth, answer) for name, answer in answers.items()}
    # On the select split answers stay those that the choice was made by: fits and other candidates are measured so too.
    test |= {name: test[name].with_threshold(threshold.at) for name, threshold in thresholds.items()}
    return Finals(
        finalists=tuple(finalists),
        reference=propose.FULL if propose.FULL in finalists else None,
        select=select,
        test=test,
        thresholds=thresholds,
        earlier=earlier,
    )


def thresholds_of(select: Mapping[str, Predictions], aim: str, chosen: str) -> dict[str, ThresholdChoice]:
    """One for each contender that can reach the aim.

    Raises:
        AimError: The chosen candidate cannot.
    """
    wanted, found = parse_aim(aim), {}
    for name, answers in select.items():
        try:
            found[name] = choose_threshold(answers, wanted)
        except AimError:
            # Nobody's study ends because a rival or a baseline is too weak: it answers at .5.
            if name == chosen:
                raise
    return found


def comparisons(choice: Choice, finals: Finals, *, margin: float, seed: int) -> tuple[Comparison, ...]:
    """On the test split the chosen against everyone else; on the select split against the best.

    What is compared on one split is corrected for its number; against full fine-tuning it is also asked whether the
    chosen is worse by no more than the margin.
    """
    chosen, test = choice.candidate, finals.test
    made = [
        compare(test[chosen], other, names=(chosen, name), split="test", seed=seed)
        for name, other in test.items()
        if name != chosen
    ]
    if choice.best != chosen:
        names = (chosen, choice.best)
        select = finals.select
        made.append(compare(select[chosen], select[choice.best], names=names, split="select", seed=seed))
    return tuple(
        comparison.model_copy(
            update={
                "non_inferiority": non_inferiority(
                    test[chosen],
                    test[comparison.second],
                    names=(chosen, comparison.second),
                    metric=choice.metric,
                    margin=margin,
                    seed=seed,
                )
            }
        )
        if (comparison.second, comparison.split) == (finals.reference, "test")
        else comparison
        for comparison in adjusted(made)
    )


def _open_test(
    race: Race, answers: Mapping[str, Probabilities], thresholds: Mapping[str, ThresholdChoice]
) -> tuple[NDArray[np.int64], tuple[Opening, ...]]:
    """The test labels, and who read them before. A resumed study goes on with the opening it had."""
    labels, opening = race.data.sealed.open(tuple(answers))
    opening = opening.model_copy(
        update={"study": race.folder.path.name, "answers_sha256": _answers_sha256(answers, thresholds)}
    )
    known = {(o.test_sha256, o.contenders) for o in race.ledger.openings()}
    if (opening.test_sha256, opening.contenders) not in known:
        race.ledger.add_opening(opening)
    race.progress.say(f"test split opened once for {', '.join(answers)}")
    try:
        counted = TestOpenings()
        earlier = counted.earlier(opening.test_sha256, answers_sha256=opening.answers_sha256)
        counted.add(opening)
    except (OSError, sqlite3.Error) as error:
        race.progress.say(f"whether other studies have read these test labels cannot be told: {error}")
        return labels, ()
    if earlier:
        race.progress.say(f"other studies have read these test labels before: {len(earlier)}; floors are tightened")
    return labels, earlier


def _answers_sha256(answers: Mapping[str, Probabilities], thresholds: Mapping[str, ThresholdChoice]) -> str:
    """Of the classes that are answered, by contender, and from which score on: another threshold is another answer."""
    digest = hashlib.sha256()
    for name in sorted(answers):
        at = thresholds[name].at if name in thresholds else None
        digest.update(f"{name} {at}".encode() + b"\0" + answers[name].argmax(axis=1).astype("<i8").tobytes())
    return digest.hexdigest()
