"""Small files on a disk that loses power: what was said to be written is there, old or new, never torn."""

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.connectors.mqtt.session import SessionsFile, session_file
from ingestion.errors import StorageError
from ingestion.spool.shift import Shift, read_shift, write_shift
from orchestration.conditions.condition import Finding
from orchestration.conditions.journal import Journal, read_conditions
from tests.powerloss.disk import Disk, recording

SEEDS = range(10)
WRITES = 14
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG = "." * 3_000


class Session:
    """The MQTT session: the client id is nowhere else."""

    def __init__(self, folder: Path) -> None:
        self._file = session_file(folder / "collector")

    def write(self, number: int) -> None:
        SessionsFile(self._file, "millrace").session("s").remember({f"plant/{number}": LONG})

    def read(self) -> set[int]:
        if not self._file.exists():
            return set()
        (name,) = SessionsFile(self._file, "millrace").session("s").subscriptions or ["plant/-1"]
        return {int(name.removeprefix("plant/"))} - {-1}


class Continues:
    """A spool that goes on where another one ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "spool" / "s"

    def write(self, number: int) -> None:
        write_shift(self._folder, Shift("a" * 32, "b" * 32, number))

    def read(self) -> set[int]:
        shift = read_shift(self._folder)
        return {shift.positions} if shift.of else set()


class Conditions:
    """The journal of conditions, with one more open each time."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._journal = folder, Journal(folder)
        self._found = [each.finding for each in self._journal.open()]

    def write(self, number: int) -> None:
        self._found.append(Finding("service_down", str(number), LONG, "start it"))
        self._journal.note(self._found, now=NOON)

    def read(self) -> set[int]:
        return {int(each.finding.subject) for each in read_conditions(self._folder)}


Subject = Session | Continues | Conditions


def lose_power(disk: Disk, target: Path, chance: random.Random, make: Callable[[Path], Subject]) -> set[int]:
    """What is read from the files after a power loss."""
    disk.lose_power(target, random.Random(chance.random()) if chance.random() < 0.8 else None)
    try:
        return make(target / "data").read()
    finally:
        shutil.rmtree(target)


@pytest.mark.parametrize("make", [Session, Continues, Conditions])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_written_is_there(memory_folder: Path, make: Callable[[Path], Subject], seed: int) -> None:
    chance = random.Random(seed)
    before, after = memory_folder / "before", memory_folder / "after"
    before.mkdir()
    written: list[int] = []
    number = -1

    def check() -> None:
        found = lose_power(disk, after, chance, make)
        if make is Conditions:
            assert found >= set(written)
        elif written:
            assert found
            assert written[-1] <= min(found) <= max(found) <= number

    def at_flush(when: str) -> None:
        if chance.random() < 0.3:
            check()

    with recording(before) as disk:
        disk.on_flush = at_flush
        subject = make(before / "data")
        for number in range(WRITES):
            if chance.random() < 0.25:
                disk.fail(chance.randrange(2))
            if chance.random() < 0.2:
                subject = make(before / "data")  # another process
            with suppress(StorageError):
                subject.write(number)
                written = [*written, number] if make is Conditions else [number]
            check()
