"""Every check, in the order of its code. A check that is not listed here is not asked."""

from __future__ import annotations

from frostline.judge.checks.accuracy_drops import accuracy_drops
from frostline.judge.checks.accuracy_paradox import accuracy_paradox
from frostline.judge.checks.conflicting_labels import conflicting_labels
from frostline.judge.checks.diverged import diverged
from frostline.judge.checks.embedding_neighbours import embedding_neighbours
from frostline.judge.checks.exact_duplicates import exact_duplicates
from frostline.judge.checks.freezing_helps import freezing_helps
from frostline.judge.checks.frozen_part_changed import frozen_part_changed
from frostline.judge.checks.head_over_fitted import head_over_fitted
from frostline.judge.checks.jump_at_unfreezing import jump_at_unfreezing
from frostline.judge.checks.label_giveaway import label_giveaway
from frostline.judge.checks.later_than_test import later_than_test
from frostline.judge.checks.loss_stays_high import loss_stays_high
from frostline.judge.checks.miscalibrated import miscalibrated
from frostline.judge.checks.near_duplicates import near_duplicates
from frostline.judge.checks.new_patterns_missed import new_patterns_missed
from frostline.judge.checks.no_better_than_simple_baseline import no_better_than_simple_baseline
from frostline.judge.checks.no_skill_shown import no_skill_shown
from frostline.judge.checks.non_finite_loss import non_finite_loss
from frostline.judge.checks.not_shown_non_inferior import not_shown_non_inferior
from frostline.judge.checks.old_task_forgotten import old_task_forgotten
from frostline.judge.checks.overfit import overfit
from frostline.judge.checks.position_predicts_label import position_predicts_label
from frostline.judge.checks.precision_kept_recall_lost import precision_kept_recall_lost
from frostline.judge.checks.precision_recall_imbalance import precision_recall_imbalance
from frostline.judge.checks.recall_collapse import recall_collapse
from frostline.judge.checks.sealed_test import opened_more_than_once
from frostline.judge.checks.seeds_disagree import seeds_disagree
from frostline.judge.checks.stopped_too_early import stopped_too_early
from frostline.judge.checks.too_few_positives import too_few_positives
from frostline.judge.checks.too_little_frozen import too_little_frozen
from frostline.judge.checks.too_much_frozen import too_much_frozen
from frostline.judge.checks.undefined_metric import undefined_metric
from frostline.judge.checks.unsteady_training import unsteady_training
from frostline.judge.checks.validation_loss_ignored import validation_loss_ignored
from frostline.judge.checks.wrong_threshold import wrong_threshold
from frostline.judge.question import Check

CHECKS: tuple[Check, ...] = (
    accuracy_paradox,
    too_few_positives,
    recall_collapse,
    precision_recall_imbalance,
    undefined_metric,
    miscalibrated,
    wrong_threshold,
    freezing_helps,
    accuracy_drops,
    precision_kept_recall_lost,
    too_much_frozen,
    too_little_frozen,
    seeds_disagree,
    new_patterns_missed,
    old_task_forgotten,
    overfit,
    loss_stays_high,
    validation_loss_ignored,
    non_finite_loss,
    stopped_too_early,
    jump_at_unfreezing,
    unsteady_training,
    diverged,
    head_over_fitted,
    no_better_than_simple_baseline,
    no_skill_shown,
    not_shown_non_inferior,
    exact_duplicates,
    frozen_part_changed,
    opened_more_than_once,
    near_duplicates,
    label_giveaway,
    later_than_test,
    conflicting_labels,
    position_predicts_label,
    embedding_neighbours,
)
