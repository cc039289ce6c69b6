"""The checks that need nothing but data: an audit asks the same questions as the judge, and gets the same sentences."""

from __future__ import annotations

from frostline.core.records import DataSummary, Finding
from frostline.judge.checks.conflicting_labels import conflicting_labels
from frostline.judge.checks.exact_duplicates import exact_duplicates
from frostline.judge.checks.label_giveaway import label_giveaway
from frostline.judge.checks.later_than_test import later_than_test
from frostline.judge.checks.near_duplicates import near_duplicates
from frostline.judge.checks.position_predicts_label import position_predicts_label
from frostline.judge.checks.too_few_positives import too_few_positives
from frostline.judge.evidence import Evidence
from frostline.judge.question import Check

DATA_CHECKS: tuple[Check, ...] = (
    too_few_positives,
    exact_duplicates,
    near_duplicates,
    label_giveaway,
    later_than_test,
    conflicting_labels,
    position_predicts_label,
)


def audit_findings(data: DataSummary) -> tuple[Finding, ...]:
    """Ask data alone; every answer, whatever its outcome."""
    evidence = Evidence.of_data(data)
    return tuple(check.ask(evidence) for check in DATA_CHECKS)
