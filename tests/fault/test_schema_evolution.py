"""A schema evolves five times while events flow; the registry is killed twice, the run five times.

Every event lands once, decoded with its own schema; then all are decoded again from raw, without it.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.redecode import redecode
from ingestion.settings import Settings
from tests.fault.orders import Worker, order_for
from tests.fault.worker import EXIT_DONE, EXIT_REFUSED
from tests.formats.registering import client
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.schema_registry import SchemaRegistry

_numbers = numbers()
PLACES = ["batch.polled", "loader.extracted", "loader.normalized", "loader.loaded", "loader.committed"]
KILLED_IN = (1, 3)
"""Stages whose schema comes while the registry is down."""
LATE = 0.1
"""Share of a stage's events that a sender writes who has not been updated yet."""
ID, NAME = {"name": "id", "type": "long"}, {"name": "name", "type": "string"}
TAGS = {"name": "tags", "type": {"type": "array", "items": "string"}}
STAGES: list[list[dict[str, Any]]] = [
    [ID, NAME],
    [ID, NAME, {"name": "cents", "type": "int", "default": 0}],
    [ID, NAME, {"name": "cents", "type": "long", "default": 0}],
    [ID, {"name": "cents", "type": "long", "default": 0}],
    [ID, {"name": "cents", "type": "long", "default": 0}, TAGS],
    [ID, {"name": "cents", "type": "string"}],
]  # fmt: skip
"""A field is added, widened, removed, one of another kind is added; the last change breaks a type."""


def value_of(number: int, stage: int) -> dict[str, Any]:
    known = {"id": number, "name": f"n{number}", "cents": number % 900, "tags": ["a", str(number)]}
    found = {field["name"]: known[field["name"]] for field in STAGES[stage]}
    return found | ({"cents": f"{number % 900} EUR"} if stage == len(STAGES) - 1 else {})


class Senders:
    """Confluent's client with each of the schemas."""

    def __init__(self, registry: SchemaRegistry, topic: str) -> None:
        known = client(registry)
        schemas = [json.dumps({"type": "record", "name": "Order", "fields": fields}) for fields in STAGES]
        self._write = [AvroSerializer(known, text) for text in schemas]
        self._key = AvroSerializer(known, json.dumps("long"))
        self._place = SerializationContext(topic, MessageField.VALUE)
        self._key_place = SerializationContext(topic, MessageField.KEY)

    def value(self, number: int, stage: int) -> bytes:
        made: bytes = self._write[stage](value_of(number, stage), self._place)
        return made

    def key(self, number: int) -> bytes:
        made: bytes = self._key(number, self._key_place)
        return made


@pytest.fixture
def worker() -> Iterator[Worker]:
    found = Worker()
    yield found
    found.close()


def check(
    events: int, lake: Lake, settings: Settings, kafka: ApacheKafka, worker: Worker, folder: Path
) -> None:
    registry, topic, dice = (
        SchemaRegistry(folder / "registry").start(),
        f"evolves_{next(_numbers)}",
        random.Random(7),
    )
    kafka.create_topic(topic, partitions=2)
    senders, avro = Senders(registry, topic), {"avro": {"schema": "prefix"}}
    declared = {"name": topic, "source": {"kafka": topic}, "format": avro, "key": avro, "fields": {}}
    stream, each = Stream.model_validate(declared), events // len(STAGES)
    at = settings.replaced(kafka_bootstrap_servers=kafka.bootstrap_servers, schema_registry_url=registry.url)
    lake.prepare([topic])
    order = order_for(stream, at, batch_max_events=each * 2 // 3, schema_registry_url=registry.url)
    sent: dict[int, dict[str, Any]] = {}
    for stage in range(len(STAGES)):
        numbered = range(stage * each, (stage + 1) * each)
        stages = [max(stage - (dice.random() < LATE), 0) for _ in numbered]
        sent |= {
            number: value_of(number, at_stage) for number, at_stage in zip(numbered, stages, strict=True)
        }
        values = [senders.value(number, at_stage) for number, at_stage in zip(numbered, stages, strict=True)]
        keys = [senders.key(number) for number in numbered]
        if stage in KILLED_IN:
            registry.kill()
        for partition in (0, 1):
            half = slice(partition, None, 2)
            produce(kafka.bootstrap_servers, topic, values[half], keys=keys[half], partition=partition)
        if stage in KILLED_IN:
            assert worker.run(**order) == EXIT_REFUSED, "the batch stops where it needs the new schema"
            assert lake.query("select count(*) from raw.rejects") == [(0,)]
            registry.start()
        if stage < len(PLACES):
            assert worker.run(**order, place=PLACES[stage]) == -9
    assert worker.run(**order) == EXIT_DONE
    landed = lake.query(f"select event_key, payload from raw.{topic}")
    assert len(landed) == len(sent) == each * len(STAGES)
    assert {int(key): json.loads(text) for key, text in landed} == sent
    assert lake.query("select count(*) from raw.rejects") == [(0,)]
    assert not prove(lake, topic).defects
    registry.stop()
    lake.connection.execute(f"update raw.{topic} set payload = '{{}}'")
    assert redecode(lake, topic, decode=decoder_of(stream, at, with_keys=False)).changed == len(sent)
    assert sorted(lake.query(f"select event_key, payload from raw.{topic}")) == sorted(landed)


@pytest.mark.slow("kills a run five times and a registry twice")
def test_each_event_is_decoded_with_its_own_schema(
    lake: Lake, settings: Settings, apache_kafka: ApacheKafka, worker: Worker, tmp_path: Path
) -> None:
    check(3_000, lake, settings, apache_kafka, worker, tmp_path)


@pytest.mark.long
def test_a_hundred_thousand_events(
    lake: Lake, settings: Settings, apache_kafka: ApacheKafka, worker: Worker, tmp_path: Path
) -> None:
    check(100_000, lake, settings, apache_kafka, worker, tmp_path)
