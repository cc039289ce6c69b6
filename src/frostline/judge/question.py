"""What a check is: a question, asked of the evidence, with an honest set of answers.

A check passes, fires as an issue or a note, or is not applicable and says why. It is a plain
function; the decorator gives it its code and name and turns what it says into a `Finding`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from frostline.core.records import Finding, Severity
from frostline.judge.evidence import Evidence, NotApplicable


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a check found."""

    sentence: str
    """With the numbers."""
    next: str = ""
    """What to do about it; empty when nothing is needed."""
    fires_as: Severity | None = None
    """None: the check passes."""
    breaks_evidence: bool = False
    withholds_ready: bool = False


def passed(sentence: str) -> Answer:
    """Nothing to complain about."""
    return Answer(sentence=sentence)


def issue(sentence: str, next: str, *, breaks_evidence: bool = False) -> Answer:
    """Stands against production, or against the evidence itself."""
    return Answer(sentence=sentence, next=next, fires_as="issue", breaks_evidence=breaks_evidence)


def note(sentence: str, next: str, *, withholds_ready: bool = False) -> Answer:
    """Worth knowing; not decisive, unless too little is known to claim READY."""
    return Answer(sentence=sentence, next=next, fires_as="note", withholds_ready=withholds_ready)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question with its code."""

    code: str
    name: str
    severity: Severity
    """The worst it can fire as."""
    question: str
    answer: Callable[[Evidence], Answer]

    def ask(self, evidence: Evidence) -> Finding:
        """Put the question to the evidence."""
        try:
            answer = self.answer(evidence)
        except NotApplicable as reason:
            return Finding(
                code=self.code,
                name=self.name,
                severity=self.severity,
                outcome="not applicable",
                sentence=f"Not applicable: {reason}.",
            )
        return Finding(
            code=self.code,
            name=self.name,
            severity=answer.fires_as or self.severity,
            outcome=answer.fires_as or "passed",
            sentence=answer.sentence,
            next=answer.next,
            breaks_evidence=answer.breaks_evidence,
            withholds_ready=answer.withholds_ready,
        )


def check(*, code: str, name: str, severity: Severity) -> Callable[[Callable[[Evidence], Answer]], Check]:
    """Make a check of a function; the first line of its docstring is the question.

    Args:
        code: "FRL" and three digits, unique.
        name: Words joined by hyphens.
        severity: The worst it can fire as.
    """

    def made(answer: Callable[[Evidence], Answer]) -> Check:
        question = (answer.__doc__ or name).strip().splitlines()[0]
        return Check(code=code, name=name, severity=severity, question=question, answer=answer)

    return made
