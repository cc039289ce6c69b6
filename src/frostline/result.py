"""What users hold when a study is finished: its verdict, its evidence, and the trained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from frostline.core.files import write_text_atomically
from frostline.core.records import Candidate, StudyRecord, Verdict
from frostline.core.settings import read_settings
from frostline.core.study_folder import StudyFolder
from frostline.models.sources import model_of
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.network import planned
from frostline.report.html import render_html
from frostline.report.notebook import result_html
from frostline.train.checkpoint import head_in, load_chosen_weights


@dataclass(frozen=True, slots=True)
class StudyResult:
    """A finished study: its verdict, its evidence, and the trained model."""

    verdict: Verdict
    record: StudyRecord
    folder: Path

    @property
    def chosen(self) -> Candidate:
        """The freeze plan that was chosen."""
        return self.record.candidate(self.record.choice.candidate)

    def report(self, path: str | Path) -> Path:
        """Write the HTML report to `path` as well."""
        target = Path(path)
        write_text_atomically(target, render_html(self.record, self.verdict))
        return target

    @property
    def plan(self) -> FreezePlan:
        """The chosen freeze plan over the blocks of the model."""
        return _plan_of(self.record)

    def _repr_html_(self) -> str:
        return result_html(self.record, self.verdict, self.plan._repr_html_())

    def model(self) -> nn.Module:
        """The chosen model, trained: the base model is loaded anew and the trained tensors are put in.

        Raises:
            ModelError: The base model is no longer where it was.
            StudyError: The base model or the trained tensors are no longer what they were.
        """
        return load_chosen(self.folder, self.record)


def load_chosen(folder: Path, record: StudyRecord) -> nn.Module:
    """The base model of a study with the chosen candidate's trained tensors, in evaluation mode.

    Raises:
        ModelError: The base model is no longer where it was.
        StudyError: The base model or the trained tensors are no longer what the study had.
    """
    settings = read_settings(StudyFolder(folder).settings)
    model, weights = model_of(settings, record.data), StudyFolder(folder).chosen_weights
    plan = _plan_of(record)
    head = head_in(weights) if plan.ends_after else None
    module = planned(model, plan, record.blocks, seed=settings.seed, head=head).module
    load_chosen_weights(weights, module)
    return module.eval()


def _plan_of(record: StudyRecord) -> FreezePlan:
    chosen = record.candidate(record.choice.candidate)
    return FreezePlan(
        blocks=tuple(block.name for block in record.blocks),
        frozen=frozenset(chosen.frozen),
        spared=chosen.spared,
        ends_after=chosen.ends_after,
    )
