"""Loads into a lake on a disk that loses power: what the catalog knows is on the disk."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingestion.declare.stream import Stream
from ingestion.errors import StorageError
from ingestion.faultpoints import install_hook
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from tests.ingestion.helpers import ingest
from tests.powerloss.disk import recording

STREAM = Stream.model_validate({"name": "plant", "source": {"mqtt": "plant/#"}})


@pytest.fixture
def disk_settings(settings: Settings, memory_folder: Path) -> Settings:
    return settings.model_copy(update={"data_dir": memory_folder / "disk" / "data"})


@contextmanager
def at(**looks: Callable[[], None]) -> Iterator[None]:
    """Call something at a place of the loader."""
    install_hook(lambda place: looks.get(place.removeprefix("loader."), lambda: None)())
    try:
        yield
    finally:
        install_hook(None)


def parquet(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def test_what_is_committed_was_flushed(disk_settings: Settings, memory_folder: Path) -> None:
    root, image = memory_folder / "disk", memory_folder / "after"
    writer = SpoolWriter(disk_settings.data_dir / "spool" / "plant")
    lake_folder = Path(disk_settings.resolved_lake_path)
    seen: list[int] = []

    def lose_power() -> None:
        disk.lose_power(image, None)  # nothing is there that was not flushed
        try:
            found = parquet(image / lake_folder.relative_to(root))
            assert found == parquet(lake_folder)
            seen.append(len(found))
        finally:
            shutil.rmtree(image)

    with Lake(disk_settings) as lake, recording(root) as disk, at(committed=lose_power):
        for number in range(3):
            writer.append(SpoolEvent(b"plant/a", value, None, 0) for value in (b"%d" % number, b"{"))
            writer.commit()
            assert ingest(lake, STREAM, disk_settings).events_landed == 1
    writer.close()
    assert len(seen) == 3


@pytest.mark.parametrize("number", [0, 2, 5])
def test_a_load_that_cannot_be_flushed_is_not_committed(
    disk_settings: Settings, memory_folder: Path, number: int
) -> None:
    """Files and folders: whichever flush fails."""
    writer = SpoolWriter(disk_settings.data_dir / "spool" / "plant")
    writer.append([SpoolEvent(b"plant/a", b"1", None, 0)])
    writer.commit()
    writer.close()
    with Lake(disk_settings) as lake, recording(memory_folder / "disk") as disk:
        with (
            at(loaded=lambda: disk.fail(number)),
            pytest.raises(StorageError, match="cannot be flushed"),
        ):
            ingest(lake, STREAM, disk_settings)
        assert lake.query("select count(*) from raw.plant") == [(0,)]
        assert ingest(lake, STREAM, disk_settings).events_landed == 1
        assert prove(lake, "plant").defects == ()
