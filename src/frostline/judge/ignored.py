"""Findings that the user ignores, each with a reason: they are shown, and they no longer decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frostline.core.errors import FloorError, suggestion
from frostline.core.records import Finding
from frostline.judge.registry import CHECKS

_EXAMPLE = "Write for example --ignore 'FRL104=recall matters more here'."


def parse_ignored(texts: Sequence[str]) -> dict[str, str]:
    """Codes of checks with the reason why what they find is ignored.

    Args:
        texts: `CODE=reason`.

    Raises:
        FloorError: The form is another, the code is unknown, or there is no reason.

    >>> parse_ignored(["FRL104=recall matters more here"])
    {'FRL104': 'recall matters more here'}
    """
    ignored = {}
    codes = [check.code for check in CHECKS]
    for text in texts:
        code, _, reason = (part.strip() for part in text.partition("="))
        if code not in codes:
            raise FloorError(f"No check has the code {code!r}, which was to be ignored. {suggestion(code, codes)}")
        if not reason:
            raise FloorError(f"Why {code} is ignored is not said, and the report has to say it. {_EXAMPLE}")
        ignored[code] = reason
    return ignored


def with_ignored(findings: Sequence[Finding], ignored: Mapping[str, str]) -> tuple[Finding, ...]:
    """The same findings, those ignored marked so. What breaks the evidence cannot be ignored."""
    return tuple(
        _ignored(finding, ignored[finding.code])
        if finding.code in ignored and finding.outcome in ("issue", "note") and not finding.breaks_evidence
        else finding
        for finding in findings
    )


def _ignored(finding: Finding, reason: str) -> Finding:
    sentence = f"Ignored by the user: {reason}. It says: {finding.sentence}"
    return finding.model_copy(update={"outcome": "ignored", "sentence": sentence, "withholds_ready": False})
