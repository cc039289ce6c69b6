"""The race: who was trained how far, who was given up when, and why."""

from __future__ import annotations

from frostline.core.records import Standing, StudyRecord
from frostline.report import words
from frostline.report.parts import Mark, Row, Table

_MARKS: dict[str, Mark] = {"finished": "chosen", "kept": "good", "failed": "bad"}


def race_table(study: StudyRecord) -> Table | None:
    """One row for each decision, in order; None when every candidate was trained to its end."""
    if not study.race:
        return None
    return Table(
        caption="The race, decision by decision",
        columns=("Rung", "Candidate", "Updates", "Loss on select", "Decision", "Why"),
        align="llrrll",
        rows=tuple(_row(standing) for standing in study.race),
        note="Candidates are trained equally far and compared on the same examples; the half with the higher loss is "
        "given up. Rung 0 looks for the learning rate. Losses before the last rung are those of unfinished runs.",
    )


def race_sentence(study: StudyRecord) -> str:
    """What the race cost; empty when there was none."""
    cost = study.cost
    if not study.race or cost.budget_flops is None:
        return ""
    full = words.share(cost.search_flops, cost.full_finetune_flops)
    allowed = words.share(cost.budget_flops, cost.full_finetune_flops)
    return (
        f"The search and the winner's training took {full} of one ordinary full fine-tune; {allowed} were allowed. "
        f"{len(study.runs)} candidates were begun, one was trained to the end."
    )


def evidence_table(study: StudyRecord) -> Table | None:
    """How well each nearly free score ranked the candidates; None when there was none."""
    if not study.evidence:
        return None
    rows = [
        Row(
            (
                score.name,
                "undefined" if score.rank_correlation is None else f"{score.rank_correlation:+.2f}",
                str(score.candidates),
                max(score.predicted, key=lambda id: (score.predicted[id], id), default=""),
            )
        )
        for score in study.evidence
    ]
    return Table(
        caption="What was known before training, and how well it ranked the candidates",
        columns=("Score", "Rank correlation", "Candidates", "It would have chosen"),
        align="lrrl",
        rows=tuple(rows),
        note="Spearman's rank correlation with the loss on the select split of candidates trained equally far: 1 is "
        "the same order, 0 none. Of so few candidates a high value can be chance. None of these scores chooses.",
    )


def _row(standing: Standing) -> Row:
    rung = {None: "end", 0: "learning rate"}.get(standing.rung, f"{standing.rung}")
    loss = "" if standing.loss is None else f"{standing.loss:.4f}"
    cells = (rung, standing.candidate, f"{standing.updates:,}", loss, standing.decision, standing.reason)
    return Row(cells, _MARKS.get(standing.decision, ""))
