"""Runs many command lines of `millrace`, each in a process of its own, quickly.

A child process imports everything once and forks for every line: nothing of this process changes, and
no command sees its environment. Run as a module, this file is that child.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROJECT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 300
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "USER", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
_FIXED = {"COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class Result:
    """What a command did: its exit code and what it wrote."""

    code: int
    out: str
    err: str


class Commands:
    """Runs command lines in the project's folder."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.frozen.commands"],
            cwd=PROJECT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *arguments: str, **variables: object) -> Result:
        """Run one line; keywords are variables of the environment without MILLRACE_."""
        ours = {f"MILLRACE_{name.upper()}": str(value) for name, value in variables.items()}
        return self.run_with(arguments, ours)

    def run_with(self, arguments: tuple[str, ...], variables: Mapping[str, str]) -> Result:
        """Run one line with these variables besides."""
        (result,) = self.run_each(arguments, [variables])
        return result

    def run_each(self, arguments: tuple[str, ...], environments: Sequence[Mapping[str, str]]) -> list[Result]:
        """Run one line several times, each time with other variables, in one process.

        For a line that ends before anything is opened.
        """
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        each = [environment() | variables for variables in environments]
        self._child.stdin.write(json.dumps({"arguments": arguments, "environments": each}) + "\n")
        self._child.stdin.flush()
        return [Result(**json.loads(self._child.stdout.readline())) for _ in environments]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.communicate(timeout=60)


def environment() -> dict[str, str]:
    """A process's environment: no setting, no colour, a fixed width; .env of the project is not read."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | _FIXED | {"MILLRACE_ENV_FILE": "/nonexistent/none.env"}


def _serve() -> None:
    from tests.frozen import product

    assert product.COMMAND
    gc.freeze()  # so that a fork does not copy what it only looks at
    for line in sys.stdin:
        request = json.loads(line)
        arguments, environments = request["arguments"], request["environments"]
        with ExitStack() as held:
            files = [
                tuple(held.enter_context(tempfile.TemporaryFile()) for _ in range(3)) for _ in environments
            ]
            pid = os.fork()
            if pid == 0:
                _be_the_command(arguments, environments, files)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            for out, err, left in files:
                answer: dict[str, object] = {"code": code}
                for name, file in (("out", out), ("err", err), ("code", left)):
                    file.seek(0)
                    answer[name] = file.read().decode()
                answer["code"] = int(answer["code"] or code)  # type: ignore[call-overload]
                print(json.dumps(answer), flush=True)


def _be_the_command(
    arguments: Sequence[str], environments: Sequence[Mapping[str, str]], files: Sequence[tuple[Any, ...]]
) -> None:
    from tests.frozen.product import main

    code = 70
    try:
        signal.alarm(LONGEST_SECONDS)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for variables, (out, err, left) in zip(environments, files, strict=True):
            code = 70
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.environ.clear()
            os.environ.update(variables)
            sys.argv = ["millrace", *arguments]
            try:
                main()
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
            sys.stdout.flush()
            sys.stderr.flush()
            left.write(str(code).encode())
            left.flush()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
