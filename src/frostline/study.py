"""The whole flow of a study: data and model, probes, training, choice, the sealed test, the verdict.

Read `_run` first: it is the main job in one page. This is the only file that knows all rooms.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frostline.core.environment import environment
from frostline.core.errors import ModelError, StudyError
from frostline.core.ledger import Ledger
from frostline.core.predictions import Predictions
from frostline.core.progress import Progress, Silent
from frostline.core.records import Choice, Run, StudyRecord
from frostline.core.records.forecast import Forecast
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder, finished_record, keep_record
from frostline.data.sources import load_data
from frostline.data.splits import SplitShares
from frostline.evidence import (
    as_predictions,
    best_setting,
    candidate_record,
    cheap_scores,
    comparisons,
    confirmations,
    dial_points,
    equally_far,
    foretold,
    forgotten_by,
    probe_records,
    results,
)
from frostline.judge.floors import parse_floor
from frostline.judge.verdict import judge_study
from frostline.measure.choose import choose, chosen_among
from frostline.measure.measures import measure
from frostline.models.sources import model_of
from frostline.plan import propose
from frostline.plan.blocks import blocks as find_blocks
from frostline.report.write import write_report
from frostline.result import StudyResult
from frostline.train.asking import Probabilities
from frostline.train.augment import parse_augment
from frostline.train.baselines import fit_baselines
from frostline.train.budgeted import Raced, prices_of, race_within, starters
from frostline.train.checkpoint import delete_checkpoints, save_chosen
from frostline.train.cost import study_cost
from frostline.train.device import pick_device
from frostline.train.dial import Dialled, dial_flops, turn_dial
from frostline.train.evaluate import on_device
from frostline.train.forecast import forecast
from frostline.train.in_step import train_in_step
from frostline.train.inputs import make_inputs
from frostline.train.old_task import OldTask, load_old_task
from frostline.train.race import Race
from frostline.train.recipe import Keeping, Recipe
from frostline.train.start import Start


def _run(settings: Settings, folder: StudyFolder, ledger: Ledger, progress: Progress) -> StudyRecord:
    """The main job. Whatever the ledger holds already is not done again."""
    began = time.perf_counter()
    old = _old_task(settings, progress)
    race, notes = prepare(settings, folder, ledger, progress)
    earlier_s = race.seconds_already_trained()
    start = race.start()
    _say_all(progress, foretold(race, start))
    budget = None if settings.budget == "all" else _budget_flops(race, start, settings.budget)
    raced = None if budget is None else race_within(race, start, budget - (dial_flops(race, start) if old else 0))
    if race.in_step:
        train_in_step(race, start)
    runs = race.train_all(start) if raced is None else raced.runs | race.ended_early(start)
    baselines = fit_baselines(race.data)

    # Choosing: the select split, and nothing of the test split.
    select_labels = race.data.labels[race.data.rows["select"]]
    select = as_predictions(race.data, _select_answers(race, raced, runs), select_labels)
    choice = _choice(race, raced, select, runs)
    rivals = _rivals(choice, select)
    dial = turn_dial(race, runs[choice.candidate], old) if old else ()
    choice = _corrected(_dialled(choice, dial, select, runs, settings.seed), select, len(runs) + len(dial))
    chosen = choice.candidate
    reference = propose.FULL if propose.FULL in select and runs[propose.FULL].status == "finished" else None
    progress.say(f"chosen: {race.plans[chosen].sentence}. {choice.reason}")

    # Judging: every finalist has answered before the labels are read, once.
    finalists = [id for id in dict.fromkeys((chosen, reference)) if id]
    before = old.answers() if old else None
    forgotten = forgotten_by(race, runs, finalists, old, before)
    confirmed = confirmations(race, start, rivals, settings.seeds)
    answers = {id: race.answers(runs[id], "test") for id in finalists}
    answers |= {b.name: b.probabilities(race.data.rows["test"]) for b in baselines}
    test = as_predictions(race.data, answers, _open_test(race, tuple(answers)))
    select |= as_predictions(
        race.data, {b.name: b.probabilities(race.data.rows["select"]) for b in baselines}, select_labels
    )

    save_chosen(folder.chosen_weights, race.restore(runs[chosen]).module)
    sentences = {b.name: b.sentence for b in baselines}
    probes, losses = probe_records(race, start, select_labels), equally_far(raced, select, race.plans)
    clean = ~race.data.overlap_test
    return StudyRecord(
        name=folder.path.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=f"frostline search {folder.settings} --out NEW_FOLDER",
        settings=_plain(settings),
        model=race.model.source,
        data=race.data.summary.model_copy(update={"notes": (*race.data.summary.notes, *notes, *_start_note(start))}),
        blocks=tuple(race.blocks),
        candidates=tuple(candidate_record(race, id) for id in race.plans if id in runs),
        runs=tuple(runs.values()),
        select=results(race, select, "select", sentences),
        probes=probes,
        head_rates=start.head_rates,
        evidence=cheap_scores(race, start, probes, losses, runs[reference] if reference and budget is None else None),
        race=() if raced is None else raced.standings,
        choice=choice,
        reference=reference,
        test=results(race, test, "test", sentences),
        test_without_overlap=()
        if clean.all()
        else results(race, {name: p.take(clean) for name, p in test.items()}, "test without overlap", sentences),
        comparisons=comparisons(choice, test, select, settings.seed),
        forgetting=forgotten,
        dial=dial_points(dial, before, settings.seed),
        confirmations=confirmed,
        openings=tuple(ledger.openings()),
        cost=study_cost(
            race,
            start,
            runs,
            time.perf_counter() - began + earlier_s,
            budget,
            old_flops=old.meter.total if old else 0,
            confirm_flops=sum(confirmation.flops for confirmation in confirmed),
        ),
        replay=race.activations.summary(runs) if race.activations else None,
        environment=environment(str(next(race.model.module.parameters()).device)),
    )


def prepare(
    settings: Settings, folder: StudyFolder, ledger: Ledger, progress: Progress
) -> tuple[Race, tuple[str, ...]]:
    """Data, model, blocks and plans; everything guessed is said aloud and returned."""
    shares = {name: getattr(settings, f"{name}_share") for name in ("train", "stop", "select", "test")}
    data = load_data(
        Path(settings.data),
        text_column=settings.text_column,
        label_column=settings.label_column,
        group_column=settings.group_column,
        split_column=settings.split_column,
        positive=settings.positive,
        seed=settings.seed,
        shares=SplitShares(**shares),
    )
    _say_all(progress, data.summary.notes)
    model = model_of(settings, data.summary)
    model.module.to(pick_device())
    augment = parse_augment(settings.augment)
    inputs, notes = make_inputs(data, model, augment)
    _say_all(progress, (*model.notes, *notes))
    example = on_device(model, inputs.batch(data.rows["train"][:2]))
    try:
        blocks = find_blocks(model.module, example if model.by_keyword else tuple(example.values()))
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in example.items())
        raise ModelError(
            f"{model.source} does not run on two examples of the data ({shapes}): {error}. "
            "Check that model and data belong together; images can be brought to a size with --image-size."
        ) from error
    plans = propose.proposed(blocks, settings.plans)
    race = Race(
        data=data,
        model=model,
        inputs=inputs,
        blocks=blocks,
        plans=plans,
        examined=None if settings.budget == "all" else starters(plans, settings.epochs * len(data.rows["train"])),
        recipe=Recipe(**{name: getattr(settings, name) for name in Recipe.model_fields if hasattr(settings, name)}),
        seed=settings.seed,
        # Raced candidates are paused at different epochs, so they share no batch.
        in_step=bool(augment) and settings.budget == "all",
        keeping=None if augment and settings.budget != "all" else _keeping(settings),
        folder=folder,
        ledger=ledger,
        progress=progress,
    )
    weights, said = race.class_weights()
    notes = (*notes, *([said] if weights is not None else []))
    if said:
        progress.say(said)
    return race, (*model.notes, *notes)


def _keeping(settings: Settings) -> Keeping | None:
    if settings.activations == "off":
        return None
    budget = None if settings.activations_gib is None else int(settings.activations_gib * 2**30)
    return Keeping(place=settings.activations, budget_bytes=budget, half=settings.activations_half)


def _old_task(settings: Settings, progress: Progress) -> OldTask | None:
    """What the pretrained model could do, when data of that were given."""
    if settings.old_data is None:
        return None
    old = load_old_task(
        Path(settings.old_data),
        settings.old_model or settings.model,
        weights=Path(settings.weights) if settings.weights and not settings.old_model else None,
        image_size=settings.image_size,
        seed=settings.seed,
    )
    _say_all(progress, old.notes)
    return old


def _budget_flops(race: Race, start: Start, budget: float) -> int:
    """So many ordinary full fine-tunes, in FLOPs."""
    flops = round(budget * prices_of(race, start).full_flops(race.recipe.epochs))
    spent = start.flops + start.prepare_flops
    race.progress.say(f"budget: {budget:g} ordinary full fine-tunes, {flops:.3g} FLOPs; {spent:.3g} are spent")
    return flops


def _select_answers(race: Race, raced: Raced | None, runs: Mapping[str, Run]) -> dict[str, Probabilities]:
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


def _choice(race: Race, raced: Raced | None, select: Mapping[str, Predictions], runs: Mapping[str, Run]) -> Choice:
    """Among finished candidates. A race has finished one, and what needs no training stands beside it."""
    serving = race.serving_flops()
    costs = {id: (serving[id.partition("@")[0]], runs[id].ordinary_train_flops) for id in select}
    if raced is None:
        return choose(select, costs, metric="f1", seed=race.seed)
    winner = raced.finished[0]
    rivals = [*raced.finished, *(id for id, plan in race.plans.items() if plan.ends_after and id in select)]
    choice = choose({id: select[id] for id in rivals}, costs, metric="f1", seed=race.seed)
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


def _rivals(choice: Choice, select: Mapping[str, Predictions]) -> tuple[str, ...]:
    """The chosen and the runner-up, as far as they are trained: who is confirmed with other seeds."""
    losses = {id: measure(predictions, "select").loss for id, predictions in select.items()}
    others = sorted((id for id in losses if id != choice.candidate), key=lambda id: (id not in choice.tied, losses[id]))
    return tuple(id for id in (choice.candidate, *others) if not id.startswith("probe-"))[:2]


def _dialled(
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


def _corrected(choice: Choice, select: Mapping[str, Predictions], tried: int) -> Choice:
    """The same choice, with an interval that knows among how many it fell."""
    interval = chosen_among(select[choice.candidate], tried, metric=choice.metric)
    return choice.model_copy(update={"corrected": interval})


def _open_test(race: Race, contenders: tuple[str, ...]) -> NDArray[np.int64]:
    """The test labels. A resumed study that had opened them for the same contenders goes on with that opening."""
    labels, opening = race.data.sealed.open(contenders)
    known = {(o.test_sha256, o.contenders) for o in race.ledger.openings()}
    if (opening.test_sha256, opening.contenders) not in known:
        race.ledger.add_opening(opening)
    race.progress.say(f"test split opened once for {', '.join(contenders)}")
    return labels


def _start_note(start: Start) -> tuple[str, ...]:
    if not start.head_fitted:
        return ()
    return ("Every candidate starts from the same head: a linear probe on the pretrained features, tempered.",)


def _plain(settings: Settings) -> dict[str, Any]:
    """The settings as one line each."""
    values = settings.model_dump(mode="json")
    return {name: ", ".join(value) if isinstance(value, list) else value for name, value in values.items()}


def _say_all(progress: Progress, notes: Iterable[str]) -> None:
    for note in notes:
        progress.say(note)


# ---------------------------------------------------------------- what users hold


class Study:
    """Everything asked about freezing one model on one data set.

    Args:
        model: Folder of a transformers model, or `module:function`.
        data: Table file, folder of tables, or image folder.
        positive: Label whose recall and precision are judged; of two classes the rarer one when None.
        floors: Demands such as `recall>=0.8`; without any, recall and precision of at least .80.
        out: Study folder.
        resume: Go on with the study in that folder.
        settings: Any other field of `frostline.core.settings.Settings`.
    """

    def __init__(
        self,
        *,
        model: str | Path,
        data: str | Path,
        positive: str | None = None,
        floors: Sequence[str] = (),
        out: str | Path = "study",
        resume: bool = False,
        **settings: object,
    ) -> None:
        asked = {"model": str(model), "data": str(data), "positive": positive, "floors": tuple(floors), **settings}
        self.settings = Settings.checked(**asked)
        self.folder = StudyFolder(Path(out))
        self.resume = resume

    @classmethod
    def of(cls, settings: Settings, *, out: str | Path = "study", resume: bool = False) -> Study:
        """The study that settings describe, as a study file does."""
        return cls(out=out, resume=resume, **settings.model_dump())

    def run(self, progress: Progress | None = None) -> StudyResult:
        """Run the study, or the rest of it, and write its folder.

        Raises:
            BadInputError: Something that was given cannot be used.
        """
        floors = [parse_floor(text) for text in self.settings.floors]
        with self.folder.opened(self.settings, resume=self.resume) as ledger:
            record = finished_record(ledger)
            if record is None:
                record = _run(self.settings, self.folder, ledger, progress or Silent())
                keep_record(ledger, record)
            delete_checkpoints(self.folder.weights, [run.id for run in record.runs])
        verdict = judge_study(record, floors)
        write_report(record, verdict, self.folder.path)
        return StudyResult(verdict, record, self.folder.path)

    def forecast(self, progress: Progress | None = None) -> Forecast:
        """What would be tried, what it would cost and what the budget allows; trains nothing and leaves nothing.

        Raises:
            BadInputError: Something that was given cannot be used.
        """
        budget = self.settings.budget
        with tempfile.TemporaryDirectory(prefix="frostline-") as place:
            folder = StudyFolder(Path(place))
            with Ledger.at(folder.ledger) as ledger:
                race, _ = prepare(self.settings, folder, ledger, progress or Silent())
                return forecast(race, None if budget == "all" else budget)
