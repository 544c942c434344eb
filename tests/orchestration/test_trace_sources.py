"""`millrace trace` of events of RabbitMQ and Kinesis: by event ids and business ids, read or not yet."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from ingestion.collect.collector import Collector
from ingestion.connectors.port import CollectingConnector
from ingestion.connectors.registry import connector
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.cli.trace import trace
from orchestration.dbt.project import ParsedModels, dbt_project
from tests.ingestion.collecting import running, wait_until
from tests.ingestion.helpers import ingest
from tests.names import numbers
from tests.servers.moto import REGION, Moto
from tests.servers.rabbitmq import RabbitMq

_numbers = numbers()
NO_MODELS: dict[str, Any] = {"sources": {}, "nodes": {}, "child_map": {}}
Found = list[tuple[str, str, bool | None, str]]


@pytest.fixture
def name() -> str:
    return f"traced-{next(_numbers)}"


def declared(source: dict[str, Any], **others: Any) -> Stream:
    return Stream.model_validate(
        {"name": "traced", "source": source, "business_id": ["id"], "fields": {"id": "varchar"}} | others
    )


@contextmanager
def collected(settings: Settings, stream: Stream, count: int) -> Iterator[None]:
    """So many events are in the stream's spool, and nobody collects any more."""
    kind = connector(stream.kind)
    assert isinstance(kind, CollectingConnector)
    with running(Collector(settings, [stream], connector=kind)) as collector:
        wait_until(lambda: collector.status()["positions"]["traced"] == count)
    yield


def tracer(settings: Settings, stream: Stream) -> Callable[[str], Found]:
    """Each event that a text names: its id, its state, whether its log has it, and where that is."""
    parsed = ParsedModels(dbt_project(settings), NO_MODELS)

    def found(text: str) -> Found:
        ways = trace(settings, [stream], text, parsed=parsed, limit=9).ways
        events = [way.event for way in ways]
        return [(each.named.event_id, each.state, each.in_log, each.held_in) for each in events]

    return found


def test_messages_of_a_rabbitmq_stream_are_found_at_its_offsets(
    lake: Lake, settings: Settings, rabbitmq: RabbitMq, name: str
) -> None:
    there = settings.replaced(rabbitmq_host=rabbitmq.host, rabbitmq_port=rabbitmq.port)
    rabbitmq.declare(name, "stream")
    stream = declared({"rabbitmq": {"stream": name}})
    rabbitmq.publish(name, [b'{"id": "a"}', b'{"id": "b"}'])
    ingest(lake, stream, there)
    rabbitmq.publish(name, [b'{"id": "c"}'])
    found, place = tracer(there, stream), f"RabbitMQ stream {name}"
    assert found(f"{name}@1") == found("b") == [(f"{name}@1", "no staging model", True, place)]
    assert found("c") == [(f"{name}@2", "unread", True, place)]
    assert found(f"{name}@3") == [(f"{name}@3", "not sent", False, place)]


def test_messages_of_a_rabbitmq_queue_are_found_in_the_spool(
    lake: Lake, settings: Settings, rabbitmq: RabbitMq, name: str
) -> None:
    """CloudEvents, whose business id is in the application properties."""
    there = settings.replaced(rabbitmq_host=rabbitmq.host, rabbitmq_port=rabbitmq.port)
    rabbitmq.declare(name)
    stream = declared({"rabbitmq": name}, envelope="cloudevents", business_id=[], fields={})

    def send(number: str) -> None:
        attributes = {"specversion": "1.0", "id": number, "source": "/s", "type": "t"}
        headers = {f"cloudEvents:{key}": text for key, text in attributes.items()}
        rabbitmq.publish(name, [b"{}"], headers=headers)

    send("a")
    with collected(there, stream, 1):
        ingest(lake, stream, there)
    send("b")
    with collected(there, stream, 2):
        found = tracer(there, stream)
    assert found("traced-0@0") == found("/s,a")
    assert [each[:2] for each in found("/s,a")] == [("traced-0@0", "no staging model")]
    assert [each[:3] for each in found("/s,b")] == [("traced-0@1", "unread", True)]


def test_records_of_kinesis_are_found_in_the_spool(
    lake: Lake, settings: Settings, moto: Moto, name: str, aws_credentials: None
) -> None:
    there = settings.replaced(kinesis_region=REGION, kinesis_endpoint_url=moto.url)
    stream = declared({"kinesis": name})
    with closing(moto.client()) as client:
        client.create_stream(StreamName=name, ShardCount=1)
        client.put_record(StreamName=name, Data=b'{"id": "a"}', PartitionKey="k")
        with collected(there, stream, 1):
            ingest(lake, stream, there)
        client.put_record(StreamName=name, Data=b'{"id": "b"}', PartitionKey="k")
        with collected(there, stream, 2):
            found = tracer(there, stream)
    assert found("traced-0@0") == found("a")
    assert [each[:2] for each in found("a")] == [("traced-0@0", "no staging model")]
    assert [each[:3] for each in found("b")] == [("traced-0@1", "unread", True)]
