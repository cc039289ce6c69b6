"""Leaving the report in a study folder."""

from __future__ import annotations

import json
from pathlib import Path

from frostline.core.files import write_text_atomically
from frostline.core.records import StudyRecord, Verdict
from frostline.report.document import report_document
from frostline.report.html import render_html


def write_report(study: StudyRecord, verdict: Verdict, folder: Path) -> None:
    """Write `report.json`, then `report.html`, each atomically.

    Args:
        study: All evidence.
        verdict: The answer to it.
        folder: The study folder; made when missing.
    """
    document = json.dumps(report_document(study, verdict), indent=2, ensure_ascii=False, allow_nan=False)
    page = render_html(study, verdict)
    write_text_atomically(folder / "report.json", document + "\n")
    write_text_atomically(folder / "report.html", page)
