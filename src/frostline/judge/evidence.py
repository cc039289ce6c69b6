"""All that a check may look at, and the few questions that many checks ask of it.

Evidence is either a whole study or nothing but predictions. What is missing makes a check not
applicable, never silently passed.
"""

from __future__ import annotations

from dataclasses import dataclass

from frostline.core.records import Candidate, Comparison, Epoch, Estimate, Measures, Run, StudyRecord, Task
from frostline.measure.threshold import Threshold

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
    """Of the split that judges: test in a study, the given predictions otherwise."""
    study: StudyRecord | None = None
    threshold: Threshold | None = None
    """Best threshold on the judged examples; known only when scores were given."""

    @property
    def asked_class(self) -> str:
        """Whose recall is meant, in words."""
        return "all classes" if self.task.positive is None else repr(self.task.positive)

    @property
    def supports(self) -> dict[str, int]:
        """Examples by true label."""
        confusion = self.measures.confusion
        return {label: sum(row) for label, row in zip(confusion.labels, confusion.counts, strict=True)}

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent label with its share, which is the accuracy of always answering it."""
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


def losses(run: Run) -> list[tuple[Epoch, float]]:
    """Epochs with their validation loss, those left out where it was not finite."""
    return [(epoch, epoch.stop_loss) for epoch in run.epochs if epoch.stop_loss is not None]
