"""Upkeep on a real lake: nothing that is in it changes, whoever writes, reads or dies meanwhile."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import MaintenanceError, StreamBusy
from ingestion.faultpoints import install_hook
from ingestion.formats.decode import decoder
from ingestion.lake.catalog import connect_catalog, process_name, writer_lock
from ingestion.lake.first_rows import MAY_STAY_EMPTY
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove, read_state
from ingestion.land.batch import Ingestor
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.port import Bounds, Chunk, Start, Window
from ingestion.settings import Settings
from ingestion.spool.frames import segments
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from ingestion.upkeep import maintenance
from ingestion.upkeep.ages import Moment, note_moment
from ingestion.upkeep.compaction import Compactor, Table
from ingestion.upkeep.files import remove_work_folder
from ingestion.upkeep.maintenance import Limits, Report, maintain
from ingestion.upkeep.versions import read_versions
from tests.ingestion.helpers import ingest
from tests.repository import REPOSITORY

STREAM = Stream.model_validate({"name": "events", "source": {"kafka": "events"}})
LATER = timedelta(days=30)
TABLES = ("raw.events", "raw.batches", "raw.rejects", "raw._dlt_loads")


class CountingLog:
    """A log whose every look finds `step` more events; every tenth is malformed."""

    stalls = 0
    keeps_until_confirmed = False

    def __init__(self, *, step: int = 20, end: int = 0) -> None:
        self.step, self.end = step, end

    def bounds(self) -> dict[str, Bounds]:
        self.end += self.step
        return {"events-0": Bounds(0, self.end, "log")}

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        return True

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        return {name: bounds.begin for name, bounds in partitions.items()}

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        for name, window in windows.items():
            rows = [
                {
                    "source_partition": name,
                    "position": n,
                    "value": b"{" if n % 10 == 9 else b'{"n": %d}' % n,
                    "event_time": datetime(2026, 1, 1, tzinfo=UTC),
                }
                for n in range(window.start, window.end)
            ]
            yield Chunk(pa.Table.from_pylist(rows, SOURCE_SCHEMA), {name: window.end})

    def confirm(self, positions: Mapping[str, int]) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_hook() -> Iterator[None]:
    yield
    install_hook(None)


def load(lake: Lake, batches: int = 10, *, log: CountingLog | None = None) -> CountingLog:
    lake.prepare(["events"])
    log = log or CountingLog()
    ingestor = Ingestor(lake)
    for _ in range(batches):
        ingestor.run(STREAM, log, decode=decoder("json"))
    return log


def upkeep(lake: Lake, *, later: timedelta = timedelta(0), dry_run: bool = False) -> Report:
    return maintain(lake, [STREAM], now=datetime.now(UTC) + later, dry_run=dry_run)


def contents(lake: Lake, *, version: int | None = None) -> dict[str, list[tuple[object, ...]]]:
    at = f" at (version => {version})" if version else ""
    return {table: lake.query(f"select * from {table}{at} order by all") for table in TABLES}


def file_count(lake: Lake, table: str) -> int:
    schema, name = table.split(".")
    return lake.query(f"select count(*) from ducklake_list_files('lake', '{name}', schema => '{schema}')")[0][
        0
    ]


def on_disk(lake: Lake) -> int:
    return sum(1 for _ in Path(lake.settings.resolved_lake_path).rglob("*.parquet"))


def test_compaction_keeps_every_row_every_version_and_the_positions(lake: Lake) -> None:
    log = load(lake)
    middle, before, state = lake.snapshot_id() - 5, contents(lake), read_state(lake, "events")
    then = contents(lake, version=middle)
    assert [file_count(lake, table) for table in TABLES] == [10, 10, 10, 10]
    report = upkeep(lake)
    assert (report.skipped, report.failed) == ((), ())
    assert {done.table: done.rows_verified for done in report.tables} == {
        "raw.events": 180,
        "raw.batches": 10,
        "raw.rejects": 20,
        "raw._dlt_loads": 10,
    }
    assert [file_count(lake, table) for table in TABLES] == [1, 1, 1, 1]
    assert contents(lake) == before
    assert contents(lake, version=middle) == then
    assert read_state(lake, "events") == state
    load(lake, 1, log=log)
    assert prove(lake, "events").defects == ()
    assert upkeep(lake).tables == ()


def test_a_dry_run_tells_and_changes_nothing(lake: Lake) -> None:
    load(lake)
    before, version, files = contents(lake), lake.snapshot_id(), on_disk(lake)
    report = upkeep(lake, later=LATER, dry_run=True)
    assert {done.table for done in report.tables} == set(TABLES)
    assert report.snapshots_expired > 0
    assert (contents(lake), lake.snapshot_id(), on_disk(lake)) == (before, version, files)


def test_old_files_stay_for_a_grace_and_then_go(lake: Lake) -> None:
    load(lake)
    files, before = on_disk(lake), contents(lake)
    for path in Path(lake.settings.resolved_lake_path).rglob("*.parquet"):
        os.utime(path, (0, 0))  # age must not make an orphan of a file that was merged just now
    assert upkeep(lake).files_deleted == 0
    assert on_disk(lake) == files + 4
    report = upkeep(lake, later=LATER)
    assert (report.files_deleted, report.failed, on_disk(lake)) == (40 + len(MAY_STAY_EMPTY), (), 5)
    assert report.snapshots_expired > 10
    assert contents(lake) == before


def test_only_old_files_that_the_catalog_does_not_know_are_orphans(lake: Lake) -> None:
    load(lake, 1)
    folder, before = Path(lake.settings.resolved_lake_path), contents(lake)
    for path in folder.rglob("*.parquet"):
        os.utime(path, (0, 0))
    ours, moved = f"ducklake-{uuid.uuid4()}.parquet", f"millrace-{uuid.uuid4()}.parquet"
    young, deletes = f"ducklake-{uuid.uuid4()}.parquet", f"ducklake-{uuid.uuid4()}-delete.parquet"
    orphans = [f"raw/events/year=2026/month=1/day=1/{ours}", f"raw/batches/{moved}", f"raw/events/{deletes}"]
    # What somebody else keeps there: below a name of his own, in our folders, or with DuckLake's names.
    others = ["reports/2025.parquet", "raw/events/export.parquet", f"reports/{ours}", ours, "raw/notes.txt"]
    for name in (*orphans, *others, f"raw/events/{young}"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PAR1")
        age = 0 if young in name else 10 * 86400
        os.utime(path, (time.time() - age, time.time() - age))
    assert upkeep(lake, dry_run=True).orphans_deleted == 3
    with writer_lock(lake.settings, "events", application_name=process_name()):  # a batch may be writing it
        assert (upkeep(lake).orphans_deleted, [(folder / name).exists() for name in orphans]) == (
            0,
            [True] * 3,
        )
    assert upkeep(lake).orphans_deleted == 3
    assert [(folder / name).exists() for name in orphans] == [False] * 3
    assert all((folder / name).exists() for name in (*others, f"raw/events/{young}"))
    assert contents(lake) == before


def test_a_file_that_was_committed_after_the_look_is_not_an_orphan(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(lake, 1)
    before = contents(lake)
    committed = list((Path(lake.settings.resolved_lake_path) / "raw" / "events").rglob("*.parquet"))
    monkeypatch.setattr(maintenance, "find_orphans", lambda *_args, **_options: {"raw/events": committed})
    report = upkeep(lake)
    assert (report.orphans_deleted, report.failed, report.skipped) == (0, (), ())
    assert committed
    assert contents(lake) == before


def test_a_busy_stream_is_skipped_and_told_and_the_rest_is_done(lake: Lake, settings: Settings) -> None:
    load(lake)
    before = contents(lake)
    with writer_lock(settings, "events", application_name=process_name()):
        report = upkeep(lake)
    assert [done.table for done in report.tables] == ["raw._dlt_loads", "raw.batches", "raw.rejects"]
    assert len(report.skipped) == 1
    assert "stream 'events' is being written" in report.skipped[0]
    assert contents(lake) == before


def _make_mart(lake: Lake) -> None:
    lake.query("create schema if not exists marts")
    lake.query("create table marts.m as select range as n, range % 7 as g from range(1000)")
    lake.query("delete from marts.m where n < 500")
    lake.query("insert into marts.m select range, 1 from range(100)")


def test_deleted_rows_leave_the_files_of_marts(lake: Lake) -> None:
    lake.prepare([])
    _make_mart(lake)
    before = lake.query("select * from marts.m order by all")
    report = upkeep(lake)
    assert [(done.table, done.rows_verified) for done in report.tables] == [("marts.m", 500)]
    assert lake.query(
        "select count(delete_file) from ducklake_list_files('lake', 'm', schema => 'marts')"
    ) == [(0,)]
    assert lake.query("select * from marts.m order by all") == before


def test_rows_deleted_after_the_plan_are_no_change_of_contents(lake: Lake) -> None:
    lake.prepare([])
    _make_mart(lake)
    compactor = Compactor(
        lake, Table("marts", "m"), lock=nullcontext,
        target_bytes=2**20, least_files=8, delete_threshold=0.2,
    )  # fmt: skip
    lake.query("delete from marts.m where n < 50")  # from a file that had no deletes
    before = lake.query("select * from marts.m order by all")
    assert compactor.run().rows_verified == 550
    assert lake.query("select * from marts.m order by all") == before


def test_a_file_that_joins_a_partition_after_the_plan_is_no_change_of_contents(lake: Lake) -> None:
    lake.prepare([])
    lake.query("create schema marts")
    lake.query("create table marts.m (n bigint, day bigint)")
    lake.query("alter table marts.m set partitioned by (day)")
    for number in range(9):
        lake.query(f"insert into marts.m values ({number}, {number // 8})")
    compactor = Compactor(
        lake, Table("marts", "m"), lock=_inserting(lake), target_bytes=2**20, least_files=8,
        delete_threshold=0.2,
    )  # fmt: skip
    compactor.run()
    assert lake.query("select count(*) from marts.m") == [(10,)]


def _inserting(lake: Lake) -> Callable[[], AbstractContextManager[None]]:
    """A lock that lets a writer in once before it is held."""
    waiting = ["insert into marts.m values (9, 1)"]

    def lock() -> AbstractContextManager[None]:
        if waiting:
            lake.query(waiting.pop())
        return nullcontext()

    return lock


def test_a_model_that_waits_for_its_turn_is_built_after_the_compaction(
    lake: Lake, settings: Settings
) -> None:
    """dbt's pre-hook waits for the lock first; its deletes must not collide with the compaction."""
    lake.prepare([])
    _make_mart(lake)
    errors: list[BaseException] = []

    def build() -> None:
        try:
            with Lake(settings) as other:
                other.query("begin")
                other.query(
                    "select * from postgres_query('__ducklake_metadata_lake', "
                    "'select count(pg_advisory_xact_lock(hashtext(''millrace marts.m'')))')"
                )
                other.query("delete from marts.m where n >= 900")
                other.query("commit")
        except BaseException as error:
            errors.append(error)

    builder = threading.Thread(target=build)

    def start_builder(place: str) -> None:
        if place == "maintenance.compacted" and not builder.ident:
            builder.start()
            _await_lock_queue(settings)

    install_hook(start_builder)
    report = upkeep(lake)
    builder.join(timeout=60)
    assert (report.failed, report.skipped, errors) == ((), (), [])
    assert lake.query("select count(*), max(n) from marts.m") == [(500, 899)]


