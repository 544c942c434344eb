"""A mutant's trial: the tests that should notice run in a copy of the repository with the bug in it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fault.mutations.kept import Outcome, Verdict
from tests.fault.mutations.mutant import Mutant
from tests.names import RUN
from tests.repository import REPOSITORY
from tests.suite import ADDRESS, Keeper

_LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".venv*",
    ".millrace*",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    "__pycache__",
    "dist",
    "target",
    "logs",
)
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+(?: \S+)*?)(?: - .*)?$", re.MULTILINE)
_WAITED = re.compile(r"Timeout|timed? ?out|not within|deadline", re.IGNORECASE)
_ENDED = "from pytest-timeout"
_NOTHING_RAN = (3, 4, 5)  # pytest: an error of its own, a wrong call, no tests
_RUNS_OF_SERVERS = 40
_PYTEST = ("-n", "0", "-x", "-q", "-m", "", "--order-seed", "0", "-p", "no:cacheprovider", "--no-header")


class Court:
    """A copy of the repository in which one bug at a time is planted, and servers for its tests.

    Args:
        folder: Where both are made; empty or missing.
        number: Of this court, from 0: names on its servers begin with it.
        named: Node ids of tests that have to notice some bug: those of a file are tried together without one.
        limit_seconds: For the tests of one mutant; whole process groups are ended then.
    """

    def __init__(
        self, folder: Path, *, number: int = 0, named: Sequence[str] = (), limit_seconds: float
    ) -> None:
        self.folder = folder / "copy"
        self._servers_folder = folder / "servers"
        self._limit_seconds = limit_seconds
        self._named = named
        self._tried: set[str] = set()
        self._fail_unharmed: set[str] = set()
        self._runs = number * 1_000
        self._keeper: Keeper | None = None
        self._left = 0
        shutil.copytree(REPOSITORY, self.folder, symlinks=True, ignore=_LEFT_OUT)

    def close(self) -> None:
        """Stop the servers."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def judge(self, mutant: Mutant, tests: Sequence[str]) -> Verdict:
        """Plant it, run tests, take it away again."""
        began = time.monotonic()
        path = self.folder / mutant.file
        before = path.read_text(encoding="utf-8")
        path.write_text(mutant.planted_in(self.folder), encoding="utf-8")
        try:
            code, output = self.run(tests)
            failed = _FAILED.findall(output)
            # A test that waited in vain may have met a slow machine: it has to fail twice.
            waited_in_vain = code == 1 and bool(_WAITED.search(output)) and bool(failed)
            again = self.run(failed)[0] if waited_in_vain else code
        finally:
            path.write_text(before, encoding="utf-8")
        outcome: Outcome = "killed"
        if code is None or again is None or _ENDED in output:
            outcome = "unfinished"
            self.close()  # what was ended in the middle may have left something there
        elif code == 0:
            outcome = "survived"
        elif code in _NOTHING_RAN or not again or not self._passes_unharmed(failed or tests):
            outcome = "broken"
        by = failed[0] if failed and outcome == "killed" else ""
        return Verdict(outcome, time.monotonic() - began, by, _tail(output))

    def run(
        self, tests: Sequence[str], *options: str, environment: dict[str, str] | None = None
    ) -> tuple[int | None, str]:
        """Run tests in the copy.

        Returns:
            pytest's exit code, None when it did not end in time, and what it printed.
        """
        command = [sys.executable, "-m", "pytest", *_PYTEST, "--tb=line", "-W", "ignore", *options, *tests]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self._environment() | (environment or {}), start_new_session=True,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=self._limit_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return None, output
        return process.returncode, output

    def _environment(self) -> dict[str, str]:
        """Of a run: the servers of the runs before, and a number for names that these did not use."""
        if self._keeper is None or self._left == 0:
            self.close()
            shutil.rmtree(self._servers_folder, ignore_errors=True)
            self._keeper, self._left = Keeper(self._servers_folder, root=REPOSITORY), _RUNS_OF_SERVERS
        self._runs, self._left = self._runs + 1, self._left - 1
        return os.environ | {
            # The environment's own copy of the product is the repository's: this one comes first.
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            ADDRESS: self._keeper.address,
            RUN: str(self._runs),
        }

    def _passes_unharmed(self, tests: Sequence[str]) -> bool:
        """A test that fails without any bug proves nothing about one."""
        for test in tests:
            if not _are_among(test, self._tried):
                file = test.partition("::")[0]
                named = [each for each in self._named if each.partition("::")[0] == file and "::" in each]
                together = named if _are_among(test, set(named)) else [test]
                code, output = self.run(together, "--maxfail=1000")
                self._tried |= set(together)
                self._fail_unharmed |= set(_FAILED.findall(output)) if code in (0, 1) else set(together)
        return not any(_are_among(test, self._fail_unharmed) for test in tests)


def _are_among(test: str, nodes: set[str]) -> bool:
    """Whether a test, with its parameters or without, is one of these or of their files."""
    return bool({test, test.partition("[")[0], test.partition("::")[0]} & nodes)


def _tail(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-6:])
