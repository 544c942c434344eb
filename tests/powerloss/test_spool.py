"""The spool on a disk that loses power at any flush, tears, zeroes, and fails a flush now and then."""

import errno
import os
import random
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from ingestion.errors import StorageError
from ingestion.spool import published
from ingestion.spool.reader import SpoolReader
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from tests.powerloss.disk import Disk, recording

SEEDS = range(10)
MORE_SEEDS = range(10, 60)
STEPS = 30
SEGMENT_BYTES = 20_000
POWER_LOSS = 0.15
"""Share of the flushes before or after which the power fails."""


class Story:
    """A collector that writes a spool and a lake that reads it, step by step.

    The lake is durable. What a failed commit held is not written again but followed by other events, as
    when its sender has gone meanwhile: positions must not come back with other events.
    """

    def __init__(self, disk: Disk, data_dir: Path, image: Path, chance: random.Random) -> None:
        self.disk, self.image, self.chance = disk, image, chance
        self.folder = data_dir / "spool" / "s"
        self.acknowledged: dict[int, bytes] = {}
        self.landed: dict[int, bytes] = {}
        self.losses = self.failures = self._number = 0
        self._busy = False
        disk.on_flush = self._at_flush
        self.writer = self._opened()
        self.reader = SpoolReader(self.folder)

    def run(self) -> None:
        for _ in range(STEPS):
            step = self.chance.choice(
                (self.commit, self.commit, self.commit, self.land, self.trim, self.restart, self.kill)
            )
            if self.chance.random() < 0.15:
                self.disk.fail(self.chance.randrange(3))
            step()
        self.writer.close()
        self.lose_power()
        self.reader.close()

    def commit(self) -> None:
        positions = self.writer.append(self._events())
        events = dict(zip(positions, [event.value for event in self.writer._pending], strict=True))
        try:
            assert self.writer.commit() == positions.stop
        except StorageError:
            self.failures += 1
        else:
            self.acknowledged |= events

    def land(self) -> None:
        with suppress(StorageError):
            bounds = self.reader.bounds()
            if bounds is not None and bounds.end > len(self.landed):
                self.landed |= read(self.reader, len(self.landed), bounds.end)

    def trim(self) -> None:
        with suppress(StorageError):
            self.reader.trim(len(self.landed))

    def restart(self) -> None:
        self.writer.close()
        self.writer = self._opened()
        assert self.writer.position >= len(self.landed)

    def kill(self) -> None:
        """End the writer right after a flush has failed, before it has cut what it wrote."""

        def ended() -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        self.disk.fail(0)
        self.writer._cut = ended  # type: ignore[method-assign]
        self.commit()
        self.restart()
        self.land()

    def lose_power(self) -> None:
        """Let everything be as after a power loss, and go on from there with the product's own code."""
        self.losses += 1
        chance = random.Random(self.chance.random()) if self.chance.random() < 0.8 else None
        self.disk.lose_power(self.image, chance)
        folder = self.image / "data" / "spool" / "s"
        patch = pytest.MonkeyPatch()
        started = uuid.uuid4()
        patch.setattr(published, "machine_start", lambda: started)
        try:
            if self.landed:
                with_reader = SpoolReader(folder)
                bounds = with_reader.bounds()
                with_reader.close()
                assert bounds is not None, "the spool that the lake has read is gone"
                assert bounds.end >= len(self.landed), "the lake is ahead of the spool"
            if not folder.parent.is_dir():
                assert not self.acknowledged, "the whole spool is gone"
            writer = SpoolWriter(folder, segment_bytes=SEGMENT_BYTES)
            writer.append(self._events())
            writer.commit()
            writer.close()
            reader = SpoolReader(folder)
            bounds = reader.bounds()
            assert bounds is not None
            found = read(reader, bounds.begin, bounds.end)
            reader.close()
            assert bounds.begin <= len(self.landed), "trimmed beyond the lake"
            expected = {p: v for p, v in (self.acknowledged | self.landed).items() if p >= bounds.begin}
            assert {p: found.get(p) for p in expected} == expected
        finally:
            patch.undo()
            shutil.rmtree(self.image)

    def _events(self) -> list[SpoolEvent]:
        events = []
        for _ in range(self.chance.randrange(1, 4)):
            self._number += 1
            size = self.chance.choice((8, 300, 5_000))
            events.append(SpoolEvent(b"k", str(self._number).encode().ljust(size, b"."), None, self._number))
        return events

    def _opened(self) -> SpoolWriter:
        for _ in range(5):
            with suppress(StorageError):
                return SpoolWriter(self.folder, segment_bytes=SEGMENT_BYTES)
        raise AssertionError("the spool cannot be opened")

    def _at_flush(self, when: str) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            if hasattr(self, "reader") and self.chance.random() < 0.2:
                self.land()
            if self.chance.random() < POWER_LOSS:
                self.lose_power()
        finally:
            self._busy = False


def read(reader: SpoolReader, start: int, end: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for first, table in reader.read(start, end):
        found |= dict(enumerate(table["value"].to_pylist(), start=first))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_acknowledged_is_there_and_no_position_is_given_twice(
    memory_folder: Path, seed: int
) -> None:
    before, after = memory_folder / "before", memory_folder / "after"
    before.mkdir()
    with recording(before) as disk:
        story = Story(disk, before / "data", after, random.Random(seed))
        story.run()
    assert story.losses


@pytest.mark.slow("five times as many power losses as the quick test has")
def test_the_same_with_many_more_seeds(memory_folder: Path) -> None:
    for seed in MORE_SEEDS:
        folder = memory_folder / str(seed)
        folder.mkdir()
        test_what_was_acknowledged_is_there_and_no_position_is_given_twice(folder, seed)
