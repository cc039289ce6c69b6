"""All that a check may look at, and the few questions that many checks ask of it.

Evidence is a whole study, or nothing but predictions, or nothing but data. What is missing makes a check not
applicable, never silently passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from frostline.core.records import (
    Candidate,
    Comparison,
    Confusion,
    DataSummary,
    Estimate,
    Measures,
    Run,
    StudyRecord,
    Task,
    ThresholdChoice,
)
from frostline.measure.multilabel import Assigned

FEW = 30
"""Below this many examples of a class its recall cannot be judged (after deepchecks issue 2558)."""

NOISE_P = 0.05
"""Two-sided p-value below which a paired difference counts as more than noise."""


class NotApplicable(Exception):
    """A check cannot be asked of this evidence. An outcome, not an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is judged."""

    task: Task
    measures: Measures
    """Of the split that judges: test in a study, else the given predictions; of nothing where data are all there is."""
    study: StudyRecord | None = None
    given: DataSummary | None = None
    """The data, where they are all there is."""
    assigned: Assigned | None = None
    """The answers themselves where an example carries any number of labels: its decisions depend on each other."""

    @classmethod
    def of_data(cls, data: DataSummary) -> Evidence:
        """Data that no model has seen yet: only the checks on data can be asked."""
        none = Confusion(labels=data.task.labels, counts=((0,) * len(data.task.labels),) * len(data.task.labels))
        average: Literal["binary", "macro"] = "macro" if data.task.positive is None else "binary"
        measures = Measures(split="test", examples=0, average=average, confusion=none, metrics={})
        return cls(task=data.task, measures=measures, given=data)

    def data(self) -> DataSummary:
        """The data, of a study or alone.

        Raises:
            NotApplicable: There are only predictions.
        """
        return self.needs_study().data if self.given is None else self.given

    @property
    def asked_label(self) -> str | None:
        """Whose recall is meant; None for the mean over classes or labels."""
        return self.task.positive if self.assigned is None else None

    @property
    def asked_class(self) -> str:
        """The same in words."""
        mean = "all classes" if self.assigned is None else "all labels"
        return mean if self.asked_label is None else repr(self.asked_label)

    @property
    def supports(self) -> dict[str, int]:
        """Examples by true label, where it is judged."""
        if self.given is not None:
            return dict(self.given.split("test").per_class)
        if self.assigned is not None:
            return {measured.label: measured.support for measured in self.measures.per_class}
        confusion = self.measures.confusion
        return {label: sum(row) for label, row in zip(confusion.labels, confusion.counts, strict=True)}

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent label with its share, which is the accuracy of always answering it.

        Raises:
            NotApplicable: An example carries any number of labels.
        """
        if self.assigned is not None:
            raise NotApplicable("an example carries any number of labels, so there is no majority class")
        label = max(self.supports, key=lambda name: self.supports[name])
        return label, self.supports[label] / self.measures.examples

    def metric(self, name: str) -> Estimate:
        return self.measures.metrics[name]

    def defined(self, name: str) -> float:
        """The value of a metric.

        Raises:
            NotApplicable: It is undefined.
        """
        estimate = self.metric(name)
        if estimate.value is None:
            raise NotApplicable(f"{name} is undefined, {estimate.undefined}")
        return estimate.value

    @property
    def tuned_on(self) -> Measures:
        """Where a threshold may be looked for: the select split of a study, the given predictions otherwise."""
        result = None if self.study is None else self.study.result(self.study.choice.candidate, "select")
        return self.measures if result is None else result.measures

    @property
    def tuned_where(self) -> str:
        """The same in words."""
        return "on the select split" if self.tuned_on is not self.measures else "on these examples"

    @property
    def aimed_threshold(self) -> ThresholdChoice | None:
        """The threshold of the chosen candidate, when it was put for an aim."""
        return None if self.study is None else self.study.thresholds.get(self.study.choice.candidate)

    def needs_study(self) -> StudyRecord:
        """The study.

        Raises:
            NotApplicable: There are only predictions.
        """
        if self.study is None:
            raise NotApplicable("it reads a study, and predictions alone say nothing of training or data")
        return self.study

    def chosen(self) -> Candidate:
        """The candidate that is judged."""
        study = self.needs_study()
        return study.candidate(study.choice.candidate)

    def chosen_frozen(self) -> Candidate:
        """The same when it freezes something.

        Raises:
            NotApplicable: It freezes nothing.
        """
        chosen = self.chosen()
        if not chosen.frozen:
            raise NotApplicable(f"{chosen.id} freezes nothing")
        return chosen

    def chosen_run(self) -> Run:
        """How the chosen candidate was trained."""
        return self.needs_study().run_of(self.chosen().id)

    def chosen_on_select(self, metric: str) -> Estimate:
        """A metric of the chosen candidate on the select split.

        Raises:
            NotApplicable: It was not measured there.
        """
        result = self.needs_study().result(self.chosen().id, "select")
        if result is None:
            raise NotApplicable(f"{self.chosen().id} was not measured on the select split")
        return result.measures.metrics[metric]

    def over_seeds(self, candidate: str) -> dict[int, float]:
        """The metric that the choice was made by, on the select split, by seed: the study's own training first."""
        study = self.needs_study()
        metric, own = study.choice.metric, study.result(candidate, "select")
        trained = [(c.seed, c.select) for c in study.confirmations if c.candidate == candidate]
        if own is not None and study.was_trained(candidate):
            trained.insert(0, (study.run_of(candidate).seed, own.measures))
        values = {seed: measures.metrics[metric].value for seed, measures in trained}
        return {seed: value for seed, value in values.items() if value is not None}

    def against_reference(self) -> Comparison:
        """The chosen candidate against full fine-tuning, on the test split.

        Raises:
            NotApplicable: Nothing to compare with.
        """
        study, chosen = self.needs_study(), self.chosen().id
        if study.reference is None:
            raise NotApplicable("full fine-tuning was not trained to its end, so there is nothing to compare with")
        if study.reference == chosen:
            raise NotApplicable("the chosen candidate is the full fine-tuning itself")
        comparison = study.comparison(chosen, study.reference, "test")
        if comparison is None:
            raise NotApplicable(f"{chosen} was not compared with {study.reference} on the test split")
        return comparison
