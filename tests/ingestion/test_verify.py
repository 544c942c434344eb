"""The recount agrees with a sound lake, and finds each thing that is not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from kafka import KafkaAdminClient, TopicPartition

from ingestion.connectors.kafka.log import KafkaLog
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import StorageError
from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.land.batch import Ingestor
from ingestion.land.resolutions import resolve, retry
from ingestion.log.port import Bounds
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from ingestion.watch.recount import PartitionCount, StreamCount, verify
from tests.ingestion.helpers import ingest, kafka_log, produce
from tests.ingestion.test_rejects import single_quotes
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

_numbers = numbers()
FIRST = [b'{"id": 1}', b'{"id": 2}', b'{"id": 1}', None, b"{'id': 3}", b"{", b"{}"]
"""One redelivery, one tombstone, one reject that tomorrow's decoder takes, one that none does."""


@pytest.fixture
def stream(lake: Lake, kafka_settings: Settings, apache_kafka: ApacheKafka) -> Stream:
    """A stream with one batch in the lake."""
    name = f"recounted_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=1)
    stream = Stream.model_validate(
        {"name": name, "source": {"kafka": name}, "business_id": "id", "fields": {"id": "bigint"}}
    )
    produce(apache_kafka.bootstrap_servers, name, FIRST, keys=[b"k"] * len(FIRST))
    ingest(lake, stream, kafka_settings)
    return stream


def count(lake: Lake, stream: Stream, settings: Settings, **times: datetime) -> StreamCount:
    log = kafka_log(stream, settings)
    try:
        return verify(lake, stream, log=log, **times)
    finally:
        log.close()


def only(counted: StreamCount) -> PartitionCount:
    (partition,) = counted.partitions
    return partition


def stage(lake: Lake, stream: Stream) -> None:
    """What dbt would make: each business id once, events without one all."""
    lake.query("create schema if not exists staging")
    lake.query(
        f"create or replace table staging.stg_{stream.name} as "
        "select batch_id, source_partition, event_id, (payload ->> 'id')::bigint as id "
        f"from raw.{stream.name} where payload is not null "
        "qualify row_number() over (partition by coalesce(payload ->> 'id', event_id) order by position) = 1"
    )


def test_a_sound_lake_adds_up_end_to_end(
    lake: Lake, stream: Stream, kafka_settings: Settings, apache_kafka: ApacheKafka
) -> None:
    partition = only(count(lake, stream, kafka_settings))
    assert (partition.staged, partition.verdict) == (None, "ok")
    stage(lake, stream)
    retry(lake, stream.name, decode=single_quotes)
    resolve(lake, stream.name, note="cut off", reason="not_json")
    produce(apache_kafka.bootstrap_servers, stream.name, [b'{"id": 9}'])
    counted = count(lake, stream, kafka_settings)
    assert (counted.verdict, counted.findings) == ("ok", ())
    assert only(counted) == PartitionCount(
        partition=f"{stream.name}-0", broker_begin=0, broker_end=8, start=0, end=7, held=7, unread=1, read=7,
        rows=6, tombstones=1, rejects=2, open_rejects=0, retried=1, staged=3, redelivered=1,
        conflicting=0, waiting=1, findings=(), verdict="ok",
    )  # fmt: skip


def test_times_choose_batches_and_both_halves_make_the_whole(
    lake: Lake, stream: Stream, kafka_settings: Settings, apache_kafka: ApacheKafka
) -> None:
    between = datetime.now(UTC)
    produce(apache_kafka.bootstrap_servers, stream.name, [b'{"id": 2}', b'{"id": 4}'])
    ingest(lake, stream, kafka_settings)
    stage(lake, stream)
    early, late = (
        only(count(lake, stream, kafka_settings, **{side: between})) for side in ("until", "since")
    )
    assert [(each.start, each.end, each.read, each.rows) for each in (early, late)] == [
        (0, 7, 7, 5),
        (7, 9, 2, 2),
    ]
    assert [(each.staged, each.redelivered, each.verdict) for each in (early, late)] == [
        (3, 1, "ok"),
        (1, 1, "ok"),
    ]
    nothing = count(lake, stream, kafka_settings, since=between + timedelta(days=1))
    assert (nothing.partitions, nothing.verdict) == ((), "warning")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("delete from raw.{name} where position = 0", "7 events were read, 6 are there"),
        ("insert into raw.{name} from raw.{name} where position = 0", "1 rows are in raw twice"),
        ("delete from raw.rejects where position = 5", "7 events were read, 6 are there"),
        ("update raw.{name} set position = 99 where position = 0", "outside the ledger's windows"),
        ("update raw.rejects set event_id = '{name}-0@6' where position = 5", "still count as rejects"),
        ("delete from staging.stg_{name} where id = 2", "1 events are missing in staging"),
        ("insert into staging.stg_{name} values (1, '{name}-0', 'x', 5)", "have no event in raw"),
        (
            "insert into staging.stg_{name} from staging.stg_{name} where id = 2",
            "1 rows are in staging twice",
        ),
    ],
)
def test_each_loss_and_double_is_a_defect(
    lake: Lake, stream: Stream, kafka_settings: Settings, damage: str, told: str
) -> None:
    stage(lake, stream)
    lake.query(damage.format(name=stream.name))
    counted = count(lake, stream, kafka_settings)
    assert counted.verdict == only(counted).verdict == "defect"
    assert told in " ".join(only(counted).findings)


