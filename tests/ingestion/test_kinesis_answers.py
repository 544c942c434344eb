"""Answers of Kinesis that no emulator gives: closed shards, throttling, expired iterators, packed records.

botocore's Stubber checks what is asked, and what is answered, against the service's own model.
"""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from typing import Any

import pytest
from aws_kinesis_agg.aggregator import RecordAggregator
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from ingestion.connectors.kinesis.access import KinesisAccess
from ingestion.connectors.kinesis.client import open_client, translated
from ingestion.connectors.kinesis.reader import ShardReader
from ingestion.connectors.kinesis.records import events_of, place_of, unpack
from ingestion.connectors.kinesis.send import KinesisSender
from ingestion.connectors.kinesis.shards import Shard, look_at, readable
from ingestion.connectors.messages import Outgoing
from ingestion.errors import ConfigError, SourceMissing, SourceUnavailable
from tests.servers.moto import CREDENTIALS, REGION

ARRIVED = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
ACCESS = KinesisAccess(region=REGION, endpoint_url="http://127.0.0.1:1")


class AtOnce(Executor):
    """Runs what is submitted in its caller's thread."""

    def submit(self, work: Any, /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **options))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return open_client(ACCESS, timeout_seconds=1)


@pytest.fixture
def kinesis(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def record(sequence: int, data: bytes = b"1", key: str = "k") -> dict[str, Any]:
    return {
        "SequenceNumber": f"4966000000000000000000000000000000000000000000{sequence:010d}",
        "ApproximateArrivalTimestamp": ARRIVED, "Data": data, "PartitionKey": key,
    }  # fmt: skip


def gives_iterator(kinesis: Stubber, iterator: str, **begin: object) -> None:
    expected = {"StreamName": "d", "ShardId": "shard-1", **begin}
    kinesis.add_response("get_shard_iterator", {"ShardIterator": iterator}, expected)


def gives(kinesis: Stubber, iterator: str, *records: dict[str, Any], then: str = "", behind: int = 0) -> None:
    answer: dict[str, Any] = {"Records": list(records), "MillisBehindLatest": behind}
    if then:
        answer["NextShardIterator"] = then
    kinesis.add_response("get_records", answer, {"ShardIterator": iterator, "Limit": 4_000})


def refuses(kinesis: Stubber, code: str, call: str = "get_records") -> None:
    kinesis.add_client_error(call, code, "no", 400)


def reader(client: Any, *, is_closed: bool = False) -> ShardReader:
    begin = {"ShardIteratorType": "TRIM_HORIZON"}
    return ShardReader(client, "d", "shard-1", is_closed=is_closed, begin=begin)


def read(shard: ShardReader) -> list[bytes | None]:
    """Ask once, whenever that is due, and take everything."""
    now = max(shard.due_at, time.monotonic())
    shard.ask(AtOnce(), now)
    shard.settle(now, interval_seconds=0.25)
    values = [event.value for event, _ in shard.waiting]
    shard.waiting.clear()
    return values


def test_a_closed_shard_ends_with_its_last_iterator(client: Any, kinesis: Stubber) -> None:
    gives_iterator(kinesis, "i1", ShardIteratorType="TRIM_HORIZON")
    gives(kinesis, "i1", record(1), record(2), then="i2", behind=5_000)
    gives(kinesis, "i2", record(3, b"last"))
    shard = reader(client)
    assert (read(shard), shard.behind_ms, shard.is_ended) == ([b"1", b"1"], 5_000, False)
    assert (read(shard), shard.is_ended, shard.sequence) == ([b"last"], True, record(3)["SequenceNumber"])
    assert read(shard) == []  # nothing more is asked


def test_a_shard_without_events_is_asked_less_often_until_one_comes(client: Any, kinesis: Stubber) -> None:
    gives_iterator(kinesis, "i1", ShardIteratorType="TRIM_HORIZON")
    answers = [(1,), (), (), (), (), (2,), (), (3,)]
    for number, sequences in enumerate(answers, 1):
        gives(kinesis, f"i{number}", *map(record, sequences), then=f"i{number + 1}")
    shard, now, pauses = reader(client), 1000.0, []
    for _ in answers:
        shard.ask(AtOnce(), now)
        shard.settle(now, interval_seconds=0.25)
        shard.waiting.clear()
        pauses.append(shard.due_at - now)
        now = shard.due_at
    assert pauses == [0.25, 0.5, 0.75, 1.0, 1.0, 0.25, 0.5, 0.25]


def test_an_expired_iterator_is_replaced_after_what_was_read(client: Any, kinesis: Stubber) -> None:
    gives_iterator(kinesis, "i1", ShardIteratorType="TRIM_HORIZON")
    gives(kinesis, "i1", record(1), then="i2")
    refuses(kinesis, "ExpiredIteratorException")
    newest = record(1)["SequenceNumber"]
    gives_iterator(kinesis, "i3", ShardIteratorType="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=newest)
    gives(kinesis, "i3", record(2, b"2"), then="i4")
    shard = reader(client)
    assert [read(shard), read(shard), read(shard)] == [[b"1"], [], [b"2"]]


def test_a_throttled_shard_is_asked_again_later_with_the_same_iterator(client: Any, kinesis: Stubber) -> None:
    gives_iterator(kinesis, "i1", ShardIteratorType="TRIM_HORIZON")
    for _ in range(3):
        refuses(kinesis, "ProvisionedThroughputExceededException")
    gives(kinesis, "i1", record(1), then="i2")
    shard = reader(client)
    waits = []
    for _ in range(3):
        before = max(shard.due_at, time.monotonic())
        assert read(shard) == []
        waits.append(shard.due_at - before)
    assert shard.throttled == 3
    assert 0.5 <= waits[0] <= 1
    assert 2 <= waits[2] <= 4
    assert read(shard) == [b"1"]


def test_an_error_is_raised_and_the_shard_goes_on_after_it(client: Any, kinesis: Stubber) -> None:
    gives_iterator(kinesis, "i1", ShardIteratorType="TRIM_HORIZON")
    refuses(kinesis, "InternalFailure")
    gives_iterator(kinesis, "i2", ShardIteratorType="TRIM_HORIZON")
    gives(kinesis, "i2", record(1), then="i3")
    shard = reader(client)
    with pytest.raises(Exception, match="InternalFailure"):
        read(shard)
    assert read(shard) == [b"1"]


def test_the_emulators_closed_shard_ends_when_it_is_empty(client: Any, kinesis: Stubber) -> None:
    gives_iterator(kinesis, "i1", ShardIteratorType="TRIM_HORIZON")
    gives(kinesis, "i1", record(1), then="i2")
    gives(kinesis, "i2", then="i3", behind=7)  # a stretch without records is not the end
    gives(kinesis, "i3", then="i4")
    shard = reader(client, is_closed=True)
    assert [(read(shard), shard.is_ended) for _ in range(3)] == [([b"1"], False), ([], False), ([], True)]


def test_shards_are_listed_over_all_pages(client: Any, kinesis: Stubber) -> None:
    def shard(number: int, parent: str = "", *, ends: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = {
            "ShardId": f"s{number}",
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
            "SequenceNumberRange": {
                "StartingSequenceNumber": "1",
                **({"EndingSequenceNumber": "2"} if ends else {}),
            },
        }
        return found | ({"ParentShardId": parent} if parent else {})

    summary = {
        "StreamName": "d", "StreamARN": "arn", "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": ARRIVED, "EnhancedMonitoring": [], "OpenShardCount": 1,
    }  # fmt: skip
    kinesis.add_response(
        "describe_stream_summary", {"StreamDescriptionSummary": summary}, {"StreamName": "d"}
    )
    kinesis.add_response(
        "list_shards", {"Shards": [shard(1, ends=True)], "NextToken": "t"}, {"StreamName": "d"}
    )
    kinesis.add_response("list_shards", {"Shards": [shard(2, "s1")]}, {"NextToken": "t"})
    look = look_at(client, "d")
    assert look.shards == (Shard("s1", (), True), Shard("s2", ("s1",), False))
    assert look.retention_hours == 24


def test_the_turn_of_a_shard_comes_after_all_of_its_parents() -> None:
    shards = [
        Shard("a", (), True), Shard("b", (), True), Shard("merged", ("a", "b"), True),
        Shard("left", ("merged",), False), Shard("of a trimmed one", ("gone",), False),
    ]  # fmt: skip

    def turn(*finished: str) -> list[str]:
        return [shard.name for shard in readable(shards, finished)]

    assert turn() == ["a", "b", "of a trimmed one"]
    assert turn("a") == ["b", "of a trimmed one"]
    assert turn("a", "b") == ["merged", "of a trimmed one"]
    assert turn("a", "b", "merged") == ["left", "of a trimmed one"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("ResourceNotFoundException", "has no data stream 'd'; there are d1"),
        ("AccessDeniedException", "refused GetRecords of data stream 'd' .AccessDeniedException."),
        ("ProvisionedThroughputExceededException", "too many requests of data stream 'd'"),
        ("ExpiredTokenException", "have not expired"),
    ],
)
def test_what_kinesis_refuses_is_a_sentence(client: Any, kinesis: Stubber, code: str, sentence: str) -> None:
    refuses(kinesis, code)
    if code == "ResourceNotFoundException":
        kinesis.add_response(
            "list_streams", {"StreamNames": ["d1", "z"], "HasMoreStreams": False}, {"Limit": 1_000}
        )
    with pytest.raises(SourceUnavailable, match=sentence), translated(ACCESS, client, stream="d"):
        client.get_records(ShardIterator="i")


def test_an_unreachable_endpoint_is_a_sentence(client: Any) -> None:
    with (
        pytest.raises(
            SourceUnavailable, match=r"127\.0\.0\.1:1 cannot be reached .EndpointConnectionError."
        ) as raised,
        translated(ACCESS, client, stream="d"),
    ):
        client.get_records(ShardIterator="i")
    assert not isinstance(raised.value, SourceMissing)
    assert not any(secret in str(raised.value) for secret in CREDENTIALS.values())


def packed(*events: tuple[str, bytes]) -> bytes:
    """As the library of AWS's own packs them."""
    aggregator = RecordAggregator()
    for key, data in events:
        assert aggregator.add_user_record(key, data) is None
    return bytes(aggregator.clear_and_get().get_contents()[2])


def test_packed_records_are_events_of_their_own() -> None:
    events = [("a", b"1"), ("b", b""), ("a", b"\x00" * 300)]
    found = events_of(record(7, packed(*events), "outer"), "shard-1")
    assert [(event.key.decode(), event.value) for event, _ in found] == events
    places = [place_of(event.headers) for event, _ in found]
    assert places == [place for _, place in found]
    assert [place.is_last for place in places if place] == [False, False, True]
    assert {place.sequence for place in places if place} == {record(7)["SequenceNumber"]}
    assert {event.received_us for event, _ in found} == {round(ARRIVED.timestamp() * 1e6)}


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=20), st.binary(max_size=200)), min_size=1, max_size=20)
)
def test_whatever_was_packed_is_unpacked(events: list[tuple[str, bytes]]) -> None:
    assert unpack(packed(*events)) == [(key.encode(), data) for key, data in events]


