"""Kinesis against an emulator (moto): shards in their order, nothing lost, nothing twice in a spool.

What the emulator does not do (closed shards, throttling, expired iterators) is answered by botocore's Stubber
in test_kinesis_answers.py.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion.collect.collector import Collector
from ingestion.collect.status import state_folder
from ingestion.connectors.durability import Reading
from ingestion.connectors.kinesis.access import KinesisAccess
from ingestion.connectors.kinesis.client import open_client
from ingestion.connectors.kinesis.connector import KINESIS
from ingestion.connectors.kinesis.progress import progress_file, read_progress
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.faultpoints import install_hook
from ingestion.settings import Settings, load_settings
from ingestion.spool.log import SpoolLog
from tests.ingestion.collecting import running, spooled, wait_until
from tests.names import numbers
from tests.servers.moto import CREDENTIALS, REGION, Moto

_numbers = numbers()


@pytest.fixture
def settings(moto: Moto, tmp_path: Path, aws_credentials: None) -> Settings:
    return load_settings(data_dir=tmp_path, kinesis_region=REGION, kinesis_endpoint_url=moto.url)


@pytest.fixture
def client(moto: Moto) -> Iterator[Any]:
    with closing(moto.client()) as client:
        yield client


@pytest.fixture
def name(client: Any) -> str:
    """A data stream of two shards."""
    name = f"collected-{next(_numbers)}"
    client.create_stream(StreamName=name, ShardCount=2)
    return name


def stream(data_stream: str, *, name: str = "s", **source: object) -> Stream:
    return Stream.model_validate({"name": name, "source": {"kinesis": data_stream, **source}})


def put(client: Any, data_stream: str, first: int, count: int) -> None:
    for begin in range(first, first + count, 500):
        records = [
            {"Data": b"%d" % number, "PartitionKey": f"k{number % 7}"}
            for number in range(begin, min(begin + 500, first + count))
        ]
        assert client.put_records(StreamName=data_stream, Records=records)["FailedRecordCount"] == 0


@contextmanager
def collecting(settings: Settings, *streams: Stream) -> Iterator[Collector]:
    with running(Collector(settings, streams, connector=KINESIS)) as collector:
        yield collector


def numbers_in(settings: Settings, name: str = "s") -> list[int]:
    return [int(row["value"]) for row in spooled(settings.data_dir, name)]


def test_every_record_is_stored_once_in_the_order_of_its_key(
    settings: Settings, client: Any, name: str
) -> None:
    put(client, name, 0, 1_200)
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 1_200)
        put(client, name, 1_200, 300)
        wait_until(lambda: collector.status()["positions"]["s"] == 1_500)
        assert collector.status()["shards"] == {"s": 2}
        wait_until(lambda: collector.status()["behind_seconds"] == {"s": 0})
    rows = spooled(settings.data_dir, "s")
    assert Counter(int(row["value"]) for row in rows) == Counter(range(1_500))
    for key in {row["event_key"] for row in rows}:
        values = [int(row["value"]) for row in rows if row["event_key"] == key]
        assert values == sorted(values)
    assert {row["headers"]["shard"] for row in rows} == {"shardId-000000000000", "shardId-000000000001"}
    assert all(row["event_time"] > datetime.now(UTC) - timedelta(hours=1) for row in rows)


def test_it_goes_on_where_the_last_one_stopped(settings: Settings, client: Any, name: str) -> None:
    for begin in range(0, 90, 30):
        put(client, name, begin, 30)
        with collecting(settings, stream(name)) as collector:
            wait_until(lambda end=begin + 30: collector.status()["positions"]["s"] == end)
    assert sorted(numbers_in(settings)) == list(range(90))


@pytest.mark.parametrize("trimmed", [False, True])
def test_what_died_before_its_progress_was_written_comes_once(
    settings: Settings, client: Any, name: str, trimmed: bool
) -> None:
    """The spool is ahead of the file after a kill -9 between the two."""
    file = state_folder(settings.data_dir, KINESIS) / "s.json"
    put(client, name, 0, 40)
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 40)
    before = file.read_bytes()
    put(client, name, 40, 40)
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 80)
    file.write_bytes(before)
    if trimmed:  # the newest segment stays, whatever of it is in the lake
        with closing(SpoolLog("s", settings.data_dir / "spool")) as log:
            log.confirm({"s-0": 80})
    put(client, name, 80, 40)
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 120)
    assert sorted(numbers_in(settings)) == list(range(120))


def test_what_could_not_be_stored_is_read_again(settings: Settings, client: Any, name: str) -> None:
    def full(place: str) -> None:
        if place == "spool.written":
            raise OSError(28, "No space left on device")

    put(client, name, 0, 30)
    try:
        with collecting(settings, stream(name)) as collector:
            install_hook(full)
            put(client, name, 30, 30)
            wait_until(lambda: collector.status()["unacknowledged"] > 0)
    finally:
        install_hook(None)
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 60)
    assert sorted(numbers_in(settings)) == list(range(60))


def test_a_shard_that_was_split_is_finished_and_its_children_are_read(
    settings: Settings, client: Any, name: str
) -> None:
    """The emulator, unlike AWS, moves its records into the children, and goes on writing to it."""
    put(client, name, 0, 70)
    split, other = client.list_shards(StreamName=name)["Shards"]
    middle = sum(int(split["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey")) // 2
    client.split_shard(StreamName=name, ShardToSplit=split["ShardId"], NewStartingHashKey=str(middle))
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 70)
        wait_until(lambda: collector.status()["shards"] == {"s": 3})
    elsewhere = other["HashKeyRange"]["StartingHashKey"]
    with collecting(settings, stream(name)) as collector:  # what is finished is not read again
        client.put_record(StreamName=name, Data=b"70", PartitionKey="k", ExplicitHashKey=elsewhere)
        wait_until(lambda: collector.status()["positions"]["s"] == 71)
        assert collector.status()["shards"] == {"s": 3}
    assert sorted(numbers_in(settings)) == list(range(71))


def test_latest_begins_when_the_stream_is_first_seen(settings: Settings, client: Any, name: str) -> None:
    put(client, name, 0, 10)
    latest = stream(name, start="latest")
    with collecting(settings, latest):
        pass
    put(client, name, 10, 10)  # while nobody collects
    with collecting(settings, latest) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 10)
    assert sorted(numbers_in(settings)) == list(range(10, 20))


def test_a_data_stream_that_was_made_again_is_another_one(settings: Settings, client: Any, name: str) -> None:
    put(client, name, 0, 10)
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 10)
    client.delete_stream(StreamName=name)
    client.create_stream(StreamName=name, ShardCount=1)
    put(client, name, 10, 4)
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 14)
        assert "was deleted and made again" in collector.status()["warning"]
    assert sorted(numbers_in(settings)) == list(range(14))


def test_a_declaration_that_names_another_data_stream_begins_there(
    settings: Settings, client: Any, name: str
) -> None:
    put(client, name, 0, 10)
    other = f"{name}-other"
    client.create_stream(StreamName=other, ShardCount=1)
    put(client, other, 10, 3)
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 10)
    with collecting(settings, stream(other)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 13)
        assert collector.status()["warning"] == ""
    assert sorted(numbers_in(settings)) == list(range(13))


def test_a_long_absence_is_a_warning(settings: Settings, client: Any, name: str) -> None:
    put(client, name, 0, 2)
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 2)
    file = state_folder(settings.data_dir, KINESIS) / "s.json"
    progress = json.loads(file.read_text())
    progress["complete_to"] -= 25 * 3600
    progress["sequences"]["shardId-000000000009"] = "5"
    file.write_text(json.dumps(progress))
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: "shardId-000000000009 no more" in collector.status()["warning"])
    progress["sequences"].pop("shardId-000000000009")
    file.write_text(json.dumps(progress))
    with collecting(settings, stream(name)) as collector:
        wait_until(lambda: "the 24 hours that it keeps events" in collector.status()["warning"])


def test_one_that_is_missing_holds_up_no_other(settings: Settings, client: Any, name: str) -> None:
    put(client, name, 0, 3)
    streams = [stream(name), stream(f"{name}x", name="lacking")]
    with running(Collector(settings, streams, connector=KINESIS), subscribed=False) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 3)
        wait_until(lambda: f"no data stream '{name}x'" in collector.status()["error"])
        assert name in collector.status()["error"].partition("there are")[2]
        assert not collector.status()["subscribed"]
        client.create_stream(StreamName=f"{name}x", ShardCount=1)
        wait_until(lambda: collector.status()["subscribed"])
        assert collector.status()["error"] == ""


def test_a_restarted_service_is_asked_again(tmp_path: Path, aws_credentials: None) -> None:
    moto = Moto(tmp_path)
    settings = load_settings(data_dir=tmp_path / "d", kinesis_region=REGION, kinesis_endpoint_url=moto.url)
    with running(Collector(settings, [stream("gone")], connector=KINESIS), subscribed=False) as collector:
        wait_until(lambda: "cannot be reached" in collector.status()["error"])
        moto.start()
        moto.client().create_stream(StreamName="gone", ShardCount=1)
        put(moto.client(), "gone", 0, 2)
        wait_until(lambda: collector.status()["positions"]["s"] == 2)
        assert collector.status()["error"] == ""
    moto.stop()


def test_without_credentials_it_says_what_is_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    emulated = open_client(settings.access(KINESIS.kind, KinesisAccess), timeout_seconds=5)
    assert "StreamNames" in emulated.list_streams(), "what listens on this machine takes any"
    at_aws = settings.replaced(kinesis_endpoint_url=None)
    with running(Collector(at_aws, [stream("any")], connector=KINESIS), subscribed=False) as collector:
        wait_until(lambda: "no AWS credentials were found" in collector.status()["error"])
    with pytest.raises(ConfigError, match="MILLRACE_KINESIS_PROFILE"):
        Collector(settings.replaced(kinesis_profile="nobody"), [stream("any")], connector=KINESIS)


def test_the_doctor_compares_retention_with_what_was_collected(
    settings: Settings, client: Any, name: str
) -> None:
    declared = stream(name)
    state = state_folder(settings.data_dir, KINESIS)

    def found(now: datetime) -> tuple[str, str]:
        access = settings.access("kinesis", KINESIS.access)
        (finding,) = KINESIS.durability(
            [Reading("s", declared.source)], access, state=state, now=now, timeout_seconds=10
        )
        return finding.state, finding.message

    assert found(datetime.now(UTC)) == (
        "note",
        f"data stream '{name}' keeps events for 24 h; stream 's' has not been collected to its end yet",
    )  # fmt: skip
    put(client, name, 0, 1)
    with collecting(settings, declared) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 1)
        wait_until(lambda: read_progress(progress_file(state, "s")).complete_to)
    assert found(datetime.now(UTC))[0] == "ok"
    late = found(datetime.now(UTC) + timedelta(hours=13))
    assert late[0] == "problem"
    assert "13 h ago" in late[1]
