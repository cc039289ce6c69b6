"""FRL403: that nothing is lost against full fine-tuning must be shown, not assumed."""

from __future__ import annotations

from frostline.core.records import NonInferiority
from frostline.judge.advice import unfreeze
from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, note, passed


@check(code="FRL403", name="not-shown-non-inferior", severity="issue")
def not_shown_non_inferior(evidence: Evidence) -> Answer:
    """Is the frozen plan shown to be no worse than full fine-tuning, by the margin that was stated?"""
    evidence.chosen_frozen()
    comparison = evidence.against_reference()
    asked = comparison.non_inferiority
    if asked is None:
        between = f"{comparison.first} against {comparison.second}"
        raise NotApplicable(f"no margin was stated for {between}; --margin states one")
    if asked.met == "yes":
        return passed(asked.sentence)
    if asked.met == "no":
        return issue(asked.sentence, unfreeze(evidence))
    return note(f"Cannot tell. {asked.sentence}", _more(asked, comparison.examples))


def _more(asked: NonInferiority, examples: int) -> str:
    if asked.needed is None:
        return f"Label more test examples than these {examples:,}, or say beforehand that a larger --margin would do."
    return (
        f"Label about {max(asked.needed - examples, 1):,} more test examples ({asked.needed:,} in all), or say "
        "beforehand that a larger --margin would do."
    )