@given(st.binary(max_size=60), st.booleans())
def test_what_only_looks_packed_is_one_event_as_it_came(body: bytes, right_digest: bool) -> None:
    digest = hashlib.md5(body, usedforsecurity=False).digest() if right_digest else b"\x00" * 16
    data = bytes.fromhex("f3899ac2") + body + digest
    found = events_of(record(1, data), "shard-1")
    if unpack(data) is None:
        assert [event.value for event, _ in found] == [data]
    else:
        assert all(isinstance(event.value, bytes) for event, _ in found)


def test_what_was_throttled_is_sent_again(
    client: Any, kinesis: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = KinesisSender(ACCESS, timeout_seconds=5)
    monkeypatch.setattr(sender, "_client", client)
    first, second = ({"Data": data, "PartitionKey": "k"} for data in (b"1", b"2"))
    answers = [
        {"SequenceNumber": "1", "ShardId": "s"},
        {"ErrorCode": "ProvisionedThroughputExceededException"},
    ]
    kinesis.add_response("put_records", {"Records": answers}, {"StreamName": "d", "Records": [first, second]})
    kinesis.add_response("put_records", {"Records": answers[:1]}, {"StreamName": "d", "Records": [second]})
    sender.send([Outgoing("d", b"1", key=b"k"), Outgoing("d", b"2", key=b"k")])
    kinesis.add_response(
        "put_records",
        {"Records": [{"ErrorCode": "KMSAccessDeniedException"}]},
        {"StreamName": "d", "Records": [first]},
    )
    with pytest.raises(SourceUnavailable, match=r"did not accept 1 records for 'd' \(KMSAccessDenied"):
        sender.send([Outgoing("d", b"1", key=b"k")])
    with pytest.raises(ConfigError, match="not UTF-8"):
        sender.send([Outgoing("d", b"1", key=b"\xff")])
