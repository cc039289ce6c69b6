"""The whole flow of a study: data and model, probes, training, choice, the sealed test, the verdict.

Read `_run` first: it is the main job in one page. This is the only file that knows all rooms.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from frostline.choosing import choose_candidate
from frostline.core.errors import ModelError
from frostline.core.ledger import Ledger
from frostline.core.progress import Progress, Silent
from frostline.core.records import Run, StudyRecord
from frostline.core.records.forecast import Forecast
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder, finished_record, keep_record
from frostline.data.sources import load_data
from frostline.data.splits import SplitShares
from frostline.evidence import (
    confirmations,
    foretold,
    forgotten_by,
)
from frostline.finals import finalists_of, play_finals
from frostline.judge.asked import judge_as_asked
from frostline.judge.check import read_floors
from frostline.judge.ignored import parse_ignored
from frostline.measure.threshold import parse_aim
from frostline.models.sources import model_of
from frostline.patterns import drift_of, find_patterns
from frostline.plan import propose
from frostline.plan.blocks import blocks as find_blocks
from frostline.recording import Happened, record_of
from frostline.report.words import flops
from frostline.report.write import write_report
from frostline.result import StudyResult
from frostline.train.augment import parse_augment
from frostline.train.baselines import fit_baselines
from frostline.train.budgeted import Raced, prices_of, race_within, starters
from frostline.train.checkpoint import delete_checkpoints, save_chosen
from frostline.train.device import pick_device
from frostline.train.dial import dial_flops
from frostline.train.evaluate import on_device
from frostline.train.forecast import forecast
from frostline.train.in_step import train_in_step
from frostline.train.inputs import make_inputs
from frostline.train.old_task import OldTask, load_old_task, original_weights
from frostline.train.race import Race
from frostline.train.recipe import Keeping, Recipe
from frostline.train.start import Start


def _run(settings: Settings, folder: StudyFolder, ledger: Ledger, progress: Progress) -> StudyRecord:
    """The main job. Whatever the ledger holds already is not done again."""
    began_s = time.perf_counter()
    old = _old_task(settings, progress)
    race, notes = prepare(settings, folder, ledger, progress)
    began_s -= race.seconds_already_trained()
    start = race.start()
    _say_all(progress, foretold(race, start))
    budget = None if settings.budget == "all" else _budget_flops(race, start, settings.budget)
    raced, runs = _train(race, start, budget, reserved_flops=dial_flops(race, start) if old else 0)

    # Choosing: the select split, and nothing of the test split.
    chosen = choose_candidate(race, raced, runs, old)
    progress.say(f"chosen: {race.plans[chosen.candidate].sentence}. {chosen.choice.reason}")

    # The finals: whoever is judged has answered before the labels are read, once.
    finalists = finalists_of(chosen.candidate, chosen.rivals, runs)
    before = old.answers() if old else None
    forgotten = forgotten_by(race, runs, finalists, old, before)
    moved, moved_flops = ({}, 0) if old else drift_of(race, runs, finalists, settings)
    confirmed = confirmations(race, start, chosen.rivals, settings.seeds)
    baselines, patterns = fit_baselines(race.data), find_patterns(race, start)
    finals = play_finals(race, finalists, runs, baselines, chosen.select, settings.aim)
    save_chosen(folder.chosen_weights, race.restore(runs[chosen.candidate]).module)
    return record_of(
        Happened(
            settings=settings,
            race=race,
            start=start,
            notes=notes,
            budget_flops=budget,
            raced=raced,
            runs=runs,
            chosen=chosen,
            baselines=baselines,
            patterns=patterns,
            finals=finals,
            before=before,
            forgotten=forgotten,
            moved=moved,
            old_flops=old.meter.total if old else moved_flops,
            confirmed=confirmed,
            began_s=began_s,
        )
    )


def _train(
    race: Race, start: Start, budget_flops: int | None, *, reserved_flops: int
) -> tuple[Raced | None, dict[str, Run]]:
    """Every candidate's run: of a race within a budget, or each to its end.

    Args:
        reserved_flops: Of the budget, for what comes after the race.
    """
    if budget_flops is not None:
        raced = race_within(race, start, budget_flops - reserved_flops)
        return raced, raced.runs | race.ended_early(start)
    if race.in_step:
        train_in_step(race, start)
    return None, race.train_all(start)


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
        time_column=settings.time_column,
        slice_column=settings.slice_column,
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
        examined=None
        if settings.budget == "all"
        else starters(plans, settings.epochs * len(data.rows["train"]), settings.budget),
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
        weights=original_weights(settings),
        image_size=settings.image_size,
        seed=settings.seed,
    )
    _say_all(progress, old.notes)
    return old


def _budget_flops(race: Race, start: Start, budget: float) -> int:
    """So many ordinary full fine-tunes, in FLOPs."""
    allowed = round(budget * prices_of(race, start).full_flops(race.recipe.epochs))
    unit = "one ordinary full fine-tune" if budget == 1 else f"{budget:g} ordinary full fine-tunes"
    race.progress.say(f"budget: {unit}, {flops(allowed)}; {flops(start.flops + start.prepare_flops)} are spent")
    return allowed


def _refuse_unreadable(settings: Settings) -> None:
    """What is read as text is read before anything is trained, so that a slip costs nothing."""
    read_floors(settings.floors)
    parse_ignored(settings.ignore)
    if settings.aim is not None:
        parse_aim(settings.aim)


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
            InvalidEvidence: Two given splits hold the very same inputs.
        """
        _refuse_unreadable(self.settings)
        with self.folder.opened(self.settings, resume=self.resume) as ledger:
            record = finished_record(ledger)
            if record is None:
                record = _run(self.settings, self.folder, ledger, progress or Silent())
                keep_record(ledger, record)
            delete_checkpoints(self.folder.weights, [run.id for run in record.runs])
        verdict = judge_as_asked(record, self.settings)
        write_report(record, verdict, self.folder.path)
        return StudyResult(verdict, record, self.folder.path)

    def forecast(self, progress: Progress | None = None) -> Forecast:
        """What would be tried, what it would cost and what the budget allows; trains nothing and leaves nothing.

        Raises:
            BadInputError: Something that was given cannot be used.
            InvalidEvidence: Two given splits hold the very same inputs.
        """
        budget = self.settings.budget
        with tempfile.TemporaryDirectory(prefix="frostline-") as place:
            folder = StudyFolder(Path(place))
            with Ledger.at(folder.ledger) as ledger:
                race, _ = prepare(self.settings, folder, ledger, progress or Silent())
                return forecast(race, None if budget == "all" else budget)
