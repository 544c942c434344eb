"""What `--help` says of every command, read from the command line itself."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from orchestration.cli.app import app, run
from orchestration.cli.examples import EXAMPLES
from orchestration.cli.help import speak_plainly
from tests.repository import REPOSITORY


def _commands(command: Any, line: str = "") -> Iterator[tuple[str, Any]]:
    yield line, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, f"{line} {name}".strip())


def made() -> Any:
    command = typer.main.get_command(app)
    speak_plainly(command)
    return command


LINES = dict(_commands(made()))


def test_every_command_has_examples_and_no_other() -> None:
    """A new command: give it some in orchestration/cli/examples.py."""
    assert set(EXAMPLES) == set(LINES)


@pytest.mark.parametrize("line", sorted(LINES))
def test_examples_are_lines_that_the_command_takes(line: str) -> None:
    """Each is read as it would be typed: names of commands, options, and how many arguments."""
    for example in EXAMPLES[line]:
        words = shlex.split(example.partition(" > ")[0])
        words = words[next(place for place, word in enumerate(words) if "=" not in word) :]
        assert words[0] == "millrace"
        command, context = made(), None
        arguments = words[1:]
        while True:
            context = command.make_context(command.name or "millrace", arguments, parent=context)
            rest = [*context._protected_args, *context.args]
            if not rest or not hasattr(command, "commands"):
                break
            _, command, arguments = command.resolve_command(context, rest)
        assert not context.args, example
        reached = " ".join(context.command_path.split()[1:])
        assert reached.startswith(line) or line == "", example


@pytest.mark.parametrize("line", sorted(LINES))
def test_types_are_plain_words(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = LINES[line]
    with pytest.raises(SystemExit):
        command.main(args=["--help"], prog_name="millrace", standalone_mode=True)
    shown = capsys.readouterr().out
    assert "<" not in shown.replace("<=", "")
    assert "{" not in shown


@pytest.mark.parametrize(
    ("line", "pointed_to"),
    [(["replay"], "millrace replay --help"), (["rejects", "retry"], "millrace rejects retry --help")],
)
def test_a_missing_argument_points_to_the_help_that_names_it(
    line: list[str], pointed_to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line) == 2
    assert f"Missing argument 'STREAM'; '{pointed_to}' shows" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("typed", "offered"), [("millrace sta", "status"), ("millrace rejects ret", "retry")]
)
def test_a_shell_completes_commands(typed: str, offered: str) -> None:
    """As the lines do that --install-completion writes for bash."""
    done = subprocess.run(
        [sys.executable, "-c", "from orchestration.cli import main; main()"],
        env={"PATH": "/usr/bin:/bin", "_MILLRACE_COMPLETE": "complete_bash", "COMP_WORDS": typed,
             "COMP_CWORD": str(len(typed.split()) - 1)},
        cwd=REPOSITORY, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.split() == [offered]
