"""How much of the old task a fine-tuned network has forgotten: the same examples asked before and after.

Knows nothing of networks or of how the answers came about.
"""

from __future__ import annotations

from frostline.core.predictions import Predictions
from frostline.core.records.forgotten import Forgetting
from frostline.measure.compare import compare
from frostline.measure.measures import confusion_of, estimate


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
    # Accuracy is counted. Only the metrics that are not looked at here would need more than one resample.
    compared = compare(before, after, names=("before", "after"), split="old task", seed=seed, resamples=1)
    return Forgetting(
        examples=len(before),
        before=estimate("accuracy", confusion_of(before)),
        after=estimate("accuracy", confusion_of(after)),
        drop=compared.differences["accuracy"],
    )
