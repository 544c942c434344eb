"""`millrace query` without an argument: a shell on the lake with history and completion; it changes nothing.

What it can be asked is query.py's, how it prints answers.py's, what Tab offers completion.py's.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import duckdb

from ingestion.errors import MillraceError
from ingestion.settings import Settings
from orchestration.cli.answers import MODES, print_answer, require_writable, write_file
from orchestration.cli.contents import show
from orchestration.cli.context import complain, out
from orchestration.cli.query import Answer, Questions, asks_for_tables

HISTORY_FILE = "query_history"
_HELP = """\
A statement ends with a semicolon and may go over several lines.

  show tables;  .tables  \\dt      what is in the lake
  describe marts.x;  \\d marts.x  its columns with their descriptions
  .mode table|line|csv|json       how answers are shown
  .limit 200                      how many rows table and line show
  .output FILE                    answers into a file: .csv .json .parquet .xlsx
  .output                         answers on the screen again
  .quit  Ctrl-D                   the end; Ctrl-C stops a query"""


class Shell:
    """A session: what is typed, one statement or command after another.

    Args:
        questions: Where to ask.
        mode: How answers are shown at first.
        limit: How many rows a table shows at first.
    """

    def __init__(self, questions: Questions, *, mode: str = "table", limit: int) -> None:
        self._questions = questions
        self._mode, self._limit, self._output = mode, limit, ""
        self._commands: Mapping[str, Callable[[str], None]] = {
            ".help": lambda _: out.print(_HELP, markup=True),
            ".limit": self._set_limit,
            ".mode": self._set_mode,
            ".output": self._set_output,
            ".tables": lambda _: self._ask("show tables"),
            "\\d": lambda name: self._ask(f"describe {name}" if name else "show tables"),
            "\\dt": lambda _: self._ask("show tables"),
        }

    def do(self, text: str) -> bool:
        """Do what was typed; an error is a sentence, and the session goes on.

        Returns:
            Whether it worked.
        """
        text = text.strip()
        try:
            if not is_command(text):
                self._ask(text)
                return True
            name, _, rest = text.rstrip(";").partition(" ")
            if name not in self._commands:
                raise _Unknown(f"{name} is not a command; .help shows what there is")
            self._commands[name](rest.strip())
        except MillraceError as error:
            complain(str(error))
            return False
        except (KeyboardInterrupt, duckdb.InterruptException):
            complain("the query was stopped")
            return False
        return True

    def _ask(self, sql: str) -> None:
        began = time.monotonic()
        if self._output:
            self._keep(self._questions.ask(sql))
        elif self._mode == "table" and asks_for_tables(sql):
            show(self._questions.contents(), as_json=False)
        else:
            print_answer(self._questions.ask(sql), out, mode=self._mode, limit=self._limit)
        if sys.stdin.isatty():
            out.print(f"[dim]{time.monotonic() - began:.2f} s[/]")

    def _keep(self, answer: Answer) -> None:
        rows = write_file(answer, Path(self._output).expanduser())
        out.print(f"{rows:,} rows in {self._output}", markup=False)

    def _set_mode(self, name: str) -> None:
        if name not in MODES:
            raise _Unknown(f".mode takes one of {', '.join(MODES)}; it is {self._mode} now")
        self._mode = name

    def _set_limit(self, number: str) -> None:
        if not number.isdigit() or not int(number):
            raise _Unknown(f".limit takes a number of rows; it is {self._limit} now")
        self._limit = int(number)

    def _set_output(self, name: str) -> None:
        if name:
            require_writable(Path(name))
        self._output = name


class _Unknown(MillraceError):
    """What was typed is not understood."""


def run_shell(settings: Settings, *, mode: str, limit: int) -> int:
    """Read statements from the terminal until Ctrl-D, or from a file or pipe until its end.

    Args:
        settings: Where the lake is.
        mode: How answers are shown at first.
        limit: How many rows a table shows at first.

    Returns:
        The exit code: 1 when a statement of a file or pipe failed, after which nothing more is run.
    """
    questions = Questions(settings)
    shell = Shell(questions, mode=mode, limit=limit)
    try:
        if not sys.stdin.isatty():
            return int(not all(shell.do(each) for each in statements(sys.stdin.read())))
        names = questions.names()  # also finds out at once whether there is a lake
        out.print("Millrace's lake, read-only. [dim].help shows what there is, Ctrl-D ends.[/]")
        for text in _typed(settings, questions, names):
            if text.strip(" ;\n") in (".quit", ".exit", "quit", "exit"):
                break
            if text.strip(" ;\n"):
                shell.do(text)
        return 0
    finally:
        questions.close()


def _typed(settings: Settings, questions: Questions, names: list[tuple[str, str, str]]) -> Iterator[str]:
    """What is typed at the terminal, until Ctrl-D."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.key_binding.key_processor import KeyPressEvent
    from prompt_toolkit.lexers import PygmentsLexer
    from pygments.lexers.sql import SqlLexer

    from orchestration.cli.completion import LakeCompleter

    keys = KeyBindings()

    @keys.add("enter")
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    completer = LakeCompleter(questions, names)
    session: PromptSession[str] = PromptSession(
        history=FileHistory(str(settings.data_dir / HISTORY_FILE)),
        lexer=PygmentsLexer(SqlLexer),
        completer=completer,
        complete_while_typing=False,
        multiline=True,
        key_bindings=keys,
        prompt_continuation=lambda width, *_: "… ".rjust(width),
    )
    while True:
        try:
            yield session.prompt("lake> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        completer.look_again()


def is_command(text: str) -> bool:
    """Whether it is for the shell, and not SQL."""
    return text.startswith((".", "\\"))


def is_complete(text: str) -> bool:
    """Whether Enter ends it: a command, nothing, or SQL up to a semicolon that is not inside quotes."""
    text = text.strip()
    if not text or is_command(text) or text in ("quit", "exit"):
        return True
    return text.endswith(";") and not _is_open(text)


def statements(text: str) -> Iterator[str]:
    """The statements and commands of a file, in its order; a command takes a line."""
    waiting = ""
    for line in text.splitlines():
        waiting = f"{waiting}\n{line}" if waiting else line
        if is_complete(waiting):
            if waiting.strip(" ;"):
                yield from _split(waiting)
            waiting = ""
    if waiting.strip(" ;\n"):
        yield from _split(waiting)


def _split(text: str) -> list[str]:
    if is_command(text.strip()):
        return [text]
    try:
        return [each.query for each in duckdb.extract_statements(text)]
    except duckdb.Error:  # `show tables` and the like are SQL too; what is not becomes a sentence
        return [text]


def _is_open(text: str) -> bool:
    """Whether a quote or a comment is not closed yet."""
    try:
        duckdb.extract_statements(text)
    except duckdb.Error as error:
        return "unterminated" in str(error)
    return False
