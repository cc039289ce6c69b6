"""Everything the page shows, as plain data: a function of the evidence and the verdict alone."""

from __future__ import annotations

from dataclasses import dataclass

from frostline.core.records import StudyRecord, Verdict
from frostline.report import figures, sections, words
from frostline.report.candidates_view import CandidatesView, candidates_view
from frostline.report.old_task_view import dial_figure, forgetting_sentence, forgetting_table, seeds_table
from frostline.report.operating_view import OperatingView, calibration_figure, operating_view
from frostline.report.pareto_view import pareto_figure
from frostline.report.parts import Figure, Mark, Table
from frostline.report.plan_view import PlanView, build_plan_view
from frostline.report.race_view import evidence_table, race_figure, race_sentence, race_table
from frostline.report.replay_view import replay_sentence, replay_table, store_table
from frostline.report.slices_view import slices_sentence, slices_table, thresholds_table
from frostline.report.verdict_view import VerdictView, build_verdict_view


@dataclass(frozen=True, slots=True)
class Fact:
    """One number to see first."""

    title: str
    value: str
    detail: str
    mark: Mark = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """One report."""

    name: str
    created: str
    model: str
    source: str
    command: str
    facts: tuple[Fact, ...]
    verdict: VerdictView
    plan: PlanView
    depth: Figure
    curves: Figure
    each: CandidatesView | None
    """Every candidate that was trained, to choose from; None when nobody else than the chosen one was."""
    operating: OperatingView | None
    """What other thresholds would give on the select split; None without scores of two classes."""
    calibration: Figure | None
    """Whether the scores on the test split can be read as probabilities; None without scores."""
    contenders: Figure
    without_overlap: Table | None
    sliced: str
    """What the parts of the test split are; empty when it was not parted."""
    slices: Table | None
    thresholds: Table | None
    beside: Table
    differences: Table
    who: tuple[tuple[str, str], ...]
    """What each contender is, in words."""
    forgotten: str
    """What the chosen candidate forgot of the old task, or that it was not measured."""
    forgetting: Table | None
    pareto: Figure | None
    dial: Figure | None
    """Between the pretrained and the fine-tuned weights; None when that was not asked."""
    seeds: Table | None
    costs: Figure
    head_rates: Table | None
    raced: str
    """What the race cost, in a sentence; empty without one."""
    race: Table | None
    race_figure: Figure | None
    """The race as a picture, with its table; None when nobody was trained in one."""
    evidence: Table | None
    replayed: str
    """How much frozen computation was replayed, in a sentence."""
    replay: Table | None
    store: Table | None
    proof: Table
    splits: Table
    classes: Table
    audit: Table
    notes: tuple[str, ...]
    openings: Table
    settings: Table
    environment: Table

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The charts, in the order of the page, without those that carry their own numbers."""
        drawn = (self.depth, self.curves, self.contenders, self.pareto, self.dial, self.costs, self.race_figure)
        return tuple(figure for figure in drawn if figure is not None)


def build_view(study: StudyRecord, verdict: Verdict) -> ReportView:
    """Put a study and its verdict into words, tables and figures.

    Args:
        study: All evidence.
        verdict: The answer to it.

    Returns:
        Everything both renderings show.
    """
    task = study.data.task
    other = next((label for label in task.labels if label != task.positive), None) if task.positive else None
    clean = study.test_without_overlap
    caption = "The same without the test examples that also stand in an earlier split"
    return ReportView(
        name=study.name,
        created=study.created,
        model=study.model,
        source=study.data.source,
        command=study.command,
        facts=_facts(study),
        verdict=build_verdict_view(verdict, other),
        plan=build_plan_view(study),
        depth=figures.depth_figure(study),
        curves=figures.curves_figure(study),
        each=candidates_view(study),
        operating=operating_view(study),
        calibration=calibration_figure(study),
        contenders=figures.contenders_figure(study),
        without_overlap=figures.contenders_table(clean, study.choice.candidate, caption) if clean else None,
        sliced=slices_sentence(study),
        slices=slices_table(study),
        thresholds=thresholds_table(study),
        beside=sections.beside_table(study),
        differences=sections.differences_table(study),
        who=tuple((result.name, result.sentence) for result in study.test),
        forgotten=forgetting_sentence(study),
        forgetting=forgetting_table(study),
        pareto=pareto_figure(study),
        dial=dial_figure(study),
        seeds=seeds_table(study),
        costs=figures.costs_figure(study),
        head_rates=sections.head_rates_table(study),
        replayed=replay_sentence(study),
        raced=race_sentence(study),
        race=race_table(study),
        race_figure=race_figure(study),
        evidence=evidence_table(study),
        replay=replay_table(study),
        store=store_table(study),
        proof=sections.proof_table(study),
        splits=sections.splits_table(study.data),
        classes=sections.classes_table(study.data),
        audit=sections.audit_table(study.data),
        notes=study.data.notes,
        openings=sections.openings_table(study),
        settings=sections.settings_table(study),
        environment=sections.environment_table(study),
    )


def _facts(study: StudyRecord) -> tuple[Fact, ...]:
    return _plan_fact(study), _metric_fact(study), _cost_fact(study), _proof_fact(study)


def _plan_fact(study: StudyRecord) -> Fact:
    chosen = study.candidate(study.choice.candidate)
    trains = words.percent(chosen.trainable_share)
    return Fact(
        "Chosen plan",
        f"{len(chosen.frozen)} of {len(study.blocks)} blocks frozen",
        f"{chosen.id}; {trains} of the parameters train",
    )


def _metric_fact(study: StudyRecord) -> Fact:
    metric, tested = study.choice.metric, study.result(study.choice.candidate, "test")
    title = f"{words.metric_name(metric)} on the test split"
    estimate = None if tested is None else tested.measures.metrics.get(metric)
    if estimate is None or estimate.value is None:
        return Fact(title, words.UNDEFINED, estimate.undefined if estimate else "not measured")
    return Fact(
        title,
        words.estimate_value(metric, estimate),
        f"95 % interval {words.estimate_interval(metric, estimate)}",
    )


def _cost_fact(study: StudyRecord) -> Fact:
    cost = study.cost
    took = f"{words.flops(cost.search_flops)} in {words.duration(cost.seconds_s)}"
    if not cost.full_finetune_flops:
        return Fact("Cost of the search", words.flops(cost.search_flops), words.duration(cost.seconds_s))
    return Fact("Cost of the search", f"{cost.search_flops / cost.full_finetune_flops:.2f} full fine-tunes", took)


def _proof_fact(study: StudyRecord) -> Fact:
    proof = study.run_of(study.choice.candidate).proof
    if proof.holds:
        return Fact("Freeze proof", "holds", f"{words.count(proof.frozen_tensors)} tensors bit-identical", "good")
    return Fact("Freeze proof", "broken", "see the freeze proof below", "bad")
