"""How much of the old task a fine-tuned network has forgotten: the same examples asked before and after.

Knows nothing of networks or of how the answers came about.
"""

from __future__ import annotations

from bisect import bisect_left

from frostline.core.predictions import Predictions
from frostline.core.records.forgotten import Forgetting
from frostline.measure.bounds import Bounds
from frostline.measure.compare import compare
from frostline.measure.intervals import Interval, bonett_price
from frostline.measure.measures import confusion_of, estimate

MOST_EXAMPLES = 10_000_000
"""Where the search for a number of examples ends."""


def forgetting(before: Predictions, after: Predictions, *, seed: int) -> Forgetting:
    """Accuracy on the old task before and after fine-tuning, and its drop.

    Whether the intervals of the two accuracies overlap settles nothing; read the interval of the drop.

    Args:
        before: Answers of the pretrained network with its original head.
        after: Answers of that head on the fine-tuned backbone, to the same examples in the same order.
        seed: Of the comparison. The drop in accuracy is counted, so it is the same with every seed.

    Returns:
        Both accuracies with 95 % intervals; `before - after` with a 95 % interval and a two-sided p-value.

    Raises:
        ValueError: The two are not about the same examples, or there are none.

    Source: Wilson (1927) for one accuracy; for the drop Bonett & Price (2012), and the mid-p McNemar test
        of Fagerland et al. (2013), as in `measure.compare`.

    >>> import numpy as np
    >>> from frostline.core.records import Task
    >>> digits, true = Task(labels=("0", "1", "2")), np.arange(90) % 3
    >>> knew = Predictions(task=digits, true_N=true, predicted_N=true)
    >>> forgot = Predictions(task=digits, true_N=true, predicted_N=np.where(true == 2, 0, true))
    >>> found = forgetting(knew, forgot, seed=0)
    >>> f"{found.drop.value:.3f} ({found.drop.low:.3f} to {found.drop.high:.3f})"
    '0.333 (0.226 to 0.427)'
    """
    was_right, is_right = (given.predicted_N == given.true_N for given in (before, after))
    # Accuracy is counted. Only the metrics that are not looked at here would need more than one resample.
    compared = compare(before, after, names=("before", "after"), split="old task", seed=seed, resamples=1)
    return Forgetting(
        examples=len(before),
        before=estimate("accuracy", confusion_of(before)),
        after=estimate("accuracy", confusion_of(after)),
        drop=compared.differences["accuracy"],
        lost=int((was_right & ~is_right).sum()),
        gained=int((~was_right & is_right).sum()),
    )


def drop_bounds(forgotten: Forgetting) -> Bounds:
    """One-sided bounds of the drop in accuracy, each a function of its confidence.

    Source: Bonett & Price (2012), as for the displayed interval.

    >>> from frostline.core.records import Difference, Estimate
    >>> same = Estimate(value=0.9)
    >>> kept = Forgetting(examples=500, before=same, after=same, drop=Difference(value=0.0), lost=2, gained=2)
    >>> f"{drop_bounds(kept).upper(0.95):.4f}"
    '0.0080'
    """

    def limits(confidence: float) -> Interval:
        # Below one half an upper bound would pass its estimate.
        two_sided = max(0.0, 2 * confidence - 1)
        return bonett_price(forgotten.lost, forgotten.gained, forgotten.examples, confidence=two_sided)

    return Bounds(lower=lambda confidence: limits(confidence)[0], upper=lambda confidence: limits(confidence)[1])


def examples_to_show(forgotten: Forgetting, most: float, *, confidence: float) -> int | None:
    """How many examples would show that the drop is at most `most`, if it goes on as observed.

    Args:
        forgotten: Observed so far.
        most: What is to be shown.
        confidence: One-sided.

    Returns:
        Examples in all; None when the drop observed is not below `most`, or when
        no number up to ten million would do.

    >>> from frostline.core.records import Difference, Estimate
    >>> same = Estimate(value=0.9)
    >>> kept = Forgetting(examples=40, before=same, after=same, drop=Difference(value=0.0), lost=0, gained=0)
    >>> examples_to_show(kept, 0.02, confidence=0.95)
    115
    """
    if forgotten.lost - forgotten.gained >= most * forgotten.examples:
        return None
    shares = forgotten.lost / forgotten.examples, forgotten.gained / forgotten.examples

    def shown(examples: int) -> bool:
        # Parts of examples, so that the bound falls without steps: what shows it once is not undone by one more.
        lost, gained = (share * examples for share in shares)
        two_sided = 2 * confidence - 1
        return bonett_price(lost, gained, examples, confidence=two_sided)[1] <= most  # type: ignore[arg-type]

    if not shown(MOST_EXAMPLES):
        return None
    return bisect_left(range(MOST_EXAMPLES), True, lo=1, key=shown)
