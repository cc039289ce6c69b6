"""FRL309: the head, alone or with the last block, learned few examples by heart."""

from __future__ import annotations

from frostline.judge.advice import unfreeze
from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed
from frostline.judge.wording import counted, estimate_text, percent
from frostline.measure.curves import BY_HEART, HEAD_OR_LAST, far_above, few_examples, head_memorises


@check(code="FRL309", name="head-over-fitted", severity="issue")
def head_over_fitted(evidence: Evidence) -> Answer:
    """Did the head, alone or with the last block, learn more than its few examples by heart?"""
    study, chosen, run = evidence.needs_study(), evidence.chosen(), evidence.chosen_run()
    accuracy = evidence.chosen_on_select("accuracy")
    if run.train_fit is None or accuracy.value is None or accuracy.high is None:
        raise NotApplicable("the fit on the train split was not measured")
    free = [block.name for block in study.blocks if block.name not in chosen.frozen]
    if chosen.spared or len(free) > HEAD_OR_LAST:
        more = f"{chosen.spared} inside the frozen blocks" if chosen.spared else counted(len(free), "block")
        return passed(f"More than the head and the last block trains in {chosen.id}: {more}.")
    examples, parameters = study.data.split("train").examples, chosen.trainable_parameters
    trained = run.train_fit.accuracy
    seen = (
        f"{chosen.id} trains {parameters:,} parameters on {counted(examples, 'example')}; train accuracy "
        f"{percent(trained)}, select {estimate_text('accuracy', accuracy)}"
    )
    if not few_examples(examples, parameters):
        return passed(f"Too many examples to learn by heart: {seen}.")
    if trained >= BY_HEART and far_above(trained, accuracy.value) and trained > accuracy.high:
        return issue(f"Learned by heart: {seen}.", _advice(evidence, free))
    passing = head_memorises(run, blocks_trained=len(free), trainable_parameters=parameters, examples=examples)
    if passing is not None and passing.first_epoch > run.best_epoch:
        return note(
            f"{passing.sentence.removesuffix('.')} ({seen}).",
            f"Nothing is lost: epoch {run.best_epoch} was restored. Fewer epochs suffice.",
        )
    return passed(f"Not learned by heart: {seen}.")


def _advice(evidence: Evidence, free: list[str]) -> str:
    less = f"freeze {free[0]!r} as well, " if len(free) > 1 else ""
    return f"Add examples to the train split, {less}or let more adapt: {unfreeze(evidence)}"
