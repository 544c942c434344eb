"""A compaction on a disk that loses power: what the catalog knows afterwards is on the disk."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from ingestion.errors import StorageError
from ingestion.faultpoints import install_hook
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.upkeep.compaction import Compactor, Table
from tests.powerloss.disk import recording

MART = Table("marts", "mart")


@pytest.fixture
def small_files(settings: Settings, memory_folder: Path) -> Iterator[Lake]:
    """A table of three files, of one of which a row is deleted."""
    with Lake(settings.model_copy(update={"data_dir": memory_folder / "disk" / "data"})) as lake:
        for sql in (
            "create schema marts",
            "create table marts.mart as select unnest([1, 2]) as n",
            "insert into marts.mart select unnest([3, 4])",
            "insert into marts.mart select unnest([5, 6])",
        ):
            lake.query(sql)
        yield lake


@contextmanager
def at_commit(look: Callable[[], None]) -> Iterator[None]:
    install_hook(lambda place: look() if place == "maintenance.compacted" else None)
    try:
        yield
    finally:
        install_hook(None)


def compactor(lake: Lake) -> Compactor:
    return Compactor(lake, MART, lock=nullcontext, target_bytes=2**20, least_files=2, delete_threshold=0.2)


def named(lake: Lake) -> list[Path]:
    """The files that the catalog names."""
    found = lake.query("select data_file from ducklake_list_files('lake', 'mart', schema => 'marts')")
    return sorted(Path(path) for (path,) in found)


@pytest.mark.parametrize("deleted", [0, 3], ids=["merge", "rewrite"])
def test_what_a_compaction_commits_was_flushed(small_files: Lake, memory_folder: Path, deleted: int) -> None:
    lake, root, image = small_files, memory_folder / "disk", memory_folder / "after"
    lake.query(f"delete from marts.mart where n = {deleted}")
    before, seen = set(named(lake)), []

    def lose_power() -> None:
        disk.lose_power(image, None)  # nothing is there that was not flushed
        for path in set(named(lake)) - before:
            assert (image / path.relative_to(root)).read_bytes() == path.read_bytes()
            seen.append(path)
        shutil.rmtree(image)

    with recording(root) as disk, at_commit(lose_power):
        assert compactor(lake).run().rows_verified
    assert seen


def test_a_compaction_that_cannot_be_flushed_is_not_committed(small_files: Lake, memory_folder: Path) -> None:
    before = named(small_files)
    with recording(memory_folder / "disk") as disk:
        disk.fail(0)
        with pytest.raises(StorageError, match="cannot be flushed"):
            compactor(small_files).run()
    assert named(small_files) == before
    assert compactor(small_files).run().files_after == 1
    assert small_files.query("select sum(n) from marts.mart") == [(21,)]
