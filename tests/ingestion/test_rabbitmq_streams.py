"""RabbitMQ streams as logs: exactly once, where they begin, what retention deletes, streams made again."""

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from pika.exceptions import ConnectionWrongStateError

from ingestion.connectors.messages import Look
from ingestion.connectors.rabbitmq.access import RabbitAccess
from ingestion.connectors.rabbitmq.connection import exchange
from ingestion.connectors.rabbitmq.declare import RabbitSource
from ingestion.connectors.rabbitmq.peek import peek
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import LogTruncated, SourceMissing, SourceUnavailable
from ingestion.lake.lake import Lake
from ingestion.log.port import Window
from ingestion.settings import Settings
from tests.ingestion.helpers import ingest, positions_of
from tests.names import numbers
from tests.servers.rabbitmq import RabbitMq
from tests.waiting import eventually

_numbers = numbers()


@pytest.fixture
def name() -> str:
    """Of a stream queue that no other test uses."""
    return f"stream-{next(_numbers)}"


@pytest.fixture
def there(rabbitmq: RabbitMq, settings: Settings) -> Settings:
    return settings.replaced(rabbitmq_host=rabbitmq.host, rabbitmq_port=rabbitmq.port)


def declared(name: str, **options: object) -> Stream:
    return Stream.model_validate({"name": "s", "source": {"rabbitmq": {"stream": name}} | options})


def json_of(numbers: Sequence[int]) -> list[bytes]:
    return [b'{"n": %d}' % number for number in numbers]


def test_each_message_is_in_raw_once_at_its_offset(
    lake: Lake, there: Settings, rabbitmq: RabbitMq, name: str
) -> None:
    lake.settings = there
    rabbitmq.declare(name, "stream")
    of = declared(name, prefetch=3)
    rabbitmq.publish(name, json_of(range(20)), message_id="m")
    assert ingest(lake, of, there).events_landed == 20
    assert ingest(lake, of, there).events_landed == 0
    rabbitmq.publish(name, [*json_of(range(20, 25)), b"not JSON"])
    report = ingest(lake, of, there)
    assert (report.events_landed, report.events_rejected) == (5, 1)
    assert positions_of(lake, "s") == [(name, offset) for offset in range(25)]
    assert lake.query("select event_key, headers ->> 'message_id' from raw.s where position = 3") == [
        (name, "m")
    ]
    rabbitmq.delete(name)
    rabbitmq.declare(name, "stream")
    rabbitmq.publish(name, json_of(range(2)))
    with pytest.raises(LogTruncated, match=f"{name} ends at 2, before our position 26"):
        ingest(lake, of, there)
    rabbitmq.publish(name, json_of(range(30)))
    with pytest.raises(LogTruncated, match=f"{name} has other messages than those that were read before"):
        ingest(lake, of, there)


def test_what_retention_deleted_unread_is_reported_and_skipped_where_that_is_asked(
    lake: Lake, there: Settings, rabbitmq: RabbitMq, name: str
) -> None:
    lake.settings = there
    rabbitmq.declare(
        name, "stream", **{"x-max-length-bytes": 20_000, "x-stream-max-segment-size-bytes": 5_000}
    )
    rabbitmq.publish(name, json_of(range(2)))
    assert ingest(lake, declared(name), there).events_landed == 2
    sent = 2
    with closing(open_log(declared(name), there)) as log:

        def first() -> int:
            nonlocal sent
            filler = b"x" * 1000
            rabbitmq.publish(
                name, [b'{"n": %d, "x": "%s"}' % (number, filler) for number in range(sent, sent + 10)]
            )
            sent += 10
            return log.bounds()[name].begin

        eventually(lambda: first() > 2, "retention deletes")
        bounds = log.bounds()[name]
        with pytest.raises(SourceUnavailable, match="while they were to be read"):
            list(log.read({name: Window(2, bounds.end)}))
    assert bounds.end > sent, "a stream has holes: what the broker writes for itself at a segment's beginning"
    with pytest.raises(LogTruncated, match=f"{name} begins at .* retention deleted .* unread positions"):
        ingest(lake, declared(name), there)
    report = ingest(lake, declared(name, on_truncated="earliest"), there)
    ((skipped,),) = lake.query("select sum(positions_skipped) from raw.batches where stream = 's'")
    assert skipped == bounds.begin - 2
    assert lake.query("select min(position), max(position) + 1 from raw.s where position >= 2") == [
        (bounds.begin, bounds.end)
    ]
    landed = lake.query("select (payload ->> 'n')::int from raw.s where position >= 2 order by position")
    assert [number for (number,) in landed] == list(range(sent - report.events_landed, sent))


