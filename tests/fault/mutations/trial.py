"""A mutant's trial: the tests that should notice run in a copy of the repository with the bug in it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.fault.mutations.mutant import Mutant
from tests.repository import REPOSITORY

Outcome = Literal["killed", "hung", "survived", "broken"]
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


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        mutant: The planted bug.
        outcome: killed: a test failed; hung: the tests did not end in time, which counts as noticed;
            survived: all tests passed; broken: what failed fails without the bug too, so nothing was judged.
        seconds: How long it took.
        output: The last lines of pytest.
    """

    mutant: Mutant
    outcome: Outcome
    seconds: float
    output: str

    @property
    def noticed(self) -> bool:
        """Whether some test saw it."""
        return self.outcome in ("killed", "hung")


class Court:
    """A copy of the repository in which one bug at a time is planted.

    Args:
        folder: Where the copy is made; empty or missing.
        limit_seconds: For the tests of one mutant; whole process groups are ended then.
    """

    def __init__(self, folder: Path, *, limit_seconds: float) -> None:
        self.folder = folder
        self._limit_seconds = limit_seconds
        self._unharmed: dict[str, bool] = {}
        shutil.copytree(REPOSITORY, folder, symlinks=True, ignore=_LEFT_OUT)

    def judge(self, mutant: Mutant) -> Verdict:
        """Plant it, run its tests, take it away again."""
        began = time.monotonic()
        path = self.folder / mutant.file
        before = path.read_text(encoding="utf-8")
        path.write_text(mutant.planted_in(self.folder), encoding="utf-8")
        try:
            code, output = self._run(mutant.tests)
        finally:
            path.write_text(before, encoding="utf-8")
        outcome: Outcome = "hung" if code is None else "killed" if code else "survived"
        if outcome == "killed" and not self._passes_unharmed(_FAILED.findall(output) or mutant.tests):
            outcome = "broken"
        return Verdict(mutant, outcome, time.monotonic() - began, output)

    def _passes_unharmed(self, tests: Sequence[str]) -> bool:
        """A test that fails without any bug proves nothing about one."""
        for test in tests:
            if test not in self._unharmed:
                self._unharmed[test] = self._run([test])[0] == 0
        return all(self._unharmed[test] for test in tests)

    def _run(self, tests: Sequence[str]) -> tuple[int | None, str]:
        """pytest's exit code, None when it did not end in time, and its last lines."""
        command = [
            sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-m", "", "--order-seed", "0",
            "-p", "no:cacheprovider", "--no-header", "--tb=line", "-W", "ignore", *tests,
        ]  # fmt: skip
        # The environment's own copy of the product is the repository's: the mutated one has to come first.
        environment = os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=self._limit_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return None, _tail(output)
        return process.returncode, _tail(output)


def _tail(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-6:])
