"""No payload breaks a load, changes a table, or becomes another event: real Kafka, real lake."""

import gzip
import itertools
import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.batch import Ingestor
from ingestion.log.envelope import EVENT_SCHEMA, SOURCE_SCHEMA
from ingestion.log.port import Bounds, Chunk, Start, Window
from ingestion.settings import Settings
from tests.ingestion.helpers import ingest, kafka_log, kafka_stream, positions_of, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

_numbers = numbers()
LANDS = {
    "one byte": b"1",
    "huge integer": b'{"n": 123456789012345678901234567890123456789012345678901234567890}',
    "duplicate keys": b'{"a": 1, "a": 2}',
    "ID and id": b'{"ID": 1, "id": 2, "Id": 3}',
    "reserved words": b'{"select": 1, "from": "table", "group": {"order": [null]}}',
    "emoji": '{"\U0001f600": "\U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301": "\u202e"}'.encode(),
    "quotes": b'{"x\\"; drop table raw.batches; --": "\'; drop schema raw; --"}',
    "the envelope": b'{"_dlt_load_id": "1", "batch_id": -1, "position": 0, "event_id": "t@0", "payload": 1}',
    "no object": b'[1, "two", null]',
    "type drift": b'{"n": "now a string"}',
    "missing field": b"{}",
}
REWRITTEN = {
    "gzip": (gzip.compress(b'{"n": 1.10}'), '{"n": 1.10}'),
    "zstd": (pa.compress(b"[1]", "zstd", asbytes=True), "[1]"),
    "byte order mark": ("\ufeff{}".encode(), "{}"),
    "UTF-16": ('{"n": "\u00e9"}'.encode("utf-16"), '{"n": "\u00e9"}'),
    "NUL at the end": (b"[1]\0", "[1]"),
}
REJECTED = {
    "a bomb": (gzip.compress(b" " * 20_000_000), "unpacks_too_large"),
    "torn gzip": (gzip.compress(b"[1]")[:-4], "not_unpacked"),
    "empty": (b"", "empty"),
    "truncated": (b'{"n": 1, "m": [1, 2', "not_json"),
    "NaN": (b'{"n": NaN}', "not_json"),
    "infinity": (b'{"n": -Infinity}', "not_json"),
    "10,000 levels": (b"[" * 10_000 + b"]" * 10_000, "not_json"),
    "not UTF-8": (b'{"n": "\xc3\x28"}', "not_utf8"),
    "NUL in front": (b'\x00{"n": 1}', "not_json"),
}


@pytest.fixture
def topic(apache_kafka: ApacheKafka) -> str:
    name = f"hostile_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=1)
    return name


def _columns(lake: Lake, table: str) -> list[str]:
    return [row[0] for row in lake.query(f"select column_name from (describe raw.{table})")]


def test_every_payload_ends_where_it_belongs_byte_by_byte(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    rejected = [value for value, _ in REJECTED.values()]
    rewritten = list(REWRITTEN.values())
    produce(
        apache_kafka.bootstrap_servers,
        topic,
        [*LANDS.values(), *(value for value, _ in rewritten), *rejected],
    )
    report = ingest(lake, kafka_stream(topic), kafka_settings)
    assert (report.events_landed, report.events_rejected) == (len(LANDS) + len(rewritten), len(REJECTED))
    landed = lake.query(f"select event_id, encode(payload), batch_id from raw.{topic} order by position")
    kept = lake.query(f"select payload_raw, payload from raw.{topic} order by position")
    assert kept[: len(LANDS)] == [(None, value.decode()) for value in LANDS.values()]
    assert kept[len(LANDS) :] == rewritten
    assert landed[: len(LANDS)] == [(f"{topic}-0@{n}", value, 1) for n, value in enumerate(LANDS.values())]
    found = lake.query("select payload_raw, reason from raw.rejects order by position")
    assert found == list(REJECTED.values())
    assert _columns(lake, topic) == [*EVENT_SCHEMA.names, "_dlt_load_id"]
    assert prove(lake, topic).defects == ()


def test_ten_thousand_random_keys_add_no_column(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    dice = random.Random(1)
    values = [json.dumps({f"k{dice.randrange(10**12)}": n}).encode() for n in range(10_000)]
    produce(apache_kafka.bootstrap_servers, topic, values)
    assert ingest(lake, kafka_stream(topic), kafka_settings).events_landed == 10_000
    assert _columns(lake, topic) == [*EVENT_SCHEMA.names, "_dlt_load_id"]


def test_one_event_five_times_in_a_batch_and_across_restarts_is_each_delivery_once(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    for _ in range(2):
        produce(apache_kafka.bootstrap_servers, topic, [b'{"id": 7}'] * 5, keys=[b"7"] * 5)
        with Lake(kafka_settings) as restarted:
            assert ingest(restarted, kafka_stream(topic), kafka_settings).events_landed == 5
    assert positions_of(lake, topic) == [(f"{topic}-0", n) for n in range(10)]


def test_a_host_clock_that_steps_back_changes_no_order(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    lake.prepare([topic])
    times = itertools.count()
    start = datetime(2026, 3, 29, 3, tzinfo=UTC)
    ingestor = Ingestor(lake, clock=lambda: start - timedelta(hours=next(times)))
    log = kafka_log(kafka_stream(topic), kafka_settings)
    for number in range(3):
        produce(apache_kafka.bootstrap_servers, topic, [b"%d" % number])
        assert ingestor.run(kafka_stream(topic), log, decode=decoder("json")).batch_id == number + 1
    log.close()
    rows = lake.query(f"select payload from raw.{topic} order by batch_id")
    assert rows == [("0",), ("1",), ("2",)]
    assert prove(lake, topic).defects == ()


class _OneEvent:
    """A log of one given value, for what no broker at its defaults takes."""

    stalls = 0
    keeps_until_confirmed = False

    def __init__(self, value: bytes) -> None:
        self._value = value

    def bounds(self) -> dict[str, Bounds]:
        return {"p": Bounds(0, 1)}

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        return self.bounds() != known

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        return dict.fromkeys(partitions, 0)

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        row = {"source_partition": "p", "position": 0, "value": self._value}
        yield Chunk(pa.Table.from_pylist([row], schema=SOURCE_SCHEMA), {"p": 1})

    def confirm(self, positions: Mapping[str, int]) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_hundred_megabytes_are_a_reject_with_their_size_only(lake: Lake) -> None:
    lake.prepare(["large"])
    value = b'"' + b"x" * 100_000_000 + b'"'
    report = Ingestor(lake).run(kafka_stream("large"), _OneEvent(value), decode=decoder("json"))
    assert report.events_rejected == 1
    rows = lake.query("select payload_raw, payload_bytes, reason from raw.rejects")
    assert rows == [(None, len(value), "too_large")]
