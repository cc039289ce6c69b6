"""FRL306: the first steps spoil what the pretrained network could do."""

from __future__ import annotations

from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, note, passed
from frostline.judge.wording import percent
from frostline.measure.curves import JUMP
from frostline.measure.curves import jump_at_unfreezing as jump


@check(code="FRL306", name="jump-at-unfreezing", severity="note")
def jump_at_unfreezing(evidence: Evidence) -> Answer:
    """Did validation loss hold when the backbone began to train?"""
    chosen, run = evidence.chosen(), evidence.chosen_run()
    backbone = {block.name for block in evidence.needs_study().blocks if not block.head}
    if backbone <= set(chosen.frozen) and not chosen.spared:
        raise NotApplicable(f"the backbone of {chosen.id} never trains")
    if len(run.epochs) < 2 or run.epochs[0].stop_loss is None or run.epochs[1].stop_loss is None:
        raise NotApplicable("the validation loss before training and after one epoch is not known")
    before, after = run.epochs[0].stop_loss, run.epochs[1].stop_loss
    seen = jump(run)
    if seen is None:
        return passed(
            f"Validation loss went from {before:.3f} to {after:.3f} when the backbone began to train: no rise of more "
            f"than {percent(JUMP)}."
        )
    rate = "" if chosen.learning_rate is None else f" than {chosen.learning_rate:.1e}"
    return note(
        f"{seen.sentence.removesuffix('.')}, by {percent(after / before - 1)}: the first steps spoil what the "
        "pretrained network with its fitted head could do.",
        f"Train {chosen.id} with a lower --learning-rate{rate}, or spare the early blocks with --layer-decay 0.9.",
    )
