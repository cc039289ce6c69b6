"""FRL505: one feature or one word tells the label."""

from __future__ import annotations

from frostline.core.records import Giveaway
from frostline.judge.evidence import Evidence, NotApplicable
from frostline.judge.question import Answer, check, issue, passed
from frostline.judge.wording import listed

KINDS = ("feature", "token", "id")

SAID = 3
"""How many a sentence lists."""


@check(code="FRL505", name="label-giveaway", severity="issue")
def label_giveaway(evidence: Evidence) -> Answer:
    """Is there one feature or one word that alone tells the label?"""
    found = [giveaway for giveaway in looked_for(evidence) if giveaway.kind in KINDS]
    if not found:
        return passed("No single feature, word or id tells the label of training examples.")
    more = f" And {len(found) - SAID} more do." if len(found) > SAID else ""
    columns = [repr(one.name) for one in found if one.kind != "token"][:SAID]
    words = [repr(one.name) for one in found if one.kind == "token"][:SAID]
    advice = [f"Take the {_noun(columns, 'column')} {listed(columns)} out of the features"] if columns else []
    advice += [f"Find out who writes {listed(words)}, and take it out of the texts"] if words else []
    return issue(
        " ".join(giveaway.sentence for giveaway in found[:SAID]) + more,
        f"{'. '.join(advice)}, unless it will be there, and before the label is known, when the model is used.",
    )


def looked_for(evidence: Evidence) -> tuple[Giveaway, ...]:
    """What was found.

    Raises:
        NotApplicable: The study was made before giveaways were looked for.
    """
    found = evidence.data().audit.giveaways
    if found is None:
        raise NotApplicable("giveaways were not looked for")
    return found


def _noun(names: list[str], noun: str) -> str:
    return noun if len(names) == 1 else f"{noun}s"
