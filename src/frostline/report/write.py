"""Leaving the report in a study folder."""

from __future__ import annotations

import json
from pathlib import Path

from frostline.core.files import write_text_atomically
from frostline.core.records import StudyRecord, Verdict
from frostline.report.card import render_card
from frostline.report.document import report_document
from frostline.report.html import render_html
from frostline.report.junit import render_junit


def write_report(study: StudyRecord, verdict: Verdict, folder: Path) -> None:
    """Write `report.json`, `card.md`, `junit.xml` and `report.html`, each atomically.

    All are drawn before the first is written, so that one that cannot be drawn leaves the old ones together.

    Args:
        study: All evidence.
        verdict: The answer to it.
        folder: The study folder; made when missing.
    """
    document = json.dumps(report_document(study, verdict), indent=2, ensure_ascii=False, allow_nan=False)
    drawn = {
        "report.json": document + "\n",
        "card.md": render_card(study, verdict),
        "junit.xml": render_junit(study, verdict),
        "report.html": render_html(study, verdict),
    }
    for name, text in drawn.items():
        write_text_atomically(folder / name, text)
