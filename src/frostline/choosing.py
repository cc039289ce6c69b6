"""Which candidate a study takes: on the select split, and nothing of the test split.

Among candidates within the paired noise of the best, the cheapest; ties are named; the chosen one's interval knows
among how many it fell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frostline.core.errors import StudyError
from frostline.core.predictions import Predictions
from frostline.core.records import REWOUND, Choice, Run
from frostline.evidence import as_predictions
from frostline.measure.choose import choose, chosen_among
from frostline.measure.compare import compare, metric_of
from frostline.measure.measures import measure
from frostline.train.asking import Probabilities
from frostline.train.budgeted import Raced
from frostline.train.dial import Dialled, turn_dial
from frostline.train.old_task import OldTask
from frostline.train.race import Race


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Who was chosen, and among whom."""

    choice: Choice
    select: Mapping[str, Predictions]
    """What every candidate answered on the select split."""
    rivals: tuple[str, ...]
    """The chosen and the runner-up, as far as they are trained."""
    dial: tuple[Dialled, ...]
    """Between the pretrained and the fine-tuned weights of the winner; empty without an old task."""

    @property
    def candidate(self) -> str:
        return self.choice.candidate


def choose_candidate(race: Race, raced: Raced | None, runs: dict[str, Run], old: OldTask | None) -> Chosen:
    """Choose among the runs, and turn the dial of the winner where there is an old task.

    Args:
        runs: By candidate; the setting of the dial that was chosen is put among them.
    """
    labels = race.data.labels[race.data.rows["select"]]
    select = as_predictions(race.data, select_answers(race, raced, runs), labels)
    choice = choice_of(race, raced, select, runs)
    rivals = rivals_of(choice, select)
    dial = turn_dial(race, runs[choice.candidate], old) if old else ()
    choice = corrected(dialled(choice, dial, select, runs, race.seed), select, len(runs) + len(dial))
    return Chosen(choice=choice, select=select, rivals=rivals, dial=dial)


def select_answers(race: Race, raced: Raced | None, runs: Mapping[str, Run]) -> dict[str, Probabilities]:
    """Of every run that did not fail; a run that was given up answers as it was when it was paused."""
    answers = {}
    for id, run in runs.items():
        if run.status == "finished":
            answers[id] = race.answers(run, "select")
        elif run.status == "paused":
            answers[id] = race.last_answers(run)
    if not answers or (raced is not None and not raced.finished):
        raise StudyError("The loss of every candidate stopped being finite. Try a lower --learning-rate.")
    return answers


def choice_of(race: Race, raced: Raced | None, select: Mapping[str, Predictions], runs: Mapping[str, Run]) -> Choice:
    """Among finished candidates. A race has finished one, and what needs no training stands beside it."""
    costs = {id: _costs(race, id, runs) for id in select}
    if raced is None:
        return choose(select, costs, metric="f1", seed=race.seed)
    winner = raced.finished[0]
    # Putting blocks back saves no training: no F1 is given for it, as it is for a plan that costs less.
    least = metric_of(select[winner], "f1") or 0.0
    rivals = [*raced.finished, *(id for id in raced.rewound if (metric_of(select[id], "f1") or 0.0) >= least)]
    rivals += [id for id, plan in race.plans.items() if plan.ends_after and id in select]
    choice = choose({id: select[id] for id in rivals}, costs, metric="f1", seed=race.seed)
    if choice.candidate in raced.rewound:
        said = f"It is {winner} with its first blocks put back to their pretrained weights."
        return choice.model_copy(update={"reason": f"{said} {choice.reason}"})
    if len(rivals) > 1:
        return choice
    why = next(standing.reason for standing in raced.standings if standing.decision == "finished")
    return Choice(
        candidate=winner,
        best=winner,
        tied=(winner, *(id for id in raced.tied if id != winner)),
        metric="f1",
        reason=f"It won the race on validation loss: {why}.",
    )


def _costs(race: Race, candidate: str, runs: Mapping[str, Run]) -> tuple[int, int, int]:
    """To serve it, to train it, and to keep it beside the pretrained model."""
    plan, trained = race.plans[candidate], race.source_of(candidate)
    kept = sum(block.parameters for block in race.blocks if block.name not in plan.frozen)
    return race.serving_flops()[candidate.partition("@")[0]], runs[trained].ordinary_train_flops, kept


def rivals_of(choice: Choice, select: Mapping[str, Predictions]) -> tuple[str, ...]:
    """The chosen and the runner-up, as far as they are trained: who is confirmed with other seeds."""
    losses = {id: measure(predictions, "select").loss for id, predictions in select.items()}
    # A run whose blocks were put back in vain is no other candidate than the run itself.
    others = [id for id in losses if id != choice.candidate and REWOUND not in id and not id.startswith("probe-")]
    ranked = sorted(others, key=lambda id: (id not in choice.tied, losses[id]))
    return tuple(id for id in (choice.candidate, *ranked) if not id.startswith("probe-"))[:2]


def dialled(
    choice: Choice, dial: Sequence[Dialled], select: dict[str, Predictions], runs: dict[str, Run], seed: int
) -> Choice:
    """The same choice, with weights nearer to the pretrained ones where the dial has better: one more candidate."""
    if not dial or (setting := best_setting(dial, seed)) is dial[-1]:
        return choice
    id = setting.run.candidate
    runs[id], select[id] = setting.run, setting.select
    why = (
        f"{setting.share:.0%} of the way from the pretrained to its fine-tuned weights the new task is done as well as "
        "can be told, and more of the old one is kept."
    )
    return choice.model_copy(
        update={"candidate": id, "tied": (id, *choice.tied), "reason": f"{choice.reason} {why}"},
    )


def corrected(choice: Choice, select: Mapping[str, Predictions], tried: int) -> Choice:
    """The same choice, with an interval that knows among how many it fell."""
    interval = chosen_among(select[choice.candidate], tried, metric=choice.metric)
    return choice.model_copy(update={"corrected": interval})


def best_setting(dial: Sequence[Dialled], seed: int) -> Dialled:
    """The setting that keeps most of the old task, of those as good on the new one; the fine-tuned end in doubt.

    As good: within one paired standard error of the best on the select split. More of the old task: above the
    fine-tuned end by more than the noise on the same examples.
    """
    tuned = dial[-1]
    errors = {point.run.candidate: (int((point.old.predicted_N != point.old.true_N).sum()),) for point in dial}
    tied = choose({point.run.candidate: point.select for point in dial}, errors, metric="f1", seed=seed).tied
    better = [p for p in dial if p.run.candidate in tied and p is not tuned and _keeps_more(p, tuned, seed)]
    return min(better, key=lambda point: errors[point.run.candidate], default=tuned)


def _keeps_more(point: Dialled, tuned: Dialled, seed: int) -> bool:
    compared = compare(point.old, tuned.old, names=("between", "tuned"), split="old task", seed=seed, resamples=1)
    low = compared.differences["accuracy"].low
    return low is not None and low > 0