def _await_lock_queue(settings: Settings) -> None:
    connection = connect_catalog(settings, application_name="test")
    deadline = time.monotonic() + 60
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "select count(*) from pg_locks join pg_database on pg_database.oid = database "
                "where locktype = 'advisory' and not granted and datname = current_database()"
            )
            if cursor.fetchone() == (1,):
                break
            assert time.monotonic() < deadline, "the model does not wait for its turn"
            time.sleep(0.05)
    connection.close()


@pytest.mark.parametrize("damage", ["changed", "unreadable"])
def test_a_compaction_that_changes_contents_stops_everything(
    lake: Lake, settings: Settings, damage: str
) -> None:
    load(lake)
    _make_mart(lake)
    files = set(Path(lake.settings.resolved_lake_path).rglob("*.parquet"))

    def spoil(place: str) -> None:
        if not place.startswith("maintenance."):
            return
        assert place == "maintenance.compacted", "nothing may be deleted after a bad compaction"
        install_hook(None)
        if damage == "changed":  # as if the rewrite had lost its rows
            connection = connect_catalog(settings, application_name="test")
            connection.cursor().execute(
                "update ducklake.ducklake_data_file set end_snapshot = begin_snapshot "
                "where data_file_id = (select max(data_file_id) from ducklake.ducklake_data_file)"
            )
            connection.close()
        for path in set(Path(lake.settings.resolved_lake_path).rglob("*.parquet")) - files:
            if damage == "unreadable":
                path.write_bytes(b"no parquet")

    install_hook(spoil)
    with pytest.raises(MaintenanceError, match=r"table marts\.m"):
        upkeep(lake, later=LATER)
    assert all(path.exists() for path in files)


