"""A lake knows what wrote it: newer releases migrate it, older ones refuse it, and nothing is lost."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from pydantic import SecretStr

from ingestion.backup.backup import back_up, backups_of, restore
from ingestion.clock import utc_now
from ingestion.data_folder import SYSTEM_LOCK
from ingestion.errors import LakeOutdated, LakeTooNew, MigrationFailed, MillraceError, StreamBusy
from ingestion.faultpoints import install_hook
from ingestion.lake.catalog import connect_catalog, lock_preparation, writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.migrations import MIGRATIONS, Migration, newest
from ingestion.lake.versions import number_of, own_release
from ingestion.migrate.prepare import prepare_lake
from ingestion.settings import Settings
from orchestration.cli import examinations
from orchestration.cli.app import run
from orchestration.system.lock import only_system
from tests.ingestion.planted import forget_versions, killed_at, marking, newer

ROW = "insert into raw.batches by name select 'events' as stream, 1 as batch_id"
NEXT = newest() + 1
CHEAP = {("parquet_compression", "zstd"), ("parquet_compression_level", "1")}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_hook() -> Iterator[None]:
    yield
    install_hook(None)


@pytest.fixture
def filled(lake: Lake) -> Lake:
    """A lake of this release with a row in its ledger."""
    lake.prepare(["events"])
    lake.query(ROW)
    return lake


@pytest.fixture
def from_before(filled: Lake) -> Lake:
    """A lake of the first releases: no version, a ledger without its newest column, and costly files."""
    filled.query("alter table raw.batches drop column positions_skipped")
    filled.query("call ducklake_set_option('lake', 'parquet_compression_level', 3)")
    forget_versions(filled.settings)
    return filled


def prepare(lake: Lake, *streams: str) -> list[str]:
    """Prepare a lake; returns what was shown meanwhile."""
    shown: list[str] = []
    prepare_lake(lake, streams, progress=shown.append)
    return shown


def number(lake: Lake) -> int:
    return number_of(lake.versions())


def columns(lake: Lake) -> set[str]:
    return {name for name, *_ in lake.query("describe raw.batches")}


def compression(lake: Lake) -> set[tuple[str, str]]:
    return set(lake.query("select option_name, value from lake.options() where option_name like 'parquet%'"))


def kept(settings: Settings, version: int) -> list[Path]:
    """The backups of the lake as it was at a version."""
    return backups_of(settings.data_dir / "backups" / f"of-version-{version}")


def test_the_numbers_of_the_migrations_count_up() -> None:
    assert [each.number for each in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_a_new_lake_is_at_the_newest_version_and_needs_no_backup(lake: Lake) -> None:
    assert prepare(lake, "events") == []
    (made,) = lake.versions()
    assert (made.number, made.release, made.done, made.backup) == (newest(), own_release(), True, "")
    assert not (lake.settings.data_dir / "backups").exists()
    assert compression(lake) == CHEAP


def test_an_up_to_date_lake_costs_one_read(
    settings: Settings, filled: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        pytest.fail("more than one read")

    monkeypatch.setattr("ingestion.lake.lake.prepare_catalog", fail)
    monkeypatch.setattr(Lake, "connection", property(fail))
    prepare_lake(Lake(settings), ["events"], progress=fail)


def test_what_a_restored_catalog_lacks_is_created_again(filled: Lake) -> None:
    with (
        closing(connect_catalog(filled.settings, application_name="test")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("drop table millrace.writers; drop index ducklake.millrace_data_file")
        filled.query("drop table raw.events")
        filled.prepare(["events"])
        cursor.execute(
            "select to_regclass('millrace.writers') is not null, "
            "to_regclass('ducklake.millrace_data_file') is not null"
        )
        assert cursor.fetchone() == (True, True)
    assert ("raw", "events") in filled.tables()


def test_a_lake_from_before_versions_is_backed_up_and_migrated(from_before: Lake, settings: Settings) -> None:
    with pytest.raises(LakeOutdated, match="'millrace up' and 'millrace ingest' migrate it"):
        from_before.prepare(["events"])
    shown = prepare(from_before, "events", "more")
    assert [text.split()[0] for text in shown] == ["backing", *["migrating"] * newest(), "going"]
    assert {"positions_skipped", "retired"} <= columns(from_before)
    assert compression(from_before) == CHEAP
    *_, migrated = from_before.versions()
    (backup,) = kept(settings, 0)
    assert (migrated.number, migrated.done, migrated.backup) == (newest(), True, str(backup))
    assert str(backup) in shown[-1]
    assert prepare(from_before, "events") == []


def test_a_backup_of_an_older_lake_is_restored_and_migrated_then(
    from_before: Lake, settings: Settings, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    back_up(settings, tmp_path / "backups", now=utc_now())
    there = settings.model_copy(update={"data_dir": tmp_path / "there", "catalog": SecretStr(new_database())})
    restore(there, tmp_path / "backups")
    with Lake(there) as restored:
        assert number(restored) == 0
        assert prepare(restored, "events")
        assert number(restored) == newest()
        assert restored.query("select stream, positions_skipped from raw.batches") == [("events", None)]
    later = back_up(there, tmp_path / "later", now=utc_now())
    again = there.model_copy(update={"data_dir": tmp_path / "again", "catalog": SecretStr(new_database())})
    restore(again, later.folder)
    with Lake(again) as restored:
        assert prepare(restored, "events") == []
        assert number(restored) == newest()


def test_killed_anywhere_a_migration_is_done_by_the_next_release_that_comes(
    filled: Lake, settings: Settings, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    """Until a migration has begun the older release goes on; from then on it refuses."""
    points = ("backed_up", "begun", "half", "applied", "committed")
    for index, point in enumerate(points):
        planted = range(NEXT, NEXT + index + 1)
        last, before = planted[-1], planted[-1] - 1
        place = "planted.half" if point == "half" else f"migration.{point}"
        said = killed_at(place, settings, planted=planted)
        assert "backing up" in said
        with newer(*map(marking, planted[:-1])):  # the older release
            if point == "backed_up":
                Lake(settings).prepare(["events"])
            else:
                with (
                    Lake(settings) as older,
                    pytest.raises(LakeTooNew, match=r"or restore its backup from before"),
                ):
                    older.prepare(["events"])
        with newer(*map(marking, planted)), Lake(settings) as lake:
            assert number(lake) == before
            assert prepare(lake, "events")
            assert number(lake) == last
            assert lake.query(f"select mark_{last} from raw.batches") == [(1,)]
        assert len(kept(settings, before)) == 1, point
    there = settings.model_copy(update={"data_dir": tmp_path / "there", "catalog": SecretStr(new_database())})
    restore(there, kept(settings, newest())[0])
    with Lake(there) as lake:  # what it was before the first of them
        assert number(lake) == newest()
        assert f"mark_{NEXT}" not in columns(lake)


def test_a_migration_that_fails_changes_nothing_and_names_the_backup(
    filled: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        marking(NEXT + 1).apply(connection)
        connection.execute("select no_such_column from raw.batches")

    second = Migration(NEXT + 1, "the ledger is turned round", fail)
    monkeypatch.setattr("ingestion.migrate.prepare.utc_now", lambda: NOON)
    for version in (newest(), NEXT, NEXT):  # a service manager would try again and again
        with (
            newer(marking(NEXT), second),
            pytest.raises(MigrationFailed, match="nothing of it was changed") as failed,
        ):
            prepare(filled, "events")
        (backup,) = kept(settings, version)
        assert str(backup) in str(failed.value)
        assert "the ledger is turned round" in str(failed.value)
    with newer(marking(NEXT)), Lake(settings) as before:
        assert prepare(before, "events") == []
        assert f"mark_{NEXT}" in columns(before)
        assert f"mark_{NEXT + 1}" not in columns(before)


def test_an_older_release_refuses_wherever_it_opens_the_lake(
    filled: Lake, settings: Settings, tmp_path: Path, new_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert settings.catalog is not None
    filled.connection  # noqa: B018 - open before the lake is migrated
    with newer(marking(NEXT)), Lake(settings) as lake:
        prepare(lake, "events")
        newer_backup = back_up(settings, tmp_path / "backups", now=utc_now()).folder

    def refused(work: Callable[[], object]) -> None:
        words = f"was written by Millrace {own_release()} .version {NEXT} .*knows version {newest()}: install"
        with pytest.raises(LakeTooNew, match=words):
            work()

    refused(lambda: filled.prepare(["events"]))
    refused(lambda: writer_lock(settings, "events", application_name="x").__enter__())
    for read_only in (True, False):
        refused(lambda read_only=read_only: Lake(settings, read_only=read_only).connection)
    refused(lambda: prepare(Lake(settings), "events"))
    there = settings.model_copy(update={"data_dir": tmp_path / "there", "catalog": SecretStr(new_database())})
    refused(lambda: restore(there, newer_backup))

    monkeypatch.setenv("MILLRACE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("MILLRACE_CATALOG", settings.catalog.get_secret_value())
    refused(lambda: list(examinations.lake(settings)))
    for command in (["query", "select 1"], ["ingest"], ["status", "--check"], ["maintain"]):
        assert run(command) == 1
        told = capsys.readouterr()
        assert "was written by Millrace" in " ".join((told.out + told.err).split()), command


def test_no_load_is_under_way_during_a_migration(from_before: Lake, settings: Settings) -> None:
    with (
        writer_lock(settings, "events", application_name="somebody"),
        pytest.raises(StreamBusy, match="is being written by 'somebody'"),
    ):
        prepare(from_before, "events")
    assert number(from_before) == 0


def test_under_a_running_system_only_the_system_itself_migrates(
    from_before: Lake, settings: Settings
) -> None:
    settings.data_dir.mkdir(exist_ok=True)
    with only_system(settings.data_dir):
        assert (settings.data_dir / SYSTEM_LOCK).exists()
        with pytest.raises(MillraceError, match="stop it with 'millrace down'"):
            prepare(from_before, "events")
        prepare_lake(from_before, ["events"], progress=lambda _: None, is_system=True)
    assert number(from_before) == newest()


class Interrupted(BaseException):
    """As of Ctrl-C."""


def test_who_waits_for_another_ones_migration_hears_a_signal(filled: Lake) -> None:
    def handler(_number: int, _frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handler)
    with closing(connect_catalog(filled.settings, application_name="migrating")) as other:
        with other.cursor() as cursor:
            lock_preparation(cursor)
        patience = [
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1)),
            threading.Timer(30, other.close),
        ]
        for each in patience:
            each.start()
        try:
            with (
                closing(connect_catalog(filled.settings, application_name="waiting")) as waiting,
                waiting.cursor() as cursor,
                pytest.raises(Interrupted),
            ):
                lock_preparation(cursor)
            assert not other.closed
        finally:
            for each in patience:
                each.cancel()
            signal.signal(signal.SIGUSR1, before)
