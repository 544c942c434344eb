"""Fencing: what a dead or failed writer left under way in the catalog's server never commits later."""

from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest

from ingestion.declare.stream import Stream
from ingestion.errors import BatchFailed, StorageError, StreamBusy
from ingestion.faultpoints import install_hook
from ingestion.lake.catalog import WriterLock, connect_catalog, writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.settings import Settings
from ingestion.spool.frames import segments
from ingestion.spool.log import SpoolLog
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from tests.ingestion.helpers import ingest

STREAM = Stream.model_validate({"name": "plant", "source": {"mqtt": "plant/#"}})
EVENTS = 30


def spool(folder: Path) -> None:
    writer = SpoolWriter(folder)
    writer.append(SpoolEvent(b"plant/a", b"%d" % number, None, 0) for number in range(EVENTS))
    writer.commit()
    writer.close()


def test_a_commit_that_comes_after_the_next_writer_began_is_refused(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first writer has seen that it holds the lock; then it loses it, and a second one is quicker."""
    spool(settings.data_dir / "spool" / "plant")
    look = WriterLock.assert_held
    locks: list[WriterLock] = []

    def look_and_lose_it(lock: WriterLock) -> None:
        look(lock)
        locks.append(lock)
        if len(locks) == 1:
            lock.connection.close()
            with Lake(settings) as second:
                assert ingest(second, STREAM, settings).events_landed == EVENTS

    monkeypatch.setattr(WriterLock, "assert_held", look_and_lose_it)
    with pytest.raises(BatchFailed, match="commit failed"):
        ingest(lake, STREAM, settings)
    assert len(locks) == 2
    assert lake.query("select count(*), count(distinct position) from raw.plant") == [(EVENTS, EVENTS)]
    assert prove(lake, "plant").defects == ()


def test_a_process_ends_what_its_own_failed_commit_left_in_the_server(lake: Lake, settings: Settings) -> None:
    spool(settings.data_dir / "spool" / "plant")
    lake.prepare(["plant"])
    name = lake.application_name
    lost = BatchFailed("the answer to the commit was lost")
    with suppress(BatchFailed), writer_lock(settings, "plant", application_name=name) as lock:
        lock.assert_held()
        raise lost
    left = connect_catalog(settings, application_name=name)
    lake.close()  # as every failed load does
    assert ingest(lake, STREAM, settings).events_landed == EVENTS
    with pytest.raises(psycopg2.OperationalError), left.cursor() as cursor:
        cursor.execute("select 1")
    left.close()


def test_a_spool_is_trimmed_after_the_commit_and_never_fails_a_batch(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.data_dir / "spool" / "plant"
    with closing(SpoolWriter(folder, segment_bytes=1)) as writer:
        for number in range(3):
            writer.append([SpoolEvent(b"plant/a", b"%d" % number, None, 0)])
            writer.commit()
    before = segments(folder)

    def fail(place: str) -> None:
        if place == "loader.loaded":
            raise OSError(28, "No space left on device")

    install_hook(fail)
    try:
        with pytest.raises(StorageError):
            ingest(lake, STREAM, settings)
    finally:
        install_hook(None)
    assert segments(folder) == before
    with monkeypatch.context() as patch:
        patch.setattr(SpoolLog, "confirm", lambda *_: fail("loader.loaded"))
        assert ingest(lake, STREAM, settings).events_landed == 3
    assert ingest(lake, STREAM, settings).events_landed == 0
    assert segments(folder) == before


def test_a_batch_whose_lock_is_gone_does_not_commit(lake: Lake, settings: Settings) -> None:
    spool(settings.data_dir / "spool" / "plant")

    def end_the_lock(place: str) -> None:
        if place == "loader.loaded":
            with (
                closing(connect_catalog(settings, application_name="test")) as other,
                other.cursor() as cursor,
            ):
                cursor.execute(
                    "select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid) "
                    "where locktype = 'advisory' and datname = current_database()"
                )

    install_hook(end_the_lock)
    try:
        with pytest.raises(StreamBusy, match="lost with its database session"):
            ingest(lake, STREAM, settings)
    finally:
        install_hook(None)
    assert lake.query("select count(*) from raw.plant") == [(0,)]
    assert ingest(lake, STREAM, settings).events_landed == EVENTS