_KILLED = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from ingestion.faultpoints import install_hook
from ingestion.lake.lake import Lake
from ingestion.upkeep.maintenance import maintain
from ingestion.settings import load_settings
from ingestion.declare.stream import Stream

data_dir, place, passes = sys.argv[1], sys.argv[2], int(sys.argv[3])
passed = 0

def die(name):
    global passed
    passed += name == place
    if name == place and passed == passes:
        os.kill(os.getpid(), signal.SIGKILL)

install_hook(die)
stream = Stream.model_validate({"name": "events", "source": {"kafka": "events"}})
settings = load_settings(data_dir=data_dir, catalog=sys.stdin.read())
with Lake(settings) as lake:
    maintain(lake, [stream], now=datetime.now(UTC) + timedelta(days=30))
"""


# Every place is in tests/fault/test_kills.py; here the third table of several.
@pytest.mark.parametrize(("place", "passes"), [("maintenance.compacted", 3)])
def test_a_kill_changes_nothing_and_the_next_upkeep_finishes(
    lake: Lake, settings: Settings, place: str, passes: int
) -> None:
    log = load(lake)
    before, state = contents(lake), read_state(lake, "events")
    assert settings.catalog is not None
    process = subprocess.run(
        [sys.executable, "-c", _KILLED, str(settings.data_dir), place, str(passes)],
        input=settings.catalog.get_secret_value(),
        text=True,
        cwd=REPOSITORY,
        timeout=120,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert contents(lake) == before
    assert read_state(lake, "events") == state
    load(lake, 1, log=log)
    report = upkeep(lake, later=LATER)
    assert (report.skipped, report.failed) == ((), ())
    assert prove(lake, "events").defects == ()
    assert lake.query("select count(*) from raw.events") == [(198,)]


def test_readers_meet_no_error_and_see_no_change(lake: Lake, settings: Settings) -> None:
    """One reader plans again and again; another keeps the transaction it began before the compaction."""
    load(lake)
    stop, errors, seen = threading.Event(), [], set[tuple[object, ...]]()

    def read() -> None:
        try:
            with Lake(settings, read_only=True) as reader:
                while not stop.is_set():
                    seen.add(
                        reader.query(
                            "select (select count(*) from raw.events), "
                            "(select sum(position) from raw.events), (select count(*) from raw.batches)"
                        )[0]
                    )
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    with Lake(settings, read_only=True) as patient:
        patient.query("begin")
        whole = patient.query("select * from raw.events order by all")
        thread.start()
        for _ in range(3):
            report = upkeep(lake)
            assert (report.skipped, report.failed) == ((), ())
        stop.set()
        thread.join(timeout=60)
        assert patient.query("select * from raw.events order by all") == whole
    assert (errors, len(seen)) == ([], 1)


def test_ingestion_goes_on_during_upkeep(lake: Lake, settings: Settings) -> None:
    log = load(lake)
    errors: list[BaseException] = []

    def ingest() -> None:
        try:
            with Lake(settings) as other:
                load(other, 15, log=log)
        except BaseException as error:
            errors.append(error)

    writer = threading.Thread(target=ingest)
    writer.start()
    passes = 0
    while writer.is_alive():
        report = maintain(lake, [STREAM], now=datetime.now(UTC), limits=Limits(least_files=2))
        assert (report.skipped, report.failed) == ((), ())
        passes += bool(report.tables)
    writer.join()
    assert errors == []
    assert passes > 1
    assert prove(lake, "events").defects == ()
    assert read_state(lake, "events").last_batch_id == 25
    assert lake.query("select count(distinct event_id), count(*) from raw.events") == [(450, 450)]


def _spooled(folder: Path, events: int) -> SpoolWriter:
    """A spool with a segment for each event; the caller closes it."""
    writer = SpoolWriter(folder, segment_bytes=1)
    for number in range(events):
        writer.append([SpoolEvent(b"plant/a", b"%d" % number, None, 0)])
        writer.commit()
    return writer


def test_a_missed_confirmation_is_made_up_for(lake: Lake, settings: Settings) -> None:
    stream = Stream.model_validate({"name": "plant", "source": {"mqtt": "plant/#"}})
    folder = settings.data_dir / "spool" / "plant"
    writer = _spooled(folder, 5)
    lake.prepare(["plant"])
    log = open_log(stream, settings)
    log.confirm = lambda positions: None  # type: ignore[method-assign]
    Ingestor(lake).run(stream, log, decode=decoder("json"))
    log.close()
    for number in range(2):
        writer.append([SpoolEvent(b"plant/a", b"1%d" % number, None, 0)])
        writer.commit()
    held = segments(folder)
    report = maintain(lake, [stream], now=datetime.now(UTC))
    assert report.failed == ()
    assert report.segments_trimmed > 0
    assert segments(folder) == [first for first in held if first >= 5]
    log = open_log(stream, settings)
    assert Ingestor(lake).run(stream, log, decode=decoder("json")).events_landed == 2
    log.close()
    writer.close()


def test_a_spool_that_was_made_again_is_not_trimmed_by_positions_of_the_one_before(
    lake: Lake, settings: Settings
) -> None:
    stream = Stream.model_validate({"name": "plant", "source": {"mqtt": "plant/#"}})
    folder = settings.data_dir / "spool" / "plant"
    _spooled(folder, 5).close()
    ingest(lake, stream, settings)
    shutil.rmtree(folder)
    _spooled(folder, 4).close()
    held = segments(folder)
    assert maintain(lake, [stream], now=datetime.now(UTC)).segments_trimmed == 0
    assert segments(folder) == held


def test_dead_work_folders_and_rotated_logs_go(lake: Lake, settings: Settings) -> None:
    load(lake, 1)
    dead, live = settings.data_dir / "work" / "dead", settings.data_dir / "work" / "live"
    rotated, written = settings.data_dir / "logs" / "web.log.1", settings.data_dir / "logs" / "web.log"
    for folder in (dead, live, rotated.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for path in (rotated, written):
        path.write_text("x")
        os.utime(path, (0, 0))
    os.utime(dead, (0, 0))
    report = upkeep(lake)
    assert (report.folders_removed, report.logs_removed) == (1, 1)
    assert (dead.exists(), live.exists(), rotated.exists(), written.exists()) == (False, True, False, True)


def test_the_folder_of_a_batch_that_lives_stays_however_old_it_looks(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.lake.catalog._LOCK_SECONDS", 0.05)
    lake.prepare(["live"])
    folder = settings.data_dir / "work" / "live"
    folder.mkdir(parents=True)
    with writer_lock(settings, "live", application_name=process_name()), pytest.raises(StreamBusy):
        remove_work_folder(lake, folder)
    assert folder.exists()
    remove_work_folder(lake, folder)
    assert not folder.exists()


def test_small_partitions_are_left_until_one_of_them_is_worth_it(lake: Lake) -> None:
    load(lake, Limits().least_files - 1)
    assert upkeep(lake).tables == ()


def test_nothing_is_deleted_by_its_age_while_the_clock_is_not_trusted(lake: Lake, settings: Settings) -> None:
    """A clock that is days ahead: files of a batch under way, versions and logs look old, and stay."""
    load(lake, 2)
    orphan = Path(lake.settings.resolved_lake_path) / "raw/events" / f"ducklake-{uuid.uuid4()}.parquet"
    work, log = settings.data_dir / "work" / "events", settings.data_dir / "logs" / "web.log.1"
    for path in (orphan, work / "part", log):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    path, limits = settings.data_dir / "upkeep" / "clock.json", Limits()
    began = datetime.now(UTC).timestamp()

    def upkeep_with(moment: Moment) -> Report:
        ages = note_moment(path, moment, steady_for=limits.steady_for)
        now = datetime.fromtimestamp(moment.wall, UTC)
        return maintain(lake, [STREAM], now=now, limits=limits, ages=ages)

    note_moment(path, Moment("boot", 1_000, began - 7_200), steady_for=limits.steady_for)
    note_moment(path, Moment("boot", 8_200, began), steady_for=limits.steady_for)
    ahead = began + 40 * 86_400
    versions = read_versions(lake)
    set_just_now = upkeep_with(Moment("boot", 8_300, ahead))
    assert "its clock was set" in set_just_now.skipped[0]
    assert (set_just_now.folders_removed, read_versions(lake)) == (0, versions)
    report = upkeep_with(Moment("boot", 15_600, ahead + 7_300))
    assert (report.orphans_deleted, report.files_deleted, report.logs_removed) == (0, 0, 0)
    assert (orphan.exists(), log.exists()) == (True, True)
    late = upkeep_with(Moment("boot", 15_600 + 41 * 86_400, ahead + 7_300 + 41 * 86_400))
    assert (late.orphans_deleted, late.logs_removed, late.folders_removed) == (1, 1, 0)
