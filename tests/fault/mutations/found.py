"""Bugs for which a tool found the places: cosmic-ray's operators over the rooms that carry the promise."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.fault.mutations.mutant import Mutant

TOOL = "cosmic-ray==8.7.0"  # runs in an environment of its own: nothing else of the project needs it

_BATCHES = (
    "tests/ingestion/test_batch.py",
    "tests/ingestion/test_truncation.py",
    "tests/ingestion/test_retired.py",
)
_SPOOLS = (
    "tests/ingestion/test_spool.py",
    "tests/ingestion/test_intake.py",
    "tests/powerloss/test_spool.py",
    "tests/ingestion/test_unrouted.py",
    "tests/ingestion/test_adoption.py",
)
_COLLECTED = (
    "tests/ingestion/test_mqtt_topics.py",
    "tests/conformance/test_listeners.py",
    "tests/ingestion/test_collector_neighbours.py",
    "tests/ingestion/test_collector_blocked.py",
    "tests/ingestion/test_collector.py",
)
_LOGS = (
    "tests/ingestion/test_positions.py",
    "tests/ingestion/test_standing.py",
    "tests/ingestion/test_recognition.py",
    "tests/conformance/test_logs.py",
)
_NOTATIONS = ("tests/values/test_origins.py",)
_REPAIRS = (
    "tests/ingestion/test_rejects.py",
    "tests/ingestion/test_replay.py",
    "tests/ingestion/test_unrouted.py",
    "tests/fakes/test_a_format_is_a_file.py",
    "tests/fakes/test_sparkplug_in_a_lake.py",
)
_LAKE = (
    "tests/ingestion/test_lake.py",
    "tests/ingestion/test_proof.py",
    "tests/ingestion/test_claim.py",
    "tests/ingestion/test_extensions.py",
    "tests/ingestion/test_fencing.py",
    "tests/powerloss/test_load.py",
    "tests/ingestion/test_verify.py",
    "tests/ingestion/test_migrations.py",
    "tests/ingestion/test_maintenance.py",
    "tests/fault/test_storage.py",
)
_KILLS = ("tests/fault/test_kills.py",)
ROOMS: Mapping[str, tuple[str, ...]] = {
    "ingestion/log": (*_LOGS, *_NOTATIONS, *_BATCHES, "tests/conformance/test_looking_and_sending.py"),
    "ingestion/spool": (*_SPOOLS, *_LOGS[-1:], *_COLLECTED, "tests/ingestion/test_backup.py"),
    "ingestion/collect": (*_SPOOLS[1:2], *_COLLECTED),
    "ingestion/land": (*_BATCHES, "tests/ingestion/test_adoption.py", *_REPAIRS, *_KILLS),
    "ingestion/lake": (*_LAKE[:-2], *_BATCHES, *_LAKE[-2:], *_REPAIRS, *_KILLS),
}  # fmt: skip
"""Room → the tests that have to notice a bug in it, the quickest first."""
IN_OTHER_PROCESSES = (*_COLLECTED, *_KILLS)
"""Tests whose processes nobody measures (reach.py): they run whole."""


def found(repository: Path, *, count: int, seed: int, kept: Path) -> Sequence[Mutant]:
    """A sample of the tool's mutations; a change of one file leaves what is drawn of the others.

    Args:
        repository: Whose rooms.
        count: How many.
        seed: Repeats a sample.
        kept: Where the tool's list is kept, which takes it a minute.
    """
    drawn = sorted(_listed(repository, kept), key=lambda each: _lot(each, seed))[:count]
    return [
        Mutant(
            name=each["change"] + (f" ({each['nth']})" if each["nth"] else ""),
            file=each["file"],
            old=(repository / each["file"]).read_text(encoding="utf-8"),
            new=each["code"],
            breaks=f"{each['operator']}, line {each['line']}",
            tests=ROOMS[str(Path(each["file"]).parent)],
            line=each["line"],
        )
        for each in drawn
    ]


def _listed(repository: Path, kept: Path) -> Sequence[Mapping[str, Any]]:
    files = [
        str(path.relative_to(repository))
        for room in ROOMS
        for path in sorted((repository / room).glob("*.py"))
    ]
    program = Path(__file__).with_name("tool.py")
    texts = [TOOL.encode(), program.read_bytes(), *((repository / file).read_bytes() for file in files)]
    list_file = kept / f"{hashlib.sha256(b''.join(texts)).hexdigest()[:20]}.jsonl"
    if not list_file.exists():
        command = [sys.executable, "-m", "uv", "run", "--quiet", "--no-project", "--with", TOOL, "python"]
        command += [str(program), *files]
        listed = subprocess.run(command, cwd=repository, check=True, stdout=subprocess.PIPE, text=True)
        kept.mkdir(parents=True, exist_ok=True)
        list_file.write_text(listed.stdout, encoding="utf-8")
    seen: Counter[tuple[str, str]] = Counter()
    mutations = []
    for line in list_file.read_text(encoding="utf-8").splitlines():
        each = json.loads(line)
        place = (each["file"], each["change"])
        mutations.append({**each, "nth": seen[place]})
        seen[place] += 1
    return mutations


def _lot(mutation: Mapping[str, Any], seed: int) -> bytes:
    parts = (str(seed), mutation["file"], mutation["change"], str(mutation["nth"]))
    return hashlib.sha256("\0".join(parts).encode()).digest()
