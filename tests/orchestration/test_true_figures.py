"""Every number that people see, against what is known to be there. The list of them is in docs/testing.md.

A spool with known events stands for every source; of a real Kafka, tests/ingestion/test_true_figures_lag.py.
"""

import dataclasses
import io
import json
import socket
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckResult, DagsterInstance
from rich.console import Console, RenderableType

from ingestion.backup.backup import back_up
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.lake.sizes import TableSizes
from ingestion.land.session import LakeSession
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from ingestion.upkeep.maintenance import Limits, maintain
from ingestion.watch.recount import verify
from orchestration.cli import backup as backup_command
from orchestration.cli import status as status_command
from orchestration.cli.examine_sources import sources
from orchestration.cli.tables import overview_tables, streams_table
from orchestration.demo.freshness import FreshnessReader, Sight
from orchestration.demo.streams import PLANT
from orchestration.demo.summary import deliveries, hops, percentile
from orchestration.keys import ARRIVALS_SENSOR
from orchestration.records.overview import Overview, OverviewReader, StreamRow
from orchestration.records.reader import RunRecord
from orchestration.run.land import Landed, ingest_batch

STREAM = Stream.model_validate({"name": "things", "source": {"mqtt": "t/#"}})
NOW = datetime.now(UTC).replace(microsecond=0)
GOOD, BAD, NONE = b'{"n": 1}', b"{", None
FIRST = [GOOD] * 5 + [BAD] * 2 + [NONE]
SECOND = [GOOD] * 4
LEFT_AGES = (500, 40, 30)
"""Of what nobody has read: seconds before NOW. Two batches were read before: FIRST and SECOND."""


@dataclasses.dataclass
class Scene:
    """A lake with two batches of a stream, and three events that wait in its spool.

    Attributes:
        settings: Where it is.
        lake: The lake.
        landed: What each batch recorded.
    """

    settings: Settings
    lake: Lake
    landed: list[Landed]

    def overview(self) -> Overview:
        reader = OverviewReader(self.settings, [STREAM], clock=lambda: NOW)
        try:
            return reader.read()
        finally:
            reader.close()

    def row(self) -> StreamRow:
        (row,) = self.overview().streams
        return row


@pytest.fixture
def scene(settings: Settings) -> Iterator[Scene]:
    writer = SpoolWriter(settings.data_dir / "spool" / STREAM.name)
    values = [*FIRST, *SECOND, *[GOOD] * len(LEFT_AGES)]
    ages = [*range(900, 900 - len(FIRST) - len(SECOND), -1), *LEFT_AGES]
    writer.append(
        [
            SpoolEvent(b"t/1", value, None, int((NOW - timedelta(seconds=age)).timestamp() * 1e6))
            for value, age in zip(values, ages, strict=True)
        ]
    )
    writer.commit()
    writer.close()
    landed = []
    session = LakeSession(settings)
    session.lake.prepare([STREAM.name])
    log = open_log(STREAM, settings)
    for count in (len(FIRST), len(SECOND)):
        session.lake.settings = settings.replaced(batch_max_events=count)
        landed.append(ingest_batch(session, DagsterInstance.ephemeral(), STREAM, log, run_id="-"))
    log.close()
    yield Scene(settings, session.lake, landed)
    session.close()


def printed(each: RenderableType) -> str:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(each)
    return console.export_text()


def metadata(landed: Landed) -> dict[str, Any]:
    return {name: getattr(value, "value", value) for name, value in landed.metadata.items()}


