"""Every check, in the order of its code. A check that is not listed here is not asked."""

from __future__ import annotations

from frostline.judge.checks.accuracy_drops import accuracy_drops
from frostline.judge.checks.accuracy_paradox import accuracy_paradox
from frostline.judge.checks.exact_duplicates import exact_duplicates
from frostline.judge.checks.freezing_helps import freezing_helps
from frostline.judge.checks.frozen_part_changed import frozen_part_changed
from frostline.judge.checks.loss_stays_high import loss_stays_high
from frostline.judge.checks.no_better_than_simple_baseline import no_better_than_simple_baseline
from frostline.judge.checks.no_skill_shown import no_skill_shown
from frostline.judge.checks.non_finite_loss import non_finite_loss
from frostline.judge.checks.overfit import overfit
from frostline.judge.checks.precision_kept_recall_lost import precision_kept_recall_lost
from frostline.judge.checks.precision_recall_imbalance import precision_recall_imbalance
from frostline.judge.checks.recall_collapse import recall_collapse
from frostline.judge.checks.sealed_test import opened_more_than_once
from frostline.judge.checks.too_few_positives import too_few_positives
from frostline.judge.checks.too_much_frozen import too_much_frozen
from frostline.judge.checks.undefined_metric import undefined_metric
from frostline.judge.checks.validation_loss_ignored import validation_loss_ignored
from frostline.judge.question import Check

CHECKS: tuple[Check, ...] = (
    accuracy_paradox,
    too_few_positives,
    recall_collapse,
    precision_recall_imbalance,
    undefined_metric,
    freezing_helps,
    accuracy_drops,
    precision_kept_recall_lost,
    too_much_frozen,
    overfit,
    loss_stays_high,
    validation_loss_ignored,
    non_finite_loss,
    no_better_than_simple_baseline,
    no_skill_shown,
    exact_duplicates,
    frozen_part_changed,
    opened_more_than_once,
)
