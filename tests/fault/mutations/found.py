"""Bugs for which a tool found the places: cosmic-ray's operators over the rooms that carry the promise."""

import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fault.mutations import EQUIVALENT
from tests.fault.mutations.mutant import Mutant

TOOL = "cosmic-ray==8.7.0"  # runs in an environment of its own: nothing else of the project needs it

_BATCHES = ("tests/ingestion/test_batch.py", "tests/ingestion/test_truncation.py")
_SPOOLS = ("tests/ingestion/test_spool.py", "tests/ingestion/test_adoption.py")
_COLLECTED = (
    "tests/conformance/test_listeners.py",
    "tests/ingestion/test_collector.py",
    "tests/ingestion/test_collector_blocked.py",
)
_LOGS = ("tests/ingestion/test_positions.py", "tests/conformance/test_logs.py")
_REPAIRS = ("tests/ingestion/test_rejects.py", "tests/ingestion/test_replay.py")
_LAKE = (
    "tests/ingestion/test_lake.py",
    "tests/ingestion/test_fencing.py",
    "tests/ingestion/test_verify.py",
    "tests/ingestion/test_migrations.py",
    "tests/fault/test_storage.py",
)
_KILLS = ("tests/fault/test_kills.py",)
ROOMS: Mapping[str, tuple[str, ...]] = {
    "ingestion/log": (*_LOGS, *_BATCHES, "tests/conformance/test_looking_and_sending.py"),
    "ingestion/spool": (*_SPOOLS, *_LOGS[1:], *_COLLECTED, "tests/ingestion/test_backup.py"),
    "ingestion/collect": _COLLECTED,
    "ingestion/land": (*_BATCHES, "tests/ingestion/test_adoption.py", *_REPAIRS, *_KILLS),
    "ingestion/lake": (*_BATCHES, *_LAKE, *_REPAIRS, *_KILLS),
}  # fmt: skip
"""Room → the tests that have to notice a bug in it, the quickest first."""


def found(repository: Path, *, count: int, seed: int) -> Sequence[Mutant]:
    """A sample of the tool's mutations, without those that are known to change nothing.

    Args:
        repository: Whose rooms.
        count: How many.
        seed: Repeats a sample.
    """
    files = [
        str(path.relative_to(repository))
        for room in ROOMS
        for path in sorted((repository / room).glob("*.py"))
    ]
    command = [sys.executable, "-m", "uv", "run", "--quiet", "--no-project", "--with", TOOL, "python"]
    command += [str(Path(__file__).with_name("tool.py")), *files]
    listed = subprocess.run(command, cwd=repository, check=True, stdout=subprocess.PIPE, text=True).stdout
    mutations = [json.loads(line) for line in listed.splitlines()]
    mutations = [each for each in mutations if (each["file"], each["change"]) not in EQUIVALENT]
    return [
        Mutant(
            name=f"{each['operator']}, line {each['line']}",
            file=each["file"],
            old=(repository / each["file"]).read_text(encoding="utf-8"),
            new=each["code"],
            breaks=each["change"],
            tests=ROOMS[str(Path(each["file"]).parent)],
        )
        for each in random.Random(seed).sample(mutations, min(count, len(mutations)))
    ]
