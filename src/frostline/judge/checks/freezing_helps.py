"""FRL201: the two signs that a freeze lets the new be learned."""

from __future__ import annotations

from math import sqrt

from frostline.core.records import Epoch
from frostline.judge.advice import unfreeze
from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import percent


@check(code="FRL201", name="freezing-helps", severity="note")
def freezing_helps(evidence: Evidence) -> Answer:
    """Did validation loss fall and validation accuracy rise or hold while part of the model was frozen?"""
    chosen, run = evidence.chosen_frozen(), evidence.chosen_run()
    start, best = run.epochs[0], run.epochs[run.best_epoch]
    if start.stop_loss is None or best.stop_loss is None:
        raise NotApplicable("the validation loss was not finite")
    loss = f"validation loss {start.stop_loss:.3f} to {best.stop_loss:.3f}"
    accuracy = f"validation accuracy {percent(start.stop_accuracy)} to {percent(best.stop_accuracy)}"
    seen = f"{loss}, {accuracy} from before training to epoch {best.epoch}"
    examples = evidence.needs_study().data.split("stop").examples
    missing = [
        *(["loss did not fall"] if best.stop_loss >= start.stop_loss else []),
        *(["accuracy fell"] if not _held(start, best, examples) else []),
    ]
    if missing:
        sentence = f"Freezing as in {chosen.id} may block learning: {' and '.join(missing)} ({seen})."
        return note(sentence, unfreeze(evidence))
    return passed(f"Freezing as in {chosen.id} helps: {seen}.")


def _held(start: Epoch, best: Epoch, examples: int) -> bool:
    """Not lower by more than one standard error of the accuracy it started from."""
    rate = start.stop_accuracy
    return best.stop_accuracy >= rate - sqrt(rate * (1 - rate) / examples)
