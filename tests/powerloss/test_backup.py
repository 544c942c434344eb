"""Backups and restoring them on a disk that loses power: a backup is whole, and so is a restored lake."""

import errno
import os
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from ingestion.backup.backup import back_up, backups_of, restore
from ingestion.declare.stream import Stream
from ingestion.errors import StorageError
from ingestion.lake.catalog import connect_catalog
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from tests.ingestion.helpers import ingest
from tests.powerloss.disk import Disk, recording

SPOOLED = Stream.model_validate({"name": "spooled", "source": {"mqtt": "spooled/#"}})
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOSSES = 0.3
"""Share of the flushes before or after which the power fails."""


@pytest.fixture
def root(memory_folder: Path) -> Path:
    """A disk: its flushes cost nothing, since it is in memory."""
    (memory_folder / "disk").mkdir()
    return memory_folder / "disk"


@pytest.fixture(
    params=["linked", pytest.param("copied", marks=pytest.mark.slow("the same where files are copied"))]
)
def _links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the disk knows hard links."""
    if request.param == "copied":
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))


@pytest.fixture
def backed_up(settings: Settings, root: Path) -> Settings:
    """A lake of two batches, with one event that only the spool holds."""
    settings = settings.model_copy(update={"data_dir": root / "data"})
    writer = SpoolWriter(settings.data_dir / "spool" / SPOOLED.name, segment_bytes=64)
    with Lake(settings) as lake:
        for number in range(3):
            writer.append([SpoolEvent(b"spooled/a", b"%d" % number, None, 0)])
            writer.commit()
            if number < 2:
                ingest(lake, SPOOLED, settings)
    writer.close()
    return settings


def lose_power_sometimes(disk: Disk, target: Path, check: Callable[[Path], None]) -> None:
    """Lose power at some flushes, and look at what is there then."""
    chance = random.Random(1)

    def lose(when: str) -> None:
        if when == "end" or chance.random() < LOSSES:
            disk.lose_power(target, chance if chance.random() < 0.7 else None)
            try:
                check(target)
            finally:
                shutil.rmtree(target)

    disk.on_flush = lose


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("_links")
def test_what_is_called_a_backup_is_whole(backed_up: Settings, root: Path, memory_folder: Path) -> None:
    """Also where it links files of the lake that were not flushed before."""
    destination = root / "safe" / "backups"
    taken: list[str] = []

    def check(image: Path) -> None:
        found = {folder.name: contents(folder) for folder in backups_of(image / "safe" / "backups")}
        assert found.keys() >= set(taken)
        assert found == {name: contents(destination / name) for name in found}

    with recording(root) as disk:
        disk.forget(backed_up.data_dir / "lake")
        lose_power_sometimes(disk, memory_folder / "after", check)
        # Of files that are not the lake's: those that nothing flushed before are lost with their own flush.
        for hour, failing in ((12, (0, 20)), (13, (35,))):
            now = NOON.replace(hour=hour)
            for number in failing:
                disk.fail(number)
                with pytest.raises(StorageError):
                    back_up(backed_up, destination, now=now)
            taken.append(back_up(backed_up, destination, now=now).folder.name)
            disk.on_flush("end")


@pytest.mark.usefixtures("_links")
def test_a_restored_lake_is_whole(
    backed_up: Settings, root: Path, memory_folder: Path, new_database: Callable[[], str]
) -> None:
    source = back_up(backed_up, root / "backups", now=NOON).folder
    there = backed_up.model_copy(
        update={"data_dir": root / "below" / "data", "catalog": SecretStr(new_database())}
    )

    def check(image: Path) -> None:
        if lake_is_there(there):
            for part in ("lake", "spool"):
                found, expected = contents(image / "below" / "data" / part), contents(source / part)
                assert {name: found.get(name) for name in expected} == expected

    with recording(root) as disk:
        lose_power_sometimes(disk, memory_folder / "after", check)
        for number in (1, 6, 20):
            disk.fail(number)
            with pytest.raises(StorageError):
                restore(there, source)
        restore(there, source)
        disk.on_flush("end")
    assert lake_is_there(there)


def lake_is_there(settings: Settings) -> bool:
    connection = connect_catalog(settings, application_name="test")
    try:
        with connection.cursor() as cursor:
            cursor.execute("select to_regnamespace('ducklake') is not null")
            return cursor.fetchone() == (True,)
    finally:
        connection.close()