def test_a_stream_of_a_spool_has_its_figures_while_kafka_hangs(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = scene.settings.replaced(kafka_bootstrap_servers=f"127.0.0.1:{silent.getsockname()[1]}")
        hanging = Stream.model_validate({"name": "hanging", "source": {"kafka": "t"}})
        reader = OverviewReader(settings, [hanging, STREAM], broker_seconds=4, clock=lambda: NOW)
        away, mine = reader.read(within_seconds=2.5).streams
        assert (mine.lag_events, mine.error) == (len(LEFT_AGES), "")
        assert "does not answer" in away.error
        reader.read()  # until the broker's time is over
        reader.close()


def test_the_streams_figures(scene: Scene) -> None:
    row = scene.row()
    read = len(FIRST) + len(SECOND)
    assert (row.position, row.lag_events, row.lag_seconds) == (read, len(LEFT_AGES), max(LEFT_AGES))
    assert row.rows == scene.lake.query("select count(*) from raw.things")[0][0] == 10
    assert row.rejects == row.open_rejects == scene.lake.query("select count(*) from raw.rejects")[0][0] == 2
    assert row.batches == 2
    assert row.last_event_at == NOW - timedelta(seconds=900 - read + 1)
    ((loaded,),) = scene.lake.query("select max(ingested_at) from raw.batches")
    assert row.last_load_at == loaded
    scene.lake.query(
        "insert into raw.reject_resolutions by name select stream, event_id, 'dismissed' as outcome "
        "from raw.rejects limit 1"
    )
    assert (scene.row().rejects, scene.row().open_rejects) == (2, 1)


def test_status_prints_the_same_figures(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    overview = scene.overview()
    capsys.readouterr()
    status_command.show(overview, as_json=True)
    (shown,) = json.loads(capsys.readouterr().out)["streams"]
    assert shown["lag_seconds"] == 500.0
    counts = {"lag_events": 3, "rows": 10, "rejects": 2, "open_rejects": 2, "position": 12}
    assert counts.items() <= shown.items()
    cells = printed(streams_table(overview.streams, now=NOW)).splitlines()[1].split()
    assert cells[:6] == ["things", "mqtt", "3", "500.0", "10", "2"]
    assert cells[-2:] == ["15min", "ago"]  # 889 s


def test_a_batchs_page_counts_the_batch_and_the_table(scene: Scene) -> None:
    first, second = map(metadata, scene.landed)
    counts = ("batch_events_read", "batch_events_landed", "batch_events_rejected")
    assert [first[name] for name in counts] == [8, 6, 2]
    assert [second[name] for name in counts] == [4, 4, 0]
    assert first["batch_bytes_read"] == sum(len(value or b"") for value in FIRST)
    assert (first["dagster/row_count"], second["dagster/row_count"]) == (6, 10)
    files = Path(scene.settings.resolved_lake_path, "raw", "things").rglob("*.parquet")
    assert second["table_bytes"] == sum(file.stat().st_size for file in files)
    assert (first["lag_events"], second["lag_events"]) == (len(SECOND) + len(LEFT_AGES), len(LEFT_AGES))
    # The clock is the real one here: the test began a moment after NOW.
    for found, age in ((first, 900 - len(FIRST)), (second, max(LEFT_AGES))):
        since = (datetime.now(UTC) - NOW).total_seconds()
        assert age <= found["oldest_unread_seconds"] <= age + since + 0.1  # rounded
    assert (first["batch_id"], second["batch_id"]) == (1, 2)
    ((snapshot,),) = scene.lake.query("select id from lake.current_snapshot()")
    assert second["snapshot_id"] == snapshot


def test_a_batchs_checks_say_what_they_looked_at(scene: Scene) -> None:
    def numbers(landed: Landed) -> dict[str, Any]:
        (proof,) = (each for each in landed.checks if each.check_name == "ledger_proof")
        return {name: value.value for name, value in proof.metadata.items()}

    assert [numbers(each)["events_read"] for each in scene.landed] == [8, 12]  # another instance: all again
    assert [numbers(each)["batches_checked"] for each in scene.landed] == [1, 2]
    assert all(isinstance(each, AssetCheckResult) and each.passed for each in scene.landed[1].checks)


def test_a_tables_size_counts_what_a_query_finds(scene: Scene) -> None:
    scene.lake.query("create schema marts")
    scene.lake.query("create table marts.some as select n from range(1000) as numbers(n)")
    sizes = TableSizes(scene.settings, application_name="test")
    for change in (
        "delete from marts.some where n < 300",
        "insert into marts.some select 1",
        "delete from marts.some",
    ):
        scene.lake.query(change)
        found = sizes.of(["marts.some", "raw.things", "marts.absent"])
        assert set(found) == {"marts.some", "raw.things"}
        assert found["marts.some"].rows == scene.lake.query("select count(*) from marts.some")[0][0]
        assert found["raw.things"].rows == 10
    scene.lake.query("create view marts.seen as from marts.some")
    assert "marts.seen" not in sizes.of(["marts.seen"])
    sizes.close()


def test_the_recount(scene: Scene) -> None:
    log = open_log(STREAM, scene.settings)
    (count,) = verify(scene.lake, STREAM, log=log).partitions
    log.close()
    assert (count.broker_begin, count.broker_end, count.start, count.end) == (0, 15, 0, 12)
    assert (count.held, count.unread, count.read, count.rows) == (12, 3, 12, 10)
    assert (count.tombstones, count.rejects, count.open_rejects, count.retried) == (1, 2, 2, 0)


def test_the_doctor_counts_positions(scene: Scene) -> None:
    (finding,) = sources(scene.settings, [STREAM])
    assert finding.message.endswith("1 partition(s), 15 position(s) held")


def test_upkeep_reports_what_it_did(scene: Scene) -> None:
    def versions() -> int:
        return len(scene.lake.query("from ducklake_snapshots('lake')"))

    before, files = versions(), len(list(Path(scene.settings.resolved_lake_path).rglob("*.parquet")))
    (scene.settings.data_dir / "logs").mkdir(exist_ok=True)
    limits = Limits(keep_every_snapshot=timedelta(0), keep_snapshots=timedelta(0), grace=timedelta(0))
    later = NOW + timedelta(days=9)
    foreseen = maintain(scene.lake, [STREAM], now=later, dry_run=True, limits=limits)
    assert (versions(), foreseen.dry_run) == (before, True)
    report = maintain(scene.lake, [STREAM], now=later, dry_run=False, limits=limits)
    assert report.failed == ()
    assert report.snapshots_expired == before - versions()
    left = len(list(Path(scene.settings.resolved_lake_path).rglob("*.parquet")))
    written = sum(done.files_after for done in report.tables)
    assert report.files_deleted + report.orphans_deleted == files + written - left


def test_a_backup_counts_its_files_and_rows(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        report = back_up(scene.settings, tmp_path / "backups", now=NOW + timedelta(seconds=number))
        folder = report.folder / "lake"
        files = [path for path in folder.rglob("*") if path.is_file()]
        lake = {str(path.relative_to(folder)): path.stat().st_size for path in files}
        assert report.manifest.lake == lake
        assert report.files_copied == sum(path.stat().st_nlink == 1 for path in files)
        capsys.readouterr()
        backup_command.show(report, verb="wrote", as_json=False)
        part, count, took, size = capsys.readouterr().out.splitlines()[1].split()
        assert (part, int(count), int(took)) == ("lake", len(lake), report.files_copied)
        assert float(size) == pytest.approx(sum(lake.values()) / 2**20, abs=0.01)


@pytest.mark.parametrize(
    ("values", "share", "rank"),
    [(range(1, 101), 0.5, 50), (range(1, 101), 0.95, 95), ([1, 2], 0.5, 1), ([7], 0.95, 7)],
)
def test_a_percentile_is_the_nearest_rank(values: Any, share: float, rank: float) -> None:
    assert percentile(list(values), share) == rank
    assert percentile([], share) is None


def test_the_demos_summary_counts_what_arrived(scene: Scene) -> None:
    marts = {
        "machine_minute": ("readings", 3),
        "order_progress": ("events", 2),
        "order_quality": ("inspections", 1),
    }
    scene.lake.query("create schema marts")
    for name, (column, count) in marts.items():
        scene.lake.query(f"create table marts.{name} as select {count} as {column} union all select 1")
    scene.lake.query("update raw.batches set stream = 'plant_telemetry'")
    reader = FreshnessReader(scene.settings)
    reader.sights += [Sight("plant_telemetry", 1, NOW, (3.0, 1.0)), Sight("plant_telemetry", 2, NOW, (2.0,))]
    report = {
        "sent": {"plant_telemetry": 12, "production_orders": 4, "quality_inspections": 2},
        "expected": {"plant_telemetry": 4, "production_orders": 3, "quality_inspections": 2},
    }
    telemetry, orders, inspections = deliveries(scene.lake, report, reader)
    assert [stream.name for stream in PLANT] == [telemetry.stream, orders.stream, inspections.stream]
    assert (telemetry.sent, telemetry.raw, telemetry.rejected, telemetry.expected) == (12, 10, 2, 4)
    assert (telemetry.marts, telemetry.p50_s, telemetry.p95_s, telemetry.complete) == (4, 2.0, 3.0, True)
    assert (orders.sent, orders.raw, orders.expected, orders.marts, orders.complete) == (4, 0, 3, 3, False)
    assert (inspections.broker, inspections.sent, inspections.marts) == ("HTTP", 2, 2)
    began = dict(scene.lake.query("select batch_id, min(started_at) from raw.batches group by all"))
    run = RunRecord("r", "refresh", "SUCCESS", ARRIVALS_SENSOR, NOW, NOW + timedelta(seconds=1.5), None)
    found = hops(scene.lake, [run], reader.sights)
    assert found["launch of a run"] == 1.5
    spent = [(sight.seen_at - began[sight.batch_id]).total_seconds() for sight in reader.sights]
    assert found["ingest and build"] == pytest.approx(statistics.median(spent), abs=0.01)


def test_a_look_at_everything_prints(scene: Scene) -> None:
    assert "things" in printed(overview_tables(scene.overview(), now=NOW))
