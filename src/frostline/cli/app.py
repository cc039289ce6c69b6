"""The command line: a thin skin. Every command imports what it needs when it runs, so that help is instant.

Exit codes: 0 READY, 1 NOT READY, 2 bad input or usage, 3 internal error, 4 INCONCLUSIVE, 5 INVALID.
"""

from __future__ import annotations

import sys
import traceback

import typer

from frostline import __version__
from frostline.cli.audit import audit_command
from frostline.cli.audit_freeze import audit_freeze_command
from frostline.cli.check import check_command
from frostline.cli.compare import compare_command
from frostline.cli.doctor import doctor_command
from frostline.cli.export import export_command
from frostline.cli.group import FrostlineGroup
from frostline.cli.look import blocks_command, clean_command, judge_command, report_command
from frostline.cli.schema import schema_command
from frostline.cli.search import demo_command, search_command
from frostline.cli.terminal import be_quiet, leave_out_colour
from frostline.cli.watch import watch_command
from frostline.core.errors import BadInputError, FrostlineError

FIRST_STEPS = """First things to try:

frostline demo signs  # the whole job, on embedded photographs

frostline check --counts tp=85,fn=15,fp=10,tn=90  # a verdict on four counts

frostline search --model ./minilm --data messages.csv --dry-run  # its price"""

app = typer.Typer(
    name="frostline",
    cls=FrostlineGroup,
    help="Choose which layers of a PyTorch model to freeze, prove the freeze, measure honestly and judge the result.",
    epilog=FIRST_STEPS,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("search")(search_command)
app.command("check")(check_command)
app.command("judge")(judge_command)
app.command("report")(report_command)
app.command("compare")(compare_command)
app.command("watch")(watch_command)
app.command("export")(export_command)
app.command("blocks")(blocks_command)
app.command("clean")(clean_command)
app.command("audit")(audit_command)
app.command("audit-freeze")(audit_freeze_command)
app.command("demo")(demo_command)
app.command("schema")(schema_command)
app.command("doctor")(doctor_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"frostline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Say the version."),
    quiet: bool = typer.Option(
        False, "--quiet", callback=be_quiet, help="Tell no progress; verdict, answers and errors stay."
    ),
    no_color: bool = typer.Option(
        False,
        "--no-color",
        callback=leave_out_colour,
        is_eager=True,  # so that `--no-color --help` prints a help without colour
        help="Print without colour, as with NO_COLOR in the environment.",
    ),
) -> None:
    pass


def main() -> None:
    """Run a command; every error becomes its sentence and its exit code."""
    try:
        app()
    except BadInputError as error:
        _fail(str(error), 2)
    except FrostlineError as error:
        _fail(str(error), 5)
    except Exception:
        traceback.print_exc()
        _fail("This is a fault in frostline, not in your input. The lines above say where.", 3)


def _fail(sentence: str, code: int) -> None:
    typer.echo(sentence, err=True)
    sys.exit(code)
