"""The help of `millrace` and of every command below it, found by walking the command line itself.

How it is compared and stored again: snapshot.py.
"""

from collections.abc import Iterator
from typing import Any

import typer

from tests.frozen.commands import Commands
from tests.frozen.product import command_line
from tests.frozen.snapshot import check


def test_help(commands: Commands) -> None:
    lines = sorted(_commands(typer.main.get_command(command_line()), ()))
    assert len(lines) > 15
    texts = []
    for line in lines:
        shown = commands.run(*line, "--help")
        assert (shown.code, shown.err) == (0, "")
        texts.append(f"$ {' '.join(('millrace', *line))} --help\n{shown.out}")
    check("help.txt", "\n".join("\n".join(row.rstrip() for row in text.splitlines()) for text in texts))


def _commands(command: Any, line: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield line
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(each, (*line, name))
