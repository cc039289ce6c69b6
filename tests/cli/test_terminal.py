"""What every command shares: global options, sentences for mistyped words, completion, first steps, and its help."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from frostline.cli.app import FIRST_STEPS, app, main
from frostline.cli.progress import BarProgress, PlainProgress, terminal_progress
from frostline.cli.terminal import be_quiet, is_quiet, leave_out_colour, one_run
from frostline.core.progress import Silent

SOURCE = Path(__file__).parents[2] / "src" / "frostline"
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
COUNTS = "check --counts tp=12,fn=88,fp=12,tn=4888"
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|38;|9[0-7])")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def shown_on_a_terminal(command: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit code and what a terminal receives on standard output."""
    screen = Terminal()
    monkeypatch.setattr(sys, "argv", ["frostline", *command.split()])
    monkeypatch.setattr(sys, "stdout", screen)
    with pytest.raises(SystemExit) as exit:
        main()
    return int(exit.value.code or 0), screen.getvalue()


def refused(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error of a command that ends with 2."""
    monkeypatch.setattr(sys, "argv", ["frostline", *command.split()])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err.strip()


def in_a_shell(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that says on its last line of standard error whether torch was loaded."""
    code = (
        "import atexit, sys; sys.argv[0] = 'frostline'; "
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); " + program
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


MAIN = "from frostline.cli.app import main; main()"


@pytest.mark.parametrize("shown", [COUNTS, "--help", "check --help"])
def test_colour_goes_by_the_option_and_by_the_variable(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets colour, which is the control; neither way leaves any, and the words stay the same."""
    code, coloured = shown_on_a_terminal(shown, monkeypatch)
    by_option = shown_on_a_terminal(f"--no-color {shown}", monkeypatch)
    assert "NO_COLOR" not in os.environ
    monkeypatch.setenv("NO_COLOR", "1")
    by_variable = shown_on_a_terminal(shown, monkeypatch)

    assert COLOUR.search(coloured)
    assert by_option == by_variable
    assert by_option[0] == code and not COLOUR.search(by_option[1])
    assert re.sub(r"\x1b\[[0-9;]*m", "", by_option[1]) == re.sub(r"\x1b\[[0-9;]*m", "", coloured)


def test_an_empty_variable_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the convention has it: only a value that is not empty counts."""
    monkeypatch.setenv("NO_COLOR", "")
    assert COLOUR.search(shown_on_a_terminal("--help", monkeypatch)[1])


def test_the_live_table_obeys_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console of the progress is made after the options were read."""
    with one_run():
        leave_out_colour(True)
        monkeypatch.setattr(sys, "stderr", Terminal())
        progress = terminal_progress()
    assert isinstance(progress, BarProgress)
    assert progress._console.no_color


def consoles() -> list[tuple[str, ast.Call]]:
    """Every place of the package that makes a console."""
    return [
        (path.name, node)
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Console"
    ]


def test_no_console_decides_about_colour_by_itself() -> None:
    """One that did would not hear of NO_COLOR; nor would one that is made on import."""
    found = consoles()
    assert {"check.py", "progress.py", "search.py"} <= {name for name, _ in found}
    assert {keyword.arg for _, call in found for keyword in call.keywords} <= {"stderr"}
    for path in SOURCE.rglob("*.py"):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            assert not (isinstance(statement, ast.Assign) and "Console(" in ast.unparse(statement)), path


def test_quiet_leaves_answers_and_guesses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verdict, exit code and the positive class that was guessed are those of the same command without it."""
    file = tmp_path / "predictions.csv"
    file.write_text("label,prediction\n" + "fraud,ok\n" * 20 + "ok,ok\n" * 80, encoding="utf-8")
    answers = []
    for options in ([], ["--quiet"]):
        monkeypatch.setattr(sys, "argv", ["frostline", *options, "check", str(file)])
        with pytest.raises(SystemExit) as exit:
            main()
        answers.append((exit.value.code, *capsys.readouterr()))

    assert answers[0] == answers[1]
    assert answers[0][0] == 1 and answers[0][1].startswith("NOT READY")
    assert "'fraud', the rarer label, is taken" in answers[0][2]
    assert "There is no command" in refused("--quiet serach", monkeypatch, capsys)


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_silences_lines_and_table(stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe and on a terminal; without it both are told something."""
    monkeypatch.setattr(sys, "stderr", stream())
    with one_run():
        assert isinstance(terminal_progress(), BarProgress if stream is Terminal else PlainProgress)
        be_quiet(True)
        assert isinstance(terminal_progress(), Silent)
    assert not is_quiet()


def test_a_quiet_command_is_quiet_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option reaches the command behind it, and no command after that one."""
    heard: list[bool] = []

    def listen(name: str) -> dict[str, str]:
        heard.append(is_quiet())
        return {}

    monkeypatch.setattr("frostline.report.schema.json_schema", listen)
    for arguments in (["--quiet", "schema"], ["schema"]):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert heard == [True, False]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("serach", "There is no command 'serach'. Did you mean 'search'?"),
        ("audit-freze x.py", "There is no command 'audit-freze'. Did you mean 'audit-freeze'?"),
        ("check --cuonts tp=1", "frostline check has no option '--cuonts'. Did you mean '--counts'?"),
        ("search --lr 1", "frostline search has no option '--lr'. Did you mean '--learning-rate'?"),
        ("search --output x", "frostline search has no option '--output'. Did you mean '--out'?"),
        ("search --modle x", "frostline search has no option '--modle'. Did you mean '--model'?"),
        ("watch s --no-browsr", "frostline watch has no option '--no-browsr'. Did you mean '--no-browser'?"),
        ("--qiet check", "frostline has no option '--qiet'. Did you mean '--quiet'?"),
        ("check --quiet", "frostline check has no option '--quiet'. It stands before the command: "
         "frostline --quiet check."),
        ("--json check", "frostline has no option '--json'. It stands behind a command that has it, such as: "
         "frostline search --json."),
        ("check --zzz", "frostline check has no option '--zzz'. `frostline check --help` lists its options."),
    ],
)  # fmt: skip
def test_a_mistyped_word_gets_the_nearest_one(
    typed: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence and exit code 2; where nothing is near, where to look."""
    assert refused(typed, monkeypatch, capsys) == told


def test_a_word_like_no_other_is_told_all_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every one of them."""
    told = refused("zzz", monkeypatch, capsys)
    assert sorted(re.findall(r"[a-z-]+", told.partition("There is: ")[2])) == COMMANDS


def test_no_arguments_show_help_and_three_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the commands: demo, check and search, each whole on a line of 80 columns, each one that runs."""
    monkeypatch.setenv("COLUMNS", "80")
    printed = CliRunner().invoke(app, []).output
    steps = re.findall(r"^ *(frostline .+?)\s+#", printed.partition("First things to try:")[2], flags=re.MULTILINE)

    assert printed.index("Commands") < printed.index("First things to try:")
    assert [step.split()[1] for step in steps] == ["demo", "check", "search"]
    assert steps == re.findall(r"^(frostline .+?)  #", FIRST_STEPS, flags=re.MULTILINE)
    for step in steps:
        context = typer.main.get_command(app).make_context("frostline", step.split()[1:])
        name, command, rest = context.command.resolve_command(context, step.split()[1:])  # type: ignore[attr-defined]
        assert set(re.findall(r"--[a-z-]+", step)) <= {o for p in command.params for o in p.opts}, name
        assert rest


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command line below "Example", with no option that the command lacks."""
    monkeypatch.setenv("COLUMNS", "200")
    printed = CliRunner().invoke(app, [command, "--help"]).output
    below = re.split(r"^ *Examples?:", printed, maxsplit=1, flags=re.MULTILINE)
    assert len(below) == 2, printed
    examples = re.findall(rf"^ *(frostline {command}\b.*?)\s*$", below[1].partition("╭")[0], flags=re.MULTILINE)

    known = {o for p in typer.main.get_command(app).commands[command].params for o in p.opts}  # type: ignore[attr-defined]
    assert examples
    assert set(re.findall(r"(?<!\S)--[a-z-]+", " ".join(examples))) <= known


def test_no_help_needs_torch() -> None:
    """Of every command in one process: no torch, scipy or scikit-learn. `benchmarks/check_start.py` takes the time."""
    program = (
        "from typer.testing import CliRunner; from frostline.cli.app import app\n"
        "import sys\n"
        f"for command in {COMMANDS!r}:\n"
        "    print(CliRunner().invoke(app, [command, '--help']).exit_code)\n"
        "print([name for name in ('torch', 'scipy', 'sklearn', 'transformers') if name in sys.modules])"
    )
    *codes, heavy = in_a_shell(program).stdout.splitlines()

    assert heavy == "[]"
    assert codes == ["0"] * len(COMMANDS)


@pytest.mark.parametrize(
    ("words", "offered"),
    [("frostline se", "search"), ("frostline check --cou", "--counts"), ("frostline --no-c", "--no-color")],
)
def test_completing_offers_what_fits_without_torch(words: str, offered: str) -> None:
    """As bash asks for it."""
    done = in_a_shell(
        MAIN,
        _FROSTLINE_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(words.count(" ")),
    )
    assert done.stdout.split() == [offered]
    assert done.stderr.split()[-1] == "False"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_can_be_shown_for_every_shell(shell: str) -> None:
    """The script names the program and the variable by which it asks."""
    done = in_a_shell(MAIN, "--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0
    assert "frostline" in done.stdout and "_FROSTLINE_COMPLETE" in done.stdout


def test_completion_can_be_installed(tmp_path: Path) -> None:
    """For bash: its file exists and is read by .bashrc, in the home that was given and nowhere else."""
    done = in_a_shell(
        MAIN, "--install-completion", "bash", HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    script = tmp_path / ".bash_completions" / "frostline.sh"
    assert done.returncode == 0
    assert "_FROSTLINE_COMPLETE" in script.read_text(encoding="utf-8")
    assert str(script) in (tmp_path / ".bashrc").read_text(encoding="utf-8")