def test_it_begins_where_it_is_declared_to(there: Settings, rabbitmq: RabbitMq, name: str) -> None:
    rabbitmq.declare(name, "stream")
    rabbitmq.publish(name, json_of(range(3)))
    time.sleep(1.1)  # RabbitMQ's times are whole seconds
    moment = datetime.now(UTC)
    time.sleep(1.1)
    rabbitmq.publish(name, json_of(range(3, 5)))
    for options, start, expected in (
        ({}, "earliest", 0),
        ({}, "latest", 5),
        ({}, moment, 3),
        ({}, moment + timedelta(days=1), 5),
        ({"offset": 2}, "earliest", 2),
        ({"offset": 99}, "earliest", 5),
    ):
        with closing(open_log(declared(name, **options), there)) as log:
            assert log.start_positions(start, log.bounds()) == {name: expected}


def test_a_queue_is_not_read_as_a_stream_and_keeps_its_messages(
    there: Settings, rabbitmq: RabbitMq, name: str
) -> None:
    rabbitmq.declare(name)
    rabbitmq.publish(name, [b"1", b"2"])
    with (
        closing(open_log(declared(name), there)) as log,
        pytest.raises(SourceUnavailable, match=f"'{name}' is a queue, not a stream"),
    ):
        log.bounds()
    assert rabbitmq.take(name) == [b"1", b"2"]


def test_peeking_at_a_stream_as_a_queue_says_how_it_is_named(rabbitmq: RabbitMq, name: str) -> None:
    rabbitmq.declare(name, "stream")
    source = RabbitSource.model_validate({"rabbitmq": {"queue": name}})
    access = RabbitAccess(host=rabbitmq.host, port=rabbitmq.port)
    with pytest.raises(SourceUnavailable, match=f"is a stream, not a queue: name it rabbitmq:stream:{name}"):
        list(peek(source, access, Look(limit=1)))


def test_an_empty_stream_is_made_only_where_it_is_asked(
    there: Settings, rabbitmq: RabbitMq, name: str
) -> None:
    with closing(open_log(declared(name), there)) as log, pytest.raises(SourceMissing, match="has no stream"):
        log.bounds()
    made = declared(name, create="stream")
    with closing(open_log(made, there)) as log:
        bounds = log.bounds()
        assert (bounds[name].begin, bounds[name].end) == (0, 0)
        assert not log.has_moved(bounds)
        rabbitmq.publish(name, [b"1"])
        eventually(lambda: log.has_moved(bounds), "the first message is noticed")
        rabbitmq.delete(name)
        eventually(lambda: _fails(lambda: log.has_moved(bounds)), "its end is noticed")


def _fails(call: object) -> bool:
    try:
        call()  # type: ignore[operator]
    except SourceUnavailable:
        return True
    return False


def test_a_connection_that_the_broker_gave_up_is_made_again(
    there: Settings, rabbitmq: RabbitMq, name: str
) -> None:
    from tests.servers.cuttable import Cuttable

    rabbitmq.declare(name, "stream")
    rabbitmq.publish(name, json_of(range(3)))
    wire = Cuttable(rabbitmq.port)
    with closing(open_log(declared(name), there.replaced(rabbitmq_port=wire.port))) as log:
        bounds = log.bounds()
        assert not log.has_moved(bounds)
        wire.cut()
        assert log.bounds() == bounds
        wire.cut()
        (chunk,) = log.read({name: Window(0, 3)})
        assert chunk.events["value"].to_pylist() == json_of(range(3))
    wire.close()
    with rabbitmq.channel() as channel:
        channel.connection.close()
        with pytest.raises(ConnectionWrongStateError):  # a lost connection, and not a ValueError of pika's
            exchange(channel.connection, seconds=0.1)
