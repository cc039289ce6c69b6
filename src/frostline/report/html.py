"""The offline page: one file, no request to anywhere, charts drawn from the data inside it."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from frostline.core.records import StudyRecord, Verdict
from frostline.report.glossary import GLOSSARY, MEANINGS
from frostline.report.view import build_view

_CHARTS = ("templates/charts.js", "templates/race.js", "templates/live.js", "templates/zoom.js")
"""Ours, one script of four files."""
_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", _CHARTS)
"""In the order they build on each other."""


def render_html(study: StudyRecord, verdict: Verdict) -> str:
    """Draw the report of a study.

    Nothing in the page is fetched, and its content security policy lets only the three scripts
    named here run, each by its hash: a label or a file name can never become code.

    Args:
        study: All evidence.
        verdict: The answer to it.

    Returns:
        The whole page. It depends on the two records alone, neither on the clock nor on the machine.
    """
    view = build_view(study, verdict)
    charts = {figure.id: figure.data for figure in view.figures}
    return render_page("report.html", _SCRIPTS, view=view, charts=charts, notices=_text("vendor/NOTICES.txt"))


def render_page(
    template: str, scripts: tuple[str | tuple[str, ...], ...] = (), *, asks_back: bool = False, **values: object
) -> str:
    """Draw a page in the style of the report, in which no script runs but the named ones, each by its hash.

    Args:
        template: A file of `templates`; it is given `policy`, `style` and `scripts` beside the values.
        scripts: Files of this package, in the order they build on each other; files in one tuple are one script.
        asks_back: Whether the page may ask the server that it came from for data.
        values: What the template shows.
    """
    texts = tuple(_text(one) if isinstance(one, str) else "\n".join(map(_text, one)) for one in scripts)
    return (
        _environment()
        .get_template(template)
        .render(
            policy=_policy(texts, asks_back),
            style=Markup(_text("templates/style.css")),  # noqa: S704 - our own file, holds no user text
            scripts=tuple(map(Markup, texts)),
            **values,
        )
    )


def _policy(scripts: tuple[str, ...], asks_back: bool) -> str:
    hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts]
    allowed = " ".join(hashes) or "'none'"
    own = "connect-src 'self'; " if asks_back else ""
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; {own}base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("frostline.report"),
        autoescape=True,
        finalize=_keep_units,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(glossary=GLOSSARY, meanings=MEANINGS)
    return made


def _keep_units(value: object) -> object:
    # A number must not lose its unit at the end of a line. Markup is our own and holds no numbers.
    return value.replace(" %", "\N{NO-BREAK SPACE}%") if type(value) is str else value


@cache
def _text(path: str) -> str:
    return files("frostline.report").joinpath(path).read_text(encoding="utf-8")