def test_a_gap_in_the_ledger_is_a_defect_of_the_stream(
    lake: Lake, stream: Stream, kafka_settings: Settings, apache_kafka: ApacheKafka
) -> None:
    produce(apache_kafka.bootstrap_servers, stream.name, [b"1", b"2"])
    ingest(lake, stream, kafka_settings)
    lake.query(
        "update raw.batches set start_position = 8, events_read = 1, events_landed = 1 where batch_id = 2"
    )
    lake.query(f"delete from raw.{stream.name} where position = 7")
    counted = count(lake, stream, kafka_settings)
    assert counted.verdict == "defect"
    assert any("positions 7 to 8 are missing" in finding for finding in counted.findings)


def test_staging_with_one_business_id_on_two_rows_is_a_warning(
    lake: Lake, stream: Stream, kafka_settings: Settings
) -> None:
    stage(lake, stream)
    lake.query(f"insert into staging.stg_{stream.name} values (1, '{stream.name}-0', '{stream.name}-0@2', 1)")
    counted = count(lake, stream, kafka_settings)
    assert counted.verdict == "warning"
    assert "1 rows of staging have a business id" in counted.findings[0]


def test_retention_that_comes_close_warns_and_one_that_passed_is_a_defect(
    lake: Lake, stream: Stream, kafka_settings: Settings, apache_kafka: ApacheKafka
) -> None:
    produce(apache_kafka.bootstrap_servers, stream.name, [b"1"] * 20)
    admin = KafkaAdminClient(bootstrap_servers=apache_kafka.bootstrap_servers)
    for before, verdict, told in (
        (2, "ok", ""),
        (6, "warning", "retention is 1 positions behind 20 unread ones"),
        (10, "defect", "retention deleted 3 unread positions"),
    ):
        admin.delete_records({TopicPartition(stream.name, 0): before})
        counted = count(lake, stream, kafka_settings)
        assert counted.verdict == verdict
        assert told in " ".join(only(counted).findings)
        assert only(counted).held == max(0, 7 - before)
    admin.close()


def test_a_spool_trimmed_behind_its_position_is_no_danger(lake: Lake) -> None:
    stream = Stream.model_validate({"name": "spooled", "source": {"mqtt": "a/#"}})
    folder = lake.settings.data_dir / "spool" / "spooled"
    writer = SpoolWriter(folder, segment_bytes=1)  # a segment per commit
    for number in range(4):
        _commit(writer, number)
    log = open_log(stream, lake.settings)
    lake.prepare([stream.name])
    Ingestor(lake).run(stream, log, decode=decoder("json"))
    for number in range(4, 34):
        _commit(writer, number)
    counted = verify(lake, stream, log=log)
    log.close()
    writer.close()
    assert (only(counted).broker_begin, only(counted).end, only(counted).unread) == (3, 4, 30)
    assert counted.verdict == "ok"


def _commit(writer: SpoolWriter, number: int) -> None:
    writer.append([SpoolEvent(b"a/b", b"%d" % number, None, 0)])
    writer.commit()


def test_a_broker_that_is_away_leaves_the_lakes_own_recount(
    lake: Lake, stream: Stream, kafka_settings: Settings
) -> None:
    away = kafka_settings.replaced(kafka_bootstrap_servers="127.0.0.1:1")
    log = kafka_log(stream, away, timeout_seconds=1)
    counted = verify(lake, stream, log=log)
    log.close()
    assert (counted.verdict, only(counted).verdict) == ("warning", "ok")
    assert "127.0.0.1:1 does not answer" in counted.findings[0]
    assert (only(counted).rows, only(counted).unread) == (5, None)


@pytest.mark.parametrize("moment", ["before the lake is read", "after"])
def test_ingestion_and_retention_at_work_meanwhile_are_no_loss(
    lake: Lake, stream: Stream, kafka_settings: Settings, apache_kafka: ApacheKafka, moment: str
) -> None:
    def work() -> None:
        produce(apache_kafka.bootstrap_servers, stream.name, [b"1"] * 5)
        with Lake(kafka_settings) as other:
            ingest(other, stream, kafka_settings)
        admin = KafkaAdminClient(bootstrap_servers=apache_kafka.bootstrap_servers)
        admin.delete_records({TopicPartition(stream.name, 0): 12})
        admin.close()

    class Busy(KafkaLog):
        calls = 0

        def bounds(self) -> dict[str, Bounds]:
            self.calls += 1
            if self.calls == 2 and moment == "after":
                work()
            held = super().bounds()
            if self.calls == 1 and moment != "after":
                work()
            return held

    log = kafka_log(stream, kafka_settings, of=Busy)
    counted = verify(lake, stream, log=log)
    log.close()
    assert (counted.verdict, only(counted).end) == ("ok", 7 if moment == "after" else 12)


def test_a_file_with_a_flipped_byte_is_named(lake: Lake, stream: Stream, kafka_settings: Settings) -> None:
    (path,) = (Path(kafka_settings.resolved_lake_path) / "raw" / stream.name).rglob("*.parquet")
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    # In a column that a recount does not read.
    (at,) = [column.data_page_offset for column in columns if column.path_in_schema == "payload"]
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(StorageError, match=rf"{path.name} of raw\.{stream.name}"):
        count(lake, stream, kafka_settings)
